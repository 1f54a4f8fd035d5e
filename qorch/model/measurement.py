"""What is measured at the end of a circuit, and the blocks of rows and results that travel to and from backends."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from qorch.errors import ShotsError, UsageError
from qorch.model.arrays import ByteArray, FloatArray, IntArray, UIntArray, freeze
from qorch.model.circuit import GateList
from qorch.model.counts import Counts
from qorch.model.pauli_sums import PauliSums
from qorch.model.samples import Samples, take_samples


@dataclass(frozen=True, eq=False)
class Measurement:
    """All n qubits measured in ``basis (n,)`` of Z, X, Y, and what is wanted of the outcome.

    ``is_exact`` False: samples. True: the exact expectation values of the parities ``masks (M,)``, or with
    ``masks`` None all 2^n exact probabilities.

    With ``sums`` nothing of that, but what the backend estimates of these M sums from its own measurements, in bases of
    its own choice: an expectation value and its variance each. ``basis`` is then all Z, and ``is_exact`` False.
    """

    basis: ByteArray
    is_exact: bool
    masks: UIntArray | None = None
    sums: PauliSums | None = None

    def __post_init__(self) -> None:
        """Raise UsageError if it is both exact and estimated."""
        if self.sums is not None and (self.is_exact or self.masks is not None):
            raise UsageError("a measurement with sums is estimated: leave is_exact and masks out")

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the measurement. Samples are the same whatever is computed from them later; estimates are not."""
        if self.sums is not None:
            return hashlib.sha256(b"qorch-measurement-1estimates" + self.basis.tobytes() + self.sums.digest).digest()
        kind = b"samples" if not self.is_exact else b"probabilities" if self.masks is None else b"parities"
        masks = b"" if self.masks is None else self.masks.astype("<u8").tobytes()
        return hashlib.sha256(b"qorch-measurement-1" + kind + self.basis.tobytes() + b"/" + masks).digest()

    @property
    def is_estimated(self) -> bool:
        """Whether the backend answers with values and variances."""
        return self.sums is not None

    @property
    def n_values(self) -> int:
        """The number of exact or estimated values per row (0 for samples)."""
        if self.sums is not None:
            return len(self.sums)
        if not self.is_exact:
            return 0
        return 1 << len(self.basis) if self.masks is None else len(self.masks)


@dataclass(frozen=True, eq=False)
class RowBlock:
    """R rows of one circuit measured in one way: the unit of queueing, executing and storing.

    ``angles (R, D)`` radians. ``samples``: those still to be taken; None if the measurement is exact. Raises ShotsError
    if the two disagree, UsageError if there are samples of another number of rows.
    """

    gates: GateList
    measurement: Measurement
    angles: FloatArray
    samples: Samples | None

    def __post_init__(self) -> None:
        """Check that the samples fit the measurement and the rows."""
        _check_samples(self.samples, self.measurement, n_rows=len(self.angles))

    @property
    def n_rows(self) -> int:
        """R."""
        return len(self.angles)

    @property
    def shots(self) -> int | None:
        """How many are to be taken of every row; None if exact."""
        return None if self.samples is None else self.samples.shots

    @property
    def shape(self) -> "BlockShape":
        """Without gates and angles."""
        return BlockShape(self.n_rows, self.measurement, self.samples)

    def take(self, rows: slice | IntArray) -> "RowBlock":
        """The chosen rows."""
        return replace(self, angles=self.angles[rows], samples=take_samples(self.samples, rows))


@dataclass(frozen=True, eq=False)
class BlockShape:
    """All of a RowBlock but its gates and angles: what is needed to read its result, also long afterwards."""

    n_rows: int
    measurement: Measurement
    samples: Samples | None

    def __post_init__(self) -> None:
        """Check that the samples fit the measurement and the rows."""
        _check_samples(self.samples, self.measurement, n_rows=self.n_rows)

    @property
    def n_qubits(self) -> int:
        """How many qubits are measured: all of the circuit."""
        return len(self.measurement.basis)

    @property
    def shots(self) -> int | None:
        """How many were to be taken of every row; None if exact."""
        return None if self.samples is None else self.samples.shots


def _check_samples(samples: Samples | None, measurement: Measurement, *, n_rows: int) -> None:
    """Raise ShotsError if only one of the two says exact, UsageError if the samples are not of ``n_rows`` rows."""
    if measurement.is_exact != (samples is None):
        known = "exact values have samples=None" if measurement.is_exact else "a sampled block needs its Samples"
        raise ShotsError(f"the measurement and the samples of a block disagree: {known}")
    if samples is not None and samples.n_rows != n_rows:
        raise UsageError(f"a block of {n_rows} rows has samples of {samples.n_rows} rows; give those of its own rows")


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What came back for one RowBlock of R rows, one of three.

    ``counts``; exact ``values (R, M)``; or estimated ``values (R, M)`` with their ``variances (R, M)``, which are those
    of the values themselves and not of one shot. What is not there is None.
    """

    counts: Counts | None = None
    values: FloatArray | None = None
    variances: FloatArray | None = None

    @property
    def n_rows(self) -> int:
        """R."""
        if self.counts is not None:
            return self.counts.n_rows
        return 0 if self.values is None else len(self.values)

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        return sum(part.nbytes for part in (self.counts, self.values, self.variances) if part is not None)

    def take(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> "BlockResult":
        """The results of the given rows."""
        if self.counts is not None:
            return BlockResult(counts=self.counts.take(rows))
        return BlockResult(values=_take(self.values, rows), variances=_take(self.variances, rows))


def _take(array: FloatArray | None, rows: IntArray) -> FloatArray | None:
    return None if array is None else freeze(array[rows])
