"""Splits the time that a job was at its provider into queue and execution: by the provider's times, or by the polls."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from qorch.model.clock_offset import ClockOffset, offset_between, unix_ns
from qorch.model.job import JobStatus, RemoteState
from qorch.model.timing import Phase, Span, TimeSource

_TIMES_NS = 1_000_000
"""Providers cut the times of jobs to milliseconds."""


@dataclass(frozen=True)
class Acceptance:
    """When a job was accepted, in clock nanoseconds: after it was first sent, and before this process knew of it.

    ``sent_ns`` is None if it is not known.
    """

    sent_ns: int | None
    seen_ns: int


@dataclass(eq=False)
class Sightings:
    """What the polls saw of a job that was not over, in clock nanoseconds.

    An answer holds for some time between its question and its arrival. ``queued_ns``: the last question that was
    answered with "queued", so that the job began to run after it; ``running_ns``: the first answer that said "running",
    so that it had begun before it; ``open_ns``: the last question upon which the job was not over.
    """

    queued_ns: int | None = None
    running_ns: int | None = None
    open_ns: int | None = None

    def note(self, status: JobStatus, *, asked_ns: int, answered_ns: int) -> None:
        """Take in one answer. A list that lags behind may call a job queued that was seen running."""
        self.open_ns = asked_ns
        if self.running_ns is None and status.state is RemoteState.RUNNING:
            self.running_ns = answered_ns
        elif self.running_ns is None:
            self.queued_ns = asked_ns


def split_wait(
    status: JobStatus, seen: Sightings, *, acceptance: Acceptance, over_ns: int, server: ClockOffset | None = None
) -> list[Span]:
    """The spans from the acceptance to ``over_ns``, when the job was seen to be over; in absolute clock nanoseconds.

    By the provider's own times, if ``status`` has all three, corrected by the offset of its clock: that which the job's
    own submission and end allow, and ``server``, what is known of it. Else a job that is done, and that was seen
    before, is split by what the polls saw, with the resolution of that. All others are Phase.REMOTE as a whole: what
    failed or was cancelled may never have run, and of a job that was over at the first poll nothing tells the two.
    """
    if status.submitted_at is not None and status.started_at is not None and status.ended_at is not None:
        moments = [unix_ns(moment) for moment in (status.submitted_at, status.started_at, status.ended_at)]
        return _split_by_times(moments, seen, acceptance, over_ns=over_ns, server=server)
    if status.state is not RemoteState.DONE or seen.open_ns is None or acceptance.sent_ns is None:
        return [Span(Phase.REMOTE, acceptance.seen_ns, over_ns)]
    known = _Known(acceptance.sent_ns, acceptance.seen_ns, seen.open_ns, over_ns)
    return _split_by_polls(seen, known, total_ns=known.believe(status))


def _split_by_times(
    moments: Sequence[int], seen: Sightings, acceptance: Acceptance, *, over_ns: int, server: ClockOffset | None
) -> list[Span]:
    """By the provider's times of submission, start and end, in nanoseconds since 1970.

    If they contradict what was observed, as those of a clock that was set meanwhile, only their distances count.
    """
    offset = _find_offset(moments[0], moments[-1], seen, acceptance, over_ns=over_ns, server=server)
    shift_ns = moments[0] - acceptance.seen_ns if offset is None else offset.middle_ns
    least_ns = acceptance.seen_ns if acceptance.sent_ns is None or offset is None else acceptance.sent_ns
    edges = list(accumulate((moment - shift_ns for moment in moments), max, initial=least_ns))[1:]
    accepted, started, ended = (min(over_ns, edge) for edge in edges)
    doubt_ns = None if offset is None else offset.doubt_ns
    return [
        Span(Phase.QUEUE, accepted, started, source=TimeSource.PROVIDER),
        Span(Phase.EXECUTE, started, ended, source=TimeSource.PROVIDER),
        Span(Phase.POLL, ended, over_ns, resolution_ns=doubt_ns, source=TimeSource.PROVIDER),
    ]


def _find_offset(
    submitted_ns: int,
    ended_ns: int,
    seen: Sightings,
    acceptance: Acceptance,
    *,
    over_ns: int,
    server: ClockOffset | None,
) -> ClockOffset | None:
    """The offset of the provider's clock that explains when a job was accepted and ended; None if none does."""
    if acceptance.sent_ns is None:
        return server
    offset: ClockOffset | None = offset_between(
        submitted_ns, acceptance.sent_ns, acceptance.seen_ns, resolution_ns=_TIMES_NS
    )
    earliest_ns = acceptance.sent_ns if seen.open_ns is None else seen.open_ns
    own = offset.narrow(offset_between(ended_ns, earliest_ns, over_ns, resolution_ns=_TIMES_NS)) if offset else None
    # A Date header may be another machine's than the times of jobs.
    return own if own is None or server is None else own.narrow(server) or own


@dataclass(frozen=True)
class _Known:
    """A job was submitted between ``sent_ns`` and ``accepted_ns``, and ended between ``open_ns`` and ``over_ns``."""

    sent_ns: int
    accepted_ns: int
    open_ns: int
    over_ns: int

    def believe(self, status: JobStatus) -> int | None:
        """From the submission to the end by the provider's clock; None if it is not told, or if the polls disprove it.

        A clock that is wrong by the same at both ends does no harm; one that was set in between may.
        """
        if status.submitted_at is None or status.ended_at is None:
            return None
        total_ns = round((status.ended_at - status.submitted_at).total_seconds() * 1e9)
        return total_ns if self.open_ns - self.accepted_ns <= total_ns <= self.over_ns - self.sent_ns else None


def _split_by_polls(seen: Sightings, known: _Known, *, total_ns: int | None) -> list[Span]:
    """The middle between the last sight of the job in the queue and the first beyond it is its begin.

    Queue and execution share this doubt, so that both have one resolution. Their sum is ``total_ns`` if that is known.
    """
    earliest_ns = known.sent_ns if seen.queued_ns is None else max(known.sent_ns, seen.queued_ns)
    latest_ns = known.over_ns if seen.running_ns is None else seen.running_ns
    least_ns = max(0, earliest_ns - known.accepted_ns)
    most_ns = latest_ns - known.sent_ns
    executions = max(0, known.open_ns - latest_ns), known.over_ns - earliest_ns
    if total_ns is not None:
        most_ns = min(most_ns, total_ns)
        executions = total_ns - most_ns, total_ns - least_ns
    started_ns = min(known.over_ns, known.accepted_ns + (least_ns + most_ns) // 2)
    ended_ns = known.over_ns if total_ns is None else min(known.over_ns, known.accepted_ns + total_ns)
    resolution_ns = max(
        _doubt(started_ns - known.accepted_ns, least_ns, most_ns), _doubt(ended_ns - started_ns, *executions)
    )
    spans = [
        Span(phase, start_ns, end_ns, resolution_ns=resolution_ns, source=TimeSource.POLLS)
        for phase, start_ns, end_ns in (
            (Phase.QUEUE, known.accepted_ns, started_ns),
            (Phase.EXECUTE, started_ns, ended_ns),
        )
    ]
    return (
        spans if total_ns is None else [*spans, Span(Phase.POLL, ended_ns, known.over_ns, source=TimeSource.PROVIDER)]
    )


def _doubt(stated_ns: int, least_ns: int, most_ns: int) -> int:
    """By how much a duration between two bounds may differ from the stated one."""
    return max(stated_ns - least_ns, most_ns - stated_ns)
