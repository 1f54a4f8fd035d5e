"""Traces and metrics, as OpenTelemetry's own SDK collects them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from observing import PAID, Memory, buy_too_much, pub, set_prices, start
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from qorch.errors import BackendError, UsageError, WorkerLostError
from qorch.model.clock_offset import unix_ns
from qorch.observers.telemetry import TelemetryObserver, open_observer
from qorch.ports.clock import WallClock
from qorch.ports.observer import RunStart
from qorch.ports.records import SpanRecord, StepRecord
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore


class Collector:
    """The SDK's providers, whose exporters keep everything in memory."""

    def __init__(self) -> None:
        """Nothing was exported yet."""
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader], shutdown_on_exit=False)

    def observer(self) -> TelemetryObserver:
        """A new observer."""
        return TelemetryObserver(self.tracers, self.meters)

    def spans(self, name: str = "qorch.") -> list[ReadableSpan]:
        """The exported spans whose names begin so."""
        return [span for span in self._spans.get_finished_spans() if span.name.startswith(name)]

    def children(self, parent: ReadableSpan) -> list[ReadableSpan]:
        """The spans directly below another one."""
        assert parent.context is not None
        return [span for span in self.spans() if span.parent and span.parent.span_id == parent.context.span_id]

    def sums(self, name: str, attribute: str) -> dict[Any, Any]:
        """The value of a counter for each value of an attribute."""
        data = self._reader.get_metrics_data()
        assert data is not None
        return {
            (point.attributes or {})[attribute]: point.value
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        }


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Providers of this test alone."""
    made = Collector()
    yield made
    made.tracers.shutdown()
    made.meters.shutdown()


def test_a_run_is_a_tree_of_spans(collector: Collector) -> None:
    """Run, steps, jobs and phases: each once, below the other, with the times at which they really were."""
    memory = Memory()
    with start(MemoryStore(WallClock()), collector.observer(), memory) as run:
        for number in range(2):
            with run.step(number):
                run.execute(pub(2))
        run.execute(pub(1))
    [root] = collector.spans("qorch.run")
    assert root.parent is None
    assert root.status.status_code is StatusCode.UNSET
    assert root.attributes is not None
    assert root.attributes["qorch.run.id"] == run.run_id
    assert (root.attributes["qorch.executions"], root.attributes["qorch.run.state"]) == (5, "done")
    steps = [span for span in collector.children(root) if span.name == "qorch.step"]
    told = memory.told(StepRecord)[:2]
    assert [(span.start_time, span.end_time) for span in steps] == [
        (unix_ns(step.begun_at), unix_ns(step.ended_at)) for step in told
    ]
    jobs = [[span for span in collector.children(step) if span.name == "qorch.job"] for step in steps]
    assert [[job.attributes["qorch.executions"] for job in each if job.attributes] for each in jobs] == [[2], [2, 1]]
    [begin] = memory.told(RunStart)
    origin_ns = unix_ns(begin.origin_at)
    phases = sorted((span.name, span.start_time, span.end_time) for span in collector.spans("qorch.phase."))
    measured = [record.span for record in memory.told(SpanRecord)]
    assert phases == sorted(
        (f"qorch.phase.{span.phase}", origin_ns + span.started_ns, origin_ns + span.ended_ns) for span in measured
    )
    below = [span.name for job in jobs[0] for span in collector.children(job)]
    assert sorted(below) == sorted(
        f"qorch.phase.{span.phase}" for span in measured if (span.job_id or "").endswith("/0.0.0")
    )


def test_a_job_is_a_span_from_its_first_to_its_last_moment(collector: Collector) -> None:
    """Whatever of it was seen first and last, its phases lie within it."""
    with start(MemoryStore(WallClock()), collector.observer()) as run, run.step(0):
        run.execute(pub(2))
    [job] = collector.spans("qorch.job")
    for phase in collector.children(job):
        assert (job.start_time or 0) <= (phase.start_time or 0) <= (phase.end_time or 0) <= (job.end_time or 0)


def test_money_attempts_and_refusals_are_counted(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that was tried twice and paid for once, and a call that no budget covers."""
    set_prices(tmp_path, monkeypatch)
    backend = FakeBackend(capabilities=PAID, faults={0: WorkerLostError("gone")})
    run = start(MemoryStore(WallClock()), collector.observer(), backend=backend, budget="2 EUR")
    buy_too_much(run)
    [job] = collector.spans("qorch.job")
    assert job.attributes is not None
    assert (job.attributes["qorch.spent_micros"], job.attributes["qorch.currency"]) == (1_500_000, "EUR")
    assert sorted(str(event.attributes["outcome"]) for event in job.events if event.attributes) == [
        "accepted",
        "failed",
    ]
    [root] = collector.spans("qorch.run")
    assert [event.name for event in root.events] == ["refusal"]
    assert root.status.status_code is not StatusCode.ERROR  # a budget stops a run; nothing of it failed
    assert collector.sums("qorch.executions", "qorch.backend") == {"fake": 1}
    assert collector.sums("qorch.retries", "qorch.backend") == {"fake": 1}
    assert collector.sums("qorch.spend", "qorch.currency") == {"EUR": 1_500_000}
    assert collector.sums("qorch.jobs", "qorch.job.state") == {"reserved": 1, "intent": 1, "done": 1}
    assert collector.sums("qorch.refusals", "error.type") == {"BudgetError": 1}


def test_what_failed_is_an_error(collector: Collector) -> None:
    """The job with its reason, and the run; its step never ended, so the job is below the run."""
    backend = FakeBackend(faults={0: BackendError("the device is on fire")})
    with (
        pytest.raises(BackendError),
        start(MemoryStore(WallClock()), collector.observer(), backend=backend) as run,
        run.step(0),
    ):
        run.execute(pub())
    [root] = collector.spans("qorch.run")
    [job] = [span for span in collector.children(root) if span.name == "qorch.job"]
    assert (job.status.status_code, job.status.description) == (StatusCode.ERROR, "the device is on fire")
    assert root.status.status_code is StatusCode.ERROR


def test_a_run_is_below_the_span_of_its_program(collector: Collector) -> None:
    """The one that was active when the observer was made."""
    with collector.tracers.get_tracer("test").start_as_current_span("program") as outer:
        observer = collector.observer()
    with start(MemoryStore(WallClock()), observer):
        pass
    [root] = collector.spans("qorch.run")
    assert root.parent is not None
    assert root.parent.span_id == outer.get_span_context().span_id


def test_its_name_takes_no_options() -> None:
    """They are those of the environment."""
    with pytest.raises(UsageError, match="OTEL_"):
        open_observer("http://localhost", environment={})
