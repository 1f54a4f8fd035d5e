"""What the tests of IonQ's wire share: random circuits, requests, gates bound one by one, and their matrices.

The matrices are written from the formulas of IonQ's guides to its gates, with no help of the adapter.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from qorch.model.circuit import GateList, build_gate_list
from qorch.model.gates import GATES, GATES_BY_NAME
from qorch.model.job import JobRequest
from qorch.model.measurement import Measurement, RowBlock
from qorch.model.observable import X, Y
from qorch.model.samples import Samples
from qorch_providers.ionq.circuits.slots import Slot, WireCircuit

IDENTITY = np.eye(2, dtype=complex)
PAULI_X = np.array([[0, 1], [1, 0]], dtype=complex)
PAULI_Y = np.array([[0, -1j], [1j, 0]])
PAULI_Z = np.diag([1, -1]).astype(complex)
ROOT_X = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2
BARE = {
    "x": PAULI_X,
    "y": PAULI_Y,
    "z": PAULI_Z,
    "h": (PAULI_X + PAULI_Z) / np.sqrt(2),
    "s": np.diag([1, 1j]),
    "si": np.diag([1, -1j]),
    "t": np.diag([1, np.exp(0.25j * np.pi)]),
    "ti": np.diag([1, np.exp(-0.25j * np.pi)]),
    "v": ROOT_X,
    "vi": ROOT_X.conj().T,
    "cnot": PAULI_X,
    "swap": np.eye(4)[[0, 2, 1, 3]],
}
GENERATORS = {
    "rx": PAULI_X,
    "ry": PAULI_Y,
    "rz": PAULI_Z,
    "xx": np.kron(PAULI_X, PAULI_X),
    "yy": np.kron(PAULI_Y, PAULI_Y),
    "zz": np.kron(PAULI_Z, PAULI_Z),
}


def random_gates(rng: np.random.Generator, n_qubits: int, n_gates: int) -> GateList:
    """Gates of every kind on random qubits; two thirds of the angles are free, and some fixed ones are quarters."""
    fitting = [gate for gate in GATES if gate.n_qubits <= n_qubits]
    gates = []
    for index in rng.integers(len(fitting), size=n_gates):
        qubits = tuple(int(qubit) for qubit in rng.permutation(n_qubits)[: fitting[index].n_qubits])
        angles = tuple(random_angle(rng) for _ in range(fitting[index].n_angles))
        gates.append((fitting[index].opcode, qubits, angles))
    return build_gate_list(n_qubits, gates)


def random_angle(rng: np.random.Generator) -> float | None:
    """None: free."""
    kind = rng.random()
    if kind < 0.67:
        return None
    return float(rng.integers(-8, 9) * np.pi / 4) if kind < 0.8 else float(rng.uniform(-7, 7))


def gate_list(n_qubits: int, *gates: tuple[str, tuple[int, ...], tuple[float | None, ...]]) -> GateList:
    """Gates by name."""
    return build_gate_list(n_qubits, [(GATES_BY_NAME[name].opcode, qubits, angles) for name, qubits, angles in gates])


def every_gate() -> GateList:
    """Each of qorch's gates once, its angles free, on qubits out of order."""
    gates = [(gate.opcode, (2, 0, 1)[: gate.n_qubits], (None,) * gate.n_angles) for gate in GATES]
    return build_gate_list(3, gates)


def samples(n_qubits: int, basis: str = "") -> Measurement:
    """Shots of all qubits; ``basis`` has qubit 0 first, and Z where it ends."""
    letters = {"Z": 0, "X": X, "Y": Y}
    numbers = [letters[letter] for letter in basis.ljust(n_qubits, "Z")]
    return Measurement(np.array(numbers, dtype=np.uint8), is_exact=False)


def block_of(gates: GateList, angles: Any, *, basis: str = "", shots: int | None = 100) -> RowBlock:
    """Rows with streams of their own."""
    table = np.asarray(angles, dtype=np.float64).reshape(len(angles), gates.n_columns)
    measurement = samples(gates.n_qubits, basis)
    if shots is None:
        return RowBlock(gates, replace(measurement, is_exact=True), table, None)
    ordinals = np.arange(len(table), dtype=np.uint64)
    return RowBlock(gates, measurement, table, Samples(np.full_like(ordinals, 5), ordinals, shots))


def with_samples(block: RowBlock, **changes: Any) -> RowBlock:
    """The block, with other fields in its Samples."""
    assert block.samples is not None
    return replace(block, samples=replace(block.samples, **changes))


def request_of(*blocks: RowBlock) -> JobRequest:
    """One job."""
    return JobRequest("run/0.0.0", blocks)


def bind(circuit: WireCircuit, row: np.ndarray) -> list[dict[str, Any]]:
    """The gates of one row of angles ``(D,)``, as plain dictionaries, slot by slot."""
    values = circuit.values(row[np.newaxis])[0]

    def put(value: Any) -> Any:
        if isinstance(value, list):
            return [put(item) for item in value]
        return float(values[value.index]) if isinstance(value, Slot) else value

    return [{name: put(value) for name, value in gate.items()} for gate in circuit.gates]


def turned(phase: float) -> np.ndarray:
    """cos X + sin Y of a phase in turns: GPi."""
    return np.cos(2 * np.pi * phase) * PAULI_X + np.sin(2 * np.pi * phase) * PAULI_Y


def exponential(angle: float, involution: np.ndarray) -> np.ndarray:
    """exp(-i angle P) for P P = 1."""
    return np.cos(angle) * np.eye(len(involution)) - 1j * np.sin(angle) * involution


def matrix_of(gate: dict[str, Any]) -> np.ndarray:
    """The matrix on the targets, in their order, the first being the most significant."""
    name = gate["gate"]
    if name == "gpi":
        return turned(gate["phase"])
    if name == "gpi2":
        return exponential(np.pi / 4, turned(gate["phase"]))
    if name == "ms":
        first, second = (turned(phase) for phase in gate["phases"])
        return exponential(np.pi * gate["angle"], np.kron(first, second))
    if "angle" in gate:
        return exponential(np.pi * gate["angle"], GENERATORS["zz"])
    return BARE[name] if name in BARE else exponential(gate["rotation"] / 2, GENERATORS[name])


def unitary(gates: list[dict[str, Any]], n_qubits: int) -> np.ndarray:
    """The whole circuit's matrix; row and column indices have qubit 0 as the lowest bit."""
    columns = np.eye(1 << n_qubits, dtype=complex).reshape((2,) * n_qubits + (-1,))
    for gate in gates:
        targets = gate.get("targets") or [gate["target"]]
        controls = gate.get("controls") or ([gate["control"]] if "control" in gate else [])
        matrix = matrix_of(gate)
        for _ in controls:
            wider = np.eye(2 * len(matrix), dtype=complex)
            wider[len(matrix) :, len(matrix) :] = matrix
            matrix = wider
        columns = apply(columns, matrix, [n_qubits - 1 - qubit for qubit in (*controls, *targets)])
    return columns.reshape(1 << n_qubits, -1)


def apply(state: np.ndarray, matrix: np.ndarray, axes: list[int]) -> np.ndarray:
    """A matrix on some axes of a tensor, the first axis being its most significant."""
    k = len(axes)
    moved = np.tensordot(matrix.reshape((2,) * (2 * k)), state, axes=(range(k, 2 * k), axes))
    return np.moveaxis(moved, range(k), axes)
