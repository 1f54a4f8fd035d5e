"""Observables as Qiskit writes them: labels, Pauli, PauliList, SparseObservable and mappings."""

import pytest
from qiskit.primitives import ObservablesArray
from qiskit.quantum_info import Pauli, PauliList, SparseObservable, SparsePauliOp

from qorch.errors import ObservableError
from qorch.model.observable import X, Y, Z, as_observable, as_observables, parse_observable


@pytest.mark.parametrize(
    ("given", "terms"),
    [
        ("XIZ", [(1.0, ((0, Z), (2, X)))]),
        ("-0.5*XIZ + IYI - 2", [(-0.5, ((0, Z), (2, X))), (1.0, ((1, Y),)), (-2.0, ())]),
        ("III", [(1.0, ())]),
        ("I", [(1.0, ())]),
        ("XIZ + Z0", [(1.0, ((0, Z), (2, X))), (1.0, ((0, Z),))]),
        (Pauli("-XIZ"), [(-1.0, ((0, Z), (2, X)))]),
        ({"XIZ": 0.5, "Z0 - Y1": 2}, [(0.5, ((0, Z), (2, X))), (2.0, ((0, Z),)), (-2.0, ((1, Y),))]),
        ({Pauli("-XIZ"): 0.5}, [(-0.5, ((0, Z), (2, X)))]),
        (SparseObservable("X0Z"), [(0.5, ((0, Z), (2, X))), (0.5, ((0, Z), (1, Z), (2, X)))]),
    ],
)
def test_qiskits_forms_are_read(given, terms):
    """The rightmost letter of a label acts on qubit 0; signs and coefficients count."""
    (observable,) = as_observables(given, n_qubits=3)
    assert [(term.coefficient, term.letters) for term in observable.terms] == terms


def test_a_pauli_list_is_several_observables():
    """A PauliList, and a list of any forms, keep their order."""
    listed = as_observables(PauliList(["ZI", "-IX"]), n_qubits=2)
    assert listed == (as_observable(Pauli("ZI")), as_observable(Pauli("-IX")))
    array = as_observables(ObservablesArray(["ZI", {"IX": -1.0}]), n_qubits=2)
    assert [item.terms for item in array] == [item.terms for item in listed]
    mixed = as_observables(["ZI", Pauli("ZI"), SparsePauliOp("ZI"), {"ZI": 1}, "Z1"], n_qubits=2)
    assert {item.terms for item in mixed} == {mixed[0].terms}


def test_one_letter_is_a_label_of_one_qubit_only():
    """On one qubit "Z" is Qiskit's label; elsewhere the number of its qubit is missing."""
    assert as_observables("Z", n_qubits=1)[0].terms == as_observables("Z0", n_qubits=1)[0].terms
    for n_qubits in (2, 3):
        with pytest.raises(ObservableError, match="'Z'; a factor is one of"):
            as_observables("Z", n_qubits=n_qubits)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ZZ", "label 'ZZ' of 2 letters; the circuit has 3 qubits"),
        ("ZZZZ", "label 'ZZZZ' of 4 letters"),
        ("ZZZ + ZZ", "label 'ZZ' of 2 letters"),
        ("XIZ Z0", "'XIZ Z0' in one term"),
        ("XIZ*IIZ", "'XIZ IIZ' in one term"),
        ("X Y Z", "a factor is one of"),
        ("xiz", "a factor is one of"),
        ("iXIZ", "a factor is one of"),
        ("ZZ1", "'ZZ1'; a factor is one of"),
        ("Z0Z", "'Z0Z'; a factor is one of"),
        ("2XIZ", "cannot read"),
        (Pauli("iXIZ"), "coefficient i"),
        (Pauli("-iXIZ"), "coefficient -i"),
        (Pauli("ZIII"), "acts on qubit 3"),
        ({"XIZ": 1j}, "coefficient"),
        ({"XIZ": "much"}, "coefficient"),
        ({"ZZ": 1.0}, "label 'ZZ' of 2 letters"),
        ({}, "has no term"),
        (SparseObservable("III") * 1j, "coefficient"),
    ],
)
def test_what_could_mean_two_things_is_refused(text, words):
    """A label has one letter for each qubit and is not mixed with numbered letters in one term."""
    with pytest.raises(ObservableError, match=words.replace("*", r"\*")):
        as_observables(text, n_qubits=3)


def test_every_short_text_of_letters_and_digits_has_one_meaning():
    """No text of up to four letters is both a label and a product of numbered letters."""
    alphabet = "XZI01"
    texts = [""]
    for _ in range(4):
        texts = [text + letter for text in texts for letter in alphabet]
        for text in texts:
            has_digit = any(letter.isdigit() for letter in text)
            try:
                (observable,) = as_observables(text, n_qubits=2)
            except ObservableError:
                continue
            is_label = not has_digit and text != "I"
            assert not is_label or len(text) == 2
            expected = parse_observable(text).terms if has_digit or not is_label else as_observable(Pauli(text)).terms
            assert observable.terms == expected
