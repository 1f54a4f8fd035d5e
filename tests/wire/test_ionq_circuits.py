"""IonQ's circuits: the same unitaries as qorch's, in both gate sets, and templates that equal what is encoded bound."""

import time

import msgspec
import numpy as np
import pytest
from ionq_circuits import apply, bind, every_gate, gate_list, random_gates, samples, unitary

from qorch.errors import ParameterError
from qorch.testing.reference import gate_matrix, reference_probabilities
from qorch_providers.ionq.circuits.native_compiler import compile_native
from qorch_providers.ionq.circuits.qis import compile_qis
from qorch_providers.ionq.circuits.slots import iterate_gates
from qorch_providers.ionq.circuits.templates import template_of
from qorch_providers.ionq.options import MS, ZZ, parse_options

N_QUBITS = 3
Z_BASIS = np.zeros(N_QUBITS, dtype=np.uint8)


def wanted(gates, row):
    """The matrix of a circuit of qorch, from the textbook matrices of the reference simulator."""
    columns = np.eye(1 << gates.n_qubits, dtype=complex).reshape((2,) * gates.n_qubits + (-1,))
    for name, qubits, angles in iterate_gates(gates):
        values = [row[angle.column] if angle.is_free else angle.constant for angle in angles]
        columns = apply(columns, gate_matrix(name, values), [gates.n_qubits - 1 - qubit for qubit in qubits])
    return columns.reshape(1 << gates.n_qubits, -1)


def assert_equal_up_to_phases(found, expected, *, by_row):
    """``found`` is ``expected`` times one phase, or with ``by_row`` times one phase for every row."""
    overlaps = found * expected.conj()
    phases = overlaps.sum(axis=1, keepdims=True) if by_row else overlaps.sum(keepdims=True)
    np.testing.assert_allclose(found, expected * phases / np.abs(phases), atol=1e-11)


@pytest.mark.parametrize("seed", range(60))
def test_qis_circuits_are_the_same_unitaries(seed):
    """Random circuits over the whole gate list, in IonQ's QIS gates, agree up to a global phase."""
    rng = np.random.default_rng(seed)
    gates = every_gate() if seed == 0 else random_gates(rng, N_QUBITS, int(rng.integers(1, 30)))
    row = rng.uniform(-7, 7, gates.n_columns)
    found = unitary(bind(compile_qis(gates, basis=Z_BASIS), row), N_QUBITS)
    assert_equal_up_to_phases(found, wanted(gates, row), by_row=False)


@pytest.mark.parametrize(("entangler", "pieces"), [(ZZ, 1), (MS, 1), (MS, 2)])
@pytest.mark.parametrize("seed", range(40))
def test_native_circuits_are_the_same_unitaries(seed, entangler, pieces):
    """In native gates they agree up to a global phase and the final rotations about Z, which measuring cannot see."""
    rng = np.random.default_rng(seed)
    gates = every_gate() if seed == 0 else random_gates(rng, N_QUBITS, int(rng.integers(1, 30)))
    row = rng.uniform(-7, 7, gates.n_columns)
    circuit = compile_native(gates, basis=Z_BASIS, entangler=entangler, pieces=pieces)
    found = unitary(bind(circuit, row), N_QUBITS)
    assert_equal_up_to_phases(found, wanted(gates, row), by_row=True)


@pytest.mark.parametrize("text", ["simulator", "simulator,gateset=native", "simulator,gateset=native,two_qubit=zz"])
@pytest.mark.parametrize("basis", ["XYZ", "YYX", "ZXY"])
def test_bases_are_measured_by_rotating_into_z(text, basis):
    """Outcome probabilities in X and Y are those of the reference, asymmetric states and all, in both gate sets."""
    rng = np.random.default_rng(3)
    gates = random_gates(rng, N_QUBITS, 20)
    row = rng.uniform(-3, 3, gates.n_columns)
    measurement = samples(N_QUBITS, basis)
    template = template_of(gates, measurement, parse_options(text))
    (wire,) = template.rows(row[np.newaxis])
    found = np.abs(unitary(msgspec.json.decode(wire), N_QUBITS)[:, 0]) ** 2
    expected = reference_probabilities(gates, row[np.newaxis], basis=measurement.basis)[0]
    np.testing.assert_allclose(found, expected, atol=1e-11)


