"""Names for the array types that the model uses, and the function that checks arrays from outside."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from qorch.errors import ParameterError

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
UIntArray = npt.NDArray[np.uint64]
ByteArray = npt.NDArray[np.uint8]
AnyArray = npt.NDArray[Any]


def freeze(array: AnyArray) -> AnyArray:
    """The same array, made read-only: frozen values stay frozen."""
    array.flags.writeable = False
    return array


def as_numbers(values: npt.ArrayLike, *, what: str) -> FloatArray:
    """A copy of the values in float64. Raises ParameterError if they are not real numbers in an array."""
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biufO":  # NumPy would read strings, and drop imaginary parts
            raise TypeError(f"they are of type {given.dtype}")
        return np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ParameterError(f"{what} must be real numbers in an array: {error}") from error


def as_parameter_values(values: npt.ArrayLike, *, parameters: tuple[str, ...]) -> tuple[FloatArray, tuple[int, ...]]:
    """Check and copy parameter values ``(…, P)`` into read-only rows ``(N, P)`` of radians, and their shape ``(…)``.

    The rows are in NumPy's own order: the last leading dimension runs fastest. ``(P,)`` is one row, of shape ``()``.
    Raises ParameterError if the last dimension is not P, if N is 0, or if an entry is not finite.
    """
    width = len(parameters)
    array = as_numbers(values, what="parameter values")
    if array.ndim == 0 or array.shape[-1] != width or 0 in array.shape[:-1]:
        raise ParameterError(_wrong_shape((1, *array.shape) if array.ndim == 1 else array.shape, parameters))
    shape = array.shape[:-1]
    rows = array.reshape(math.prod(shape), width)
    if not np.isfinite(rows).all():
        row, column = np.argwhere(~np.isfinite(rows))[0]
        raise ParameterError(
            f"parameter '{parameters[column]}' in row {row} is {rows[row, column]}; angles must be finite"
        )
    return freeze(rows), shape


def _wrong_shape(shape: tuple[int, ...], parameters: tuple[str, ...]) -> str:
    names = ", ".join(parameters[:4]) + (", …" if len(parameters) > 4 else "")
    return (
        f"parameter values have shape {shape}; this circuit has {len(parameters)} parameters"
        f" ({names or 'none'}), so the shape must be (rows, {len(parameters)}), or any other with a last dimension of"
        f" {len(parameters)}, and at least one row"
    )
