"""Comparisons: curves of trainings, intervals across seeds, equal budgets, and answers that are true either way."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from drawn_run import write_run
from scipy import stats

from qorch.audit.page.records import read_course
from qorch.errors import UsageError
from qorch.ports.clock import WallClock
from qorch.sweeps.answer import answer
from qorch.sweeps.comparison import compare, mean_curve
from qorch.sweeps.interval import t_interval
from qorch.sweeps.training_curve import CIRCUITS, MONEY, SECONDS, TrainingCurve, read_training_curve, trailing_mean
from qorch.sweeps.variant import read_variants, split_values
from qorch.testing.fakes.store import MemoryStore


def make_curve(variant: str, seed: int, losses: Sequence[float], *, cost: float = 1.0) -> TrainingCurve:
    """A training that pays ``cost`` circuits and as many dollars for each loss, in a second."""
    steps = np.arange(1, len(losses) + 1, dtype=np.float64)
    budgets = {CIRCUITS: cost * steps, MONEY: cost * steps, SECONDS: steps}
    return TrainingCurve(variant, seed, np.minimum.accumulate(np.array(losses, dtype=np.float64)), budgets, "USD")


def make_group(variant: str, losses: Sequence[float], *, cost: float, spread: float = 0.01) -> list[TrainingCurve]:
    """Five seeds that differ by a little."""
    return [make_curve(variant, seed, [each + spread * (seed - 2) for each in losses], cost=cost) for seed in range(5)]


def test_intervals_are_those_of_students_t() -> None:
    """As scipy's, and wider where several must hold together; one value has none."""
    values = [0.1, 0.4, 0.2, 0.5, 0.35]
    interval = t_interval(values)
    expected = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert (interval.low, interval.high) == pytest.approx(expected)
    three = t_interval(values, n_questions=3)
    assert (three.low, three.high) == pytest.approx(
        stats.t.interval(1 - 0.05 / 3, 4, np.mean(values), stats.sem(values))
    )
    assert t_interval([0.3]).low is None
    assert not t_interval([0.3]).excludes(100.0)


