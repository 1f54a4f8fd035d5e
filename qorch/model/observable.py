"""Observables: sums of Pauli strings, or the full distribution; and how they are measured together."""

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from qorch.errors import ObservableError
from qorch.model.arrays import ByteArray, FloatArray, UIntArray, freeze

Z, X, Y = 0, 1, 2
_LETTERS = {"Z": Z, "X": X, "Y": Y}
# ASCII only: Python's \d and float() would also read digits of other scripts.
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![A-Za-z0-9_.])"
_FACTOR = re.compile(rf"{_NUMBER}|[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_TERM = re.compile(
    rf"\s*(?P<sign>[+-]?)\s*(?P<body>(?:{_FACTOR.pattern})(?:(?:\s*\*\s*|\s+)(?:{_FACTOR.pattern}))*)",
    re.ASCII,
)
_PAULI = re.compile(r"([IXYZ])([0-9]{1,6})", re.ASCII)
_LABEL = re.compile(r"[IXYZ]{2,}")
_OPERATOR_LABEL = re.compile(r"(-?)(i?)([IXYZ]+)")


MAX_SHOWN = 60
"""Characters of an observable's name in its ``repr``."""


@dataclass(frozen=True)
class PauliTerm:
    """``coefficient`` times a product of Pauli letters: ``letters`` holds sorted (qubit, Z | X | Y)."""

    coefficient: float
    letters: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Observable:
    """A Hermitian sum of Pauli terms, under the name that the user wrote."""

    name: str
    terms: tuple[PauliTerm, ...]

    def __repr__(self) -> str:
        """Its name, shortened."""
        name = self.name if len(self.name) <= MAX_SHOWN else self.name[: MAX_SHOWN - 1] + "…"
        return f"Observable({name!r})"

    @property
    def highest_qubit(self) -> int:
        """The highest qubit that the observable acts on; -1 for a multiple of the identity."""
        return max((qubit for term in self.terms for qubit, _ in term.letters), default=-1)


@dataclass(frozen=True)
class Distribution:
    """The request for all 2^n outcome probabilities."""


def probabilities() -> Distribution:
    """All 2^n outcome probabilities, in the order of the outcome integers (qubit 0 is the lowest bit)."""
    return Distribution()


ObservableLike = str | Observable | Any
"""A Pauli string such as ``"0.5*X0 + Z1"`` or ``"ZIX"``, an Observable, or a Qiskit Pauli or SparsePauliOp.

Or a mapping of strings to coefficients, which is their sum.
"""

Observables = tuple[Observable, ...] | Distribution
ObservablesLike = Sequence[ObservableLike] | ObservableLike | Distribution | None


def as_observables(observables: ObservablesLike, *, n_qubits: int) -> Observables:
    """Parse and check observables for a circuit of ``n_qubits``; None means counts only, and gives ``()``.

    Raises ObservableError for an unknown letter, a qubit that the circuit does not have, a label of another length
    than ``n_qubits``, or a coefficient that is not a finite real number.
    """
    if isinstance(observables, Distribution):
        return observables
    parsed = tuple(as_observable(item, n_qubits=n_qubits) for item in _as_sequence(observables))
    for observable in parsed:
        if observable.highest_qubit >= n_qubits:
            raise ObservableError(
                f"observable '{observable.name}' acts on qubit {observable.highest_qubit};"
                f" the circuit has {n_qubits} qubits (0 to {n_qubits - 1})"
            )
    return parsed


def _as_sequence(observables: ObservablesLike) -> tuple[ObservableLike, ...]:
    if observables is None:
        return ()
    if isinstance(observables, str | Observable | Mapping) or _is_operator(observables):
        return (observables,)
    try:
        # A PauliList has no __iter__, and is yet a sequence.
        items = tuple(iter(cast("Iterable[ObservableLike]", observables)))
    except TypeError as error:
        raise ObservableError(f"{observables!r} is not an observable; write for example ['Z0 Z1']") from error
    if any(isinstance(item, Distribution) for item in items):
        if len(items) > 1:
            raise ObservableError("qorch.probabilities() cannot be mixed with other observables in one pub")
        raise ObservableError("write observables=qorch.probabilities(), not a list of it")
    return items


def _is_operator(item: Any) -> bool:
    """Whether it is one of Qiskit's operators; a PauliList is several."""
    return any(hasattr(item, name) for name in ("to_sparse_list", "to_label"))


