"""IonQ's gates, QIS and native: the fields that each needs, and its matrices."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np

from qorch.errors import CircuitError
from qorch_providers.emulators.ionq.wire import GateWire
from qorch_providers.emulators.statevector import matrices
from qorch_providers.emulators.statevector.matrices import FIXED, PAULIS, Complexes, Floats

MAX_EXPONENTIAL_QUBITS = 6
"""Most qubits of an exponential of a Pauli sum, which is computed as a dense matrix."""

Make = Callable[[Floats], Complexes]


@dataclass(frozen=True)
class GateKind:
    """One kind of gate: on how many qubits (None: any number), and its matrices at angles ``(A, B)``."""

    n_targets: int | None
    make: Make


def _plain(name: str) -> GateKind:
    return GateKind(2 if name == "swap" else 1, lambda _angles: matrices.fixed(name))


def _rotation(letters: str) -> GateKind:
    return GateKind(len(letters), lambda angles: matrices.rotation(letters, angles[0]))


_QIS = MappingProxyType(
    {name: _plain(name) for name in FIXED}
    | {"not": _plain("x"), "cnot": _plain("x")}
    | {f"r{letter.lower()}": _rotation(letter) for letter in "XYZ"}
    | {letters.lower(): _rotation(letters) for letters in ("XX", "YY", "ZZ")}
)
_NATIVE = MappingProxyType(
    {
        "gpi": GateKind(1, lambda angles: matrices.gpi(angles[0])),
        "gpi2": GateKind(1, lambda angles: matrices.gpi2(angles[0])),
        "ms": GateKind(2, lambda angles: matrices.molmer_sorensen(angles[0], angles[1], angles[2])),
        # The native angle is in units of pi within the matrix; `rotation` halves radians.
        "zz": GateKind(2, lambda angles: matrices.rotation("ZZ", 2.0 * np.pi * angles[0])),
        "nop": GateKind(None, lambda _angles: matrices.fixed("x")),
    }
)
GATESETS = MappingProxyType({"qis": _QIS, "native": _NATIVE})
_PHASE = GateKind(1, lambda angles: matrices.phase(angles[0]))


def find_kind(gate: GateWire, gateset: str) -> GateKind:
    """The kind of a gate. Raises CircuitError for an unknown gate, or one that lacks a field that it needs."""
    if gate.gate == "pauliexp" and gateset == "qis":
        return _exponential(gate)
    kind = GATESETS[gateset].get(gate.gate)
    if kind is None:
        known = ", ".join(GATESETS[gateset])
        raise CircuitError(f"gate '{gate.gate}' is not in gateset '{gateset}'; it has {known}")
    is_phase = gate.gate == "z" and gate.rotation is not None and gateset == "qis"
    return _PHASE if is_phase else kind


def read_angles(gate: GateWire, gateset: str) -> tuple[float, ...]:
    """The angles of a gate in the order in which its matrices take them; () if it has none."""
    if gateset == "qis":
        return _read_qis_angles(gate)
    if gate.gate in ("gpi", "gpi2"):
        return () if gate.phase is None else (gate.phase,)
    if gate.gate == "ms":
        return (*(gate.phases or ()), 0.25 if gate.angle is None else gate.angle)
    if gate.gate == "zz":
        # The SDKs disagree on the name of this field.
        angle = gate.phase if gate.angle is None else gate.angle
        return () if angle is None else (angle,)
    return ()


def _read_qis_angles(gate: GateWire) -> tuple[float, ...]:
    if gate.gate == "pauliexp":
        return () if gate.time is None else (gate.time, *(gate.coefficients or ()))
    return () if gate.rotation is None or gate.gate in _UNTURNED else (gate.rotation,)


# A rotation beside a gate that has none is ignored; beside z it makes a phase gate.
_UNTURNED = frozenset({*FIXED, "not", "cnot"} - {"z"})
_N_ANGLES = MappingProxyType({"rx": 1, "ry": 1, "rz": 1, "xx": 1, "yy": 1, "zz": 1, "gpi": 1, "gpi2": 1, "ms": 3})


def check_angles(gate: GateWire, n_angles: int) -> None:
    """Raise CircuitError if a gate was sent without an angle that it needs."""
    wanted = 1 + len(gate.terms or ()) if gate.gate == "pauliexp" else _N_ANGLES.get(gate.gate, n_angles)
    if n_angles != wanted:
        raise CircuitError(f"gate '{gate.gate}' needs {wanted} angle(s) and has {n_angles}")


def _exponential(gate: GateWire) -> GateKind:
    terms = gate.terms or ()
    width = len(gate.targets or ())
    letters = set(PAULIS)
    if not terms or any(len(term) != width or set(term) - letters for term in terms):
        raise CircuitError("gate 'pauliexp' needs terms of I, X, Y, Z with one letter for each target")
    if width > MAX_EXPONENTIAL_QUBITS:
        raise CircuitError(f"this emulator has 'pauliexp' on at most {MAX_EXPONENTIAL_QUBITS} qubits")
    if gate.time is not None and gate.time < 0.0:
        raise CircuitError("gate 'pauliexp' needs a time of 0 or more")
    # The last letter stands on the first target, which is the most significant in a matrix.
    return GateKind(width, partial(_make_exponential, tuple(term[::-1] for term in terms)))


def _make_exponential(terms: tuple[str, ...], angles: Floats) -> Complexes:
    return matrices.pauli_exponential(terms, angles[1:], angles[0])
