"""The observer that sends a run to OpenTelemetry: a trace of run, steps, jobs and phases, and metrics.

The names of spans, attributes and instruments stand in the manual (qorch/run/README.md). What the SDK reads of the
environment, such as OTEL_EXPORTER_OTLP_ENDPOINT, applies.
"""

from collections.abc import Callable, Mapping

from opentelemetry import context, metrics, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from qorch.errors import UsageError
from qorch.model.clock_offset import unix_ns
from qorch.model.job import AttemptOutcome, JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.timing import Span
from qorch.observers.run_observer import RunObserver
from qorch.observers.trace_tree import JobTrace, RecentMap, TraceTree
from qorch.ports.observer import Notice, Refusal, RunStart
from qorch.ports.records import AttemptRecord, JobRecord, RunMove, RunState, SessionRecord, SpanRecord, StepRecord

Attributes = dict[str, AttributeValue]

_SCOPE = "qorch"
_MOST_STEPS = 1_000
_MOST_JOBS = 10_000
"""Of so many newest steps and jobs, phases that are told late still find their parents."""


def open_observer(options: str, *, environment: Mapping[str, str]) -> "TelemetryObserver":
    """The observer of the name ``otel``; see ``qorch.observers.opening.GROUP``.

    It uses the providers that the program has set, if they are the SDK's; else its own, which send by OTLP over HTTP.
    """
    if options:
        raise UsageError(f"the observer 'otel' takes no options, and got '{options}'; set OTEL_… variables instead")
    tracers, meters = trace.get_tracer_provider(), metrics.get_meter_provider()
    if isinstance(tracers, TracerProvider) and isinstance(meters, MeterProvider):
        return TelemetryObserver(tracers, meters)
    named = {} if "OTEL_SERVICE_NAME" in environment else {"service.name": _SCOPE}
    resource = Resource.create(named)
    own_tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    own_tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    own_meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)

    def shut_down() -> None:
        own_tracers.shutdown()
        own_meters.shutdown()

    return TelemetryObserver(own_tracers, own_meters, shut_down=shut_down)