def test_ninety_five_of_a_hundred_intervals_hold() -> None:
    """Over many draws of five seeds, the mean lies in the interval as often as it says."""
    random = np.random.default_rng(0)
    held = [not t_interval(random.normal(1.0, 0.3, 5).tolist()).excludes(1.0) for _ in range(2000)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_what_is_reached_within_a_budget_is_never_what_comes_later() -> None:
    """Between two points it is the former; before the first there is nothing; after the last it stays."""
    curve = make_curve("a", 0, [3.0, 2.0, 5.0, 1.0], cost=10.0)
    reached = curve.at(CIRCUITS, np.array([9.9, 10.0, 19.9, 30.0, 40.0, 1e9]))
    np.testing.assert_array_equal(reached, [math.nan, 3.0, 3.0, 2.0, 1.0, 1.0])
    assert curve.budget_for(CIRCUITS, 2.0) == 20.0
    assert math.isnan(curve.budget_for(CIRCUITS, 0.5))
    np.testing.assert_allclose(trailing_mean(np.array([1.0, 3.0, 5.0]), 2), [2.0, 4.0])


def test_a_curve_is_read_from_what_a_run_stored() -> None:
    """Means over three of thirty steps, an accuracy as it was logged; circuits of the cache count, pauses do not."""
    store = MemoryStore(WallClock())
    write_run(store, "r", steps=30, jobs_per_step=2)
    [run] = store.runs()
    course = read_course(store, run)
    losses = np.array([each.value for each in course.metrics if each.name == "loss"])
    curve = read_training_curve(course, variant="a", metric="loss", sign=1.0)
    assert curve is not None
    assert curve.seed == 7
    means = [losses[step - 2 : step + 1].mean() for step in range(2, 30)]
    np.testing.assert_allclose(curve.losses, np.minimum.accumulate(means))
    assert curve.budgets[CIRCUITS][-1] == sum(step.executions + step.executions_from_cache for step in course.steps)
    assert 290 < curve.budgets[SECONDS][-1] <= 300
    assert np.all(np.diff(curve.budgets[MONEY]) >= 0)
    assert curve.currency == "USD"
    accuracy = read_training_curve(course, variant="a", metric="test_accuracy", sign=-1.0)
    assert accuracy is not None
    assert len(accuracy.losses) == 3
    assert np.all(np.diff(accuracy.losses) < 0)
    assert read_training_curve(course, variant="a", metric="fidelity", sign=1.0) is None


def test_a_cheap_method_wins_on_circuits_and_a_dear_one_at_the_end() -> None:
    """The answer has both, with the factor; what is worse at the end does not reach the other."""
    cheap = make_group("cheap", [1.0, 0.8, 0.6, 0.5], cost=1.0)
    dear = make_group("dear", [0.9, 0.4, 0.2, 0.1], cost=10.0)
    found = compare([*cheap, *dear])
    assert (found.at_end.best, found.at_end.is_clear) == ("dear", True)
    [race] = [race for race in found.races if race.axis == CIRCUITS]
    assert race.best == "cheap"
    assert race.loss == pytest.approx(0.52)
    assert race.times_fewer.mean == pytest.approx(5.0)
    assert race.budgets == pytest.approx({"cheap": 4.0, "dear": 20.0})
    sentence = answer(found, metric="loss", sign=1.0)
    assert sentence.startswith("cheap reaches loss 0.52 with ")
    assert "fewer circuits than dear" in sentence
    assert "at their ends dear and cheap have reached 0.1 and 0.5" in sentence
    assert "cheap does not reach the 0.1 of dear" in sentence
    assert sentence.endswith("(5 seeds, intervals of 95%).")


def test_equal_budgets_are_those_that_all_used() -> None:
    """Of each axis the largest within which all worked, and a quarter of it; none where one had nothing by then."""
    cheap, dear = make_group("cheap", [1.0, 0.9, 0.8, 0.7], cost=3.0), make_group("dear", [1.0, 0.5], cost=10.0)
    found = compare([*dear, *cheap])
    assert [(contest.axis, contest.budget, contest.best) for contest in found.at_equal_budgets] == [
        (CIRCUITS, 12.0, "cheap"), (MONEY, 12.0, "cheap"), (SECONDS, 2.0, "dear"),
    ]  # fmt: skip
    late = compare([*make_group("a", [1.0, 0.5], cost=100.0), *make_group("b", [1.0, 0.9], cost=3.0)])
    assert [contest.axis for contest in late.at_equal_budgets] == [SECONDS]
    early, steady = (make_group(name, losses, cost=1.0) for name, losses in
                     (("early", [0.6] * 8), ("steady", [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])))  # fmt: skip
    crossing = compare([*early, *steady]).at_equal_budgets
    assert [contest.best for contest in crossing if contest.axis == CIRCUITS] == ["early", "steady"]


def test_no_difference_is_an_answer() -> None:
    """Where seeds differ more than methods, the sentence names no better one."""
    random = np.random.default_rng(1)
    groups = [
        make_curve(name, seed, [1.0, 0.5 + noise, 0.3 + noise]) for seed in range(5) for name in ("a", "b")
        for noise in [0.1 * random.normal()]
    ]  # fmt: skip
    sentence = answer(compare(groups), metric="loss", sign=1.0)
    assert "no difference in circuits is shown between" in sentence
    assert "at their ends no difference is shown" in sentence
    assert "is better" not in sentence
    assert " reaches " not in sentence


def test_a_loss_with_which_one_began_counts_as_reached_by_none() -> None:
    """A method that does not learn gives no factor of circuits."""
    found = compare([*make_group("a", [1.0, 1.0], cost=1.0), *make_group("b", [1.0, 0.5], cost=1.0)])
    assert not found.races
    sentence = answer(found, metric="loss", sign=1.0)
    assert sentence.startswith("the loss that all trainings reached is no better than what one of them began with;")


def test_large_metrics_and_one_seed() -> None:
    """An accuracy is shown as it is, and a single seed is said to be one."""
    found = compare([make_curve("a", 3, [-0.5, -0.9, -0.95]), make_curve("b", 3, [-0.4, -0.5, -0.8], cost=4.0)])
    sentence = answer(found, metric="accuracy", sign=-1.0)
    assert sentence.startswith("a reaches accuracy 0.8 with 6 times fewer circuits than b;")
    assert "have reached 0.95 and 0.8" in sentence
    assert sentence.endswith("(one seed, which shows no interval).")


def test_only_seeds_that_all_have_are_compared() -> None:
    """A training that is missing takes its seed out; without a seed in common there is nothing to say."""
    group = make_group("a", [1.0, 0.5], cost=1.0)
    found = compare([*group, *make_group("b", [1.0, 0.4], cost=1.0)[1:4]])
    assert found.seeds == (1, 2, 3)
    for curves in (group, [group[0], make_curve("b", 9, [1.0])]):
        with pytest.raises(UsageError, match="nothing to compare"):
            compare(curves)


def test_mean_curves_have_all_seeds_everywhere() -> None:
    """From where the last began to where the first ended; without smoothing the ends are the seeds' own."""
    curves = [make_curve("a", 0, [1.0, 0.5, 0.25], cost=2.0), make_curve("a", 1, [3.0, 1.5, 0.75, 0.5], cost=3.0)]
    mean = mean_curve(curves, CIRCUITS)
    assert (mean.budgets[0], mean.budgets[-1]) == (3.0, 6.0)
    assert (mean.mean[0], mean.mean[-1]) == (2.0, (0.25 + 1.5) / 2)
    assert np.all(mean.low <= mean.mean)


def test_values_with_options_of_their_own_are_told_apart() -> None:
    """A comma before an option belongs to the value; settings go to the variant that they name."""
    assert split_values("spsa:c=0.1,directions=4,exact") == ["spsa:c=0.1,directions=4", "exact"]
    assert split_values("aer:noise=fake_fez, ionq:qpu.forte-1,mode=session,mock:ibm.ibm_fez") == [
        "aer:noise=fake_fez", "ionq:qpu.forte-1,mode=session", "mock:ibm.ibm_fez",
    ]  # fmt: skip
    first, second = read_variants(
        gradients="exact,spsa:c=0.1", backends=None, over=None, settings=["spsa:c=0.1.batch_size=4"]
    )
    assert (first.label, first.options) == ("exact", {"gradient": "exact"})
    assert second.options == {"gradient": "spsa:c=0.1", "batch-size": "4"}
    _, named = read_variants(gradients=None, backends=None, over=None, settings=["spsa.gradient=spsa:c=0.5"])
    assert (named.label, named.options) == ("spsa", {"gradient": "spsa:c=0.5"})
    layers = read_variants(gradients=None, backends=None, over="layers=1,2")
    assert [variant.options for variant in layers] == [{"layers": "1"}, {"layers": "2"}]
    default = read_variants(gradients=None, backends=None, over=None)
    assert [variant.label for variant in default] == ["parameter-shift", "spsa"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gradients": "exact,spsa", "backends": "local,aer"}, "one thing is compared at a time"),
        ({"gradients": "exact"}, "two or more different values of gradient"),
        ({"backends": "local,local"}, "two or more different values of backend"),
        ({"over": "lr=0.1..0.2"}, "write one option and its values"),
        ({"over": "seed=1,2"}, "write one option and its values"),
        ({"settings": ["spsa.lr"]}, "write VARIANT.OPTION=VALUE"),
        ({"settings": ["exact.lr=0.1"]}, "begins with no variant and a dot; they are parameter-shift, spsa"),
        ({"settings": ["spsa.lr=0.1", "spsa.lr=0.2"]}, "gives lr of spsa twice"),
    ],
)
def test_variants_that_cannot_be_are_refused(given: dict[str, object], said: str) -> None:
    """With one sentence."""
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        read_variants(**{"gradients": None, "backends": None, "over": None, **given})  # type: ignore[arg-type]
