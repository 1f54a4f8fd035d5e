"""A slow, independent simulator to test adapters against: textbook matrices, dense states, plain numpy.

It shares no code with any adapter. Matrices are written in the textbook order, the first qubit of a gate being
the most significant; states are tensors whose axis ``n - 1 - q`` is qubit q.
"""

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import ByteArray, FloatArray, UIntArray
from qorch.model.circuit import FIXED, GateList
from qorch.model.gates import GATES
from qorch.model.observable import X, Y, Z
from qorch.model.pauli_sums import NO_LETTER, PauliSums

Matrix = npt.NDArray[np.complexfloating[Any, Any]]

_I = np.eye(2, dtype=np.complex128)
_PAULI_X = np.array([[0, 1], [1, 0]], dtype=np.complex128)
_PAULI_Y = np.array([[0, -1j], [1j, 0]], dtype=np.complex128)
_PAULI_Z = np.array([[1, 0], [0, -1]], dtype=np.complex128)
_H = (_PAULI_X + _PAULI_Z) / np.sqrt(2.0)
_S = np.diag([1, 1j])
_SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2.0


def _phase(angle: float) -> Matrix:
    return np.diag([1.0, np.exp(1j * angle)])


def _rotation(*generator: Matrix) -> Callable[[float], Matrix]:
    """``exp(-i angle/2 G)`` for an involution G, the tensor product of the given matrices."""
    product: Matrix = generator[0]
    for factor in generator[1:]:
        product = np.kron(product, factor)
    identity = np.eye(len(product))
    return lambda angle: np.cos(angle / 2) * identity - 1j * np.sin(angle / 2) * product


def _general(theta: float, phi: float, lam: float) -> Matrix:
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    return np.array([[c, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]])


def _controlled(matrix: Matrix) -> Matrix:
    size = len(matrix)
    whole = np.eye(2 * size, dtype=np.complex128)
    whole[size:, size:] = matrix
    return whole


_SWAP = np.eye(4, dtype=np.complex128)[[0, 2, 1, 3]]
_FIXED = MappingProxyType(
    {
        "x": _PAULI_X,
        "y": _PAULI_Y,
        "z": _PAULI_Z,
        "h": _H,
        "s": _S,
        "sdg": _S.conj(),
        "t": _phase(np.pi / 4),
        "tdg": _phase(-np.pi / 4),
        "sx": _SX,
        "sxdg": _SX.conj().T,
        "cx": _controlled(_PAULI_X),
        "cy": _controlled(_PAULI_Y),
        "cz": _controlled(_PAULI_Z),
        "ch": _controlled(_H),
        "swap": _SWAP,
        "ccx": _controlled(_controlled(_PAULI_X)),
    }
)
_PARAMETRIC: MappingProxyType[str, Callable[..., Matrix]] = MappingProxyType(
    {
        "rx": _rotation(_PAULI_X),
        "ry": _rotation(_PAULI_Y),
        "rz": _rotation(_PAULI_Z),
        "p": _phase,
        "u": _general,
        "crx": lambda angle: _controlled(_rotation(_PAULI_X)(angle)),
        "cry": lambda angle: _controlled(_rotation(_PAULI_Y)(angle)),
        "crz": lambda angle: _controlled(_rotation(_PAULI_Z)(angle)),
        "cp": lambda angle: _controlled(_phase(angle)),
        "rxx": _rotation(_PAULI_X, _PAULI_X),
        "ryy": _rotation(_PAULI_Y, _PAULI_Y),
        "rzz": _rotation(_PAULI_Z, _PAULI_Z),
        "rzx": _rotation(_PAULI_Z, _PAULI_X),
    }
)


def gate_matrix(name: str, angles: Sequence[float] = ()) -> Matrix:
    """The unitary of a gate of qorch.model.gates, ``(2**k, 2**k)``."""
    return _FIXED[name] if name in _FIXED else _PARAMETRIC[name](*angles)


