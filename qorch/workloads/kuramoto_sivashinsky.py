"""The Kuramoto–Sivashinsky equation on a periodic line or square, integrated in time by ETDRK4."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import FloatArray

ComplexArray = npt.NDArray[np.complex128]
DIMENSIONS = (1, 2)
CONTOUR_POINTS = 32
WARM_UP_TIME = 150.0
"""After which a field has left its first values behind and is on the attractor."""


@dataclass(frozen=True, eq=False)
class Equation:
    """The equation on a torus of ``dimension`` sides of this ``length``, each with ``points`` grid points.

    On a line, in u: u_t = -u u_x - u_xx - u_xxxx. On a square, in the potential of u: h_t = -|grad h|²/2 - Δh - Δ²h,
    without its mean, which only drifts. Fields are ``(…, N)`` or ``(…, N, N)``: any number of them is integrated at
    once. The highest third of the wave numbers is kept at 0, so that products do not alias.
    """

    length: float
    points: int
    dimension: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one field."""
        return (self.points,) * self.dimension

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of a field, counted from the end."""
        return tuple(range(-self.dimension, 0))

    @cached_property
    def wave_numbers(self) -> tuple[FloatArray, ...]:
        """By axis, in radians per length, each as it multiplies a spectrum; the last axis has those from 0 only."""
        spacing = self.length / self.points / (2 * math.pi)
        half = np.fft.rfftfreq(self.points, spacing).astype(np.float64)
        if self.dimension == 1:
            return (half,)
        return np.fft.fftfreq(self.points, spacing).astype(np.float64)[:, None], half[None, :]

    @cached_property
    def linear(self) -> FloatArray:
        """The growth rate of every mode: k² - k⁴."""
        squared: FloatArray = np.asarray(sum(k**2 for k in self.wave_numbers))
        rates: FloatArray = squared - squared**2
        return rates

    @cached_property
    def _is_kept(self) -> npt.NDArray[np.bool_]:
        highest = 2 * math.pi / self.length * (self.points / 3)
        kept = np.ones(self.linear.shape, dtype=bool)
        for k in self.wave_numbers:
            kept &= np.abs(k) < highest
        if self.dimension > 1:
            kept[0, 0] = False
        return kept

    def transform(self, fields: FloatArray) -> ComplexArray:
        """Fields to their spectra, whose highest third is 0."""
        return np.where(self._is_kept, np.fft.rfftn(fields, axes=self.axes), 0.0)

    def restore(self, spectra: ComplexArray) -> FloatArray:
        """Spectra to their fields."""
        return np.fft.irfftn(spectra, s=self.shape, axes=self.axes)

    def nonlinear(self, spectra: ComplexArray) -> ComplexArray:
        """The spectra of -u u_x, or of -|grad h|²/2."""
        if self.dimension == 1:
            return -0.5j * self.wave_numbers[0] * self.transform(self.restore(spectra) ** 2)
        return -0.5 * self.transform(np.asarray(sum(self.restore(1j * k * spectra) ** 2 for k in self.wave_numbers)))


def make_stepper(equation: Equation, step: float) -> Callable[[ComplexArray], ComplexArray]:
    """The function that takes spectra one time ``step`` further, by ETDRK4.

    Kassam and Trefethen, SIAM J. Sci. Comput. 26, 1214 (2005): the coefficients are means over a circle in the complex
    plane, as their formulas cancel near 0.
    """
    rates = step * equation.linear
    whole, half = np.exp(rates), np.exp(rates / 2)
    roots = np.exp(1j * math.pi * (np.arange(CONTOUR_POINTS) + 0.5) / CONTOUR_POINTS)
    z = rates[..., None] + roots
    inner = _mean(step * (np.exp(z / 2) - 1) / z)
    first = _mean(step * (-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3)
    middle = _mean(step * (2 + z + np.exp(z) * (z - 2)) / z**3)
    last = _mean(step * (-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3)

    def advance(spectra: ComplexArray) -> ComplexArray:
        at_start = equation.nonlinear(spectra)
        a = half * spectra + inner * at_start
        at_a = equation.nonlinear(a)
        b = half * spectra + inner * at_a
        at_b = equation.nonlinear(b)
        c = half * a + inner * (2 * at_b - at_start)
        at_c = equation.nonlinear(c)
        result: ComplexArray = whole * spectra + first * at_start + 2 * middle * (at_a + at_b) + last * at_c
        return result

    return advance


def _mean(values: npt.NDArray[Any]) -> FloatArray:
    """Over the upper half of the circle, whose lower half is its conjugate."""
    mean: FloatArray = values.real.mean(axis=-1)
    return mean


def integrate(fields: FloatArray, equation: Equation, *, step: float, samples: int, every: int = 1) -> FloatArray:
    """Fields ``(…, *shape)`` at ``samples`` later times, ``every`` steps apart: ``(samples, …, *shape)``."""
    advance = make_stepper(equation, step)
    spectra = equation.transform(fields)
    taken = np.empty((samples, *fields.shape))
    for index in range(samples):
        for _ in range(every):
            spectra = advance(spectra)
        taken[index] = equation.restore(spectra)
    return taken


def draw_fields(equation: Equation, count: int, *, random: np.random.Generator, step: float) -> FloatArray:
    """Fields ``(count, *shape)`` on the attractor: random smooth ones without mean, `WARM_UP_TIME` later."""
    noise = random.normal(size=(count, *equation.shape))
    smooth = np.exp(-np.asarray(sum(k**2 for k in equation.wave_numbers)))
    spectra = equation.transform(noise) * smooth
    spectra[(..., *(0,) * equation.dimension)] = 0.0
    fields = equation.restore(spectra)
    fields /= fields.std(axis=equation.axes, keepdims=True)
    later = integrate(fields, equation, step=step, samples=1, every=math.ceil(WARM_UP_TIME / step))
    return later.reshape(fields.shape)