def as_observable(item: ObservableLike, *, n_qubits: int | None = None) -> Observable:
    """One observable from a string, a mapping of strings to coefficients, or a Qiskit operator.

    ``n_qubits`` is how long a label such as ``"ZIX"`` must be; None takes any length from 2.
    Raises ObservableError if it is none of these.
    """
    if isinstance(item, Observable):
        return item
    if isinstance(item, str):
        return parse_observable(item, n_qubits=n_qubits)
    if isinstance(item, Mapping):
        return _from_mapping(item, n_qubits=n_qubits)
    if hasattr(item, "as_paulis"):
        item = item.as_paulis()  # a SparseObservable, whose projectors are sums of Pauli strings
    if hasattr(item, "to_sparse_list"):
        return _from_sparse_list(item.to_sparse_list())
    if hasattr(item, "to_label"):
        return _from_operator_label(item)
    raise ObservableError(
        f"{item!r} is not an observable; write a string such as '0.5*X0 + Z1' or 'ZIX', a Pauli, a SparsePauliOp or"
        " qorch.probabilities()"
    )


def parse_observable(text: str, *, n_qubits: int | None = None) -> Observable:
    """Read ``"Z0 Z3"``, ``"0.5*X0 + Z1"``, ``"-Y2"``, or Qiskit's labels: ``"ZIX"``, ``"0.5*ZIX - XII"``.

    A letter with a number is a Pauli matrix on that qubit. Letters without numbers are a label: one letter for each
    of the ``n_qubits`` (None: of any number from 2), the rightmost for qubit 0. Raises ObservableError if it cannot.
    """
    terms: list[PauliTerm] = []
    stripped = text.strip()
    position = 0
    while position < len(stripped):
        match = _TERM.match(stripped, position)
        if match is None or (terms and not match.group("sign")):
            raise _unreadable(text)
        sign = -1.0 if match.group("sign") == "-" else 1.0
        terms.append(_parse_term(sign, match.group("body"), text, n_qubits=n_qubits))
        position = match.end()
    if not terms:
        raise _unreadable(text)
    return _checked(Observable(" ".join(text.split()), tuple(terms)))


def _unreadable(text: str) -> ObservableError:
    return ObservableError(f"cannot read observable '{text}'; write for example 'Z0 Z3' or '0.5*X0 + Z1'")


def _parse_term(sign: float, body: str, text: str, *, n_qubits: int | None) -> PauliTerm:
    coefficient = sign
    letters: dict[int, int] = {}
    factors = []
    for factor in _FACTOR.findall(body):
        if not factor[0].isalpha():
            coefficient *= float(factor)
        elif factor != "I":
            factors.append(factor)
    if any(_is_label(factor, n_qubits) for factor in factors):
        if len(factors) > 1:
            raise ObservableError(
                f"observable '{text}' has '{' '.join(factors)}' in one term; write one label, such as ZIX,"
                " or factors with their qubits, such as Z2 X0"
            )
        letters = _letters_of_label(factors[0], text, n_qubits=n_qubits)
    else:
        for factor in factors:
            _add_letter(letters, factor, text)
    return PauliTerm(coefficient, tuple(sorted(letters.items())))


def _is_label(factor: str, n_qubits: int | None) -> bool:
    """A single letter is a label of a circuit of one qubit; elsewhere it lacks the number of its qubit."""
    return _LABEL.fullmatch(factor) is not None or (n_qubits == 1 and factor in _LETTERS)


def _letters_of_label(label: str, text: str, *, n_qubits: int | None) -> dict[int, int]:
    if n_qubits is not None and len(label) != n_qubits:
        raise ObservableError(
            f"observable '{text}' has the label '{label}' of {len(label)} letters; the circuit has {n_qubits} qubits,"
            " and a label has one letter for each, the rightmost for qubit 0. Or name the qubits, such as Z0"
        )
    return {qubit: _LETTERS[letter] for qubit, letter in enumerate(reversed(label)) if letter != "I"}


def _add_letter(letters: dict[int, int], factor: str, text: str) -> None:
    pauli = _PAULI.fullmatch(factor)
    if pauli is None:
        raise ObservableError(
            f"observable '{text}' has '{factor}'; a factor is one of I, X, Y, Z with its qubit, such as Z0"
        )
    letter, qubit = pauli.group(1), int(pauli.group(2))
    if qubit in letters:
        raise ObservableError(f"observable '{text}' names qubit {qubit} twice in one term")
    if letter != "I":
        letters[qubit] = _LETTERS[letter]


def _checked(observable: Observable) -> Observable:
    """The observable. Raises ObservableError if its coefficients are not finite, or their sum overflows."""
    if not math.isfinite(sum(abs(term.coefficient) for term in observable.terms)):
        raise ObservableError(
            f"observable '{observable.name}' has coefficients that are not finite, or too large to add up"
        )
    return observable


def _from_sparse_list(terms_of_qiskit: Iterable[tuple[str, Sequence[int], Any]]) -> Observable:
    terms = []
    for string, qubits, coefficient in terms_of_qiskit:
        value = _as_real(coefficient)
        letters = ((int(q), _LETTERS[c]) for c, q in zip(string, qubits, strict=True) if c != "I")
        terms.append(PauliTerm(value, tuple(sorted(letters))))
    return _sum(terms)


