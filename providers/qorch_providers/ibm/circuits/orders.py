"""What a process asks of its transpiler, which is a process of its own, and the answer; in length-prefixed frames."""

import struct
from functools import lru_cache
from typing import IO

import msgspec
import numpy as np

from qorch.model.circuit import GateList
from qorch_providers.ibm.device import IbmDevice, read_device
from qorch_providers.ibm.options import Options

_LENGTH = struct.Struct("<Q")
_CODES = ("u1", "<i2", "<i4", "<f8")


class CompileOrder(msgspec.Struct, frozen=True):
    """A circuit, ``arrays`` being the four of its gate list, the documents of the device, and the options."""

    n_qubits: int
    arrays: tuple[bytes, bytes, bytes, bytes]
    configuration: bytes
    properties: bytes
    options: Options

    @property
    def gates(self) -> GateList:
        """The gate list."""
        flat = [np.frombuffer(data, dtype=code) for data, code in zip(self.arrays, _CODES, strict=True)]
        opcodes, qubits, columns, constants = flat
        n_gates = len(opcodes)
        shapes = [array.reshape(n_gates, -1 if n_gates else 3) for array in (qubits, columns, constants)]
        return GateList(self.n_qubits, opcodes, *shapes)

    @property
    def device(self) -> IbmDevice:
        """The device."""
        return _read_device(self.configuration, self.properties, self.options.has_fractional)


@lru_cache(maxsize=2)
def _read_device(configuration: bytes, properties: bytes, has_fractional: bool) -> IbmDevice:
    """The same object for the same documents: what the transpiler needs of a device is built once for each."""
    return read_device(configuration, properties, has_fractional=has_fractional)


class CompiledOrder(msgspec.Struct, frozen=True, tag="compiled"):
    """A compiled circuit as ``encode_isa`` writes it."""

    content: bytes


class RefusedOrder(msgspec.Struct, frozen=True, tag="refused"):
    """Why there is none. ``is_circuit``: because of the circuit."""

    message: str
    is_circuit: bool


CompileAnswer = CompiledOrder | RefusedOrder


def make_order(gates: GateList, device: IbmDevice, options: Options) -> CompileOrder:
    """The order to compile this circuit."""
    arrays = (gates.opcodes, gates.qubits, gates.columns, gates.constants)
    flat = [np.ascontiguousarray(array, dtype=code).tobytes() for array, code in zip(arrays, _CODES, strict=True)]
    opcodes, qubits, columns, constants = flat
    return CompileOrder(
        gates.n_qubits, (opcodes, qubits, columns, constants), device.configuration, device.properties, options
    )


def write_message(sink: IO[bytes], message: CompileOrder | CompileAnswer) -> None:
    """Send one message. Raises OSError if the other side is gone."""
    content = msgspec.msgpack.encode(message)
    sink.write(_LENGTH.pack(len(content)) + content)
    sink.flush()


def read_message(source: IO[bytes]) -> bytes | None:
    """The next message, to be decoded; None at the end of input."""
    prefix = source.read(_LENGTH.size)
    if len(prefix) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(prefix)
    content = source.read(length)
    return content if len(content) == length else None
