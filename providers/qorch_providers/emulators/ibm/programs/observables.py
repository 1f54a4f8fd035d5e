"""Observables of the estimator: sums of products of one-qubit operators, measured in few bases.

Beside Paulis there are projectors: `0`, `1` of Z, `+`, `-` of X, `r`, `l` of Y.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from qorch.errors import UsageError
from qorch_providers.emulators.statevector.evolution import Operation
from qorch_providers.emulators.statevector.matrices import Complexes, Floats

_LETTERS = MappingProxyType(
    {
        "Z": ("Z", (1.0, -1.0)), "0": ("Z", (1.0, 0.0)), "1": ("Z", (0.0, 1.0)),
        "X": ("X", (1.0, -1.0)), "+": ("X", (1.0, 0.0)), "-": ("X", (0.0, 1.0)),
        "Y": ("Y", (1.0, -1.0)), "r": ("Y", (1.0, 0.0)), "l": ("Y", (0.0, 1.0)),
    }
)  # fmt: skip
_HALF = np.sqrt(0.5)
_ROTATIONS: Mapping[str, Complexes] = MappingProxyType(
    {
        "X": np.array([[_HALF, _HALF], [_HALF, -_HALF]], dtype=np.complex128)[:, :, None],
        "Y": np.array([[_HALF, -1j * _HALF], [_HALF, 1j * _HALF]], dtype=np.complex128)[:, :, None],
    }
)


@dataclass(frozen=True)
class Term:
    """A product with its coefficient. ``factors``: letters by qubit, identities left out."""

    coefficient: float
    factors: Mapping[int, str]

    @property
    def bases(self) -> dict[int, str]:
        """In which basis each qubit has to be measured."""
        return {qubit: _LETTERS[letter][0] for qubit, letter in self.factors.items()}

    def values(self, qubit: int) -> tuple[float, float]:
        """What the outcomes 0 and 1 of a qubit count."""
        return _LETTERS[self.factors[qubit]][1]


@dataclass
class MeasuredTerms:
    """Terms that are measured together: each with the place of its observable."""

    bases: dict[int, str]
    terms: list[tuple[int, Term]]

    @property
    def rotations(self) -> dict[int, Operation]:
        """What turns the bases into that of the measurement."""
        return {qubit: _rotation(basis) for qubit, basis in self.bases.items() if basis in _ROTATIONS}


def _rotation(basis: str) -> Operation:
    matrix = _ROTATIONS[basis]
    return Operation((0,), (), (), lambda _angles: matrix)


def read_observables(value: Any) -> tuple[tuple[int, ...], list[list[Term]]]:
    """The shape of an array of observables, and their terms in its order. Raises UsageError."""
    if isinstance(value, dict) and value.get("__type__") == "ObservablesArray":
        value = value["__value__"]
    shape: list[int] = []
    probe = value
    while isinstance(probe, list):
        shape.append(len(probe))
        if not probe:
            break
        probe = probe[0]
    listed = list(_flatten(value, len(shape)))
    if len(listed) != int(np.prod(shape, dtype=np.int64)):
        raise UsageError("the observables of a PUB are not an array")
    return tuple(shape), [_read_one(each) for each in listed]


def _flatten(value: Any, depth: int) -> Iterator[Any]:
    if depth == 0:
        yield value
        return
    if not isinstance(value, list):
        raise UsageError("the observables of a PUB are not an array")
    for each in value:
        yield from _flatten(each, depth - 1)


def _read_one(value: Any) -> list[Term]:
    if isinstance(value, str):
        value = {value: 1.0}
    if not isinstance(value, dict):
        raise UsageError("an observable has coefficients by Pauli string")
    return [_read_term(letters, coefficient) for letters, coefficient in value.items()]


def _read_term(letters: str, coefficient: Any) -> Term:
    factors = {qubit: letter for qubit, letter in enumerate(reversed(letters)) if letter != "I"}
    unknown = set(factors.values()) - set(_LETTERS)
    if unknown or not isinstance(coefficient, int | float):
        raise UsageError(f"'{letters[:40]}' times {coefficient} is not a term of an observable")
    return Term(float(coefficient), factors)


def group_terms(observables: list[list[Term]]) -> tuple[list[MeasuredTerms], Floats]:
    """Terms by bases that fit, and for each observable ``(K,)`` the sum of its identities."""
    constants = np.zeros(len(observables))
    groups: list[MeasuredTerms] = []
    for place, terms in enumerate(observables):
        for term in terms:
            if not term.factors:
                constants[place] += term.coefficient
                continue
            fitting = next((group for group in groups if _fits(group, term)), None)
            if fitting is None:
                fitting = MeasuredTerms({}, [])
                groups.append(fitting)
            fitting.bases.update(term.bases)
            fitting.terms.append((place, term))
    return groups, constants


def _fits(group: MeasuredTerms, term: Term) -> bool:
    return all(group.bases.get(qubit, basis) == basis for qubit, basis in term.bases.items())