class TelemetryObserver(RunObserver):
    """Sends spans once all of them is known, with the times at which they really began and ended."""

    def __init__(
        self,
        tracers: trace.TracerProvider,
        meters: metrics.MeterProvider,
        *,
        shut_down: Callable[[], None] | None = None,
    ) -> None:
        """The run's span is a child of the span that is active in this thread now. ``shut_down``: called at the end."""
        self._tracer = tracers.get_tracer(_SCOPE)
        self._meters = _Meters(meters)
        self._shut_down = shut_down
        self._outside = context.get_current()
        self._run: trace.Span | None = None
        self._run_context: Context = self._outside
        self._backend = ""
        self._origin_ns = 0
        self._end_ns = 0
        self._spent: dict[str, int] = {}
        self._tree = TraceTree()
        self._steps: RecentMap[int, Context] = RecentMap(_MOST_STEPS)
        self._sent: RecentMap[str, Context] = RecentMap(_MOST_JOBS)

    def run_started(self, start: RunStart) -> None:
        """See RunObserver."""
        run = start.run
        self._backend, self._origin_ns = run.backend, unix_ns(start.origin_at)
        self._end_ns = self._origin_ns
        attributes = _without_none(
            {
                "qorch.run.id": run.run_id,
                "qorch.run.name": run.name,
                "qorch.backend": run.backend,
                "qorch.workload": run.workload,
                "qorch.session": start.session.ordinal,
                "qorch.is_resumed": start.is_resumed,
                "qorch.budget_micros": run.budget_micros,
            }
        )
        self._run = self._tracer.start_span(
            "qorch.run", context=self._outside, attributes=attributes, start_time=self._origin_ns
        )
        self._run_context = set_span_in_context(self._run, self._outside)

    def step_ended(self, step: StepRecord) -> None:
        """See RunObserver. Circuits that run after the end of a step are spans of it, which end later."""
        if step.step in self._steps:
            return
        ended_ns = unix_ns(step.ended_at)
        attributes = _without_none(
            {
                "qorch.step": step.step,
                "qorch.epoch": step.epoch,
                "qorch.executions": step.executions,
                "qorch.executions_from_cache": step.executions_from_cache,
            }
        )
        begun_ns = ended_ns if step.begun_at is None else unix_ns(step.begun_at)
        span = self._tracer.start_span(
            "qorch.step", context=self._run_context, attributes=attributes, start_time=begun_ns
        )
        span.end(ended_ns)
        self._steps[step.step] = set_span_in_context(span, self._run_context)

    def job_changed(self, job: JobRecord) -> None:
        """See RunObserver."""
        if job.job_id not in self._sent and self._tree.see_job(job):
            self._meters.count_job(job, self._backend)

    def attempt_changed(self, attempt: AttemptRecord) -> None:
        """See RunObserver."""
        if attempt.job_id not in self._sent:
            is_new = self._tree.see_attempt(attempt)
            self._meters.count_attempt(attempt, self._backend, is_new=is_new)

    def money_moved(self, entry: LedgerRecord) -> None:
        """See RunObserver."""
        self._tree.see_money(entry)
        if entry.kind in (EntryKind.SPENT, EntryKind.ADJUSTED):
            self._spent[entry.currency] = self._spent.get(entry.currency, 0) + entry.micros
            self._meters.count_money(entry, self._backend)

    def phase_measured(self, span: SpanRecord) -> None:
        """See RunObserver."""
        self._tree.see_span(span.span)

    def refused(self, refusal: Refusal) -> None:
        """See RunObserver."""
        self._note("refusal", {"error.type": refusal.error, "text": refusal.text}, unix_ns(refusal.refused_at))
        self._meters.count_refusal(refusal, self._backend)

    def noticed(self, notice: Notice) -> None:
        """See RunObserver."""
        self._note("notice", {"text": notice.text}, unix_ns(notice.noticed_at))

    def session_changed(self, session: SessionRecord) -> None:
        """See RunObserver. It is the last event of what is written at the end of a step: what is complete is sent."""
        self._end_ns = self._origin_ns + session.wall_ns
        if self._run is not None:
            self._run.set_attribute("qorch.executions", session.executions)
            self._run.set_attribute("qorch.executions_from_cache", session.executions_from_cache)
        self._send(is_last=False)

    def run_ended(self, move: RunMove) -> None:
        """See RunObserver."""
        self._send(is_last=True)
        self._end_run(move.state)

    def close(self) -> None:
        """See Observer. A run without an end could not be opened, or its store failed."""
        self._end_run(RunState.FAILED)
        if self._shut_down is not None:
            self._shut_down()

    def _note(self, name: str, attributes: Attributes, at_ns: int) -> None:
        if self._run is not None:
            self._run.add_event(name, attributes, at_ns)

    def _end_run(self, state: str) -> None:
        run, self._run = self._run, None
        if run is None:
            return
        run.set_attribute("qorch.run.state", state)
        for currency, micros in self._spent.items():
            run.set_attribute(f"qorch.spent_micros.{currency}", micros)
        if state == RunState.FAILED:
            run.set_status(Status(StatusCode.ERROR, "the run failed"))
        run.end(max(self._end_ns, self._origin_ns))

    def _send(self, *, is_last: bool) -> None:
        """Send the jobs that are over and the phases whose parents are sent; at the end of the run, all."""
        for job in self._tree.take_jobs(also_open=is_last):
            parent = self._step_context(job.job.position.step, is_last=is_last)
            if parent is None:
                self._tree.jobs[job.job.job_id] = job
            else:
                self._send_job(job, parent)
        for span in self._tree.take_phases():
            parent = self._sent.get(span.job_id or "") or self._step_context(span.step, is_last=is_last)
            if parent is None:
                self._tree.phases.append(span)
            else:
                self._send_phase(span, parent)

    def _step_context(self, step: int, *, is_last: bool) -> Context | None:
        """The parent of what belongs to a step; None if the step has not ended yet."""
        if step < 0:
            return self._run_context
        return self._steps.get(step) or (self._run_context if is_last else None)

    def _send_job(self, job: JobTrace, parent: Context) -> None:
        begun_ns, ended_ns = job.bounds(self._origin_ns)
        span = self._tracer.start_span("qorch.job", context=parent, attributes=self._describe(job), start_time=begun_ns)
        for attempt in job.attempts.values():
            tried = _without_none({"attempt": attempt.ordinal, "outcome": str(attempt.outcome), "error": attempt.error})
            span.add_event("attempt", tried, unix_ns(attempt.started_at))
        if job.error is not None:
            span.set_status(Status(StatusCode.ERROR, job.error))
        within = set_span_in_context(span, parent)
        for phase in job.spans:
            self._send_phase(phase, within)
        span.end(ended_ns)
        self._sent[job.job.job_id] = within

    def _describe(self, job: JobTrace) -> Attributes:
        return _without_none(
            {
                "qorch.job.id": job.job.job_id,
                "qorch.job.state": str(job.job.state),
                "qorch.backend": self._backend,
                "qorch.provider_id": job.job.provider_id,
                "qorch.executions": job.job.n_executions,
                "qorch.shots": job.job.shots,
                "qorch.attempts": job.job.attempts,
                "qorch.spent_micros": job.spent_micros if job.currency else None,
                "qorch.currency": job.currency or None,
            }
        )

    def _send_phase(self, phase: Span, parent: Context) -> None:
        described = {
            "qorch.source": None if phase.source is None else str(phase.source),
            "qorch.resolution_seconds": phase.resolution_seconds,
        }
        span = self._tracer.start_span(
            f"qorch.phase.{phase.phase}",
            context=parent,
            attributes=_without_none(described),
            start_time=self._origin_ns + phase.started_ns,
        )
        span.end(self._origin_ns + phase.ended_ns)


