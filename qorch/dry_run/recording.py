"""What a training asked of its runs, and when: from this, other courses of the same training are drawn."""

from dataclasses import dataclass

from qorch.engine.planner import Call
from qorch.model.money import Money


@dataclass(frozen=True)
class RecordedMoment:
    """When something was done: so many seconds after the call ``after`` had ended, as in RecordedCall."""

    after: int
    seconds: float


@dataclass(frozen=True, eq=False)
class RecordedCall:
    """One call of a run, and how long the training loop itself computed before it.

    ``after``: the index of the last call of the recording that had ended when this one began, -1 for none;
    ``compute_seconds``: from that end (or from when the run was open) to the beginning of this call. Pubs with shots
    have one row of parameter values in place of all (see `Pub.with_first_row`), unless the run's ``cache`` looks for
    equal rows. ``own_seconds``: what qorch itself computed during the call, such as encoding jobs; 0 if that was not
    measured. ``is_refused``: it raised an error with which the program went on, and which every course has, as nothing
    goes wrong at the mock. ``taken_back``: when the program cancelled it, None if it did not.
    """

    call: Call
    after: int
    compute_seconds: float
    own_seconds: float = 0.0
    is_refused: bool = False
    taken_back: RecordedMoment | None = None


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """One run of a training, with its calls in the order in which they began.

    ``run``: its name; ``compute_seconds``: of the training loop itself, from the end of the last call to that of the
    run. ``cache``: its cache policy; ``budget``: that which the program or the command gave to it, None for none.
    """

    run: str
    seed: int
    calls: tuple[RecordedCall, ...]
    compute_seconds: float
    cache: str = "resume"
    budget: Money | None = None
