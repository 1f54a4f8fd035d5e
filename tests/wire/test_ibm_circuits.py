"""IBM's circuits: what is sent has the distributions of qorch's circuits, on any layout and in any device's gates."""

import msgspec
import numpy as np
import pytest
from ibm_circuits import COMPILER, body_of, device_of, documents, options_of, probabilities, read_body
from ionq_circuits import block_of, every_gate, gate_list, random_gates, request_of
from qiskit_ibm_runtime.utils.validations import validate_isa_circuits

from qorch.errors import CircuitError
from qorch.model.gates import GATES
from qorch.testing.reference import reference_probabilities
from qorch_providers.ibm.circuits.transpiling import target_of
from qorch_providers.ibm.device import read_device

TARGETS = {
    "fez": ("fez", "ibm_fez", False),
    "fez-fractional": ("fez", "ibm_fez,fractional=on", True),
    "brisbane": ("brisbane", "ibm_brisbane,optimization=3,seed=5", False),
    "lagos": ("lagos", "ibm_lagos,optimization=1,layout=5-0-3-6", False),
    "nighthawk": ("nighthawk", "ibm_nighthawk,optimization=0,layout=7-12-1-18", False),
    "fez-sampler": ("fez", "ibm_fez,program=sampler,layout=24-21-23", False),
}
"""Device, options and whether fractional gates are there: gates of cz, rzz, ecr and cx, and layouts far apart."""
N_QUBITS = 3


def set_up(name):
    """Device and options of a target."""
    record, text, is_fractional = TARGETS[name]
    return device_of(record, fractional=is_fractional), options_of(text)


def asymmetric(*more):
    """Every qubit in a state of its own, entangled with the others, and then the given gates."""
    turns = [("u", (qubit,), (0.5 + qubit, 1.1 - qubit, 0.3)) for qubit in range(N_QUBITS)]
    return gate_list(N_QUBITS, *turns, ("rxx", (0, 1), (0.7,)), ("rzx", (1, 2), (0.9,)), *more)


def assert_same(blocks, name):
    """The circuits of a body have the distributions of the blocks, and are what the device takes."""
    device, options = set_up(name)
    sent = read_body(body_of(request_of(*blocks), device, options))
    assert len(sent) == len(blocks)
    for (circuit, values, shots), block in zip(sent, blocks, strict=True):
        assert shots == block.shots
        assert values.shape == (block.n_rows, circuit.num_parameters)
        expected = reference_probabilities(block.gates, block.angles, basis=block.measurement.basis)
        np.testing.assert_allclose(probabilities(circuit, values), expected, atol=1e-9)
        assert [register.name for register in circuit.cregs] == ["meas"]
        validate_isa_circuits([circuit], target_of(device, has_fractional=options.has_fractional))
        assert_folded(circuit, values)


def assert_folded(circuit, values):
    """Every rzz has an angle from 0 to a quarter turn."""
    for row in values:
        bound = circuit.assign_parameters(dict(zip(circuit.parameters, row, strict=True)))
        angles = [float(item.operation.params[0]) for item in bound.data if item.name == "rzz"]
        assert all(0.0 <= angle <= np.pi / 2 for angle in angles)


@pytest.mark.parametrize("name", TARGETS)
def test_every_gate_on_every_device(name):
    """Each of qorch's gates, on qubits out of order and at any angle, in all bases, in the gates of each device."""
    rng = np.random.default_rng(1)
    for gate in GATES:
        gates = asymmetric((gate.name, (2, 0, 1)[: gate.n_qubits], (None,) * gate.n_angles))
        angles = rng.uniform(-7, 7, (2, gates.n_columns))
        assert_same([block_of(gates, angles, basis=basis) for basis in ("ZZZ", "XYZ", "YXX")], name)


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(part, marks=pytest.mark.soak) for part in (2, 3, 4))])
def test_random_circuits(part):
    """Ten random circuits over all gates, in random bases and on all devices, have the reference's distributions."""
    names = list(TARGETS)
    for seed in range(10 * part, 10 * part + 10):
        rng = np.random.default_rng(seed)
        n_qubits = int(rng.integers(1, 5))
        name = names[seed % 6] if n_qubits < 4 else names[seed % 4]
        gates = random_gates(rng, n_qubits, int(rng.integers(1, 25)))
        blocks = [
            block_of(gates, rng.uniform(-9, 9, (3, gates.n_columns)), basis="".join(rng.choice(list("ZXY"), n_qubits)))
            for _ in range(2)
        ]
        assert_same(blocks, name)


@pytest.mark.parametrize("name", TARGETS)
def test_fixed_and_free_angles_at_the_edges(name):
    """Angles at and beyond the borders of quarter turns, given by the circuit or by the row, change nothing."""
    turns = [-4.0, -3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.5, 7.0]
    angles = [[turn * np.pi + nudge] for turn in turns for nudge in (-1e-12, 0.0, 0.3)]
    gates = asymmetric(("rzz", (0, 2), (None,)), ("rzz", (1, 2), (-2.1,)), ("rzz", (0, 1), (np.pi,)), ("h", (0,), ()))
    assert_same([block_of(gates, angles, basis="YXZ")], name)


@pytest.mark.parametrize("program", ["executor", "sampler"])
def test_rows_of_a_circuit_without_free_angles(program):
    """Rows without numbers are rows still."""
    device, options = device_of(), options_of(f"ibm_fez,program={program}")
    gates = asymmetric()
    ((circuit, values, shots),) = read_body(body_of(request_of(block_of(gates, np.zeros((5, 0)))), device, options))
    assert values.shape == (5, 0)
    assert shots == 100
    assert circuit.num_parameters == 0


def test_the_layout_that_was_asked_for():
    """Qubits start where layout= puts them."""
    gates = gate_list(3, ("x", (0,), ()), ("h", (1,), ()), ("s", (2,), ()))
    isa = COMPILER.compile(gates, device=device_of(), options=options_of("ibm_fez,layout=97-15-40"))
    assert isa.layout == (97, 15, 40)


def test_a_layout_that_is_too_short():
    """A layout with fewer qubits than the circuit is refused, by name."""
    with pytest.raises(CircuitError, match="layout= names 2"):
        COMPILER.compile(every_gate(), device=device_of(), options=options_of("ibm_fez,layout=3-5"))


@pytest.mark.parametrize("properties", [b"", b"{}", b"null"])
def test_a_device_without_a_calibration(properties):
    """As simulators and new devices are: circuits are compiled for its gates and couplings alone."""
    configuration, _ = documents("lagos")
    device = read_device(msgspec.json.encode(configuration), properties)
    isa = COMPILER.compile(gate_list(2, ("cx", (0, 1), ())), device=device, options=options_of("ibm_lagos"))
    assert isa.n_two_qubit == 1


def test_fractional_gates_are_used_only_if_they_are_asked_for():
    """Without the option a device's rzz and rx are left alone."""
    gates = asymmetric(("rzz", (0, 1), (None,)), ("rx", (2,), (None,)))
    device = device_of("fez", fractional=True)
    for text, expected in (("ibm_fez", False), ("ibm_fez,fractional=on", True)):
        isa = COMPILER.compile(gates, device=device, options=options_of(text))
        assert ("rzz" in isa.circuit.count_ops()) is expected
