"""Spans of time and the phases they belong to; all times are nanoseconds on one monotonic clock."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


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
    waiting = {order[phase]: order[other] for phase, other in WAITED_FOR.items()}
    events: list[tuple[int, int, int]] = []
    for span in spans:
        start, stop = max(span.started_ns, started_ns), min(span.ended_ns, ended_ns)
        if stop > start:
            events += [(start, 1, order[span.phase]), (stop, -1, order[span.phase])]
    names = [*(phase.value for phase in Phase), UNATTRIBUTED]
    nanoseconds = dict.fromkeys(names, 0)
    open_spans = [0] * len(order)
    moment = started_ns
    for at, change, rank in sorted(events):
        current = next(
            (index for index, count in enumerate(open_spans) if count and open_spans[waiting.get(index, index)]),
            len(order),
        )
        nanoseconds[names[current]] += at - moment
        open_spans[rank] += change
        moment = at
    nanoseconds[UNATTRIBUTED] += ended_ns - moment
    return {name: duration / 1e9 for name, duration in nanoseconds.items()}
