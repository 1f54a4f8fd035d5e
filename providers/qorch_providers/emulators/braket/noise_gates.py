"""The noise that a program can ask for on DM1, as Kraus operators."""

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from qorch.errors import CircuitError
from qorch_providers.emulators.statevector.matrices import PAULIS, Complexes

Kraus = tuple[Complexes, ...]


def _mix(letters: tuple[str, ...], chances: tuple[float, ...]) -> Kraus:
    """Pauli strings, each with its probability; the first of them takes what is left."""
    rest = 1.0 - sum(chances)
    if min((rest, *chances)) < 0.0:
        raise CircuitError("the probabilities of noise lie between 0 and 1")
    weights = (rest, *chances)
    return tuple(np.sqrt(weight) * _string(each) for each, weight in zip(letters, weights, strict=True))


def _string(letters: str) -> Complexes:
    product: Complexes = PAULIS[letters[0]]
    for letter in letters[1:]:
        product = np.asarray(np.kron(product, PAULIS[letter]), dtype=np.complex128)
    return product


_PAIRS = tuple(a + b for a, b in itertools.product("IXYZ", repeat=2))


def _damp(gamma: float, up: float) -> Kraus:
    """Decay from 1 to 0 with weight ``up``, and from 0 to 1 with the rest."""
    kept, lost = np.sqrt(1.0 - gamma), np.sqrt(gamma)
    down = (np.diag([1, kept]), np.array([[0, lost], [0, 0]]))
    raising = (np.diag([kept, 1]), np.array([[0, 0], [lost, 0]]))
    both = [np.sqrt(up) * each for each in down]
    both += [] if up == 1.0 else [np.sqrt(1.0 - up) * each for each in raising]
    return tuple(each.astype(np.complex128) for each in both)


def _dephase(gamma: float) -> Kraus:
    first, second = np.diag([1, np.sqrt(1.0 - gamma)]), np.diag([0, np.sqrt(gamma)])
    return first.astype(np.complex128), second.astype(np.complex128)


_CHANNELS: Mapping[str, tuple[int, int, Callable[..., Kraus]]] = MappingProxyType(
    {
        "bit_flip": (1, 1, lambda p: _mix(("I", "X"), (p,))),
        "phase_flip": (1, 1, lambda p: _mix(("I", "Z"), (p,))),
        "pauli_channel": (3, 1, lambda x, y, z: _mix(("I", "X", "Y", "Z"), (x, y, z))),
        "depolarizing": (1, 1, lambda p: _mix(("I", "X", "Y", "Z"), (p / 3,) * 3)),
        "two_qubit_depolarizing": (1, 2, lambda p: _mix(_PAIRS, (p / 15,) * 15)),
        "two_qubit_dephasing": (1, 2, lambda p: _mix(("II", "IZ", "ZI", "ZZ"), (p / 3,) * 3)),
        "amplitude_damping": (1, 1, lambda gamma: _damp(gamma, 1.0)),
        "generalized_amplitude_damping": (2, 1, _damp),
        "phase_damping": (1, 1, _dephase),
    }
)


def make_channel(name: str, numbers: tuple[float, ...]) -> tuple[int, Kraus]:
    """How many qubits a channel has, and its operators. Raises CircuitError."""
    if name not in _CHANNELS:
        raise CircuitError(f"noise '{name}' is not supported; there are kraus, {', '.join(_CHANNELS)}")
    n_numbers, n_qubits, make = _CHANNELS[name]
    if len(numbers) != n_numbers or not all(0.0 <= number <= 1.0 for number in numbers):
        raise CircuitError(f"noise '{name}' takes {n_numbers} number(s) between 0 and 1")
    return n_qubits, make(*numbers)


def check_kraus(operators: Kraus) -> int:
    """How many qubits given operators have. Raises CircuitError if they are not a channel."""
    size = len(operators[0])
    total = sum(each.conj().T @ each for each in operators)
    if any(each.shape != (size, size) for each in operators) or not np.allclose(total, np.eye(size), atol=1e-6):
        raise CircuitError("the operators of kraus do not preserve probability")
    return size.bit_length() - 1
