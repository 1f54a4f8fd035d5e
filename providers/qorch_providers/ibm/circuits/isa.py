"""A circuit in a device's own gates on its own qubits, and the numbers that rows of angles put into it."""

import hashlib
import io
import math
from dataclasses import dataclass
from functools import lru_cache

import msgspec
import numpy as np
from qiskit import ClassicalRegister, QuantumCircuit, qpy
from qiskit.exceptions import QiskitError

from qorch.errors import ParameterError
from qorch.model.arrays import FloatArray
from qorch.model.observable import X, Y
from qorch_providers.ibm.circuits.folding import AngleKind, derive

QPY_VERSION = min(17, qpy.QPY_VERSION)
"""The newest that IBM's sampler reads."""
REGISTER = "meas"
"""The name of the classical register; its bit q is qubit q of the circuit as it was given."""
_KEPT = 64


class IsaSlot(msgspec.Struct, frozen=True, array_like=True):
    """A parameter of a compiled circuit: ``kind`` of the angle ``sum(factors * row[columns]) + offset`` in radians."""

    name: str
    columns: tuple[int, ...]
    factors: tuple[float, ...]
    offset: float
    kind: AngleKind


@dataclass(frozen=True, eq=False)
class IsaCircuit:
    """A compiled circuit, not measured yet. ``digest``: 32 bytes that change with its gates, its slots and its layout.

    ``layout``: the physical qubit on which each qubit of the circuit is at the end. ``slots``: one for each parameter
    of ``circuit``, in their order there. ``n_one_qubit``, ``n_two_qubit``: its gates on one qubit and on two.
    """

    circuit: QuantumCircuit
    layout: tuple[int, ...]
    slots: tuple[IsaSlot, ...]
    n_one_qubit: int
    n_two_qubit: int
    digest: bytes

    def values(self, angles: FloatArray) -> FloatArray:
        """What rows of ``angles (R, D)`` put in place of the P parameters, ``(R, P)``.

        Raises ParameterError for an angle that is not finite.
        """
        values = np.empty((len(angles), len(self.slots)))
        for place, slot in enumerate(self.slots):
            column = np.full(len(angles), slot.offset)
            for index, factor in zip(slot.columns, slot.factors, strict=True):
                column += factor * angles[:, index]
            values[:, place] = derive(column, slot.kind)
        if not np.isfinite(values).all():
            row = int(np.argwhere(~np.isfinite(values))[0, 0])
            raise ParameterError(f"an angle of row {row} is not finite; check the parameter values")
        return values


class _Header(msgspec.Struct):
    """What is kept beside the QPY of a compiled circuit."""

    layout: tuple[int, ...]
    slots: tuple[IsaSlot, ...]


def encode_isa(circuit: QuantumCircuit, layout: tuple[int, ...], slots: tuple[IsaSlot, ...]) -> bytes:
    """A compiled circuit as one line of JSON and a QPY file."""
    by_name = {slot.name: slot for slot in slots}
    ordered = tuple(by_name[parameter.name] for parameter in circuit.parameters)
    return msgspec.json.encode(_Header(layout, ordered)) + b"\n" + write_qpy([circuit])


def decode_isa(content: bytes) -> IsaCircuit:
    """The inverse of ``encode_isa``. Raises ValueError for any other content."""
    header_bytes, _, rest = content.partition(b"\n")
    try:
        header = msgspec.json.decode(header_bytes, type=_Header)
        (circuit,) = qpy.load(io.BytesIO(rest))
    except (msgspec.MsgspecError, QiskitError, EOFError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"this is no compiled circuit: {error}") from error
    if [slot.name for slot in header.slots] != [parameter.name for parameter in circuit.parameters]:
        raise ValueError("the parameters of a compiled circuit are not those that were kept with it")
    widths = [len(item.qubits) for item in circuit.data]
    digest = hashlib.sha256(content).digest()
    return IsaCircuit(circuit, header.layout, header.slots, widths.count(1), widths.count(2), digest)


def write_qpy(circuits: list[QuantumCircuit]) -> bytes:
    """A QPY file."""
    stream = io.BytesIO()
    qpy.dump(circuits, stream, version=QPY_VERSION)
    return stream.getvalue()


@lru_cache(maxsize=_KEPT)
def measured_circuit(isa: IsaCircuit, basis: bytes) -> QuantumCircuit:
    """The circuit with all its qubits measured in a basis, ``(n,)`` bytes of Z, X, Y."""
    circuit = rotated_circuit(isa, basis)
    register = ClassicalRegister(len(isa.layout), REGISTER)
    circuit.add_register(register)
    circuit.measure(list(isa.layout), register)
    return circuit


def rotated_circuit(isa: IsaCircuit, basis: bytes) -> QuantumCircuit:
    """The circuit, and the gates after which a measurement in Z is one in the basis.

    An ``sx`` turns Y into Z, and X after a quarter turn about Z: one pulse, and none for Z.
    """
    circuit = isa.circuit.copy()
    for physical, letter in zip(isa.layout, basis, strict=True):
        if letter == X:
            circuit.rz(math.pi / 2, physical)
        if letter in (X, Y):
            circuit.sx(physical)
    return circuit
