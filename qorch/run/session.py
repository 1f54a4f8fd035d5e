"""What this process writes of its session: its totals, spans and numbers so far, and at the end the run's state."""

from qorch.model.identity import Position
from qorch.ports.backend import RemoteBackend
from qorch.ports.records import RunMove, SpanRecord, Write
from qorch.run.metrics import MetricLog
from qorch.run.resources import Resources
from qorch.run.step import StepMeter
from qorch.run.totals import add_session, session_so_far


class SessionLog:
    """Collects what is to be written since the last time."""

    def __init__(self, resources: Resources, steps: StepMeter, metrics: MetricLog) -> None:
        """Nothing was written yet."""
        self._use = resources
        self._steps = steps
        self._metrics = metrics

    def writes(self, position: Position) -> list[Write]:
        """The session as it is now, and the spans and numbers since the last time. ``position``: of the next call."""
        use = self._use
        session = session_so_far(use.session, use.recorder, used_settings=use.used.encode())
        spans = [SpanRecord(use.record.run_id, session.ordinal, span) for span in use.recorder.drain()]
        return [*self._steps.grown(position.call), *self._metrics.drain(), *spans, session]

    def last_writes(self, position: Position, *, state: str, summary: str | None) -> list[Write]:
        """The same, and the run's state and summary at the end of the session."""
        use = self._use
        calls = use.backend.calls if isinstance(use.backend, RemoteBackend) else None
        whole = add_session(use.record.summary, own=summary, calls=calls)
        return [*self.writes(position), RunMove(use.record.run_id, state, whole)]
