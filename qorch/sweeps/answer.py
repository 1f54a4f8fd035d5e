"""What a comparison answers, in one sentence that is true whichever way it came out."""

from qorch.model.text import format_count
from qorch.sweeps.comparison import Comparison, Contest, Race
from qorch.sweeps.interval import LEVEL
from qorch.sweeps.training_curve import CIRCUITS, MONEY, SECONDS


def answer(comparison: Comparison, *, metric: str, sign: float) -> str:
    """The sentence. ``sign``: -1 if the metric is to be large, as its losses are its negatives."""
    voice = _Voice(comparison, metric, sign)
    clauses = [voice.say_race(), voice.say_end(), voice.say_equal_budgets()]
    seeds = comparison.seeds
    how = "one seed, which shows no interval" if len(seeds) == 1 else f"{len(seeds)} seeds, intervals of {LEVEL:.0%}"
    return f"{'; '.join(clause for clause in clauses if clause)} ({how})."


class _Voice:
    """Says what was found."""

    def __init__(self, comparison: Comparison, metric: str, sign: float) -> None:
        self._comparison = comparison
        self._metric = metric
        self._sign = sign
        self._is_single = len(comparison.seeds) == 1

    def say_race(self) -> str:
        races = [race for race in self._comparison.races if race.axis == CIRCUITS]
        if not races:
            return f"the {self._metric} that all trainings reached is no better than what one of them began with"
        [race] = races
        reached = f"{self._metric} {self._show(race.loss)}"
        if not (race.is_clear or self._is_single):
            return f"to reach {reached}, no difference in circuits is shown between {race.best} and {race.next_best}"
        return (
            f"{race.best} reaches {reached} with {_times(race)} fewer circuits"
            f" than {race.next_best}{self._span(race.times_fewer.low, race.times_fewer.high)}"
        )

    def say_end(self) -> str:
        end = self._comparison.at_end
        means = f"{self._show_mean(end, end.best)} and {self._show_mean(end, end.next_best)}"
        if not (end.is_clear or self._is_single):
            return f"at their ends no difference is shown between {end.best} and {end.next_best}, {means}"
        return f"at their ends {end.best} and {end.next_best} have reached {means}{self._say_missed(end)}"

    def _say_missed(self, end: Contest) -> str:
        """In how many seeds the second reached the mean of the first at all."""
        level = end.values[end.best].mean
        others = self._comparison.curves[end.next_best]
        count = sum(bool(curve.losses[-1] <= level) for curve in others)
        if not count:
            return f", so that {end.next_best} does not reach the {self._show(level)} of {end.best}"
        return (
            f", and {end.next_best} reaches the {self._show(level)} in {count} of {format_count(len(others), 'seed')}"
        )

    def say_equal_budgets(self) -> str:
        shared = self._comparison.at_equal_budgets
        return "; ".join(self._say_budget(contest) for contest in shared)

    def _say_budget(self, contest: Contest) -> str:
        within = f"within {_show_budget(contest, currency=self._comparison.currency)}"
        if not (contest.is_clear or self._is_single):
            return f"{within} no difference is shown"
        means = f"{self._show_mean(contest, contest.best)} against {self._show_mean(contest, contest.next_best)}"
        return f"{within} {contest.best} is better, {means}"

    def _show(self, loss: float) -> str:
        return f"{self._sign * loss:.3g}"

    def _show_mean(self, contest: Contest, variant: str) -> str:
        return self._show(contest.values[variant].mean)

    def _span(self, low: float | None, high: float | None) -> str:
        return "" if low is None or high is None else f" ({low:.2g} to {high:.2g})"


def _times(race: Race) -> str:
    return f"{race.times_fewer.mean:.2g} times"


def _show_budget(contest: Contest, *, currency: str) -> str:
    budget = contest.budget or 0.0
    return {
        CIRCUITS: f"{budget:,.0f} circuits",
        MONEY: f"{budget:,.2f} {currency}",
        SECONDS: f"{budget:,.3g} seconds",
    }[str(contest.axis)]
