"""Which jobs are so short that the event loop does better to run them itself than to hand them to a thread."""

from collections.abc import Hashable

from qorch.model.job import JobRequest
from qorch.model.observable import Distribution
from qorch.model.pub import Pub

SHORT_NS = 2_000_000
"""The loop may stand still for so long: the port allows a few milliseconds."""
MAX_BLOCKS = 4
_MAX_KEPT = 256

Work = JobRequest | Pub
"""A job, or a pub whose exact gradients are wanted."""


class Durations:
    """How long jobs took when they last ran, by what they asked for.

    Measured, not estimated: the first job of a kind may have to compile its kernels, and machines differ. Without a
    lock, which a fork could find held: each call changes the table in one step.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._durations_ns: dict[Hashable, int] = {}

    def is_short(self, work: Work) -> bool:
        """Whether such a job ran before, and was over within SHORT_NS."""
        return _may_be_short(work) and self._durations_ns.get(_key(work), SHORT_NS) < SHORT_NS

    def note(self, work: Work, *, duration_ns: int) -> None:
        """A job like that took so long."""
        if len(self._durations_ns) >= _MAX_KEPT:
            self._durations_ns.clear()
        if _may_be_short(work):
            self._durations_ns[_key(work)] = duration_ns


def _may_be_short(work: Work) -> bool:
    return isinstance(work, Pub) or len(work.blocks) <= MAX_BLOCKS


def _key(work: Work) -> Hashable:
    """What decides how long a job takes: circuits, what is measured, numbers of rows and of shots."""
    if isinstance(work, Pub):
        n_wanted = 0 if isinstance(work.observables, Distribution) else len(work.observables)
        return work.circuit.gates.digest, work.n_rows, n_wanted
    return tuple((block.gates.digest, block.measurement.digest, block.n_rows, block.shots) for block in work.blocks)
