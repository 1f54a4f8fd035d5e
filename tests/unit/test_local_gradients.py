"""Exact gradients of the local engines, against central differences of the reference simulator."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.errors import ParameterError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList, free_circuit
from qorch.model.observable import X, Z, parse_observable
from qorch.model.pub import Pub
from qorch.testing.reference import gate_matrix, reference_probabilities, reference_state

sys.path.insert(0, str(Path(__file__).parent))
from local_circuits import open_local, random_gates

OBSERVABLES = ("Z0", "0.5*X0 + Y1 - 0.3*Z0 Z1", "Y0 Y1", "1.5 + X0 Y1", "X0 X1 + 2*Z1 Y0")
STEP = 1e-5


def expectation(gates: GateList, angles: FloatArray, text: str) -> float:
    """The reference's expectation value of an observable on qubits 0 and 1."""
    state = reference_state(gates, angles).reshape(-1, 4)
    matrix = np.zeros((4, 4), dtype=np.complex128)
    for term in parse_observable(text).terms:
        factors = [np.eye(2), np.eye(2)]
        for qubit, letter in term.letters:
            factors[1 - qubit] = gate_matrix("z" if letter == Z else "x" if letter == X else "y")
        matrix += term.coefficient * np.kron(*factors)
    return float(np.einsum("ai,ij,aj->", state.conj(), matrix, state).real)


def slopes(function: Callable[[FloatArray], float], angles: FloatArray) -> FloatArray:
    """Central differences by every angle."""
    steps = STEP * np.eye(len(angles))
    return np.array([(function(angles + step) - function(angles - step)) / (2 * STEP) for step in steps])


@pytest.mark.parametrize(("options", "tolerance"), [("", 1e-8), ("precision=float32", 1e-5), ("engine=torch", 1e-8)])
def test_gradients_of_pauli_sums_are_exact(options: str, tolerance: float) -> None:
    """Every gate, X, Y and Z strings and constants, rows with cotangents of their own."""
    rng = np.random.default_rng(41)
    backend = open_local(options)
    for _ in range(12):
        gates = random_gates(rng, int(rng.integers(3, 6)), int(rng.integers(5, 25)))
        angles = rng.uniform(-4, 4, (2, gates.n_columns))
        cotangents = rng.normal(size=(2, len(OBSERVABLES)))
        found = backend.exact_vjp(Pub(free_circuit(gates), angles, observables=OBSERVABLES), cotangents)
        for row in range(2):

            def weighted(point: FloatArray, gates: GateList = gates, weights: FloatArray = cotangents[row]) -> float:
                return sum(w * expectation(gates, point, text) for w, text in zip(weights, OBSERVABLES, strict=True))

            np.testing.assert_allclose(found[row], slopes(weighted, angles[row]), atol=tolerance * 20, rtol=0)


@pytest.mark.parametrize("options", ["", "engine=torch"])
def test_gradients_of_the_distribution_are_exact(options: str) -> None:
    """The vector-Jacobian product of all probabilities."""
    rng = np.random.default_rng(42)
    backend = open_local(options)
    for _ in range(8):
        gates = random_gates(rng, int(rng.integers(1, 5)), int(rng.integers(3, 25)))
        angles = rng.uniform(-4, 4, (1, gates.n_columns))
        cotangents = rng.normal(size=(1, 1 << gates.n_qubits))
        pub = Pub(free_circuit(gates), angles, observables=qorch.probabilities())
        basis = np.zeros(gates.n_qubits, dtype=np.uint8)

        def weighted(
            point: FloatArray, gates: GateList = gates, basis: np.ndarray = basis, w: FloatArray = cotangents
        ) -> float:
            return float(reference_probabilities(gates, point[np.newaxis], basis=basis)[0] @ w[0])

        np.testing.assert_allclose(backend.exact_vjp(pub, cotangents)[0], slopes(weighted, angles[0]), atol=2e-7)


def test_wide_circuits_agree_between_the_engines() -> None:
    """At 17 qubits, where gates are undone one by one, torch's own differentiation gives the same."""
    rng = np.random.default_rng(43)
    gates = random_gates(rng, 17, 25)
    pub = Pub(free_circuit(gates), rng.uniform(-3, 3, (2, gates.n_columns)), observables=["Z0 Z16", "X3 + Y16"])
    cotangents = rng.normal(size=(2, 2))
    first, second = (open_local(options).exact_vjp(pub, cotangents) for options in ("", "engine=torch"))
    np.testing.assert_allclose(first, second, atol=1e-12)


def test_derivatives_chain_through_affine_and_non_linear_expressions() -> None:
    """Parameters used twice, scaled and inside a sine give the derivative of the written formula."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.ry(2 * a + 0.3, 0)
    circuit.ry((a * b).sin(), 0)
    values = np.array([[0.4, -1.2], [1.1, 0.7]])
    found = open_local().exact_vjp(Pub(circuit, values, observables=["Z0"]), np.array([[1.0], [-2.0]]))
    total = 2 * values[:, 0] + 0.3 + np.sin(values.prod(axis=1))
    outer = -np.sin(total) * np.array([1.0, -2.0])
    inner = np.cos(values.prod(axis=1))
    wanted = np.stack([outer * (2 + inner * values[:, 1]), outer * inner * values[:, 0]], axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_a_row_has_the_same_gradient_alone_and_in_a_batch() -> None:
    """Bit for bit, whatever the number of lanes and threads."""
    rng = np.random.default_rng(44)
    gates = random_gates(rng, 10, 40)
    circuit = free_circuit(gates)
    angles, cotangents = rng.uniform(-3, 3, (11, gates.n_columns)), rng.normal(size=(11, 2))
    observables = ["Z0 Z3", "X1 + Y2"]
    whole = open_local(threads=3).exact_vjp(Pub(circuit, angles, observables=observables), cotangents)
    for row in (0, 10):
        single = Pub(circuit, angles[row : row + 1], observables=observables)
        alone = open_local(threads=1).exact_vjp(single, cotangents[row : row + 1])
        assert np.array_equal(alone[0], whole[row])


def test_cotangents_of_another_shape_are_refused() -> None:
    """The message names both shapes."""
    circuit = QuantumCircuit(1)
    circuit.h(0)
    with pytest.raises(ParameterError, match=r"\(2, 1\).*\(1, 1\)"):
        open_local().exact_vjp(Pub(circuit, observables=["Z0"]), np.zeros((2, 1)))
