"""Names for the array types that the model uses, and the door through which outside arrays enter."""

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


def as_parameter_values(values: npt.ArrayLike, *, parameters: tuple[str, ...]) -> FloatArray:
    """Check and copy parameter values into a read-only ``(N, P)`` array of radians.

    A one-dimensional array of length P is one row. Raises ParameterError where the shape is not
    ``(N, P)``, where N is 0, or where an entry is not finite.
    """
    width = len(parameters)
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biufO":  # NumPy would read strings, and drop imaginary parts
            raise TypeError(f"they are of type {given.dtype}")
        array = np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ParameterError(
            f"parameter values must be real numbers in an array of shape (rows, {width}): {error}"
        ) from error
    if array.ndim == 1 and (width != 0 or array.size == 0):
        array = array.reshape(1, -1)
    if array.ndim != 2 or array.shape[1] != width or array.shape[0] == 0:
        raise ParameterError(_wrong_shape(array.shape, parameters))
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise ParameterError(
            f"parameter '{parameters[column]}' in row {row} is {array[row, column]}; angles must be finite"
        )
    return freeze(array)


def _wrong_shape(shape: tuple[int, ...], parameters: tuple[str, ...]) -> str:
    names = ", ".join(parameters[:4]) + (", …" if len(parameters) > 4 else "")
    return (
        f"parameter values have shape {shape}; this circuit has {len(parameters)} parameters"
        f" ({names or 'none'}), so the shape must be (rows, {len(parameters)}) with at least one row"
    )
