"""Non-linear angles: any tree of Qiskit's functions evaluates, and differentiates, as Qiskit says."""

import math

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from qiskit.circuit import ParameterVector, QuantumCircuit

from qorch.model.qiskit.compile import compile_circuit

X = ParameterVector("x", 3)
NUMBERS = st.floats(0.25, 3.0).map(lambda number: round(number, 3))
LEAVES = st.sampled_from(list(X))
FUNCTIONS = st.sampled_from(["sin", "cos", "exp", "arctan", "abs", "sign"])


def combine(children):
    """One more level of a tree: a function, a sum, a product, a quotient or a power."""
    pairs = st.tuples(children, children)
    return st.one_of(
        st.tuples(FUNCTIONS, children).map(lambda pair: getattr(pair[1], pair[0])()),
        pairs.map(lambda pair: pair[0] + pair[1]),
        pairs.map(lambda pair: pair[0] - pair[1]),
        pairs.map(lambda pair: pair[0] * pair[1]),
        st.tuples(children, NUMBERS).map(lambda pair: pair[0] / pair[1]),
        st.tuples(children, st.sampled_from([2, 3])).map(lambda pair: pair[0] ** pair[1]),
    )


EXPRESSIONS = st.recursive(LEAVES, combine, max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS, st.integers(0, 2**32 - 1))
def test_expressions_have_qiskits_values_and_their_own_slopes(expression, seed):
    """Values equal Qiskit's at random rows; derivatives equal central differences."""
    circuit = QuantumCircuit(1)
    circuit.rx(expression, 0)
    compiled = compile_circuit(circuit)
    names = {parameter.name: parameter for parameter in circuit.parameters}
    rows = np.random.default_rng(seed).uniform(0.2, 0.9, (4, len(names)))

    def value(row: np.ndarray) -> float:
        bound = dict(zip(circuit.parameters, row, strict=True))
        return float(expression.bind(bound, allow_unknown_parameters=True).numeric().real)

    exact = np.array([value(row) for row in rows])
    assume(np.isfinite(exact).all() and abs(exact).max() < 1e3)
    columns = compiled.angle_map.angles(rows)
    if columns.shape[1] == 0:
        np.testing.assert_allclose(exact, compiled.gates.constants[0, 0], atol=1e-9)
        return
    np.testing.assert_allclose(columns[:, 0], exact, rtol=1e-9, atol=1e-9)
    for angle in compiled.angle_map.nonlinear:
        for parameter, program in zip(angle.parameters, angle.derivatives, strict=True):
            slopes = program.evaluate(rows)
            for row, slope in zip(rows, slopes, strict=True):
                step = np.eye(len(row))[parameter] * 1e-5
                ahead, here, behind = value(row + step), value(row), value(row - step)
                # A kink or a jump of abs and sign has no derivative to compare with.
                if abs(ahead - 2 * here + behind) < 1e-7 * (1 + abs(here)) and abs(slope) < 1e4:
                    assert math.isclose(slope, (ahead - behind) / 2e-5, rel_tol=1e-3, abs_tol=1e-3)
