"""The integrator of the Kuramoto–Sivashinsky equation: its order, its rates, and what is known of the attractor."""

import numpy as np
import pytest

from qorch.model.arrays import FloatArray
from qorch.workloads.kuramoto_sivashinsky import Equation, draw_fields, integrate, make_stepper

STEP = 0.25


def draw(equation: Equation, count: int, *, seed: int = 0) -> FloatArray:
    """Fields on the attractor."""
    return draw_fields(equation, count, random=np.random.default_rng(seed), step=STEP)


@pytest.mark.parametrize("dimension", [1, 2])
def test_the_error_falls_with_the_fourth_power_of_the_step(dimension: int) -> None:
    """Halving the step divides the error by about 16."""
    equation = Equation(22.0, 32) if dimension == 1 else Equation(11.0, 16, 2)
    fields = draw(equation, 2)
    exact = integrate(fields, equation, step=1 / 512, samples=1, every=512)
    errors = [np.abs(integrate(fields, equation, step=1 / n, samples=1, every=n) - exact).max() for n in (32, 64, 128)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all((orders > 3.5) & (orders < 4.4)), orders


def test_a_small_wave_grows_and_decays_at_its_rate() -> None:
    """A mode of wave number k goes as exp((k² - k⁴) t) as long as it is small."""
    equation = Equation(22.0, 32)
    x = np.arange(32) / 32
    for mode in (1, 2, 4, 5):
        start = 1e-9 * np.cos(2 * np.pi * mode * x)
        end = integrate(start, equation, step=STEP, samples=1, every=16)[0]
        np.testing.assert_allclose(end, start * np.exp(4.0 * equation.linear[mode]), rtol=0, atol=1e-6 * 1e-9)


def test_a_square_without_change_along_one_side_is_a_line() -> None:
    """The slope of the potential of such a field obeys the equation on a line."""
    line, square = Equation(22.0, 32), Equation(22.0, 32, 2)
    potential = integrate(
        np.tile(np.cos(np.arange(32) / 32 * 4 * np.pi), (32, 1)), square, step=STEP, samples=2, every=80
    )
    np.testing.assert_allclose(potential, potential[:, :1].repeat(32, axis=1), atol=1e-9)
    before, after = (_slope(line, values[0]) for values in potential)
    np.testing.assert_allclose(integrate(before, line, step=STEP, samples=1, every=80)[0], after, atol=1e-6)


def _slope(equation: Equation, potential: FloatArray) -> FloatArray:
    return equation.restore(1j * equation.wave_numbers[0] * equation.transform(potential))


def test_the_largest_lyapunov_exponent_at_length_22() -> None:
    """0.043 (Edson et al., ANZIAM J. 61, 270, 2019) to 0.048 (Cvitanović et al., SIAM J. Appl. Dyn. Syst. 9, 1, 2010).

    Benettin's method, averaged over many fields: a small difference is brought back to its size every 2 units of time.
    """
    equation, size, interval = Equation(22.0, 32), 1e-7, 2.0
    fields = draw(equation, 64)
    pair = np.stack([fields, fields + size * np.random.default_rng(1).normal(size=fields.shape)])
    growths = []
    for _ in range(120):
        pair = integrate(pair, equation, step=STEP, samples=1, every=int(interval / STEP))[0]
        distances = np.sqrt(((pair[1] - pair[0]) ** 2).sum(axis=-1, keepdims=True))
        growths.append(np.log(distances / size))
        pair[1] = pair[0] + (pair[1] - pair[0]) * (size / distances)
    exponent = np.mean(growths[20:]) / interval
    assert 0.040 < exponent < 0.055


def test_energy_and_amplitude_at_length_22() -> None:
    """What is produced at long waves is lost at short ones, |u| stays below about 3.5, and no mean arises."""
    equation = Equation(22.0, 32)
    course = integrate(draw(equation, 32), equation, step=STEP, samples=200, every=4)
    spectra, k = np.fft.rfft(course), equation.wave_numbers[0]
    production, loss = ((np.fft.irfft(k**power * spectra) ** 2).mean() for power in (1, 2))
    assert production == pytest.approx(loss, rel=0.02)
    assert 0.6 < (course**2).mean() / 2 < 0.8
    assert 2.5 < np.abs(course).max() < 3.7
    assert np.abs(course.mean(axis=-1)).max() < 1e-9


def test_the_energy_spectrum_of_a_long_domain() -> None:
    """A plateau at long waves, a maximum near k = 0.7, and an exponential fall at short ones.

    Wittenberg and Holmes, Chaos 9, 452 (1999).
    """
    equation = Equation(200.0, 256)
    course = integrate(draw(equation, 8), equation, step=STEP, samples=60, every=16)
    power, k = 200.0 * (np.abs(np.fft.rfft(course) / 256) ** 2).mean(axis=(0, 1)), equation.wave_numbers[0]

    def between(low: float, high: float) -> float:
        return float(power[(k >= low) & (k < high)].mean())

    assert 0.7 < between(0.03, 0.2) / between(0.2, 0.35) < 1.3
    assert 0.55 < k[power.argmax()] < 0.8
    assert between(0.6, 0.75) > 5 * between(0.03, 0.35)
    falls = np.diff(np.log([between(low, low + 0.1) for low in (1.4, 1.7, 2.0, 2.3)]))
    assert np.all(np.abs(falls / falls.mean() - 1) < 0.25), falls
    assert course.std() == pytest.approx(1.3, abs=0.05)


def test_steps_of_many_fields_are_those_of_each() -> None:
    """Fields that are integrated together do not meet, and the same seed draws the same fields."""
    equation = Equation(22.0, 32)
    fields = draw(equation, 3)
    advance = make_stepper(equation, STEP)
    together = advance(equation.transform(fields))
    for field, spectrum in zip(fields, together, strict=True):
        np.testing.assert_allclose(advance(equation.transform(field)), spectrum, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(fields, draw(equation, 3))
    assert np.abs(fields - draw(equation, 3, seed=1)).max() > 0.1
