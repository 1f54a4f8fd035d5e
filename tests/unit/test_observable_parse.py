"""Reading observables: what is accepted, what is refused, and how strings are grouped into bases."""

import numpy as np
import pytest
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp

from qorch.errors import ObservableError
from qorch.model.observable import (
    X,
    Y,
    Z,
    as_observable,
    as_observables,
    group_observables,
    parse_observable,
    probabilities,
)


def terms_of(text: str) -> list[tuple[float, tuple[tuple[int, int], ...]]]:
    """Coefficients and letters of a parsed observable."""
    return [(term.coefficient, term.letters) for term in parse_observable(text).terms]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("Z0", [(1.0, ((0, Z),))]),
        ("-Z0", [(-1.0, ((0, Z),))]),
        ("+Z0", [(1.0, ((0, Z),))]),
        ("1e-3*X0", [(1e-3, ((0, X),))]),
        ("1E+3 X0 - 2.*Y1", [(1e3, ((0, X),)), (-2.0, ((1, Y),))]),
        (".5*Z0", [(0.5, ((0, Z),))]),
        ("X0*Z1", [(1.0, ((0, X), (1, Z)))]),
        ("Z12 X3", [(1.0, ((3, X), (12, Z)))]),
        ("0.5*X0+Z1", [(0.5, ((0, X),)), (1.0, ((1, Z),))]),
        ("Z0 * 2 * 3", [(6.0, ((0, Z),))]),
        ("2*I", [(2.0, ())]),
        ("I", [(1.0, ())]),
        ("-2.5", [(-2.5, ())]),
        ("Z0 I3", [(1.0, ((0, Z),))]),
        ("  Z0\t Z1 \n", [(1.0, ((0, Z), (1, Z)))]),
    ],
)
def test_strings_are_read(text, terms):
    """Coefficients, signs, products and sums mean what they say."""
    assert terms_of(text) == terms


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot read"),
        ("   ", "cannot read"),
        ("Z0 Z0", "names qubit 0 twice"),
        ("Z0 X0", "names qubit 0 twice"),
        ("Q0", "'Q0'; a factor is one of"),
        ("z0", "'z0'; a factor is one of"),
        ("Z", "'Z'; a factor is one of"),
        ("Z0Z1", "'Z0Z1'; a factor is one of"),
        ("Z-1", "'Z'; a factor is one of"),
        ("2Z0", "cannot read"),
        ("Z0 +", "cannot read"),
        ("Z0 - -Z1", "cannot read"),
        ("Z0**Z1", "cannot read"),
        ("*Z0", "cannot read"),
        ("Z0*", "cannot read"),
        ("1.2.3*Z0", "cannot read"),
        ("1_0*Z0", "cannot read"),
        ("Z\N{ARABIC-INDIC DIGIT THREE}", "'Z'; a factor is one of"),
        ("\N{FULLWIDTH DIGIT ONE}*Z0", "cannot read"),
        ("nan*Z0", "'nan'; a factor is one of"),
        ("inf", "'inf'; a factor is one of"),
        ("1e400*Z0", "not finite"),
        ("1e308*1e308*Z0", "not finite"),
        ("1e308*Z0 + 1e308*Z0", "too large to add up"),
        ("Z" + "9" * 5000, "a factor is one of"),
        ("1" * 100_000 + "Z0", "cannot read"),
    ],
)
def test_strings_that_are_none_are_refused(text, words):
    """Whatever cannot be read is an ObservableError that shows the text."""
    with pytest.raises(ObservableError, match=words.replace("*", r"\*")):
        parse_observable(text)


@pytest.mark.parametrize("item", [5, None, b"Z0", object(), ["Z0"], probabilities])
def test_other_things_are_no_observables(item):
    """Numbers, bytes and functions are refused."""
    with pytest.raises(ObservableError, match="is not an observable"):
        as_observable(item)


def test_qubits_outside_the_circuit_are_refused():
    """The message has the qubit, and the range that the circuit has."""
    with pytest.raises(ObservableError, match=r"acts on qubit 999999; the circuit has 2 qubits \(0 to 1\)"):
        as_observables("Z999999", n_qubits=2)


def test_a_list_keeps_its_order_and_none_is_counts_only():
    """Strings, lists and None are all accepted; probabilities stand alone."""
    assert [item.name for item in as_observables(["Z1", "X0  +  Z1"], n_qubits=2)] == ["Z1", "X0 + Z1"]
    assert as_observables(None, n_qubits=2) == ()
    assert as_observables(probabilities(), n_qubits=2) == probabilities()
    with pytest.raises(ObservableError, match="not a list of it"):
        as_observables([probabilities()], n_qubits=2)
    with pytest.raises(ObservableError, match="cannot be mixed"):
        as_observables(["Z0", probabilities()], n_qubits=2)


def test_a_sparse_pauli_op_keeps_qiskits_qubit_order():
    """The rightmost letter of a label acts on qubit 0."""
    observable = as_observable(SparsePauliOp(["XIZ", "III", "IYI"], [0.5, 2.0, -1.0]))
    assert [(term.coefficient, term.letters) for term in observable.terms] == [
        (0.5, ((0, Z), (2, X))),
        (2.0, ()),
        (-1.0, ((1, Y),)),
    ]


@pytest.mark.parametrize("coefficient", [1j, float("nan"), Parameter("c")])
def test_a_sparse_pauli_op_must_be_hermitian_finite_and_bound(coefficient):
    """Imaginary, undefined and free coefficients are refused."""
    with pytest.raises(ObservableError, match="coefficient"):
        as_observable(SparsePauliOp(["Z"], np.array([coefficient])))


def test_commuting_strings_share_a_basis():
    """Qubit-wise commuting strings are measured together; others get a basis of their own."""
    observables = as_observables(["Z0 Z1", "Z1 X2", "0.5*X0 + 3*I", "Z0 Z1 - X0"], n_qubits=3)
    grouping = group_observables(observables, 3)
    assert [group.basis.tolist() for group in grouping.groups] == [[Z, Z, X], [X, Z, Z]]
    assert [group.masks.tolist() for group in grouping.groups] == [[0b011, 0b110], [0b001]]
    assert grouping.groups[0].weights.tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]
    assert grouping.groups[1].weights.tolist() == [[0], [0], [0.5], [-1]]
    assert grouping.offsets.tolist() == [0, 0, 3, 0]


def test_counts_only_is_one_group_in_the_computational_basis():
    """Without observables one group of no strings is measured."""
    grouping = group_observables((), 2)
    assert len(grouping.groups) == 1
    assert grouping.groups[0].basis.tolist() == [Z, Z]
    assert grouping.groups[0].weights.shape == (0, 0)
