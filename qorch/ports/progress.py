"""How far a run is: what it has executed so far, and its progress after a step."""

from dataclasses import dataclass

from qorch.model.executions import CountsExecutions
from qorch.model.job import Interval
from qorch.model.money import Money


@dataclass(frozen=True)
class Totals(CountsExecutions):
    """Executions and jobs so far."""

    executions: int = 0
    executions_from_cache: int = 0
    jobs: int = 0

    def __sub__(self, other: "Totals") -> "Totals":
        """The difference to the earlier totals ``other``."""
        return Totals(
            self.executions - other.executions,
            self.executions_from_cache - other.executions_from_cache,
            self.jobs - other.jobs,
        )


@dataclass(frozen=True)
class MoneyInterval:
    """An amount that is not known before: at least ``low``, most likely ``expected``, at most ``high``."""

    low: Money
    expected: Money
    high: Money

    def to_json(self) -> dict[str, object]:
        """As it stands in JSON documents."""
        amounts = {name: getattr(self, name).micros for name in ("low", "expected", "high")}
        return {"currency": self.expected.currency, **{f"{name}_micros": micros for name, micros in amounts.items()}}


@dataclass(frozen=True)
class Progress:
    """Progress of a run after a step; the argument of the function ``start_run(progress=…)``.

    ``step``: counted from 0. ``total_steps``: of all loops so far, None if the loader has no length.
    ``seconds_per_step``: of this session's steps, without the first, in which backends start up.
    ``elapsed_seconds``: of this session. ``metrics``: what the step logged. ``totals``: rows and jobs of this session.
    ``spend``: what the run has cost so far, None if that is unknown; ``reserved``: for jobs that are not settled yet,
    beside it; ``budget``: the most that it may cost, if it has a budget of its own. ``run``: the run's name, and
    ``run_id`` its id.

    ``time_left``: seconds until the last step has ended, and what follows its epoch as a validation does; of ten such
    intervals, nine hold what comes. None before enough steps have been seen, and in a loop over several epochs before
    the second has begun, unless earlier runs tell. ``remaining_money``: what the run will spend beyond ``spend`` at its
    rate, with what is reserved; None if the price is unknown, the backend is free, or the steps to come are not known.
    ``money_left``: the interval of that, None as ``time_left``. ``budget_step``: the step that ``budget`` will not
    cover, about; None if it covers all, or that is not known.
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
    run_id: str = ""
    time_left: Interval | None = None
    remaining_money: Money | None = None
    money_left: MoneyInterval | None = None
    budget_step: int | None = None

    @property
    def is_last(self) -> bool:
        """Whether this was the loop's last step; False if the number of steps is not known."""
        return self.total_steps is not None and self.step + 1 >= self.total_steps

    @property
    def remaining_seconds(self) -> float | None:
        """The most likely time that is left, or before that is known the remaining steps at this pace.

        None if their number is unknown.
        """
        if self.time_left is not None:
            return self.time_left.expected
        if self.total_steps is None:
            return None
        return self.seconds_per_step * (self.total_steps - self.step - 1)
