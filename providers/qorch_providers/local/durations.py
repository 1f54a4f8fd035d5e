"""Which jobs are so short that the event loop does better to run them itself than to hand them to a thread."""

from collections.abc import Hashable

from qorch.model.job import JobRequest

SHORT_NS = 2_000_000
"""The loop may stand still for so long: the port allows a few milliseconds."""
MAX_BLOCKS = 4
_MAX_KEPT = 256


class Durations:
    """How long jobs took when they last ran, by what they asked for.

    Measured, not estimated: the first job of a kind may have to compile its kernels, and machines differ. Without a
    lock, which a fork could find held: each call changes the table in one step.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._durations_ns: dict[Hashable, int] = {}

    def is_short(self, request: JobRequest) -> bool:
        """Whether such a job ran before, and was over within SHORT_NS."""
        return len(request.blocks) <= MAX_BLOCKS and self._durations_ns.get(_key(request), SHORT_NS) < SHORT_NS

    def note(self, request: JobRequest, *, duration_ns: int) -> None:
        """A job like that took so long."""
        if len(self._durations_ns) >= _MAX_KEPT:
            self._durations_ns.clear()
        if len(request.blocks) <= MAX_BLOCKS:
            self._durations_ns[_key(request)] = duration_ns


def _key(request: JobRequest) -> Hashable:
    """What decides how long a job takes: circuits, measurements, numbers of rows and of shots."""
    return tuple((block.gates.digest, block.measurement.digest, block.n_rows, block.shots) for block in request.blocks)
