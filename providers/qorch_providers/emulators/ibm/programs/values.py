"""Typed JSON values of clients: circuits as QPY or OpenQASM, arrays as npy, and what results are made of."""

import base64
import binascii
import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit, qpy
from qiskit.exceptions import QiskitError

from qorch.errors import CircuitError, UsageError
from qorch_providers.emulators.statevector.matrices import Floats

MAX_BYTES = 256 * 1024 * 1024
"""No value may be larger once it is unpacked."""
_UNREADABLE = (QiskitError, ValueError, KeyError, IndexError, TypeError, EOFError, struct.error, UnicodeDecodeError)


def unpack(text: str) -> bytes:
    """The bytes of base64 of zlib. Raises UsageError."""
    try:
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(base64.b64decode(text, validate=True), MAX_BYTES)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise UsageError(f"a value is not base64 of zlib: {error}") from error
    if unpacker.unconsumed_tail:
        raise UsageError(f"a value has more than {MAX_BYTES} bytes")
    return content


def pack(content: bytes) -> str:
    """Bytes as base64 of zlib."""
    return base64.b64encode(zlib.compress(content, 1)).decode("ascii")


def read_circuits(content: bytes) -> list[QuantumCircuit]:
    """The circuits of a QPY file. Raises UsageError."""
    try:
        found = qpy.load(io.BytesIO(content))
    except _UNREADABLE as error:
        raise UsageError(f"the QPY cannot be read: {error}") from error
    if not all(isinstance(circuit, QuantumCircuit) for circuit in found):
        raise UsageError("the QPY has something else than circuits")
    return list(found)


def read_circuit(value: object) -> QuantumCircuit:
    """One circuit, from QPY or an OpenQASM 3 program. Raises UsageError, CircuitError."""
    if isinstance(value, str):
        return _read_openqasm(value)
    circuits = read_circuits(unpack(_content(value, "QuantumCircuit")))
    if len(circuits) != 1:
        raise UsageError(f"the QPY has {len(circuits)} circuits, not 1")
    return circuits[0]


def _read_openqasm(source: str) -> QuantumCircuit:
    from qiskit import qasm3

    try:
        return qasm3.loads(source)
    except Exception as error:
        # The parser's errors have no common class.
        raise CircuitError(f"the OpenQASM program cannot be read: {error}") from error


def read_array(value: object) -> Floats:
    """An array of numbers, as npy or nested lists. Raises UsageError."""
    content = _content(value, "ndarray") if isinstance(value, dict) else value
    try:
        found = np.load(io.BytesIO(unpack(content))) if isinstance(content, str) else np.asarray(content)
        return np.asarray(found, dtype=np.float64)
    except (ValueError, TypeError, EOFError) as error:
        raise UsageError(f"a value is not an array of numbers: {error}") from error


def _content(value: object, kind: str) -> Any:
    if not isinstance(value, dict) or value.get("__type__") != kind:
        raise UsageError(f"a value is not of type {kind}")
    return value.get("__value__")


def typed(kind: str, value: object) -> dict[str, object]:
    """A value with its type."""
    return {"__type__": kind, "__value__": value}


def array_value(array: npt.NDArray[Any]) -> dict[str, object]:
    """An array, as npy."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return typed("ndarray", pack(buffer.getvalue()))
