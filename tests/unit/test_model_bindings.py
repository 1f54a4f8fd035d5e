"""Values by parameter, in every form that Qiskit's primitives take, and sentences for those that are none."""

import numpy as np
import pytest
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.primitives import BindingsArray

from qorch.errors import ParameterError
from qorch.model.pub import Pub

X, A = ParameterVector("x", 12), Parameter("a")


def circuit() -> QuantumCircuit:
    """Twelve elements of a vector, whose names do not sort as their indices do, and one parameter."""
    made = QuantumCircuit(1)
    for angle in (*reversed(X), A):
        made.rx(angle, 0)
    return made


VALUES = np.arange(3 * 12.0).reshape(3, 12)
EXPECTED = np.concatenate([np.array([[0.5], [0.6], [0.7]]), VALUES], axis=1)


@pytest.mark.parametrize(
    "given",
    [
        {A: [0.5, 0.6, 0.7], X: VALUES},
        {"a": [0.5, 0.6, 0.7], "x": VALUES},
        {"a": [[0.5], [0.6], [0.7]], tuple(X): VALUES},
        {("a", *X[:5]): EXPECTED[:, :6], tuple(name.name for name in X[5:]): EXPECTED[:, 6:]},
        {X[index]: VALUES[:, index] for index in reversed(range(12))} | {"a": np.float32([0.5, 0.6, 0.7])},
        BindingsArray({A: [0.5, 0.6, 0.7], tuple(X): VALUES}),
    ],
)
def test_values_by_parameter_become_rows(given):
    """Parameters, vectors, their names, tuples and a BindingsArray give the rows that an array gives."""
    pub = Pub(circuit(), given)
    assert pub.circuit.parameters == ("a", *(element.name for element in X))
    assert pub.shape == (3,)
    np.testing.assert_allclose(pub.parameter_values, EXPECTED, rtol=1e-7)


def test_leading_shapes_are_broadcast():
    """A batch of inputs and one set of weights are written once each."""
    pub = Pub(circuit(), {"x": np.ones((2, 1, 12)), "a": [1.0, 2.0, 3.0]})
    assert pub.shape == (2, 3)
    np.testing.assert_array_equal(pub.parameter_values[:, 0], [1.0, 2.0, 3.0] * 2)
    assert Pub(circuit(), {"x": np.ones(12), "a": 1.0}).shape == ()
    assert Pub(QuantumCircuit(1), {}).n_rows == 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x": VALUES}, "parameter 'a' has no value"),
        ({"x": VALUES, "a": 1.0, "b": 1.0}, "no parameter 'b'"),
        ({"x": VALUES, "a": 1.0, X[0]: 1.0}, "'x\\[0\\]' has values under two keys"),
        ({"x": VALUES[:, :11], "a": 1.0}, "'x' have shape \\(3, 11\\); the last dimension must be 12"),
        ({"x": 1.0, "a": 1.0}, "last dimension must be 12"),
        ({"x": VALUES, "a": [1.0, 2.0]}, "do not fit together"),
        ({"x": VALUES, "a": "0.5"}, "the values of 'a' must be real numbers"),
        ({"x": VALUES, "a": 1j}, "real numbers"),
        ({"x": VALUES, "a": float("nan")}, "'a' in row 0 is nan"),
        ({"x": VALUES, "a": np.zeros((0, 1))}, "do not fit together"),
        ({X: VALUES, 5: 1.0}, "5 is not a parameter"),
        ({X: VALUES, (A, 5): 1.0}, "5 is not a parameter"),
        ({X: np.zeros((0, 12)), A: 1.0}, "at least one row"),
        ({ParameterVector("x", 13): np.zeros(13), "a": 1.0}, "no parameter 'x\\[12\\]'"),
    ],
)
def test_other_bindings_are_refused(given, words):
    """Whatever is missing, unknown, given twice or of a wrong shape is named in a sentence."""
    with pytest.raises(ParameterError, match=words):
        Pub(circuit(), given)


def test_half_a_vector_has_no_name():
    """If the circuit has only some elements of a vector, its name does not say which values are meant."""
    made = QuantumCircuit(1)
    made.rx(X[0], 0)
    made.ry(X[2], 0)
    with pytest.raises(ParameterError, match="only some elements of the vector 'x'"):
        Pub(made, {"x": [0.1, 0.2]})
    assert Pub(made, {X[0]: 0.1, "x[2]": 0.2}).parameter_values.tolist() == [[0.1, 0.2]]
