"""What is measured at the end of a circuit, and the blocks of rows and results that travel to and from backends."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from qorch.model.arrays import ByteArray, FloatArray, UIntArray, freeze
from qorch.model.circuit import GateList
from qorch.model.counts import Counts


@dataclass(frozen=True, eq=False)
class Measurement:
    """All n qubits measured in ``basis (n,)`` of Z, X, Y, and what is wanted of the outcome.

    ``is_exact`` False: samples. True: the exact expectation values of the parities ``masks (M,)``, or with
    ``masks`` None all 2^n exact probabilities.
    """

    basis: ByteArray
    is_exact: bool
    masks: UIntArray | None = None

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the measurement. Samples are the same whatever is computed from them later."""
        kind = b"samples" if not self.is_exact else b"probabilities" if self.masks is None else b"parities"
        masks = b"" if self.masks is None else self.masks.astype("<u8").tobytes()
        return hashlib.sha256(b"qorch-measurement-1" + kind + self.basis.tobytes() + b"/" + masks).digest()

    @property
    def n_values(self) -> int:
        """The number of exact values per row (0 for samples)."""
        if not self.is_exact:
            return 0
        return 1 << len(self.basis) if self.masks is None else len(self.masks)


@dataclass(frozen=True, eq=False)
class RowBlock:
    """R rows of one circuit measured in one way: the unit of queueing, executing and storing.

    ``angles (R, D)`` radians. ``shots`` are those still to be taken of every row, None if the measurement is
    exact. A seeded sampler draws shot s of row r from the stream ``(streams[r], ordinals[r])`` at the offset
    ``shot_offset + s``; both arrays are uint64 ``(R,)``.
    """

    gates: GateList
    measurement: Measurement
    angles: FloatArray
    shots: int | None
    streams: UIntArray
    ordinals: UIntArray
    shot_offset: int = 0

    @property
    def n_rows(self) -> int:
        """R."""
        return len(self.angles)


@dataclass(frozen=True, eq=False)
class BlockResult:
    """What came back for one RowBlock: ``counts`` of R rows, or exact ``values (R, M)``; the other is None."""

    counts: Counts | None = None
    values: FloatArray | None = None

    @property
    def n_rows(self) -> int:
        """R."""
        if self.counts is not None:
            return self.counts.n_rows
        return 0 if self.values is None else len(self.values)

    def take(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> "BlockResult":
        """The results of the given rows."""
        if self.counts is not None:
            return BlockResult(counts=self.counts.take(rows))
        return BlockResult(values=None if self.values is None else freeze(self.values[rows]))
