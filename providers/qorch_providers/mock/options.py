"""What stands behind `mock:`: the backend that is mocked, options of the mock, and options of that backend."""

from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import msgspec

from qorch.errors import UnknownNameError, UsageError
from qorch.model.backend_name import MOCK, kind_of, mocked_name
from qorch_providers.options import read_options

CLOUD = "cloud"
"""The mock of no real backend: a simulator behind a REST API."""
MAX_SEED = 2**63 - 1
_CHOICES = (
    "among profile=PATH, seed=N, jobs=N, rows=N, depolarizing=P, readout=P, and options of the backend that is mocked"
)


@dataclass(frozen=True)
class Options:
    """``mocked``: the full name of the backend that is mocked, with its own options; None for ``mock:cloud``.

    ``profile``: the path of a file, empty for the one that comes with qorch. ``seed``: of all that is drawn but
    results, whose seed is the run's. ``jobs``: most jobs in progress; None: as the profile says.
    ``rows``: most rows of a job of ``mock:cloud``; other mocks leave it to the backend that is mocked. ``noise``:
    options of `local`, which simulates the results.
    """

    mocked: str | None
    profile: str = ""
    seed: int = 0
    jobs: int | None = None
    rows: int | None = None
    noise: str = ""


def _whole(least: int, most: int) -> Any:
    return msgspec.Meta(ge=least, le=most, description=f"a whole number from {least} to {most}")


class _Given(TypedDict, total=False):
    profile: str
    seed: Annotated[int, _whole(0, MAX_SEED)]
    jobs: Annotated[int, _whole(1, 1_000_000)]
    depolarizing: str
    readout: str
    rows: Annotated[int, _whole(1, 1_000_000)]


def parse_options(text: str) -> Options:
    """The options in the name of a mock, behind its first colon.

    ``profile``, ``seed``, ``jobs`` and noise are the mock's; all others are left to the backend that is mocked. Raises
    UnknownNameError or UsageError.
    """
    name = f"{MOCK}:{text}"
    target, _, rest = text.partition(",")
    parts = [part.strip() for part in rest.split(",") if part.strip()]
    is_cloud = target.strip().lower() == CLOUD
    names = _Given.__annotations__.keys() - ({} if is_cloud else {"rows"})
    own = [part for part in parts if part.partition("=")[0] in names]
    others = [part for part in parts if part not in own]
    given = read_options(",".join(own), _Given, backend=name, choices=_CHOICES)
    stem = mocked_name(name)
    if is_cloud:
        if others:
            raise UnknownNameError(f"{MOCK}:{CLOUD} has no option '{others[0]}'; choose {_CHOICES}")
    elif stem is None:
        raise UnknownNameError(
            f"'{name.removesuffix(':')}' does not say what to mock; write the backend's name with a dot, such as"
            f" mock:ionq.qpu.forte-1, or mock:{CLOUD}"
        )
    elif kind_of(stem) == MOCK:
        raise UsageError(f"{name}: a mock cannot be mocked")
    return Options(
        mocked=None if stem is None else _with_case(target, others),
        profile=given.get("profile", ""),
        seed=given.get("seed", 0),
        jobs=given.get("jobs"),
        rows=given.get("rows"),
        noise=",".join(part for part in own if part.partition("=")[0] in ("depolarizing", "readout")),
    )


def _with_case(target: str, options: list[str]) -> str:
    """The mocked backend's full name, in the letters in which it was written."""
    kind, _, device = target.strip().partition(".")
    return ",".join([f"{kind}:{device}", *options])
