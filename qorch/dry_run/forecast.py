"""A forecast: what futures have in common, as intervals of money, time and jobs, and how many of them go wrong."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import cast

import numpy as np

from qorch.audit.phases import label_of
from qorch.audit.report import PhaseShare
from qorch.backends import open_backend
from qorch.config import Config
from qorch.dry_run.futures import Failure, Future, MockedBackend, PricedMock, draw_futures
from qorch.dry_run.recording import RecordedRun
from qorch.errors import UsageError
from qorch.limits import booked_card, check_budgets
from qorch.model.backend_name import name_mock
from qorch.model.budget import Budget
from qorch.model.money import Money
from qorch.model.prices.book import decide_price
from qorch.model.profiles.profile import NOT_GIVEN, Profile
from qorch.ports.backend import Mocks, RemoteBackend
from qorch.ports.clock import WallClock
from qorch.prices import load_prices

DEFAULT_FUTURES = 20
"""So many cost little, and the smallest and the largest of them are about the ends of an interval of 90 %."""
FEWEST_FOR_ENDS = 18
"""The smallest and the largest of n hold (n - 1) / (n + 1) of all: of fewer, clearly less than 90 %."""
MOST_FUTURES = 10_000
_PERCENTS = (5, 50, 95)
_ASSUMED = "assumed"
"""In the source of a figure: nobody measured or published it."""


@dataclass(frozen=True)
class Quantiles:
    """The median of a number over futures, and the ends between which nine of ten lie.

    Of fewer than ``FEWEST_FOR_ENDS``, these are the smallest and the largest.
    """

    p05: float
    p50: float
    p95: float

    def to_json(self) -> dict[str, float]:
        """As it stands in JSON documents."""
        return {"p05": self.p05, "p50": self.p50, "p95": self.p95}


def find_quantiles(values: Sequence[float]) -> Quantiles:
    """By the positions p (n + 1), within which a further draw lies with probability p (Weibull 1939; Makkonen 2006)."""
    return Quantiles(*(float(end) for end in np.percentile(values, _PERCENTS, method="weibull")))


@dataclass(frozen=True)
class FailureShare:
    """An error that ended ``futures`` of them; ``example``: the first of these."""

    futures: int
    example: Failure


@dataclass(frozen=True)
class BudgetForecast:
    """Whether a budget of a run suffices: in ``sufficient`` of ``futures``. Where it does not, it stops the run.

    ``first_step`` and ``median_step``: at which step, None if it always suffices.
    """

    limit: Money
    futures: int
    sufficient: int
    first_step: int | None
    median_step: int | None


@dataclass(frozen=True)
class ProfileSummary:
    """From which profile futures were drawn, and how many of its figures nobody has measured or published."""

    name: str
    origin: str
    figures: int
    assumed: int


@dataclass(frozen=True)
class Forecast:
    """What a training on a backend may come to. Numbers are over the futures that went well, or over all if none did.

    ``seed``: the first of ``futures`` seeds that follow upon each other. ``spend``: in micro-units of ``currency``,
    None if no price is known. ``needed``: the smallest budget of a run that suffices in every future. ``phases``: the
    means, which sum to the mean wall time. ``failures``: of the futures that ended with an error, by its class.
    """

    backend: str
    seed: int
    futures: int
    wall_seconds: Quantiles
    currency: str
    certainty: str
    spend: Quantiles | None
    needed: Money | None
    jobs: Quantiles
    executions: Quantiles
    shots: Quantiles
    retries: Quantiles
    phases: tuple[PhaseShare, ...]
    failures: tuple[FailureShare, ...]
    budget: BudgetForecast | None
    profile: ProfileSummary

    @property
    def failed(self) -> int:
        """How many futures ended with an error."""
        return sum(part.futures for part in self.failures)

    @property
    def counted(self) -> int:
        """Over how many futures the numbers are."""
        return self.futures - self.failed or self.futures

    @property
    def has_ends(self) -> bool:
        """Whether these are enough to tell the ends between which nine of ten lie."""
        return self.counted >= FEWEST_FOR_ENDS


def open_mock(mock: str, *, config: Config) -> PricedMock:
    """What futures on a mock of this name have in common.

    Raises UnknownNameError or UsageError for any other name, and ConfigError for a wrong profile.
    """
    backend = open_backend(mock, config=config, clock=WallClock())
    if not (isinstance(backend, Mocks) and isinstance(backend, RemoteBackend)):
        raise UsageError(f"a forecast is of a mock, which {mock} is not: write {name_mock(mock)}")
    card = decide_price(mock, charges=backend.capabilities.charges, book=load_prices(config))
    return PricedMock(cast("MockedBackend", backend), booked_card(backend, card))


def forecast_runs(
    runs: Sequence[RecordedRun],
    priced: PricedMock,
    *,
    seed: int,
    futures: int = DEFAULT_FUTURES,
    budget: Money | None = None,
    show: Callable[[int], None] | None = None,
) -> Forecast:
    """The forecast of what was recorded: ``futures`` of them, with the seeds from ``seed`` on.

    ``budget``: of each run; None: that which they were given, if they have one in common. ``show``: is told after each
    future how many there are. Raises UsageError for a number of futures that is not allowed, and for a budget that
    cannot be kept.
    """
    if not 1 <= futures <= MOST_FUTURES:
        raise UsageError(f"a forecast cannot be made of {futures} futures; take 1 to {MOST_FUTURES:,}")
    given = {run.budget for run in runs}
    budget = budget or (given.pop() if len(given) == 1 else None)
    if budget is not None:
        check_budgets(priced.mock, priced.card, [Budget(limit=budget, run_id=runs[0].run)])
    drawn = draw_futures(runs, priced, seeds=range(seed, seed + futures), show=show)
    return sum_up(drawn, priced, budget=budget)


def forecast_mock(
    runs: Sequence[RecordedRun],
    mock: str,
    *,
    config: Config,
    seed: int,
    futures: int = DEFAULT_FUTURES,
    budget: Money | None = None,
    show: Callable[[int], None] | None = None,
) -> Forecast:
    """The same on a mock of this name, which need not be the one on which the runs were recorded (see `WhatIf`).

    Raises what ``open_mock`` and ``forecast_runs`` raise, and UsageError if nothing was recorded.
    """
    if not any(run.calls for run in runs):
        raise UsageError("a forecast is of the calls of runs, and none was recorded: did the program start a run?")
    priced = open_mock(mock, config=config)
    return forecast_runs(runs, priced, seed=seed, futures=futures, budget=budget, show=show)


def sum_up(futures: Sequence[Future], priced: PricedMock, *, budget: Money | None = None) -> Forecast:
    """The forecast of futures, of which there is at least one. Pure."""
    counted = [future for future in futures if future.failure is None] or list(futures)
    card, is_priced = priced.card, priced.card.is_known
    spent = [future.spent_micros for future in counted if future.spent_micros is not None]
    most = max((future.needs[-1].micros for future in futures if future.needs), default=0)
    return Forecast(
        backend=priced.mock.name,
        seed=futures[0].seed,
        futures=len(futures),
        wall_seconds=find_quantiles([future.wall_seconds for future in counted]),
        currency=card.currency,
        certainty=card.certainty.value,
        spend=find_quantiles(spent) if is_priced else None,
        needed=Money(card.currency, most) if is_priced else None,
        jobs=find_quantiles([future.jobs for future in counted]),
        executions=find_quantiles([future.executions for future in counted]),
        shots=find_quantiles([future.shots for future in counted]),
        retries=find_quantiles([future.retries for future in counted]),
        phases=_mean_phases([future.phases for future in counted]),
        failures=_count_failures(futures),
        budget=None if budget is None or not is_priced else judge_budget(futures, budget),
        profile=summarise(priced.mock.profile),
    )


def judge_budget(futures: Sequence[Future], limit: Money) -> BudgetForecast:
    """Whether a budget suffices in these futures, by what each of their calls needs."""
    first_over = (next((need for need in future.needs if need.micros > limit.micros), None) for future in futures)
    steps = sorted(need.step for need in first_over if need is not None)
    return BudgetForecast(
        limit,
        futures=len(futures),
        sufficient=len(futures) - len(steps),
        first_step=steps[0] if steps else None,
        median_step=steps[len(steps) // 2] if steps else None,
    )


def summarise(profile: Profile) -> ProfileSummary:
    """Count the figures that a profile gives."""
    tables = (profile.latencies, profile.faults, *(() if profile.closures is None else (profile.closures,)))
    sources = [getattr(table, each.name).source for table in tables for each in fields(table)]
    given = [source for source in sources if source != NOT_GIVEN]
    return ProfileSummary(profile.name, profile.origin, len(given), sum(_ASSUMED in source for source in given))


def _mean_phases(phases: Sequence[Mapping[str, float]]) -> tuple[PhaseShare, ...]:
    means = {phase: float(np.mean([each[phase] for each in phases])) for phase in phases[0]}
    wall = sum(means.values())
    return tuple(
        PhaseShare(phase, label_of(phase), seconds, seconds / wall if wall else 0.0) for phase, seconds in means.items()
    )


def _count_failures(futures: Sequence[Future]) -> tuple[FailureShare, ...]:
    failures = [future.failure for future in futures if future.failure is not None]
    return tuple(
        FailureShare(count, next(failure for failure in failures if failure.error == error))
        for error, count in Counter(failure.error for failure in failures).most_common()
    )
