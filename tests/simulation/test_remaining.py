"""The interval of what is left, over many drawn runs: it holds what comes about as often as it says."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from qorch.model.arrays import FloatArray
from qorch.planning.pace import PacePrior, learn_prior, measure_pace
from qorch.planning.remaining import expect, look_ahead

Draw = Callable[[np.random.Generator, int, int], FloatArray]


def draw_lognormal(rng: np.random.Generator, epochs: int, size: int) -> FloatArray:
    """Steps of a busy machine."""
    return rng.lognormal(0.0, 0.4, (epochs, size))


def draw_queues(rng: np.random.Generator, epochs: int, size: int) -> FloatArray:
    """Of a second, and one in five waits in a queue: 33 s in the mean, a hundred of them more than 200 s."""
    waits = (rng.random((epochs, size)) < 0.2) * rng.lognormal(3.0, 1.0, (epochs, size))
    return 1.0 + rng.lognormal(-2.0, 0.5, (epochs, size)) + waits


def draw_long_queues(rng: np.random.Generator, epochs: int, size: int) -> FloatArray:
    """Every step waits: 41 s in the mean, with a standard deviation of 74 s."""
    return 2.0 + rng.lognormal(3.0, 1.2, (epochs, size))


def draw_drift(rng: np.random.Generator, epochs: int, size: int) -> FloatArray:
    """Each epoch is faster or slower than the others as a whole, by a quarter."""
    return rng.lognormal(0.0, 0.3, (epochs, size)) * rng.lognormal(0.0, 0.25, (epochs, 1))


def begins(epochs: int, size: int) -> npt.NDArray[np.bool_]:
    """Whether each step is the first of an epoch, without the run's first step."""
    found: npt.NDArray[np.bool_] = np.arange(1, epochs * size) % size == 0
    return found


def coverage(draw: Draw, *, epochs: int, size: int, seen: int, earlier: int = 0, runs: int = 300) -> float:
    """In which share of drawn runs the interval after ``seen`` steps holds the rest; a validation follows each epoch.

    ``earlier``: how many runs before it are known, each with a level of its own.
    """
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(runs):
        prior = None if not earlier else learn_from(draw, rng, epochs=epochs, size=size, runs=earlier)
        steps = draw(rng, epochs, size) * (rng.lognormal(0.0, 0.1) if earlier else 1.0)
        validations = rng.lognormal(2.0, 0.3, epochs) if epochs > 1 else np.zeros(1)
        steps[1:, 0] += validations[:-1]
        amounts = steps.ravel()
        left = expect(
            measure_pace(amounts[1:seen], begins(epochs, size)[: seen - 1]),
            look_ahead(epochs * size - seen, size),
            prior=prior,
        )
        assert left is not None
        hits += left.low <= amounts[seen:].sum() + validations[-1] <= left.high
    return hits / runs


def learn_from(draw: Draw, rng: np.random.Generator, *, epochs: int, size: int, runs: int) -> PacePrior | None:
    """What earlier runs tell."""
    paces = []
    for _ in range(runs):
        steps = draw(rng, epochs, size) * rng.lognormal(0.0, 0.1)
        steps[1:, 0] += rng.lognormal(2.0, 0.3, epochs - 1)
        paces.append(measure_pace(steps.ravel()[1:], begins(epochs, size)))
    return learn_prior(paces)


@pytest.mark.parametrize("draw", [draw_lognormal, draw_queues, draw_long_queues, draw_drift])
@pytest.mark.parametrize(("epochs", "size", "seen"), [(10, 20, 100), (20, 25, 210)])
def test_the_interval_holds_the_rest_in_nine_of_ten_runs(draw: Draw, epochs: int, size: int, seen: int) -> None:
    """With skewed steps, with heavy queues, and with epochs that differ as a whole."""
    assert 0.85 <= coverage(draw, epochs=epochs, size=size, seen=seen) <= 0.95


@pytest.mark.parametrize("draw", [draw_lognormal, draw_queues, draw_drift])
def test_earlier_runs_tell_it_from_the_begin(draw: Draw) -> None:
    """After four steps, before an epoch has ended; so few runs may make it wider than need be."""
    assert coverage(draw, epochs=5, size=20, seen=5, earlier=3, runs=200) >= 0.85


@pytest.mark.soak
@pytest.mark.parametrize("draw", [draw_lognormal, draw_queues, draw_long_queues, draw_drift])
@pytest.mark.parametrize("seen", [150, 250, 330, 420, 470])
def test_the_interval_holds_at_any_time_of_a_run(draw: Draw, seen: int) -> None:
    """As above, at other places, with more runs; printed, as the figures of the manual are from here."""
    found = coverage(draw, epochs=10, size=50, seen=seen, runs=2_000)
    print(f"{draw.__name__} after {seen} of 500 steps: {found:.1%}")
    assert 0.84 <= found <= 0.96


def test_the_interval_closes_around_what_comes() -> None:
    """The more of a run is seen, the narrower it is, down to the end."""
    steps = np.random.default_rng(1).lognormal(0.0, 0.3, 400)
    widths = []
    for seen in (20, 100, 200, 300, 390):
        left = expect(measure_pace(steps[:seen], np.zeros(seen, dtype=bool)), look_ahead(400 - seen, None))
        assert left is not None
        widths.append(left.high - left.low)
    assert all(later < earlier for earlier, later in pairwise(widths))
