"""The class that a user's logger derives from: one method for each kind of event, all of which do nothing."""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

from qorch.model.ledger import LedgerRecord
from qorch.ports.observer import Event, Notice, Refusal, RunStart
from qorch.ports.progress import Progress
from qorch.ports.provider_sessions import ProviderSessionRecord
from qorch.ports.records import (
    AttemptRecord,
    JobRecord,
    MetricRecord,
    QueueMove,
    RunMove,
    SessionRecord,
    SpanRecord,
    StepRecord,
    UsageRecord,
)


class RunObserver:
    """An Observer with one method for each kind of event: override those that you want. See ``qorch.ports.observer``.

    After an error in a method, the events that came with it are told all the same.
    """

    def run_started(self, start: RunStart) -> None:
        """A session of the run begins: this process works on it from now on."""

    def session_changed(self, session: SessionRecord) -> None:
        """The session's totals so far; written whenever the run is flushed, such as at the end of a step."""

    def step_ended(self, step: StepRecord) -> None:
        """A step is stored. Told again, with more executions, if circuits of it run after its end."""

    def progressed(self, progress: Progress) -> None:
        """Where the run is after a step: what is left, its pace, what the step logged, and what the run has cost."""

    def metric_logged(self, metric: MetricRecord) -> None:
        """A number that ``run.log`` was given is stored."""

    def job_changed(self, job: JobRecord) -> None:
        """A job is in the state that it names; one of a free backend in this process is told once it is over."""

    def job_queued(self, move: QueueMove) -> None:
        """A job has another place in its provider's queue, or has left it."""

    def attempt_changed(self, attempt: AttemptRecord) -> None:
        """A try at submitting a job begins, or its outcome is known."""

    def usage_reported(self, usage: UsageRecord) -> None:
        """A provider tells what a job was charged for."""

    def money_moved(self, entry: LedgerRecord) -> None:
        """Money is reserved, spent, released or adjusted."""

    def phase_measured(self, span: SpanRecord) -> None:
        """A phase is over; its times count from ``origin_at`` of the RunStart."""

    def provider_session_changed(self, session: ProviderSessionRecord) -> None:
        """A session at the provider is opened or closed."""

    def refused(self, refusal: Refusal) -> None:
        """A budget does not cover a call, of which nothing is sent."""

    def noticed(self, notice: Notice) -> None:
        """The run waits for trouble to be over, or this observer was too slow."""

    def run_ended(self, move: RunMove) -> None:
        """The session is over, and the run in the state that it names."""

    def observe(self, events: Sequence[Event]) -> None:
        """See Observer: call the method of each event. Raises the first error of a method, after the last event."""
        first: Exception | None = None
        for event in events:
            try:
                _METHODS[type(event)](self, event)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def close(self) -> None:
        """See Observer."""


def _named(name: str) -> Callable[[RunObserver, Any], None]:
    """The method of that name, as a subclass overrides it."""
    return lambda observer, event: getattr(observer, name)(event)


_METHODS: MappingProxyType[type, Callable[[RunObserver, Any], None]] = MappingProxyType(
    {
        RunStart: _named("run_started"),
        SessionRecord: _named("session_changed"),
        StepRecord: _named("step_ended"),
        Progress: _named("progressed"),
        MetricRecord: _named("metric_logged"),
        JobRecord: _named("job_changed"),
        QueueMove: _named("job_queued"),
        AttemptRecord: _named("attempt_changed"),
        UsageRecord: _named("usage_reported"),
        LedgerRecord: _named("money_moved"),
        SpanRecord: _named("phase_measured"),
        ProviderSessionRecord: _named("provider_session_changed"),
        Refusal: _named("refused"),
        Notice: _named("noticed"),
        RunMove: _named("run_ended"),
    }
)