class _Meters:
    """The instruments."""

    def __init__(self, meters: metrics.MeterProvider) -> None:
        meter = meters.get_meter(_SCOPE)
        self._executions = meter.create_counter("qorch.executions", "{execution}", "executions of jobs that are done")
        self._jobs = meter.create_counter("qorch.jobs", "{job}", "jobs that came into a state")
        self._retries = meter.create_counter("qorch.retries", "{attempt}", "attempts after the first of a job")
        self._attempts = meter.create_counter("qorch.attempts", "{attempt}", "attempts whose outcome became known")
        self._refusals = meter.create_counter("qorch.refusals", "{call}", "calls that no budget covered")
        # What a job cost less than was booked is given back, so that the sum may fall.
        self._spend = meter.create_up_down_counter("qorch.spend", "{micro}", "millionths of a currency that were spent")

    def count_job(self, job: JobRecord, backend: str) -> None:
        self._jobs.add(1, {"qorch.backend": backend, "qorch.job.state": str(job.state)})
        if job.state is JobState.DONE:
            self._executions.add(job.n_executions, {"qorch.backend": backend})

    def count_attempt(self, attempt: AttemptRecord, backend: str, *, is_new: bool) -> None:
        if is_new and attempt.ordinal > 1:
            self._retries.add(1, {"qorch.backend": backend})
        if attempt.outcome is not AttemptOutcome.INTENT:
            self._attempts.add(1, {"qorch.backend": backend, "qorch.outcome": str(attempt.outcome)})

    def count_money(self, entry: LedgerRecord, backend: str) -> None:
        self._spend.add(entry.micros, {"qorch.backend": backend, "qorch.currency": entry.currency})

    def count_refusal(self, refusal: Refusal, backend: str) -> None:
        self._refusals.add(1, {"qorch.backend": backend, "error.type": refusal.error})


def _without_none(attributes: Mapping[str, AttributeValue | None]) -> Attributes:
    """OpenTelemetry has no value for what is not known."""
    return {name: value for name, value in attributes.items() if value is not None}
