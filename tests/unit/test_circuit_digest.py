"""Digests and angles: the same in every process, different for anything that changes a row."""

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit

from qorch.errors import ParameterError
from qorch.model.circuit import FIXED, Circuit
from qorch.model.qiskit.compile import compile_circuit

SCRIPT = """
from qiskit.circuit import ParameterVector, QuantumCircuit
from qorch.model.qiskit.compile import compile_circuit
x = ParameterVector("x", 6)
circuit = QuantumCircuit(2)
circuit.rx(0.1 * x[3] + x[0] / 3 - x[5] + x[1] * 2, 0)
circuit.crz(x[0] * x[4] + x[2].sin() * x[1] - x[3] ** 2 + (x[5] - x[4]).abs(), 0, 1)
circuit.mcp(x[2] * x[1], [0], 1)
compiled = compile_circuit(circuit)
print(compiled.digest.hex(), compiled.free.digest.hex(), compiled.angle_map.nonlinear[0].derivatives)
"""


def test_digests_are_the_same_in_every_process():
    """Digests and derivative programs do not depend on the hash seed of the process."""
    outputs = set()
    for seed in ("0", "1", "4242"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], env=environment, check=True, capture_output=True, text=True
        )
        outputs.add(done.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop().split()[0]) == 64


def circuit_of(build: Callable[[QuantumCircuit], object]) -> Circuit:
    """A compiled circuit of two qubits."""
    circuit = QuantumCircuit(2)
    build(circuit)
    return compile_circuit(circuit)


P, Q = Parameter("p"), Parameter("q")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda c: c.rx(0.5, 0), lambda c: c.rx(np.nextafter(0.5, 1.0), 0)),
        (lambda c: c.rx(0.5, 0), lambda c: c.ry(0.5, 0)),
        (lambda c: c.rx(0.5, 0), lambda c: c.rx(0.5, 1)),
        (lambda c: (c.x(0), c.h(0)), lambda c: (c.h(0), c.x(0))),
        (lambda c: c.cx(0, 1), lambda c: c.cx(1, 0)),
        (lambda c: c.rx(P * 2.0, 0), lambda c: c.rx(P * np.nextafter(2.0, 3.0), 0)),
        (lambda c: c.rx(P + 0.5, 0), lambda c: c.rx(P + np.nextafter(0.5, 1.0), 0)),
        (lambda c: c.rx(P, 0), lambda c: c.rx(0.0, 0)),
        (lambda c: (c.rx(P, 0), c.rx(Q, 1)), lambda c: (c.rx(Q, 0), c.rx(P, 1))),
        (lambda c: c.rx(P**2, 0), lambda c: c.rx(P**3, 0)),
        (lambda c: c.rx(P * Q, 0), lambda c: c.rx(P + Q, 0)),
        (lambda c: c.u(P, 0.0, 0.0, 0), lambda c: c.u(0.0, P, 0.0, 0)),
    ],
)
def test_digests_tell_apart_whatever_changes_the_distribution(one, other):
    """A gate, its order, its qubits, an angle one bit away or another parameter makes another digest."""
    assert circuit_of(one).digest != circuit_of(other).digest


def test_digests_do_not_depend_on_parameter_names():
    """The same circuit under other names, of the same order, has the same digest."""
    a, b = Parameter("a"), Parameter("b")
    named = circuit_of(lambda c: (c.rx(a, 0), c.rx(a * b, 1)))
    renamed = circuit_of(lambda c: (c.rx(P, 0), c.rx(P * Q, 1)))
    assert named.digest == renamed.digest
    assert named.parameters != renamed.parameters


def test_angles_of_a_row_have_the_same_bits_in_any_batch():
    """A row's angles are bit-equal alone and among others: its key depends on them."""
    x = ParameterVector("x", 5)
    compiled = circuit_of(lambda c: (c.rx(0.1 * x[0] + x[1] / 3 + x[2] * 7 - x[3] + 0.7 * x[4], 0), c.ry(x[0], 0)))
    rows = np.random.default_rng(0).normal(size=(257, 5))
    together = compiled.angle_map.angles(rows)
    alone = np.concatenate([compiled.angle_map.angles(row[np.newaxis]) for row in rows])
    np.testing.assert_array_equal(together, alone)


def test_parameters_that_drive_no_angle_are_taken_and_ignored():
    """A parameter of the global phase, or one that cancels, leaves rows without angles."""
    compiled = circuit_of(lambda c: c.rx(P - P + 0.5, 0))
    assert compiled.parameters == ("p",)
    assert compiled.angle_map.angles(np.zeros((3, 1))).shape == (3, 0)


def test_an_angle_outside_the_domain_of_its_expression_is_refused():
    """The logarithm of a negative parameter names the row."""
    compiled = circuit_of(lambda c: c.rx(P.log(), 0))
    with pytest.raises(ParameterError, match="not finite at row 1"):
        compiled.angle_map.angles(np.array([[1.0], [-1.0]]))


def test_driven_columns_follow_zero_coefficients_and_formulas():
    """A column is driven by the parameters that it really depends on."""
    x = ParameterVector("x", 3)
    compiled = circuit_of(lambda c: (c.rx(x[0] + x[1] - x[1], 0), c.ry(x[1] * x[2], 0), c.rz(x[2], 0)))
    for parameter, columns in enumerate([[0], [1], [1, 2]]):
        wanted = np.arange(3) == parameter
        assert compiled.angle_map.driven_columns(wanted).tolist() == columns


def test_gate_lists_of_equal_gates_are_one_key():
    """Compiled apart, two lists of the same gates are equal and hash alike; another angle makes another list."""
    first, same, other = (
        circuit_of(lambda circuit, angle=angle: (circuit.rx(angle, 0), circuit.cx(0, 1))).gates
        for angle in (0.3, 0.3, 0.4)
    )
    assert first is not same
    assert first == same
    assert {first: 1}[same] == 1
    assert first != other
    assert first != first.digest


def test_instructions_are_the_gates_in_order():
    """Each with its qubits, and its angles as a number or as a column of the row."""
    x = Parameter("x")
    gates = circuit_of(lambda circuit: (circuit.h(1), circuit.u(0.5, x, 0.25, 0), circuit.cx(1, 0))).gates
    found = [(gate.name, qubits, [tuple(angle) for angle in angles]) for gate, qubits, angles in gates.instructions()]
    assert found == [
        ("h", (1,), []),
        ("u", (0,), [(FIXED, 0.5), (0, 0.0), (FIXED, 0.25)]),
        ("cx", (1, 0), []),
    ]
