"""Spans of time and the phases they belong to; all times are nanoseconds on one monotonic clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from qorch.model.arrays import IntArray


class Phase(StrEnum):
    """What a span of time was spent on, by an id that is stored. If several happen at once, the first here counts."""

    COMPILE = "compile_kernels"
    IMPORT = "import"
    EXECUTE = "execute"
    EXPAND = "expand"
    TRANSPILE = "transpile"
    LOOK_UP = "look_up"
    PLAN = "plan"
    ENCODE = "serialise"
    DECODE = "decode"
    TRANSFER = "transfer"
    CONNECT = "connect"
    SERVER = "server_answer"
    SUBMIT = "submit"
    QUEUE = "provider_queue"
    REMOTE = "at_provider"
    POLL = "done_unseen"
    PACE = "wait_for_turn"
    WORKERS = "start_workers"
    WAIT = "wait_for_worker"
    SYNC = "sync_to_disk"
    STORE = "store"
    START = "start_up"
    PREPARE = "before_first_step"
    MODEL = "model_code"


UNATTRIBUTED = "unattributed"
WAITED_FOR = MappingProxyType({Phase.SYNC: Phase.STORE})
"""Phases that go on in the background, and count only while a span of the other phase waits for them."""
_PIECE = 50_000
ONCE = frozenset({Phase.COMPILE, Phase.IMPORT, Phase.WORKERS, Phase.START, Phase.PREPARE})
"""Phases that a session has once, however long it trains."""


class TimeSource(StrEnum):
    """Whose observation an edge of a span is, if not this process's own clock; as stored."""

    PROVIDER = "provider"
    POLLS = "polls"


@dataclass(frozen=True)
class Span:
    """One phase from ``started_ns`` to ``ended_ns``; ``job_id`` is None for what belongs to no job.

    ``resolution_ns``: the true length differs by at most this from the stated one; None if that was not estimated.
    ``source``: None for what was measured by the clock of this process, and for what earlier versions stored.
    """

    phase: Phase
    started_ns: int
    ended_ns: int
    step: int = -1
    call: int = 0
    job_id: str | None = None
    resolution_ns: int | None = None
    source: TimeSource | None = None

    @property
    def seconds(self) -> float:
        """The length of the span."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def resolution_seconds(self) -> float | None:
        """By how much the length may be wrong; None if that was not estimated."""
        return None if self.resolution_ns is None else self.resolution_ns / 1e9


def attribute(spans: Iterable[Span], *, started_ns: int, ended_ns: int) -> dict[str, float]:
    """Split the wall time from ``started_ns`` to ``ended_ns`` into phases; the values, in seconds, sum to it.

    Every moment is attributed once: to the first phase in the order of Phase that is open then (see WAITED_FOR), or
    else to UNATTRIBUTED. Spans outside the interval are clipped.
    """
    order = {phase: rank for rank, phase in enumerate(Phase)}
    table = np.array([(span.started_ns, span.ended_ns, order[span.phase]) for span in spans], dtype=np.int64)
    starts, stops, ranks = table.reshape(-1, 3).T
    starts, stops = np.maximum(starts, started_ns), np.minimum(stops, ended_ns)
    is_inside = stops > starts
    starts, stops, ranks = starts[is_inside], stops[is_inside], ranks[is_inside]
    moments = np.concatenate([starts, stops])
    by_time = np.argsort(moments, kind="stable")
    changes = np.repeat(np.array([1, -1]), len(starts))[by_time]
    nanoseconds = _divide(moments[by_time], changes, np.tile(ranks, 2)[by_time])
    nanoseconds[-1] = max(0, ended_ns - started_ns) - nanoseconds[:-1].sum() if len(starts) else ended_ns - started_ns
    names = [*(phase.value for phase in Phase), UNATTRIBUTED]
    return {name: duration / 1e9 for name, duration in zip(names, nanoseconds.tolist(), strict=True)}


def _divide(moments: IntArray, changes: IntArray, ranks: IntArray) -> IntArray:
    """The nanoseconds of each phase, and a last place for no phase, between moments ``(M,)`` in order, at which spans
    begin (1) and end (-1); in pieces, as a run has millions."""
    phases = tuple(Phase)
    waiting = np.array([phases.index(WAITED_FOR.get(phase, phase)) for phase in phases])
    sums, open_spans = np.zeros(len(phases) + 1, dtype=np.int64), np.zeros(len(phases), dtype=np.int64)
    for first in range(0, len(moments) - 1, _PIECE):
        last = min(first + _PIECE, len(moments) - 1)
        steps = np.zeros((last - first, len(phases)), dtype=np.int64)
        steps[np.arange(last - first), ranks[first:last]] = changes[first:last]
        counts = open_spans + np.cumsum(steps, axis=0)
        open_spans = counts[-1]
        is_open = (counts > 0) & (counts[:, waiting] > 0)
        current = np.where(is_open.any(axis=1), is_open.argmax(axis=1), len(phases))
        np.add.at(sums, current, np.diff(moments[first : last + 1]))
    return sums
