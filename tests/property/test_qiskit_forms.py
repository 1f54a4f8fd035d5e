"""What is written in Qiskit's forms means what it means in Qiskit: bindings, labels and their values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as shapes
from qiskit.circuit import Parameter, ParameterVector, QuantumCircuit
from qiskit.primitives import BindingsArray, StatevectorEstimator
from qiskit.quantum_info import Pauli, PauliList, SparsePauliOp

from qorch.model.pub import Pub
from qorch.run.evaluation import evaluate_on

X, W, A = ParameterVector("x", 3), ParameterVector("w", 11), Parameter("a")
ANGLES = st.floats(-3.0, 3.0, allow_subnormal=False)
LABELS = st.text("IXYZ", min_size=3, max_size=3)


def circuit() -> QuantumCircuit:
    """Three qubits, none of which is like another."""
    made = QuantumCircuit(3)
    made.ry(X[0] + 0.3, 0)
    made.rx(X[1], 1)
    made.rz(X[2], 1)
    made.cx(0, 2)
    made.crx(A, 1, 2)
    for index, angle in enumerate(W):
        made.ry(angle, index % 3)
        made.rx(0.7, index % 3)
    made.cz(0, 1)
    return made


@st.composite
def bindings(draw: st.DrawFn) -> dict[object, np.ndarray]:
    """Values of one leading shape, under keys of every kind, in any order."""
    shape = draw(shapes.array_shapes(min_dims=0, max_dims=3, max_side=3))
    vectors = {X: draw(st.booleans()), W: draw(st.booleans())}
    names: list[tuple[object, ...]] = [(A,)]
    for vector, is_whole in vectors.items():
        names += [tuple(vector)] if is_whole else [(element,) for element in vector]
    values = {}
    for key in draw(st.permutations(names)):
        array = draw(shapes.arrays(np.float64, (*shape, len(key)), elements=ANGLES))
        named = tuple(part.name for part in key) if draw(st.booleans()) else key
        values[named if len(key) > 1 else named[0]] = array
    return values


@settings(deadline=None, max_examples=60)
@given(bindings())
def test_bindings_are_qiskits(values):
    """Shape and rows are those of Qiskit's BindingsArray."""
    pub = Pub(circuit(), values)
    expected = BindingsArray(values)
    assert pub.shape == expected.shape
    rows = expected.as_array(circuit().parameters).reshape(-1, len(pub.circuit.parameters))
    np.testing.assert_array_equal(pub.parameter_values, rows)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(LABELS, min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from([-2.0, -1e-3, 0.3, 1.0, 1.75]), min_size=4, max_size=4),
    shapes.arrays(np.float64, (2, 2, 15), elements=ANGLES),
)
def test_values_are_those_of_qiskits_estimator(evaluation, labels, coefficients, values):
    """Labels, Pauli, PauliList, SparsePauliOp, mappings and written sums have the values that Qiskit computes."""
    made, chosen = circuit(), coefficients[: len(labels)]
    total = SparsePauliOp(labels, chosen)
    written = " + ".join(f"{coefficient!r}*{label}" for coefficient, label in zip(chosen, labels, strict=True))
    forms = [*labels, *(Pauli(label) for label in labels), *PauliList(labels), total, written.replace("+ -", "- ")]
    qiskits = [*labels, *labels, *labels, total, total]
    pub = Pub(made, values, observables=forms, shots=None)
    result = StatevectorEstimator().run([(made, [[[form]] for form in qiskits], values)]).result()[0]
    expected = np.moveaxis(result.data.evs, 0, -1)
    ours = evaluation.execute(pub)[0].values.reshape(*pub.shape, -1)
    np.testing.assert_allclose(ours, expected, atol=1e-6)


@pytest.fixture(scope="module")
def evaluation():
    """An evaluation on `local` that all examples share."""
    with evaluate_on("local:precision=float64") as shared:
        yield shared