def _from_operator_label(operator: Any) -> Observable:
    """A Pauli: its label may begin with a phase, ``-``, ``i`` or ``-i``."""
    label = str(operator.to_label())
    match = _OPERATOR_LABEL.fullmatch(label)
    if match is None:
        raise ObservableError(f"cannot read the operator '{label}'; give a Pauli or a SparsePauliOp")
    minus, imaginary, string = match.groups()
    if imaginary:
        raise ObservableError(f"observable '{label}' has the coefficient {minus}i; it must be a finite real")
    return _sum(
        [PauliTerm(-1.0 if minus else 1.0, tuple(sorted(_letters_of_label(string, label, n_qubits=None).items())))]
    )


def _from_mapping(coefficients: Mapping[Any, Any], *, n_qubits: int | None) -> Observable:
    """A sum: ``{"ZIX": 0.5, "Z0": -1}``."""
    terms = []
    for string, coefficient in coefficients.items():
        value = _as_real(coefficient)
        part = as_observable(string, n_qubits=n_qubits)
        terms += [replace(term, coefficient=value * term.coefficient) for term in part.terms]
    if not terms:
        raise ObservableError("observable {} has no term; write for example {'ZIX': 0.5}")
    return _sum(terms)


def _sum(terms: Sequence[PauliTerm]) -> Observable:
    name = " + ".join(_term_name(term) for term in terms[:4]) + (" + …" if len(terms) > 4 else "")
    return _checked(Observable(name, tuple(terms)))


def _as_real(coefficient: Any) -> float:
    value = _as_complex(coefficient)
    if abs(value.imag) > 1e-12 or not math.isfinite(value.real):
        raise ObservableError(f"observable has the coefficient {coefficient}; it must be a finite real")
    return value.real


def _as_complex(coefficient: Any) -> complex:
    try:
        return complex(coefficient)
    except (TypeError, ValueError) as error:
        raise ObservableError(
            f"observable has the coefficient {coefficient}; bind its parameters to numbers first"
        ) from error


def _term_name(term: PauliTerm) -> str:
    letters = " ".join(f"{'ZXY'[letter]}{qubit}" for qubit, letter in term.letters) or "I"
    return letters if term.coefficient == 1.0 else f"{term.coefficient:g}*{letters}"


KEPT_GROUPINGS = 64
"""A training loop asks for the same observables in every step."""


@dataclass(frozen=True, eq=False)
class BasisGroup:
    """Pauli strings measured together: after rotating to ``basis``, each is a parity of outcome bits.

    ``basis (n,)`` of Z, X, Y; ``masks (M,)`` outcome bits of each string; ``weights (K, M)``: the
    coefficient of string m in observable k.
    """

    basis: ByteArray
    masks: UIntArray
    weights: FloatArray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.basis, self.masks, self.weights):
            freeze(array)


@dataclass(frozen=True, eq=False)
class Grouping:
    """All groups that K observables need, and their constant parts ``offsets (K,)``."""

    groups: tuple[BasisGroup, ...]
    offsets: FloatArray


@functools.lru_cache(maxsize=KEPT_GROUPINGS)
def group_observables(observables: tuple[Observable, ...], n_qubits: int) -> Grouping:
    """Put qubit-wise commuting Pauli strings into common bases, greedily, in the order they are written.

    Counts only (no observables) is one group in the computational basis.
    """
    offsets = np.zeros(len(observables))
    bases: list[dict[int, int]] = []
    members: list[dict[tuple[tuple[int, int], ...], FloatArray]] = []
    for index, observable in enumerate(observables):
        for term in observable.terms:
            if not term.letters:
                offsets[index] += term.coefficient
                continue
            place = _find_basis(bases, term.letters)
            if place == len(bases):
                bases.append({})
                members.append({})
            bases[place].update(term.letters)
            weights = members[place].setdefault(term.letters, np.zeros(len(observables)))
            weights[index] += term.coefficient
    if not bases:
        bases, members = [{}], [{}]
    groups = tuple(_group(*pair, n_qubits, len(observables)) for pair in zip(bases, members, strict=True))
    return Grouping(groups, offsets)


def _find_basis(bases: list[dict[int, int]], letters: tuple[tuple[int, int], ...]) -> int:
    for place, basis in enumerate(bases):
        if all(basis.get(qubit, letter) == letter for qubit, letter in letters):
            return place
    return len(bases)


def _group(
    basis: dict[int, int],
    strings: dict[tuple[tuple[int, int], ...], FloatArray],
    n_qubits: int,
    n_observables: int,
) -> BasisGroup:
    letters = np.zeros(n_qubits, dtype=np.uint8)
    for qubit, letter in basis.items():
        letters[qubit] = letter
    masks = np.array([sum(1 << qubit for qubit, _ in string) for string in strings], dtype=np.uint64)
    columns = list(strings.values())
    weights = np.stack(columns, axis=1) if columns else np.zeros((n_observables, 0))
    return BasisGroup(letters, masks, weights)
