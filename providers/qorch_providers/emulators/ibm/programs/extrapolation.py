"""Extrapolation to zero noise: what the estimator makes of values at several noise factors.

Each value is extrapolated by itself, by the first extrapolator that fits it. ``double_exponential`` never does here, so
the next one is tried; if none fits, or the ``fallback`` comes first, the value at the lowest factor stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from qorch.errors import UsageError
from qorch_providers.emulators.statevector.matrices import Floats

DEFAULT_FACTORS = (1.0, 3.0, 5.0)
DEFAULT_EXTRAPOLATORS = ("exponential", "linear")
_DEGREES: Mapping[str, int] = MappingProxyType(
    {"linear": 1, **{f"polynomial_degree_{degree}": degree for degree in range(1, 8)}}
)
_NAMES = frozenset({"exponential", "double_exponential", "fallback", *_DEGREES})
_SIGNIFICANT = 3.0
"""An exponential fits only values that are so many errors away from zero, and all on one side of it."""


@dataclass(frozen=True)
class Extrapolation:
    """``factors (F,)`` by which the noise of gates on two qubits is amplified; the extrapolators that are tried."""

    factors: tuple[float, ...] = (1.0,)
    extrapolators: tuple[str, ...] = ()


NONE = Extrapolation()


def read_extrapolation(params: Mapping[str, Any]) -> Extrapolation:
    """What the options ask for, level 2 by default. Raises UsageError for factors below 1 and unknown extrapolators."""
    resilience = (params.get("options") or {}).get("resilience") or {}
    wanted = resilience.get("zne_mitigation")
    if not (params.get("resilience_level", 1) > 1 if wanted is None else wanted):
        return NONE
    options = resilience.get("zne") or {}
    factors = options.get("noise_factors") or DEFAULT_FACTORS
    if len(factors) < 2 or not all(isinstance(factor, int | float) and factor >= 1.0 for factor in factors):
        raise UsageError("there are at least two noise factors, numbers of which none is below 1")
    names = options.get("extrapolator") or DEFAULT_EXTRAPOLATORS
    chosen = (names,) if isinstance(names, str) else tuple(names)
    if not _NAMES.issuperset(chosen):
        raise UsageError(f"the extrapolators are {', '.join(sorted(_NAMES))}, not {', '.join(map(str, chosen))}")
    return Extrapolation(tuple(map(float, factors)), chosen)


def extrapolate(means: Floats, variances: Floats, plan: Extrapolation) -> tuple[Floats, Floats]:
    """Values and variances ``(R, K)`` at no noise, of those at each factor ``(F, R, K)``."""
    lowest = int(np.argmin(plan.factors))
    values, spread = means[lowest].copy(), variances[lowest].copy()
    is_open = np.ones(values.shape, dtype=bool)
    for name in plan.extrapolators:
        if name == "fallback":
            break
        found, error, fits = _fit(name)(means, variances, np.array(plan.factors))
        chosen = is_open & fits
        values[chosen], spread[chosen] = found[chosen], error[chosen]
        is_open &= ~fits
    return values, spread


Fit = Callable[[Floats, Floats, Floats], tuple[Floats, Floats, np.ndarray[Any, np.dtype[np.bool_]]]]


def _fit(name: str) -> Fit:
    if name == "exponential":
        return _exponential
    if name in _DEGREES:
        return lambda means, variances, factors: (
            *_polynomial(means, variances, factors, _DEGREES[name]), _all(means)
        )  # fmt: skip
    return lambda means, variances, _: (means[0], variances[0], ~_all(means))


def _all(means: Floats) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.ones(means.shape[1:], dtype=bool)


def _polynomial(means: Floats, variances: Floats, factors: Floats, degree: int) -> tuple[Floats, Floats]:
    """Least squares, all factors alike: the value at 0 is the same mixture of all means, whatever they are."""
    powers = np.vander(factors, degree + 1, increasing=True)
    mixture: Sequence[float] = np.linalg.pinv(powers)[0]
    return np.tensordot(mixture, means, 1), np.tensordot(np.square(mixture), variances, 1)


def _exponential(
    means: Floats, variances: Floats, factors: Floats
) -> tuple[Floats, Floats, np.ndarray[Any, np.dtype[np.bool_]]]:
    """A straight line through the logarithms."""
    signs = np.sign(means[0])
    is_clear = np.abs(means) > _SIGNIFICANT * np.sqrt(variances)
    fits = (is_clear & (np.sign(means) == signs) & (signs != 0)).all(axis=0)
    sizes = np.where(fits, np.abs(means), 1.0)
    logs, errors = _polynomial(np.log(sizes), variances / sizes**2, factors, 1)
    values = signs * np.exp(logs)
    return values, values**2 * errors, fits
