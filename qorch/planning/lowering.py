"""Lowers pubs to groups of rows: one per (pub, basis), with the angles, key and stream ordinal of every row."""

from dataclasses import dataclass

import numpy as np

from qorch.errors import ObservableError, ShotsError
from qorch.model.arrays import ByteArray, FloatArray, UIntArray
from qorch.model.circuit import GateList
from qorch.model.identity import row_keys
from qorch.model.measurement import Measurement
from qorch.model.observable import BasisGroup, Distribution, Grouping, group_observables
from qorch.model.pauli_sums import sum_observables
from qorch.model.pub import Batch, Pub
from qorch.model.samples import Samples


@dataclass(frozen=True, eq=False)
class RowGroup:
    """The N rows of one pub in one basis: N executions. Of estimated rows: in all bases that the backend chooses.

    ``angles (N, D)``, ``keys (N, 32)``, ``ordinals (N,)``: the number of each execution within its call, which with
    the call's stream determines the row's random numbers. ``shots`` is None if exact. ``basis_group``: how values
    follow from what is measured; its weights are those of strings, or of the measurement's sums.
    """

    pub: int
    basis_group: BasisGroup
    gates: GateList
    measurement: Measurement
    angles: FloatArray
    keys: ByteArray
    ordinals: UIntArray
    shots: int | None

    @property
    def n_rows(self) -> int:
        """The number of rows, N."""
        return len(self.angles)

    def samples(self, stream: int) -> Samples | None:
        """All shots of every row, from the call's stream; None if exact."""
        if self.shots is None:
            return None
        return Samples(np.full(self.n_rows, stream, dtype=np.uint64), self.ordinals, self.shots)


@dataclass(frozen=True, eq=False)
class LoweredBatch:
    """All groups of a batch, pub by pub, and the grouping of each pub's observables (None: full distribution)."""

    batch: Batch
    groups: tuple[RowGroup, ...]
    groupings: tuple[Grouping | None, ...]

    def groups_of(self, pub: int) -> list[int]:
        """The indices of the groups of one pub, in the order of its bases."""
        return [index for index, group in enumerate(self.groups) if group.pub == pub]


def lower(batch: Batch, *, default_shots: int | None, estimates: bool = False) -> LoweredBatch:
    """Lower a batch; ``default_shots`` stands in for pubs whose shots are ``"run"``.

    ``estimates``: the backend estimates expectation values itself. Raises ParameterError if an angle expression is not
    finite, ShotsError for counts of an exact pub, ObservableError for a pub of which nothing can be estimated.
    """
    groups: list[RowGroup] = []
    groupings: list[Grouping | None] = []
    ordinal = 0
    for index, pub in enumerate(batch.pubs):
        shots = pub.shots_or(default_shots)
        measured = _estimated(pub) if estimates and shots is not None else _measured(pub, shots)
        groupings.append(measured.grouping)
        angles = pub.circuit.angle_map.angles(pub.parameter_values)
        for basis_group, measurement in measured.parts:
            groups.append(
                RowGroup(
                    pub=index,
                    basis_group=basis_group,
                    gates=pub.circuit.gates,
                    measurement=measurement,
                    angles=angles,
                    keys=row_keys(pub.circuit.gates, measurement, angles),
                    ordinals=np.arange(ordinal, ordinal + len(angles), dtype=np.uint64),
                    shots=shots,
                )
            )
            ordinal += len(angles)
    return LoweredBatch(batch, tuple(groups), tuple(groupings))


@dataclass(frozen=True, eq=False)
class _Measured:
    """What a pub's rows are measured for, one part a group."""

    grouping: Grouping | None
    parts: tuple[tuple[BasisGroup, Measurement], ...]


def _measured(pub: Pub, shots: int | None) -> _Measured:
    grouping = _grouping_of(pub)
    parts = tuple((group, _measurement(pub, group, shots)) for group in _basis_groups(pub, grouping))
    return _Measured(grouping, parts)


def _estimated(pub: Pub) -> _Measured:
    """One group for all observables: which bases they need is for the backend to say."""
    observables, n_qubits = pub.observables, pub.circuit.n_qubits
    if isinstance(observables, Distribution) or not observables:
        raise ObservableError(
            "the backend answers with expectation values that it has estimated, and has no counts; ask for observables,"
            " such as ['Z0']"
        )
    summed = sum_observables(observables, n_qubits)
    if not len(summed.sums):
        raise ObservableError("all observables are constants, of which there is nothing to estimate; ask for another")
    basis = np.zeros(n_qubits, dtype=np.uint8)
    group = BasisGroup(basis, np.zeros(0, dtype=np.uint64), summed.weights)
    measurement = Measurement(basis, is_exact=False, sums=summed.sums)
    return _Measured(Grouping((group,), summed.offsets), ((group, measurement),))


def _grouping_of(pub: Pub) -> Grouping | None:
    if isinstance(pub.observables, Distribution):
        return None
    return group_observables(pub.observables, pub.circuit.n_qubits)


def _basis_groups(pub: Pub, grouping: Grouping | None) -> tuple[BasisGroup, ...]:
    if grouping is not None:
        return grouping.groups
    basis = np.zeros(pub.circuit.n_qubits, dtype=np.uint8)
    return (BasisGroup(basis, np.zeros(0, dtype=np.uint64), np.zeros((0, 0))),)


def _measurement(pub: Pub, group: BasisGroup, shots: int | None) -> Measurement:
    if shots is not None:
        return Measurement(group.basis, is_exact=False)
    if isinstance(pub.observables, Distribution):
        return Measurement(group.basis, is_exact=True)
    if not pub.observables:
        raise ShotsError("counts need a number of shots; for exact results ask for observables")
    return Measurement(group.basis, is_exact=True, masks=group.masks)
