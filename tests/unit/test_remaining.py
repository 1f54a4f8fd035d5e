"""What is left of a run: what its parts are, when nothing is told, and what earlier runs add."""

import numpy as np
import pytest

from qorch.model.job import Interval
from qorch.planning.pace import NO_PACE, Pace, learn_prior, measure_pace
from qorch.planning.remaining import RemainingSteps, expect, look_ahead, student_quantile


def pace_of(*epochs: list[float]) -> Pace:
    """The pace of epochs, each begun by what follows the one before."""
    firsts = [index == 0 and bool(number) for number, epoch in enumerate(epochs) for index in range(len(epoch))]
    return measure_pace(np.array([amount for epoch in epochs for amount in epoch]), np.array(firsts))


@pytest.mark.parametrize(("freedom", "quantile"), [(2, 2.920), (3, 2.353), (5, 2.015), (10, 1.812), (50, 1.676)])
def test_the_quantile_is_that_of_student(freedom: int, quantile: float) -> None:
    """As tables have it, to two per cent."""
    assert student_quantile(freedom) == pytest.approx(quantile, rel=0.02)


def test_steps_left_are_counted_by_epochs() -> None:
    """Three of this epoch, then two of four, the first of which follows upon the end of another."""
    assert look_ahead(11, 4) == RemainingSteps(steps=9, first_steps=2, own=3, squares=32.0, climb=80.0)
    assert look_ahead(11, None) == look_ahead(11, 1) == RemainingSteps(steps=11, first_steps=0, own=11)


def test_equal_steps_leave_no_doubt() -> None:
    """And the ends of all epochs count, the last one's too: each costs 5 more than a step."""
    pace = pace_of([1.0, 1.0, 1.0], [6.0, 1.0, 1.0], [6.0, 1.0])
    assert expect(pace, look_ahead(4, 3)) == Interval(14.0, 14.0, 14.0)


def test_nothing_is_told_before_it_is_known() -> None:
    """Of few steps that differ, and before an epoch has ended and the next one is under way."""
    few = pace_of([1.0, 2.0, 1.0, 2.0, 1.0])
    assert expect(NO_PACE, look_ahead(5, None)) is None
    assert expect(few, look_ahead(5, None)) is None
    many = [1.0 + 0.1 * (step % 3) for step in range(20)]
    assert expect(pace_of(many), look_ahead(20, None)) is not None
    assert expect(pace_of(many), look_ahead(20, 20)) is None
    assert expect(pace_of(many, many[:1]), look_ahead(39, 20)) is None
    assert expect(pace_of(many, many[:10]), look_ahead(30, 20)) is not None


def test_a_computer_that_slept_is_no_pace() -> None:
    """One amount above three times all before it does not count; with a second one, both do."""
    steps = [1.0] * 30
    assert measure_pace(np.array([*steps, 1_000.0, *steps]), np.zeros(61, dtype=bool)).steps.mean == pytest.approx(1.0)
    twice = measure_pace(np.array([*steps, 1_000.0, 1_000.0]), np.zeros(32, dtype=bool))
    assert twice.steps.mean == pytest.approx((30 + 2_000) / 32)


def test_earlier_runs_are_believed_until_the_own_steps_contradict() -> None:
    """Before the first step they alone tell; a run that is ten times as slow tells by itself at once."""
    noise = np.random.default_rng(1).lognormal(0.0, 0.1, (3, 100))
    prior = learn_prior([measure_pace(row, np.zeros(100, dtype=bool)) for row in noise])
    first = expect(NO_PACE, look_ahead(100, None), prior=prior)
    assert first is not None
    assert first.low < 100 < first.high
    slow = measure_pace(10.0 * noise[0, :5], np.zeros(5, dtype=bool))
    later = expect(slow, look_ahead(100, None), prior=prior)
    assert later is not None
    assert later.low < 1000 < later.high
    assert later.expected == pytest.approx(1000, rel=0.1)
    assert learn_prior([]) is None
    assert learn_prior([NO_PACE]) is None


def test_a_pace_that_wanders_is_followed() -> None:
    """Each epoch is slower than the one before: what is left is told by the newest, not by the mean of all."""
    noise = np.random.default_rng(1)
    epochs = [list(noise.normal(float(level), 0.01, 10)) for level in range(1, 9)]
    left = expect(pace_of(*epochs), look_ahead(20, 10))
    assert left is not None
    assert 150 < left.expected < 190


def test_next_to_nothing_has_an_end() -> None:
    """Only what follows the last epoch is left, which took now more and now less than a step: not hours."""
    steps = [1.0, 1.4, 0.6, 1.0, 1.2, 0.8]
    left = expect(pace_of(steps, [0.2, *steps], [1.82, *steps]), look_ahead(0, 6))
    assert left is not None
    assert left.expected < 0.05
    assert 0.5 < left.high < 60.0
