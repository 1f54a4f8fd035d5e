"""Braket's programs: the same distributions as qorch's circuits, in any gates that a device declares."""

import numpy as np
import pytest
from braket.devices import LocalSimulator
from braket.ir.openqasm import Program as SdkProgram
from braket_circuits import GATE_SETS, SV1, device_of, gate_lines, program, unitary
from ionq_circuits import every_gate, gate_list, random_gates, samples

from qorch.errors import CircuitError, ParameterError
from qorch.model.gates import GATES
from qorch.model.measurement import Measurement
from qorch.testing.reference import reference_parities, reference_probabilities
from qorch_providers.braket.options import parse_options

N_QUBITS = 3
GARNET = "garnet,verbatim=on,rewiring=off"


def asymmetric(*more):
    """Every qubit in a state of its own, entangled with the others, and then the given gates."""
    turns = [("u", (qubit,), (0.5 + qubit, 1.1 - qubit, 0.3)) for qubit in range(N_QUBITS)]
    return gate_list(N_QUBITS, *turns, ("rxx", (0, 1), (0.7,)), ("rzx", (1, 2), (0.9,)), *more)


def assert_same_probabilities(gates, row, measurement, device):
    """The program's probabilities, by the SDK's matrices, are those of the reference simulator."""
    found = program(gates, measurement, device)
    assert {line[0] for line in gate_lines(found, row)} <= device.gates
    probabilities = np.abs(unitary(found, row, gates.n_qubits)[:, 0]) ** 2
    expected = reference_probabilities(gates, row[np.newaxis], basis=measurement.basis)[0]
    np.testing.assert_allclose(probabilities, expected, atol=1e-10)


@pytest.mark.parametrize("name", GATE_SETS)
def test_every_gate_in_every_gate_set(name):
    """Each of qorch's gates, on qubits out of order and at any angle, is written in the gates that there are."""
    for gate in GATES:
        gates = asymmetric((gate.name, (2, 0, 1)[: gate.n_qubits], (None,) * gate.n_angles))
        row = np.random.default_rng(gate.opcode).uniform(-7, 7, gates.n_columns)
        for basis in ("ZZZ", "XYZ", "YXX"):
            assert_same_probabilities(gates, row, samples(N_QUBITS, basis), device_of(name))


@pytest.mark.parametrize("part", range(10))
def test_random_circuits(part):
    """500 random circuits over all gates, in all gate sets and bases, have the probabilities of the reference."""
    names = list(GATE_SETS)
    for seed in range(50 * part, 50 * part + 50):
        rng = np.random.default_rng(seed)
        gates = random_gates(rng, N_QUBITS, int(rng.integers(1, 12)))
        row = rng.uniform(-7, 7, gates.n_columns)
        basis = "".join(rng.choice(list("XYZ"), N_QUBITS))
        assert_same_probabilities(gates, row, samples(N_QUBITS, basis), device_of(names[seed % len(names)]))


def simulate(found, row, *, shots=0):
    """What the SDK's simulator makes of the source as it stands."""
    inputs = dict(zip(found.names, found.values(row[np.newaxis])[0].tolist(), strict=True))
    return LocalSimulator().run(SdkProgram(source=found.source, inputs=inputs), shots=shots).result()


@pytest.mark.parametrize("name", ["sv1", "forte", "garnet-native"])
def test_the_sdk_simulates_the_source(name):
    """Braket's simulator reads the OpenQASM, and its exact probabilities, qubit 0 leftmost, are the reference's."""
    gates = every_gate()
    row = np.random.default_rng(4).uniform(-7, 7, gates.n_columns)
    measurement = Measurement(samples(3, "XYZ").basis, is_exact=True)
    values = simulate(program(gates, measurement, device_of(name)), row).values[0]
    expected = reference_probabilities(gates, row[np.newaxis], basis=measurement.basis)[0]
    np.testing.assert_allclose(np.reshape(values, (2, 2, 2)).transpose(2, 1, 0).ravel(), expected, atol=1e-10)


def test_parities_are_asked_for_one_by_one():
    """A few masks become a pragma each, in their order, the empty one too; their values are exact."""
    gates = asymmetric(("ry", (1,), (None,)))
    masks = np.array([0b101, 0b010, 0, 0b111], dtype=np.uint64)
    measurement = Measurement(samples(3, "YXZ").basis, is_exact=True, masks=masks)
    found = program(gates, measurement, device_of())
    assert found.source.splitlines()[-4:] == [
        "#pragma braket result expectation z(q[0]) @ z(q[2])",
        "#pragma braket result expectation z(q[1])",
        "#pragma braket result expectation i(q[0])",
        "#pragma braket result expectation z(q[0]) @ z(q[1]) @ z(q[2])",
    ]
    row = np.array([0.4])
    probabilities = reference_probabilities(gates, row[np.newaxis], basis=measurement.basis)
    expected = reference_parities(probabilities, masks)[0]
    np.testing.assert_allclose(simulate(found, row).values, expected, atol=1e-10)


