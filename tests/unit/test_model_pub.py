"""Pubs: parameter values, shots and batches are checked before anything runs."""

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit

from qorch.errors import CircuitError, ObservableError, ParameterError, ShotsError, UsageError
from qorch.model.pub import Pub, as_batch

X = ParameterVector("x", 2)
CIRCUIT = QuantumCircuit(2)
CIRCUIT.rx(X[0], 0)
CIRCUIT.ry(X[1], 1)


@pytest.mark.parametrize("values", [[0.1, 0.2], [[0.1, 0.2]], np.float32([[0.5, 1.0]]), [[1, 2], [3, 4]], [True, 0]])
def test_numbers_of_any_kind_become_rows(values):
    """A single row may be flat; integers and single precision become float64."""
    pub = Pub(CIRCUIT, values)
    assert pub.parameter_values.dtype == np.float64
    np.testing.assert_array_equal(pub.parameter_values, np.atleast_2d(values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.1], r"shape \(1, 1\)"),
        ([[0.1, 0.2, 0.3]], r"shape \(1, 3\)"),
        (np.zeros((0, 2)), "at least one row"),
        (np.zeros((1, 0, 2)), r"\(x\[0\], x\[1\]\)"),
        (np.zeros((2, 2, 1)), r"shape \(2, 2, 1\).*last dimension of 2"),
        (0.5, r"shape \(\)"),
        (None, "has 2 parameters"),
        ([[0.0, 1.0], [0.0, float("nan")]], r"'x\[1\]' in row 1 is nan"),
        ([[float("inf"), 1.0]], r"'x\[0\]' in row 0 is inf"),
        ([None, 1.0], "must be finite"),
        (["0.1", "0.2"], "real numbers"),
        (np.array([0.1, 0.2j]), "real numbers"),
        ([[0.1, 0.2], [0.3]], "real numbers"),
        ([10**400, 1.0], "real numbers"),
        ([X[0], 1.0], "real numbers"),
    ],
)
def test_other_values_are_refused(values, words):
    """Wrong shapes, and entries that are not finite real numbers, are ParameterErrors that say where."""
    with pytest.raises(ParameterError, match=words):
        Pub(CIRCUIT, values)


def test_values_of_any_leading_shape_become_rows():
    """Rows are in NumPy's order, and the pub knows the shape that they had."""
    values = np.arange(24.0).reshape(3, 4, 2)
    pub = Pub(CIRCUIT, values)
    assert pub.shape == (3, 4)
    np.testing.assert_array_equal(pub.parameter_values, values.reshape(12, 2))
    assert pub.with_shots(5).shape == (3, 4)
    assert Pub(CIRCUIT, [0.1, 0.2]).shape == ()
    assert Pub(CIRCUIT, [[0.1, 0.2]]).shape == (1,)
    assert Pub(QuantumCircuit(1)).shape == ()
    assert Pub(QuantumCircuit(1), np.zeros((2, 3, 0))).n_rows == 6


def test_a_pub_keeps_its_own_read_only_values():
    """Changing the caller's array afterwards changes nothing."""
    values = np.array([[0.1, 0.2]])
    pub = Pub(CIRCUIT, values)
    values[0, 0] = 9.0
    assert pub.parameter_values[0, 0] == 0.1
    with pytest.raises(ValueError, match="read-only"):
        pub.parameter_values[0, 0] = 1.0


@pytest.mark.parametrize("shots", [0, -1, 1.5, True, "100", 10**9 + 1])
def test_shots_that_cannot_run_are_refused(shots):
    """Zero, fractions, booleans and texts are no number of shots."""
    with pytest.raises(ShotsError, match="shots is"):
        Pub(CIRCUIT, [0.1, 0.2], shots=shots)


@pytest.mark.parametrize("shots", [None, 1, np.int64(100), "run", 10**9])
def test_shots_that_can_run_are_taken(shots):
    """Whole numbers, None and the run's own setting are taken."""
    assert Pub(CIRCUIT, [0.1, 0.2], shots=shots).shots == shots


def test_circuits_and_observables_are_checked():
    """A pub of nonsense is never made."""
    with pytest.raises(CircuitError, match="is not a circuit"):
        Pub("circuit")
    with pytest.raises(ObservableError, match="acts on qubit 2"):
        Pub(CIRCUIT, [0.1, 0.2], observables="Z2")


def test_batches_are_made_of_pubs():
    """One pub, several, or a batch; an empty list and strangers are refused."""
    pub = Pub(CIRCUIT, np.zeros((3, 2)))
    assert as_batch(pub).n_rows == 3
    assert as_batch(iter([pub, pub])).n_rows == 6
    with pytest.raises(UsageError, match="list of pubs is empty"):
        as_batch([])
    with pytest.raises(UsageError, match=r"is not a qorch\.Pub"):
        as_batch([pub, 5])
