"""The parts that a run is made of, the protocol of objects that it saves, and its progress and pace."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from qorch.engine.engine import Engine
from qorch.engine.recorder import Recorder, Totals
from qorch.model.money import Money
from qorch.model.prices.card import PriceCard
from qorch.planning.budgets import RunBudgets
from qorch.ports.backend import Backend
from qorch.ports.clock import Clock
from qorch.ports.policy import RunPolicy
from qorch.ports.records import RunRecord, SessionRecord
from qorch.ports.store import Store
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


@dataclass(frozen=True)
class Progress:
    """Progress of a run after a step; the argument of the function ``start_run(progress=…)``.

    ``step``: counted from 0. ``total_steps``: of all loops so far, None if the loader has no length.
    ``seconds_per_step``: of this session's steps, without the first, in which backends start up.
    ``elapsed_seconds``: of this session. ``metrics``: what the step logged. ``totals``: rows and jobs of this session.
    ``spend``: what the run has cost so far, None if that is unknown; ``reserved``: for jobs that are not settled yet,
    beside it; ``budget``: the most that it may cost, if it has a budget of its own. ``run``: the run's name.
    """

    step: int
    total_steps: int | None
    seconds_per_step: float
    elapsed_seconds: float
    metrics: dict[str, float]
    totals: Totals
    spend: Money | None
    run: str = ""
    reserved: Money | None = None
    budget: Money | None = None

    @property
    def is_last(self) -> bool:
        """Whether this was the loop's last step; False if the number of steps is not known."""
        return self.total_steps is not None and self.step + 1 >= self.total_steps

    @property
    def remaining_seconds(self) -> float | None:
        """The time that the remaining steps take at this pace; None if their number is unknown."""
        if self.total_steps is None:
            return None
        return self.seconds_per_step * (self.total_steps - self.step - 1)


class StepTimer:
    """Measures the seconds per step: of all steps after the first of a session, or of the first alone."""

    def __init__(self, clock: Clock) -> None:
        """No step has begun."""
        self._clock = clock
        self._steps = 0
        self._since_ns = 0

    def begin_step(self) -> None:
        """Begin a step; the first is measured apart, because backends start up in it."""
        if self._steps == 0:
            self._since_ns = self._clock.monotonic_ns()

    def end_step(self) -> float:
        """End a step; the seconds per step so far."""
        now_ns = self._clock.monotonic_ns()
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
    release: Callable[[], None]
    meanwhile: Callable[[], None] | None = None
    """Called every half second while the training loop waits for a call."""
    card: PriceCard | None = None
    """What the backend costs."""
    budgets: RunBudgets | None = None
    """All that apply to the run."""


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
    )
