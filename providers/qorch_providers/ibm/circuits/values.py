"""Circuits and arrays as IBM's programs take them: compressed, in base64, with their types."""

import base64
import io
import zlib

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import FloatArray

_QUICK = 1
"""Of zlib: rows of a gradient differ in one number each, which the quickest level sees."""


def pack(content: bytes) -> str:
    """The content as zlib compresses it, in base64."""
    return base64.b64encode(zlib.compress(content, _QUICK)).decode()


def little_endian(array: FloatArray) -> npt.NDArray[np.float64]:
    """The array without gaps, and with the lowest byte of each number first."""
    return np.ascontiguousarray(array, dtype="<f8")


def circuit_value(packed: str) -> dict[str, str]:
    """A packed QPY file."""
    return {"__type__": "QuantumCircuit", "__value__": packed}


def array_value(array: FloatArray) -> dict[str, str]:
    """An array, as an npy file."""
    stream = io.BytesIO()
    np.save(stream, little_endian(array), allow_pickle=False)
    return {"__type__": "ndarray", "__value__": pack(stream.getvalue())}
