"""What `qorch dry-run` is asked for, as it is handed to the process in which a program runs."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DryRunOrder:
    """The options of the command that workloads and programs share, as text where they are read later.

    ``backend``: of which a mock is taken. ``seed``: the first of the futures'. ``prints``: the forecast is printed, and
    else only its document made.
    """

    backend: str
    futures: int
    seed: int
    prints: bool
    compute_seconds: float | None = None
    budget: str | None = None
    what_ifs: tuple[str, ...] = ()
