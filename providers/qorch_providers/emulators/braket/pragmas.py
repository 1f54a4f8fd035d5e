"""Read what pragmas hold: calls with brackets, matrices, observables and results."""

import re
from collections.abc import Callable

import numpy as np

from qorch.errors import CircuitError
from qorch_providers.emulators.braket.program import ObservableFactor, ResultKind, ResultRequest
from qorch_providers.emulators.statevector.matrices import Complexes

LETTERS = "ixyzh"
FindQubits = Callable[[str], tuple[int, ...]]
_FLAT_CALL = re.compile(r"\(([^()\[\]]*)\)\s*(.*)", re.DOTALL)
_ROW = re.compile(r"\[([^\[\]]*)\]")
_FACTOR = re.compile(r"\s*([ixyzh]|hermitian)\b\s*")
_OBSERVED: dict[str, ResultKind] = {"expectation": "expectation", "variance": "variance", "sample": "sample"}
_PLAIN: dict[str, ResultKind] = {"probability": "probability", "density_matrix": "densitymatrix"}


def split_call(text: str) -> tuple[list[str], str]:
    """The arguments in the brackets with which a text begins, and the rest; no arguments if it has no brackets."""
    text = text.strip()
    if not text.startswith("("):
        return [], text
    if (flat := _FLAT_CALL.fullmatch(text)) is not None:
        return [part for part in map(str.strip, flat[1].split(",")) if part], flat[2]
    depth, start, parts = 0, 1, []
    for place, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if (letter == "," and depth == 1) or depth == 0:
            parts.append(text[start:place].strip())
            start = place + 1
        if depth == 0:
            return [part for part in parts if part], text[start:].strip()
    raise CircuitError("a bracket is not closed")


def parse_matrix(text: str) -> Complexes:
    """A square matrix such as ``[[0, 1im], [-1im, 0]]``. Raises CircuitError."""
    rows = [[_parse_complex(entry) for entry in row.split(",")] for row in _ROW.findall(text)]
    size = len(rows)
    if size not in (2, 4, 8, 16, 32) or any(len(row) != size for row in rows):
        raise CircuitError("a matrix has as many rows as columns, and a power of two of them")
    return np.array(rows, dtype=np.complex128)


def _parse_complex(text: str) -> complex:
    packed = "".join(text.split()).replace("im", "j")
    try:
        return complex(packed)
    except ValueError:
        raise CircuitError(f"'{text.strip()[:40]}' is not a complex number") from None


def parse_result(text: str, find_qubits: FindQubits) -> ResultRequest:
    """A result such as ``expectation z(q[0]) @ x(q[1])``. Raises CircuitError."""
    name, _, rest = text.partition(" ")
    rest = rest.strip()
    if name in _OBSERVED:
        return ResultRequest(_OBSERVED[name], factors=_parse_observable(rest, find_qubits))
    if name in _PLAIN:
        return ResultRequest(_PLAIN[name], targets=() if rest in ("", "all") else find_qubits(rest))
    if name == "state_vector":
        return ResultRequest("statevector")
    if name == "amplitude":
        states = tuple(part.strip().strip('"') for part in rest.split(","))
        if not all(state and set(state) <= {"0", "1"} for state in states):
            raise CircuitError('amplitude takes states such as "01"')
        return ResultRequest("amplitude", states=states)
    raise CircuitError(f"result '{name}' is not supported by this emulator")


def _parse_observable(text: str, find_qubits: FindQubits) -> tuple[ObservableFactor, ...]:
    factors = []
    rest = text
    while True:
        factor, rest = _parse_factor(rest, find_qubits)
        factors.append(factor)
        if not rest:
            break
        if not rest.startswith("@"):
            raise CircuitError(f"'{rest[:40]}' does not belong to an observable")
        rest = rest[1:]
    targets = [qubit for factor in factors for qubit in factor.targets]
    if len(set(targets)) != len(targets) or (len(factors) > 1 and not all(factor.targets for factor in factors)):
        raise CircuitError("the factors of an observable act on different qubits each")
    return tuple(factors)


def _parse_factor(text: str, find_qubits: FindQubits) -> tuple[ObservableFactor, str]:
    found = _FACTOR.match(text)
    if found is None:
        raise CircuitError(f"'{text[:40]}' is not an observable; use {', '.join(LETTERS)} or hermitian")
    rest = text[found.end() :]
    if found[1] == "hermitian":
        return _parse_hermitian(rest, find_qubits)
    if rest.startswith("("):
        arguments, rest = split_call(rest)
        return ObservableFactor(find_qubits(", ".join(arguments)), letter=found[1]), rest
    if rest.strip() != "all":
        raise CircuitError(f"observable '{found[1]}' needs a qubit or `all`")
    return ObservableFactor((), letter=found[1]), ""


def _parse_hermitian(text: str, find_qubits: FindQubits) -> tuple[ObservableFactor, str]:
    arguments, rest = split_call(text)
    matrix = parse_matrix(arguments[0] if len(arguments) == 1 else "")
    if not np.allclose(matrix, matrix.conj().T, atol=1e-6):
        raise CircuitError("the matrix of an observable is not Hermitian")
    operands, at, rest = rest.partition("@")
    targets = () if operands.strip() == "all" else find_qubits(operands)
    if len(matrix) != 1 << (len(targets) or 1):
        raise CircuitError(f"the matrix of an observable does not act on {len(targets)} qubit(s)")
    return ObservableFactor(targets, matrix=matrix), at + rest
