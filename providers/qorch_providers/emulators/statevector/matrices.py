"""Matrices of gates at many angles at once: ``(d, d, B)``, or ``(d, d, 1)`` if they have no angle.

The first target of a gate is the most significant bit of its matrix.
"""

from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Complexes = npt.NDArray[np.complex128]

_X = np.array([[0, 1], [1, 0]], dtype=np.complex128)
_Y = np.array([[0, -1j], [1j, 0]], dtype=np.complex128)
_Z = np.array([[1, 0], [0, -1]], dtype=np.complex128)
_V = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]], dtype=np.complex128) / 2
PAULIS = MappingProxyType({"I": np.eye(2, dtype=np.complex128), "X": _X, "Y": _Y, "Z": _Z})
FIXED = MappingProxyType(
    {
        "x": _X,
        "y": _Y,
        "z": _Z,
        "h": (_X + _Z) / np.sqrt(2.0),
        "s": np.diag([1, 1j]),
        "si": np.diag([1, -1j]),
        "t": np.diag([1, np.exp(0.25j * np.pi)]),
        "ti": np.diag([1, np.exp(-0.25j * np.pi)]),
        "v": _V,
        "vi": _V.conj().T,
        "swap": np.eye(4, dtype=np.complex128)[[0, 2, 1, 3]],
    }
)


def fixed(name: str) -> Complexes:
    """A gate without angles."""
    matrix: Complexes = FIXED[name]
    return matrix[:, :, None]


def rotation(letters: str, radians: Floats) -> Complexes:
    """``exp(-i angle/2 P)`` for the Pauli string ``letters``, the first letter on the first target."""
    product = _kron(letters)
    identity = np.eye(len(product))
    half = radians / 2
    matrix: Complexes = identity[:, :, None] * np.cos(half) - 1j * product[:, :, None] * np.sin(half)
    return matrix


def phase(radians: Floats) -> Complexes:
    """``diag(1, exp(i angle))``."""
    matrix = np.zeros((2, 2, len(radians)), dtype=np.complex128)
    matrix[0, 0] = 1.0
    matrix[1, 1] = np.exp(1j * radians)
    return matrix


def gpi(turns: Floats) -> Complexes:
    """A half turn about an axis in the equator: ``[[0, e^-], [e^+, 0]]`` with ``e = exp(2 pi i turns)``."""
    matrix = np.zeros((2, 2, len(turns)), dtype=np.complex128)
    matrix[1, 0] = np.exp(2j * np.pi * turns)
    matrix[0, 1] = matrix[1, 0].conj()
    return matrix


def gpi2(turns: Floats) -> Complexes:
    """A quarter turn about the axis of `gpi`."""
    matrix: Complexes = gpi(turns) * (-1j / np.sqrt(2.0))
    matrix[0, 0] = matrix[1, 1] = np.sqrt(0.5)
    return matrix


def molmer_sorensen(first_turns: Floats, second_turns: Floats, angle: Floats) -> Complexes:
    """``cos(pi a) - i sin(pi a) GPi(first) GPi(second)``; entangles fully at 0.25."""
    generator = np.einsum("abz,cdz->acbdz", gpi(first_turns), gpi(second_turns)).reshape(4, 4, -1)
    matrix: Complexes = np.eye(4)[:, :, None] * np.cos(np.pi * angle) - 1j * generator * np.sin(np.pi * angle)
    return matrix


def pauli_exponential(terms: tuple[str, ...], coefficients: Floats, times: Floats) -> Complexes:
    """``exp(-i t sum_k c_k P_k)`` with coefficients ``(K, B)`` and times ``(B,)``, whether the terms commute or not."""
    strings = np.stack([_kron(term) for term in terms])
    generators = np.einsum("kb,kij->bij", coefficients * times, strings)
    values, vectors = np.linalg.eigh(generators)
    powers = np.einsum("bij,bj,bkj->ikb", vectors, np.exp(-1j * values), vectors.conj())
    return np.ascontiguousarray(powers)


def _kron(letters: str) -> Complexes:
    product: Complexes = PAULIS[letters[0]]
    for letter in letters[1:]:
        product = np.asarray(np.kron(product, PAULIS[letter]), dtype=np.complex128)
    return product