def reference_state(gates: GateList, angles: FloatArray) -> Matrix:
    """The final state ``(2,) * n`` at one row of angles ``(D,)``."""
    n = gates.n_qubits
    state: Matrix = np.zeros((2,) * n, dtype=np.complex128)
    state[(0,) * n] = 1.0
    for opcode, wires, columns, constants in zip(
        gates.opcodes, gates.qubits, gates.columns, gates.constants, strict=True
    ):
        gate = GATES[opcode]
        values = [constants[slot] if columns[slot] == FIXED else angles[columns[slot]] for slot in range(gate.n_angles)]
        state = _apply(state, gate_matrix(gate.name, values), wires[: gate.n_qubits].tolist())
    return state


def _apply(state: Matrix, matrix: Matrix, qubits: list[int]) -> Matrix:
    k = len(qubits)
    axes = [state.ndim - 1 - qubit for qubit in qubits]
    moved = np.tensordot(matrix.reshape((2,) * (2 * k)), state, axes=(range(k, 2 * k), axes))
    return np.moveaxis(moved, range(k), axes)


def reference_probabilities(gates: GateList, angles: FloatArray, *, basis: ByteArray) -> FloatArray:
    """Outcome probabilities ``(R, 2**n)`` at angles ``(R, D)``, each qubit measured in its letter of ``basis``."""
    table = []
    for row in angles:
        state = reference_state(gates, row)
        for qubit, letter in enumerate(basis.tolist()):
            if letter in (X, Y):
                state = _apply(state, _H if letter == X else _H @ _S.conj(), [qubit])
        table.append(np.abs(state.reshape(-1)) ** 2)
    return np.stack(table)


def reference_parities(probabilities: FloatArray, masks: UIntArray) -> FloatArray:
    """Expectation values ``(R, M)`` of the parities ``masks`` under probabilities ``(R, 2**n)``."""
    outcomes = np.arange(probabilities.shape[1], dtype=np.uint64)
    signs = 1.0 - 2.0 * (np.bitwise_count(outcomes[:, None] & masks[None, :]) % 2)
    return np.asarray(probabilities @ signs)


def reference_sums(gates: GateList, angles: FloatArray, sums: PauliSums) -> FloatArray:
    """Exact expectation values ``(R, M)`` of sums of Pauli strings at angles ``(R, D)``."""
    values = np.zeros((len(angles), len(sums)))
    for letters, coefficient, place in zip(sums.letters, sums.coefficients, sums.sum_of_string, strict=True):
        basis = np.where(letters == NO_LETTER, Z, letters).astype(np.uint8)
        mask = np.uint64(sum(1 << int(qubit) for qubit in np.flatnonzero(letters != NO_LETTER)))
        probabilities = reference_probabilities(gates, angles, basis=basis)
        values[:, place] += coefficient * reference_parities(probabilities, np.array([mask]))[:, 0]
    return values


def chi_square_sigmas(observed: FloatArray, probabilities: FloatArray) -> float:
    """How unlikely a histogram is by Pearson's statistic, in standard deviations of a normal number.

    The cube root of the statistic is nearly normal (Wilson and Hilferty); the statistic itself is not, if few outcomes
    are counted. Outcomes that are expected fewer than five times count as one; infinite if an impossible outcome was
    seen.
    """
    expected = probabilities * observed.sum()
    if observed[expected < 1e-9].any():
        return float("inf")
    is_rare = expected < 5.0
    seen = np.append(observed[~is_rare], observed[is_rare].sum())
    wanted = np.append(expected[~is_rare], expected[is_rare].sum())
    if wanted[-1] < 1.0:
        seen, wanted = seen[:-1], wanted[:-1]
    freedom = max(1, len(wanted) - 1)
    statistic = float(((seen - wanted) ** 2 / wanted).sum())
    spread = 2.0 / (9.0 * freedom)
    return float(((statistic / freedom) ** (1.0 / 3.0) - (1.0 - spread)) / np.sqrt(spread))
