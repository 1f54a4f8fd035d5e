"""Splits the time that a job was at its provider into queue and execution: by the provider's times, or by the polls."""

from dataclasses import dataclass

from qorch.model.job import JobStatus, RemoteState
from qorch.model.timing import Phase, Span, TimeSource


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


def split_wait(status: JobStatus, seen: Sightings, *, acceptance: Acceptance, over_ns: int) -> list[Span]:
    """The spans from the acceptance to ``over_ns``, when the job was seen to be over; in absolute clock nanoseconds.

    By the provider's own times, if ``status`` has all three. Else a job that is done, and that was seen before, is
    split by what the polls saw, with the resolution of that. All others are Phase.REMOTE as a whole: what failed or was
    cancelled may never have run, and of a job that was over at the first poll nothing tells the two apart.
    """
    if status.submitted_at is not None and status.started_at is not None and status.ended_at is not None:
        queued_ns = _nanoseconds((status.started_at - status.submitted_at).total_seconds())
        executed_ns = _nanoseconds((status.ended_at - status.started_at).total_seconds())
        started_ns = min(over_ns, acceptance.seen_ns + queued_ns)
        ended_ns = min(over_ns, started_ns + executed_ns)
        return [
            Span(Phase.QUEUE, acceptance.seen_ns, started_ns, source=TimeSource.PROVIDER),
            Span(Phase.EXECUTE, started_ns, ended_ns, source=TimeSource.PROVIDER),
            Span(Phase.POLL, ended_ns, over_ns, source=TimeSource.PROVIDER),
        ]
    if status.state is not RemoteState.DONE or seen.open_ns is None or acceptance.sent_ns is None:
        return [Span(Phase.REMOTE, acceptance.seen_ns, over_ns)]
    known = _Known(acceptance.sent_ns, acceptance.seen_ns, seen.open_ns, over_ns)
    return _split_by_polls(seen, known, total_ns=known.believe(status))


def _nanoseconds(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


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
