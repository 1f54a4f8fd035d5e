"""Measured outcomes of many rows in compact arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import AnyArray, FloatArray, IntArray, freeze


@dataclass(frozen=True, eq=False)
class Counts:
    """Histograms of R rows, one after the other.

    Row r owns ``outcomes[offsets[r]:offsets[r + 1]]`` (ascending outcome integers, qubit 0 is the lowest
    bit) and the same slice of ``counts`` (how often). ``outcomes`` and ``counts`` use the smallest unsigned
    type that holds them; ``offsets (R + 1,)`` is int64.
    """

    n_qubits: int
    outcomes: AnyArray
    counts: AnyArray
    offsets: IntArray

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.outcomes, self.counts, self.offsets):
            freeze(array)

    def __repr__(self) -> str:
        """Its size, without the arrays."""
        return f"Counts({self.n_rows} rows of {self.n_qubits} qubits, {len(self.counts)} outcomes seen)"

    @property
    def n_rows(self) -> int:
        """R."""
        return len(self.offsets) - 1

    @property
    def nbytes(self) -> int:
        """Memory held by the arrays."""
        return self.outcomes.nbytes + self.counts.nbytes + self.offsets.nbytes

    @property
    def shots(self) -> IntArray:
        """Shots of each row, ``(R,)``."""
        totals = np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))
        return np.asarray(totals[self.offsets[1:]] - totals[self.offsets[:-1]], dtype=np.int64)

    def row(self, index: int) -> dict[str, int]:
        """Bitstring → count of one row; qubit 0 is the rightmost character."""
        start, stop = int(self.offsets[index]), int(self.offsets[index + 1])
        return {
            format(int(outcome), f"0{self.n_qubits}b"): int(count)
            for outcome, count in zip(self.outcomes[start:stop], self.counts[start:stop], strict=True)
        }

    def take(self, rows: npt.ArrayLike) -> "Counts":
        """The histograms of the given rows, in the given order."""
        chosen = np.asarray(rows, dtype=np.int64)
        starts = self.offsets[chosen]
        lengths = self.offsets[chosen + 1] - starts
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Counts(self.n_qubits, self.outcomes[places], self.counts[places], offsets)

    def dense(self) -> FloatArray:
        """Counts of all 2^n outcomes, ``(R, 2**n)``."""
        table = np.zeros((self.n_rows, 1 << self.n_qubits))
        table[self.row_of_entry, self.outcomes.astype(np.int64)] = self.counts
        return table

    @property
    def row_of_entry(self) -> IntArray:
        """For each entry, the row that owns it."""
        return np.repeat(np.arange(self.n_rows), np.diff(self.offsets))


def smallest_unsigned(limit: int) -> np.dtype[np.unsignedinteger[npt.NBitBase]]:
    """The smallest unsigned integer type that holds values up to and including ``limit``."""
    return np.dtype(np.min_scalar_type(limit))


def concatenate_counts(pieces: Sequence[Counts]) -> Counts:
    """The rows of all pieces, one piece after the other. The pieces share their number of qubits."""
    shifts = np.cumsum([0, *(piece.offsets[-1] for piece in pieces)])
    offsets = [piece.offsets[:-1] + shift for piece, shift in zip(pieces, shifts, strict=False)]
    return Counts(
        pieces[0].n_qubits,
        np.concatenate([piece.outcomes for piece in pieces]),
        np.concatenate([piece.counts for piece in pieces]),
        np.concatenate([*offsets, [shifts[-1]]]).astype(np.int64),
    )


def merge_counts(first: Counts, second: Counts) -> Counts:
    """Add the histograms of two samples of the same rows."""
    rows = np.concatenate((first.row_of_entry, second.row_of_entry))
    outcomes = np.concatenate((first.outcomes.astype(np.uint64), second.outcomes.astype(np.uint64)))
    counts = np.concatenate((first.counts.astype(np.uint64), second.counts.astype(np.uint64)))
    order = np.lexsort((outcomes, rows))
    rows, outcomes, counts = rows[order], outcomes[order], counts[order]
    is_first = np.ones(len(rows), dtype=bool)
    is_first[1:] = (np.diff(rows) != 0) | (outcomes[1:] != outcomes[:-1])
    starts = np.flatnonzero(is_first)
    sums = np.add.reduceat(counts, starts) if len(starts) else counts
    lengths = np.bincount(rows[starts], minlength=first.n_rows)
    return Counts(
        first.n_qubits,
        outcomes[starts].astype(smallest_unsigned((1 << first.n_qubits) - 1)),
        sums.astype(smallest_unsigned(int(sums.max(initial=0)))),
        np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
    )
