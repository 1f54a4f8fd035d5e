"""Arrays as the executor program has them: base64 of zlib of little-endian numbers; truth values as single bits."""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.programs.values import pack, unpack


class TensorWire(msgspec.Struct):
    """One array. ``dtype``: its kind and the bits of a number, such as `f64`; or `bool`."""

    data: str
    shape: list[int]
    dtype: str


def read_tensor(wire: TensorWire) -> npt.NDArray[Any]:
    """The array. Raises UsageError."""
    content = unpack(wire.data)
    try:
        if wire.dtype == "bool":
            bits = np.unpackbits(np.frombuffer(content, dtype=np.uint8), bitorder="little")
            return bits[: math.prod(wire.shape)].astype(np.bool_).reshape(wire.shape)
        kind = np.dtype(f"<{wire.dtype[0]}{int(wire.dtype[1:]) // 8}")
        return np.frombuffer(content, dtype=kind).reshape(wire.shape)
    except (TypeError, ValueError, IndexError) as error:
        raise UsageError(f"a tensor of shape {wire.shape} and type '{wire.dtype}' cannot be read: {error}") from error


def tensor_document(array: npt.NDArray[Any]) -> dict[str, object]:
    """An array as JSON."""
    if array.dtype == np.bool_:
        content, name = np.packbits(array.reshape(-1), bitorder="little").tobytes(), "bool"
    else:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        content, name = little.tobytes(), f"{array.dtype.kind}{8 * array.dtype.itemsize}"
    return {"data": pack(content), "shape": list(array.shape), "dtype": name}
