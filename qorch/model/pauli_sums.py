"""Sums of Pauli strings whose expectation values a backend estimates itself, with variances of its own."""

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qorch.model.arrays import ByteArray, FloatArray, IntArray, freeze
from qorch.model.observable import KEPT_GROUPINGS, Observable

NO_LETTER = 3
"""In place of Z, X or Y: the string does not act on the qubit."""
ANY_BASIS = NO_LETTER
"""In place of Z, X or Y: no string needs the qubit in this basis."""

_String = tuple[tuple[int, int], ...]
_Sum = tuple[tuple[_String, float], ...]


@dataclass(frozen=True, eq=False)
class PauliSums:
    """M sums of T Pauli strings on n qubits; no string is the identity.

    ``letters (T, n)`` are Z, X, Y or NO_LETTER, and ``coefficients (T,)`` real. Sum m has the strings
    ``starts[m]:starts[m + 1]``; ``starts (M + 1,)`` is int64.
    """

    letters: ByteArray
    coefficients: FloatArray
    starts: IntArray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.letters, self.coefficients, self.starts):
            freeze(array)

    def __len__(self) -> int:
        """M."""
        return len(self.starts) - 1

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of all of it."""
        hasher = hashlib.sha256(f"qorch-pauli-sums-1/{self.letters.shape}/".encode())
        for array, code in ((self.letters, "u1"), (self.coefficients, "<f8"), (self.starts, "<i8")):
            hasher.update(np.ascontiguousarray(array, dtype=code).tobytes())
        return hasher.digest()

    @cached_property
    def sum_of_string(self) -> IntArray:
        """For each string, the sum that it belongs to, ``(T,)``."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    @cached_property
    def basis_of_string(self) -> IntArray:
        """For each string, the one of ``bases`` in which it is measured, ``(T,)``."""
        return self._measured[1]

    @cached_property
    def bases(self) -> ByteArray:
        """Bases ``(B, n)`` of Z, X, Y or ANY_BASIS in which all strings can be measured.

        Strings that commute qubit by qubit share one, greedily, in their order.
        """
        return self._measured[0]

    @cached_property
    def _measured(self) -> tuple[ByteArray, IntArray]:
        bases: list[ByteArray] = []
        places = np.zeros(len(self.letters), dtype=np.int64)
        for index, string in enumerate(self.letters):
            place = next((place for place, basis in enumerate(bases) if _fits(string, basis)), len(bases))
            if place == len(bases):
                bases.append(np.full_like(string, ANY_BASIS))
            bases[place] = np.where(string == NO_LETTER, bases[place], string)
            places[index] = place
        return np.array(bases, dtype=np.uint8).reshape(len(bases), self.letters.shape[1]), places


def _fits(string: ByteArray, basis: ByteArray) -> bool:
    return bool(((string == NO_LETTER) | (basis == ANY_BASIS) | (string == basis)).all())


@dataclass(frozen=True, eq=False)
class SummedObservables:
    """K observables as ``weights (K, M)`` times sums of Pauli strings, and constants ``offsets (K,)``.

    A row of the weights has one entry, or none for a constant: every observable is a multiple of one sum, so that its
    variance follows from that sum's alone, whatever the correlations of the strings.
    """

    sums: PauliSums
    weights: FloatArray
    offsets: FloatArray


@functools.lru_cache(maxsize=KEPT_GROUPINGS)
def sum_observables(observables: tuple[Observable, ...], n_qubits: int) -> SummedObservables:
    """The distinct sums of the observables, without their constants; one string alone has the coefficient 1.

    Strings are sorted, so that the order in which the terms are written does not matter.
    """
    offsets = np.zeros(len(observables))
    found: dict[_Sum, int] = {}
    places: list[tuple[int, int, float]] = []
    for index, observable in enumerate(observables):
        strings = _strings(observable)
        offsets[index] = strings.pop((), 0.0)
        if not strings:
            continue
        items = tuple(sorted(strings.items()))
        unit, weight = (((items[0][0], 1.0),), items[0][1]) if len(items) == 1 else (items, 1.0)
        places.append((index, found.setdefault(unit, len(found)), weight))
    weights = np.zeros((len(observables), len(found)))
    for index, place, weight in places:
        weights[index, place] = weight
    return SummedObservables(_pack(list(found), n_qubits), freeze(weights), freeze(offsets))


def _strings(observable: Observable) -> dict[_String, float]:
    """Its coefficients by string; that of the identity by ``()``."""
    strings: dict[_String, float] = {}
    for term in observable.terms:
        strings[term.letters] = strings.get(term.letters, 0.0) + term.coefficient
    return strings


def _pack(sums: Sequence[_Sum], n_qubits: int) -> PauliSums:
    strings = [item for each in sums for item in each]
    letters = np.full((len(strings), n_qubits), NO_LETTER, dtype=np.uint8)
    for row, (string, _) in enumerate(strings):
        for qubit, letter in string:
            letters[row, qubit] = letter
    coefficients = np.array([coefficient for _, coefficient in strings], dtype=np.float64)
    return PauliSums(letters, coefficients, np.cumsum([0, *map(len, sums)], dtype=np.int64))
