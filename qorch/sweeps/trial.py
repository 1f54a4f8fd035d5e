"""A trial: one training of a sweep, and the name of its run, by which it is found again."""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qorch.errors import UsageError
from qorch.model.backend_name import MOCK, is_mock
from qorch.model.budget import Budget
from qorch.model.money import Money
from qorch.run.arguments import check_name

_DIGITS = 10
_SUFFIX = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}\Z")
_MOST_LETTERS = 64 - 1 - _DIGITS
_BACKEND, _SEED = "backend", "seed"


@dataclass(frozen=True)
class Trial:
    """One training of a sweep, which is one run.

    ``program``: the name of a workload, or the path of a program of the user's own, which ends in ``.py``. ``options``:
    as text, by the names of the command line (``lr``, ``batch-size``), without those that have their default; a program
    gets them as ``--lr 0.01`` after its own ``arguments``. ``backend`` and ``seed``: None is the program's own.
    ``chosen``: what tells it from the others of its sweep, to be shown: values of options, also if they are defaults.
    """

    sweep: str
    program: str
    backend: str | None = None
    seed: int | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def is_script(self) -> bool:
        """Whether it is a program of the user's own."""
        return self.program.endswith(".py")

    @property
    def run_name(self) -> str:
        """The sweep's name and ten hexadecimal digits, which change with whatever decides what the training does.

        A number counts, not how it is written: ``0.01`` and ``1e-2`` are the same trial.
        """
        parts = (
            Path(self.program).name if self.is_script else self.program,
            list(self.arguments),
            self.backend,
            self.seed,
            sorted((name, canonical(value)) for name, value in self.options.items() if self._decides(name)),
        )
        digest = hashlib.sha256(b"qorch-trial-1" + json.dumps(parts).encode()).hexdigest()
        return f"{self.sweep}-{digest[:_DIGITS]}"

    def _decides(self, option: str) -> bool:
        """Whether an option decides what is trained: where a workload's files lie does not."""
        return self.is_script or option != "data-dir"

    def __str__(self) -> str:
        """What tells it from the others, such as ``lr=0.01 layers=2``; else its name."""
        return " ".join(f"{name}={value}" for name, value in self.chosen.items()) or self.run_name

    def value_of(self, name: str) -> str | None:
        """What the trial has of an option, the backend or the seed among them; None: a default that was not chosen."""
        if name in self.chosen:
            return self.chosen[name]
        if name == _BACKEND:
            return self.backend
        if name == _SEED:
            return None if self.seed is None else str(self.seed)
        return self.options.get(name)


def canonical(value: str) -> str:
    """The same text for all ways to write a number."""
    try:
        number = float(value)
    except ValueError:
        return value
    if not math.isfinite(number) or "_" in value:
        return value
    return str(int(number)) if number.is_integer() and abs(number) < 2**53 else repr(number)


def check_sweep_name(name: str) -> None:
    """Raise UsageError for what cannot be the name of a sweep: its trials' names are longer by eleven characters."""
    try:
        check_name(name)
    except UsageError as error:
        raise UsageError(f"{error}: give the sweep one with --name") from error
    if len(name) > _MOST_LETTERS:
        raise UsageError(
            f"the sweep's name has {len(name)} characters; it may have {_MOST_LETTERS}, choose a shorter one"
        )


def sweep_of(run_name: str) -> str | None:
    """The sweep to whose trials a run belongs by its name; None if it is no trial's."""
    return _SUFFIX.sub("", run_name) if _SUFFIX.search(run_name) else None


def sweep_budget(sweep: str, limit: Money, *, backend: str) -> Budget:
    """The one budget of all trials of a sweep, those on mocks (or else on real backends) alone."""
    return Budget(
        limit=limit,
        name=sweep,
        backend=MOCK if is_mock(backend) else "",
        runs=f"{sweep}-{'[0-9a-f]' * _DIGITS}",
        origin="--budget of the sweep",
        resume_with="qorch sweep ... --budget LARGER",
    )
