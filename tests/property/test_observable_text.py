"""Observables from any text: a value or an ObservableError, and what is written is what is read."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.errors import ObservableError
from qorch.model.observable import as_observables, group_observables, parse_observable

HOSTILE = st.text(alphabet="XYZIxz0123456789+-*. eE_\t\n\u0663\uff11\u00a0naif()", max_size=40)


@settings(deadline=None)
@given(st.one_of(HOSTILE, st.text(max_size=60)))
def test_any_text_is_an_observable_or_an_observable_error(text):
    """No text raises anything else, and what is accepted is finite and fits its circuit."""
    try:
        (observable,) = as_observables(text, n_qubits=8)
    except ObservableError:
        return
    assert observable.terms
    assert all(math.isfinite(term.coefficient) for term in observable.terms)
    assert -1 <= observable.highest_qubit < 8


TERMS = st.lists(
    st.tuples(
        st.floats(-1e6, 1e6, allow_subnormal=False),
        st.dictionaries(st.integers(0, 9), st.sampled_from("XYZ"), max_size=4),
    ),
    min_size=1,
    max_size=6,
)


def written(terms: list[tuple[float, dict[int, str]]]) -> str:
    """The terms as a user would write them."""
    parts = []
    for coefficient, letters in terms:
        sign = "-" if math.copysign(1.0, coefficient) < 0 else "+"
        paulis = " ".join(f"{letter}{qubit}" for qubit, letter in letters.items()) or "I"
        parts.append(f"{sign} {abs(coefficient)!r} * {paulis}")
    return " ".join(parts)


@settings(deadline=None)
@given(TERMS)
def test_what_is_written_is_read_back_exactly(terms):
    """Coefficients keep every bit, letters their qubits, terms their order."""
    parsed = parse_observable(written(terms)).terms
    assert [term.coefficient for term in parsed] == [coefficient for coefficient, _ in terms]
    for term, (_, letters) in zip(parsed, terms, strict=True):
        assert {qubit: "ZXY"[letter] for qubit, letter in term.letters} == letters


@settings(deadline=None)
@given(TERMS)
def test_grouping_loses_nothing(terms):
    """Weights and constants of all groups add up to the terms, and every string fits its basis."""
    observable = parse_observable(written(terms))
    grouping = group_observables((observable,), 10)
    found: dict[tuple[tuple[int, int], ...], float] = {}
    for group in grouping.groups:
        for mask, weight in zip(group.masks, group.weights[0], strict=True):
            letters = tuple((q, int(group.basis[q])) for q in range(10) if int(mask) >> q & 1)
            found[letters] = found.get(letters, 0.0) + weight
    expected: dict[tuple[tuple[int, int], ...], float] = {}
    for term in observable.terms:
        if term.letters:
            expected[term.letters] = expected.get(term.letters, 0.0) + term.coefficient
    assert found.keys() == expected.keys()
    assert all(math.isclose(found[key], expected[key], abs_tol=1e-6) for key in expected)