def test_many_parities_come_from_the_probabilities():
    """More masks than outcomes: all probabilities are less to ask for."""
    masks = np.arange(5, dtype=np.uint64)
    measurement = Measurement(samples(2).basis, is_exact=True, masks=masks)
    found = program(gate_list(2, ("h", (0,), ())), measurement, device_of())
    assert found.source.endswith("#pragma braket result probability q[0], q[1]")


def test_shots_of_the_sdk_have_qubit_0_first():
    """All qubits are measured in their order: a flipped qubit 0 is the first bit of every shot."""
    found = program(gate_list(3, ("x", (0,), ())), samples(3), device_of())
    result = simulate(found, np.empty(0), shots=5)
    assert result.measured_qubits == [0, 1, 2]
    assert result.measurements.tolist() == [[1, 0, 0]] * 5


def test_the_source_as_it_is_sent():
    """An input for each distinct number of a row, fixed angles in place, and the rotations before measuring."""
    gates = gate_list(2, ("ry", (0,), (None,)), ("crz", (0, 1), (None,)), ("rx", (1,), (0.25,)))
    found = program(gates, samples(2, "ZY"), device_of("forte"))
    assert found.source.splitlines() == [
        "OPENQASM 3.0;",
        "input float a0;",
        "input float a1;",
        "input float a2;",
        "bit[2] b;",
        "qubit[2] q;",
        "ry(a0) q[0];",
        "rz(a1) q[1];",
        "zz(a2) q[0], q[1];",
        "rx(0.25) q[1];",
        "si q[1];",
        "h q[1];",
        "b[0] = measure q[0];",
        "b[1] = measure q[1];",
    ]
    assert (found.n_one_qubit, found.n_two_qubit) == (5, 1)
    assert found.values(np.array([[0.5, 1.0]])).tolist() == [[0.5, 0.5, -0.5]]


def test_equal_numbers_are_one_input():
    """A controlled phase uses half of its angle on two qubits: one input, not two."""
    gates = gate_list(2, ("cp", (0, 1), (None,)))
    assert program(gates, samples(2), device_of("forte")).names == ("a0", "a1")


def test_verbatim_boxes_name_physical_qubits():
    """The device's own gates on its own qubits, which need not begin at 0; the rotations are in the box, too."""
    gates = gate_list(2, ("rx", (0,), (None,)), ("cz", (0, 1), ()))
    device = device_of("sv1", native_gates=GATE_SETS["garnet-native"], qubits=tuple(range(1, 21)))
    found = program(gates, samples(2, "ZX"), device, parse_options(GARNET))
    assert found.source.splitlines() == [
        "OPENQASM 3.0;",
        "input float a0;",
        "bit[2] b;",
        "#pragma braket verbatim",
        "box{",
        "prx(a0, 0.0) $1;",
        "cz $1, $2;",
        "prx(1.5707963267948966, 1.5707963267948966) $2;",
        "prx(3.141592653589793, 0.0) $2;",
        "}",
        "b[0] = measure $1;",
        "b[1] = measure $2;",
    ]
    assert simulate(found, np.array([np.pi]), shots=3).measured_qubits == [1, 2]


def test_kept_qubits_are_physical_ones():
    """Without rewiring a circuit names physical qubits, in any gates that the device compiles."""
    device = device_of("forte", qubits=(3, 5))
    found = program(gate_list(2, ("cx", (1, 0), ())), samples(2), device, parse_options("garnet,rewiring=off"))
    assert "cnot $5, $3;" in found.source.splitlines()
    with pytest.raises(CircuitError, match="has 3 qubits; SV1 has 2"):
        program(gate_list(3, ("h", (2,), ())), samples(3), device, parse_options("garnet,rewiring=off"))


def test_a_gate_that_cannot_be_written_is_named():
    """The error says which gate, and what the device has."""
    device = device_of(frozenset({"rx", "rz", "barrier"}))
    program(gate_list(2, ("ry", (0,), (0.1,))), samples(2), device)
    with pytest.raises(CircuitError, match=r"gate 'cx' cannot be written .* barrier, rx, rz"):
        program(gate_list(2, ("cx", (0, 1), ())), samples(2), device)


def test_numbers_must_be_finite():
    """JSON has no infinity; the row is named, and so is a fixed angle."""
    found = program(gate_list(1, ("rx", (0,), (None,))), samples(1), device_of())
    with pytest.raises(ParameterError, match="row 1"):
        found.values(np.array([[1.0], [np.nan]]))
    with pytest.raises(CircuitError, match="nan, which is not finite"):
        program(gate_list(1, ("rx", (0,), (np.nan,))), samples(1), device_of())


def test_programs_are_kept():
    """The same circuit and measurement on the same gates is compiled once."""
    gates, device = every_gate(), device_of()
    assert program(gates, samples(3), device) is program(gates, samples(3), device_of(), SV1)
    assert program(gates, samples(3, "X"), device) is not program(gates, samples(3), device)
