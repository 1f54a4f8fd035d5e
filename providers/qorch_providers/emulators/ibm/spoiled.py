"""Results with wrong content: rows that are missing or in another order, or numbers that are none. Pure."""

import io
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.programs.tensors import TensorWire, read_tensor, tensor_document
from qorch_providers.emulators.ibm.programs.values import array_value, unpack
from qorch_providers.emulators.kit.damage import alter_content

_Array = npt.NDArray[Any]


def alter_result(kind: str, body: bytes) -> bytes:
    """The same result with every array spoiled: without its last row, with its rows in reverse order, or a NaN in it.

    Arrays of one row lose, or turn around, their shots. An answer that is no result is spoiled as any JSON is.
    """
    try:
        document = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return body
    found: list[bool] = []
    spoiled = _walk(document, kind, found)
    return msgspec.json.encode(spoiled) if found else alter_content(kind, body)


def _walk(value: Any, kind: str, found: list[bool]) -> Any:
    if isinstance(value, list):
        return [_walk(each, kind, found) for each in value]
    if not isinstance(value, dict):
        return value
    spoiled = _spoil(value, kind)
    if spoiled is not None:
        found.append(True)
        return spoiled
    return {name: _walk(each, kind, found) for name, each in value.items()}


def _spoil(value: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """The array that this value is, spoiled; None if it is none, or cannot be spoiled so."""
    try:
        if value.get("__type__") == "ndarray" and isinstance(value["__value__"], str):
            array = _change(kind, np.load(io.BytesIO(unpack(value["__value__"]))))
            return None if array is None else array_value(array)
        if set(value) == {"data", "shape", "dtype"}:
            array = _change(kind, read_tensor(msgspec.convert(value, TensorWire)))
            return None if array is None else tensor_document(array)
    except (UsageError, ValueError, msgspec.ValidationError):
        return None
    return None


def _change(kind: str, array: _Array) -> _Array | None:
    return None if array.ndim == 0 and kind != "nan" else _CHANGES[kind](array)


def _put_nan(array: _Array) -> _Array | None:
    if array.dtype.kind != "f" or not array.size:
        return None
    spoiled = array.copy()
    spoiled.reshape(-1)[-1] = np.nan
    return spoiled


_CHANGES: dict[str, Callable[[_Array], _Array | None]] = {
    "wrong-rows": lambda array: array[:-1],
    "wrong-order": lambda array: np.ascontiguousarray(array[::-1]),
    "nan": _put_nan,
}
