"""The parts that a run is made of, the protocol of objects that it saves, and its progress and pace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from qorch.engine.engine import Engine
from qorch.engine.recorder import Recorder
from qorch.engine.run_parts import ignore
from qorch.model.prices.card import PriceCard
from qorch.planning.budgets import RunBudgets
from qorch.ports.backend import Backend
from qorch.ports.clock import Clock
from qorch.ports.policy import RunPolicy
from qorch.ports.progress import Progress as Progress
from qorch.ports.records import RunRecord, SessionRecord
from qorch.ports.store import PaceSource, Store
from qorch.run.portal import Portal
from qorch.run.used_settings import UsedSettings


class Stateful(Protocol):
    """A model, an optimiser, a scheduler: anything with torch's pair of methods."""

    def state_dict(self) -> Any:
        """The state, as a tree of tensors and plain values."""
        ...

    def load_state_dict(self, state_dict: Any) -> Any:
        """Take a state back."""
        ...


Saveable = Stateful | dict[str, Any]
"""What a checkpoint can keep: an object with a state, or a plain dict, such as one with the best loss so far."""


class StepTimer:
    """Measures the seconds per step: of all steps after the first of a session, or of the first alone."""

    def __init__(self, clock: Clock) -> None:
        """No step has begun."""
        self._clock = clock
        self._steps = 0
        self._since_ns = 0
        self.ended_ns = 0

    def begin_step(self) -> None:
        """Begin a step; the first is measured apart, because backends start up in it."""
        if self._steps == 0:
            self._since_ns = self._clock.monotonic_ns()

    def end_step(self) -> float:
        """End a step; the seconds per step so far."""
        now_ns = self.ended_ns = self._clock.monotonic_ns()
        seconds = (now_ns - self._since_ns) / 1e9
        self._steps += 1
        if self._steps == 1:
            self._since_ns = now_ns
            return seconds
        return seconds / (self._steps - 1)


@dataclass(frozen=True)
class Resources:
    """What a run is made of; `qorch.wiring` puts it together."""

    record: RunRecord
    session: SessionRecord
    policy: RunPolicy
    backend: Backend
    store: Store
    clock: Clock
    recorder: Recorder
    portal: Portal
    default_shots: int | None
    is_resumed: bool
    used: UsedSettings
    report: Callable[[Store, str], object]
    show_run: Callable[[Store, str], str | None]
    show: Callable[[Progress], None]
    """Shows the progress, and tells observers of it."""
    release: Callable[[], None]
    meanwhile: Callable[[], None] | None = None
    """Called every half second while the training loop waits for a call."""
    card: PriceCard | None = None
    """What the backend costs."""
    budgets: RunBudgets | None = None
    """All that apply to the run."""
    pace_source: PaceSource | None = None
    """The run's store, if it finds earlier runs; itself, as observers' has no abilities of its own."""
    note: Callable[[str], None] = ignore
    """Told of trouble that a call waits for."""


def make_engine(use: Resources) -> Engine:
    """The engine that executes the run's calls."""
    return Engine(
        use.backend,
        use.store,
        clock=use.clock,
        policy=use.policy,
        recorder=use.recorder,
        run_id=use.record.run_id,
        card=use.card,
        budgets=use.budgets,
        note=use.note,
        random=use.portal.random,
    )
