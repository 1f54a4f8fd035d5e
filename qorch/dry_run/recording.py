"""What a training asked of its runs, and when: from this, other courses of the same training are drawn."""

from dataclasses import dataclass

from qorch.engine.planner import Call


@dataclass(frozen=True, eq=False)
class RecordedCall:
    """One call of a run, and how long the training loop itself computed before it.

    ``after``: the index of the last call of the recording that had ended when this one began, -1 for none;
    ``compute_seconds``: from that end (or from the start of the run) to the beginning of this call.
    """

    call: Call
    after: int
    compute_seconds: float


@dataclass(frozen=True, eq=False)
class RecordedRun:
    """One run of a training, with its calls in the order in which they began.

    ``run``: its name; ``compute_seconds``: of the training loop itself, after the last call.
    """

    run: str
    seed: int
    calls: tuple[RecordedCall, ...]
    compute_seconds: float
