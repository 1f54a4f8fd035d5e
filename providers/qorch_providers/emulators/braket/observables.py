"""Observables: the basis in which each is measured, and its value for what was found there."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from qorch.errors import CircuitError
from qorch_providers.emulators.braket.program import ObservableFactor, ResultRequest
from qorch_providers.emulators.braket.states import Rotation
from qorch_providers.emulators.statevector.matrices import FIXED, PAULIS, Complexes, Floats

_MATRICES = MappingProxyType({"i": PAULIS["I"], "h": FIXED["h"]} | {name: FIXED[name] for name in "xyz"})


@dataclass(frozen=True, eq=False)
class BasisMeasurement:
    """What is measured for one value: qubits by place, rotations into the basis, and a value per outcome ``(2**k,)``.

    ``free``: the places whose basis does not matter.
    """

    places: tuple[int, ...]
    free: frozenset[int]
    rotations: tuple[Rotation, ...]
    values: Floats


def measurements(request: ResultRequest, places: dict[int, int]) -> list[BasisMeasurement]:
    """One per value: one, or as many as there are qubits if the observable is for each of them."""
    if len(request.factors) == 1 and not request.factors[0].targets:
        return [_measure((request.factors[0],), [(place,)]) for place in sorted(places.values())]
    targets = [tuple(_place(qubit, places) for qubit in factor.targets) for factor in request.factors]
    return [_measure(request.factors, targets)]


def _place(qubit: int, places: dict[int, int]) -> int:
    if qubit not in places:
        raise CircuitError(f"a result is wanted of qubit {qubit}, which the program does not have")
    return places[qubit]


def _measure(factors: tuple[ObservableFactor, ...], targets: list[tuple[int, ...]]) -> BasisMeasurement:
    rotations: list[Rotation] = []
    values: Floats = np.ones(1)
    for factor, own in zip(factors, targets, strict=True):
        eigenvalues, basis = _diagonalize(factor)
        values = np.asarray(np.kron(values, eigenvalues), dtype=np.float64)
        if basis is not None:
            rotations.append((own, basis))
    free = {place for factor, own in zip(factors, targets, strict=True) if factor.letter == "i" for place in own}
    places = tuple(place for own in targets for place in own)
    return BasisMeasurement(places, frozenset(free), tuple(rotations), values)


def _diagonalize(factor: ObservableFactor) -> tuple[Floats, Complexes | None]:
    """Eigenvalues, and the rotation into their basis; None if it is measured as it stands."""
    if factor.letter in ("i", "z"):
        return (np.array([1.0, 1.0]) if factor.letter == "i" else np.array([1.0, -1.0])), None
    if factor.matrix is not None:
        values, vectors = np.linalg.eigh(factor.matrix)
        return values, vectors.conj().T
    # Ascending order would give -1 to the outcome 0.
    values, vectors = np.linalg.eigh(-_MATRICES[factor.letter])
    return -values, vectors.conj().T


def combine_rotations(wanted: list[BasisMeasurement]) -> list[Rotation]:
    """The rotations of all measurements, which must agree. Raises CircuitError."""
    chosen: dict[int, tuple[tuple[int, ...], Complexes | None]] = {}
    for measurement in wanted:
        turned = dict(measurement.rotations)
        fixed = set(measurement.places) - measurement.free - {place for group in turned for place in group}
        groups = [*turned, *((place,) for place in sorted(fixed))]
        for group in groups:
            _choose(chosen, group, turned.get(group))
    unique = {group: matrix for group, matrix in chosen.values() if matrix is not None}
    return list(unique.items())


def _choose(
    chosen: dict[int, tuple[tuple[int, ...], Complexes | None]], group: tuple[int, ...], matrix: Complexes | None
) -> None:
    for place in group:
        earlier = chosen.setdefault(place, (group, matrix))
        is_same = earlier[0] == group and (
            earlier[1] is matrix or (earlier[1] is not None and matrix is not None and np.allclose(earlier[1], matrix))
        )
        if not is_same:
            raise CircuitError("with shots, all observables on a qubit must be measured in the same basis")