def test_bit_order_is_ionqs():
    """Qubit 0 flipped is outcome 1, qubit 2 flipped outcome 4: IonQ's qubit 0 is the lowest bit, as qorch's is."""
    for qubit in range(N_QUBITS):
        gates = gate_list(N_QUBITS, ("x", (qubit,), ()))
        for text in ("simulator", "simulator,gateset=native"):
            (wire,) = template_of(gates, samples(N_QUBITS), parse_options(text)).rows(np.empty((1, 0)))
            outcome = np.abs(unitary(msgspec.json.decode(wire), N_QUBITS)[:, 0]).argmax()
            assert outcome == 1 << qubit


@pytest.mark.parametrize("entangler", [MS, ZZ])
def test_native_numbers_stay_in_ionqs_range(entangler):
    """Phases lie between 0 and 1 and entangling angles within a quarter turn, for angles of any size."""
    rng = np.random.default_rng(7)
    gates = every_gate()
    angles = rng.uniform(-50, 50, (200, gates.n_columns))
    template = template_of(gates, samples(3), parse_options(f"simulator,gateset=native,two_qubit={entangler}"))
    for row in template.rows(angles):
        for gate in msgspec.json.decode(row):
            assert all(0 <= phase <= 1 for phase in [gate.get("phase", 0), *gate.get("phases", [])])
            assert abs(gate.get("angle", 0)) <= 0.25 + 1e-12
            assert gate["gate"] != "ms" or gate["angle"] >= 0


def test_small_ms_rotations_take_one_gate():
    """A rotation that one partially entangling gate can make is one gate, a larger one two, row by row."""
    gates = gate_list(2, ("rxx", (0, 1), (None,)))
    template = template_of(gates, samples(2), parse_options("simulator,gateset=native"))
    rows = [msgspec.json.decode(row) for row in template.rows(np.array([[0.3], [2.0], [-1.5], [-3.0]]))]
    assert [len(row) for row in rows] == [1, 2, 1, 2]
    assert rows[0][0] == {"gate": "ms", "targets": [0, 1], "phases": [0.0, 0.0], "angle": 0.3 / (2 * np.pi)}


def test_the_shape_of_each_gate():
    """Field names and forms are those that IonQ's own clients send."""
    gates = gate_list(
        3,
        ("ry", (0,), (0.3,)),
        ("cx", (0, 1), ()),
        ("rzz", (0, 1), (0.2,)),
        ("ccx", (2, 0, 1), ()),
        ("cz", (0, 2), ()),
        ("sdg", (2,), ()),
        ("sx", (1,), ()),
    )
    (row,) = template_of(gates, samples(3), parse_options("simulator")).rows(np.empty((1, 0)))
    assert msgspec.json.decode(row) == [
        {"gate": "ry", "target": 0, "rotation": 0.3},
        {"gate": "cnot", "control": 0, "target": 1},
        {"gate": "zz", "targets": [0, 1], "rotation": 0.2},
        {"gate": "x", "targets": [1], "controls": [2, 0]},
        {"gate": "z", "targets": [2], "controls": [0]},
        {"gate": "si", "target": 2},
        {"gate": "v", "target": 1},
    ]


def test_angles_that_are_not_finite_are_refused():
    """JSON has no infinity; the row is named."""
    gates = gate_list(1, ("rx", (0,), (None,)))
    with pytest.raises(ParameterError, match="row 1"):
        template_of(gates, samples(1), parse_options("simulator")).rows(np.array([[1.0], [np.inf]]))


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_a_circuit_costs_microseconds():
    """The best of many tries at 1,500 rows of 96 gates and 40 angles: 60 µs a row at most (10 on an idle core)."""
    turns = [("ry", (qubit,), (None,)) for qubit in range(8)]
    ring = [("cx", (qubit, (qubit + 1) % 8), ()) for qubit in range(8)]
    extra = [("h", (qubit % 8,), ()) for qubit in range(16)]
    gates = gate_list(8, *(turns + ring) * 5, *extra)
    assert (gates.n_gates, gates.n_columns) == (96, 40)
    angles = np.random.default_rng(0).normal(size=(1500, 40))
    template = template_of(gates, samples(8), parse_options("simulator"))
    seconds = []
    for _ in range(12):
        started = time.perf_counter()
        template.rows(angles)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) / 1500 <= 60e-6, f"{min(seconds) / 1500 * 1e6:.1f} µs"
