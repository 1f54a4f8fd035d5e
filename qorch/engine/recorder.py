"""Collects the spans of a session, and the counts of what was executed and what was not."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from qorch.model.identity import Position
from qorch.model.job import QueuePlace
from qorch.model.timing import Phase, Span
from qorch.ports.clock import Clock
from qorch.ports.progress import Totals as Totals

SpanSource = Callable[[], list[tuple[Phase, int, int]]]
"""A function that returns what it measured since its last call: phases with begin and end in clock nanoseconds."""


class Recorder:
    """Thread-safe; its times count from ``origin_ns``, the start of the session, which was at ``origin_at``.

    ``queue_place``: the best place that a job of the run has now in its provider's queue.
    """

    def __init__(self, clock: Clock) -> None:
        """Start the session's clock."""
        self._clock = clock
        self._lock = threading.Lock()
        self._spans: list[Span] = []
        self._sources: list[SpanSource] = []
        self.origin_ns, self.origin_at = clock.monotonic_ns(), clock.now()
        self.totals = Totals()
        self.queue_place: QueuePlace | None = None

    def watch(self, source: SpanSource) -> None:
        """Ask a source for what it measured whenever the spans are drained; they belong to no step."""
        self._sources.append(source)

    def elapsed_ns(self) -> int:
        """Nanoseconds since the session started."""
        return self._clock.monotonic_ns() - self.origin_ns

    @contextmanager
    def span(self, phase: Phase, position: Position, *, job_id: str | None = None) -> Iterator[None]:
        """Record how long the block takes, whether or not it fails."""
        started_ns = self._clock.monotonic_ns()
        try:
            yield
        finally:
            self.add(phase, started_ns, self._clock.monotonic_ns(), position, job_id)

    def add(self, phase: Phase, started_ns: int, ended_ns: int, position: Position, job_id: str | None = None) -> Span:
        """Record a span given in absolute times; one that would be negative is empty."""
        start = started_ns - self.origin_ns
        span = Span(phase, start, max(start, ended_ns - self.origin_ns), position.step, position.call, job_id)
        with self._lock:
            self._spans.append(span)
        return span

    def add_spans(self, spans: Iterable[Span], position: Position, job_id: str) -> None:
        """Record spans of a job, given in absolute times."""
        with self._lock:
            self._spans += [
                replace(
                    span,
                    started_ns=span.started_ns - self.origin_ns,
                    ended_ns=span.ended_ns - self.origin_ns,
                    step=position.step,
                    call=position.call,
                    job_id=job_id,
                )
                for span in spans
            ]

    def spans_at(self, position: Position) -> tuple[Span, ...]:
        """The spans of one call that were not drained yet."""
        with self._lock:
            spans = tuple(self._spans)
        return tuple(span for span in spans if (span.step, span.call) == (position.step, position.call))

    def drain(self) -> list[Span]:
        """The spans since the last drain, those of the sources included."""
        for source in self._sources:
            for phase, started_ns, ended_ns in source():
                self.add(phase, started_ns, ended_ns, Position(-1, 0))
        with self._lock:
            spans, self._spans = self._spans, []
        return spans

    def count(self, *, executions: int = 0, executions_from_cache: int = 0, jobs: int = 0) -> None:
        """Add to the totals."""
        with self._lock:
            self.totals = replace(
                self.totals,
                executions=self.totals.executions + executions,
                executions_from_cache=self.totals.executions_from_cache + executions_from_cache,
                jobs=self.totals.jobs + jobs,
            )
