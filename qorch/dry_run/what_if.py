"""`--what-if`: what else a forecast is made of, such as more jobs at once, larger jobs, or another gradient method."""

from dataclasses import dataclass, fields

from qorch.errors import UsageError
from qorch.model.kinds import as_whole

_OPTIONS = {"workers": "jobs", "pack": "rows"}
"""By what is asked, the option of a mock, and of the backend that it stands for."""
_EXAMPLE = "workers=40,pack=64,gradient=spsa,shots=256"


@dataclass(frozen=True)
class WhatIf:
    """What differs from the training that was recorded; None: nothing.

    ``workers``: the most jobs in progress at once; ``pack``: the most executions in a job. ``gradient``: the
    training must be simulated again; ``shots``: of all that is sampled in the recording.
    """

    workers: int | None = None
    pack: int | None = None
    gradient: str | None = None
    shots: int | None = None

    def rename(self, mock: str) -> str:
        """The name of the same mock with what differs as its options, in place of those that it has."""
        for name, option in _OPTIONS.items():
            value = getattr(self, name)
            if value is not None:
                kept = [part for part in mock.split(",") if part.strip().partition("=")[0] != option]
                mock = ",".join([*kept, f"{option}={value}"])
        return mock

    def check_script(self) -> None:
        """Raise UsageError if a user's own program cannot be recorded like that."""
        if self.gradient is not None:
            raise UsageError(
                f"--what-if gradient={self.gradient} is for workloads: a program chooses the gradients of its layers"
                " itself. Change it there, and compare two dry runs"
            )

    def __str__(self) -> str:
        """As it is written, such as ``workers=40,pack=64``."""
        given = ((each.name, getattr(self, each.name)) for each in fields(self))
        return ",".join(f"{name}={value}" for name, value in given if value is not None)


def parse_what_if(text: str) -> WhatIf:
    """Read ``workers=40,pack=64``. Raises UsageError for anything that is not known, twice there, or no number."""
    given: dict[str, int | str] = {}
    names = [each.name for each in fields(WhatIf)]
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in names or not value:
            raise UsageError(f"--what-if has no '{part}'; write some of {', '.join(names)}, such as {_EXAMPLE}")
        if name in given:
            raise UsageError(f"--what-if {text} has '{name}' twice; give it once, or give --what-if again")
        given[name] = value if name == "gradient" else as_whole(_as_number(value), f"--what-if {name}", least=1)
    if not given:
        raise UsageError(f"--what-if is empty; write for example {_EXAMPLE}")
    return WhatIf(**given)  # type: ignore[arg-type]


def _as_number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text
