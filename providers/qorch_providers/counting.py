"""Outcomes of single shots to counts, by numpy over whole blocks."""

import numpy as np

from qorch.model.arrays import AnyArray, IntArray
from qorch.model.counts import Counts, smallest_unsigned

_DENSE_SHARE = 4
"""Counts are taken in a table of all outcomes if it has at most this many entries per shot."""


def count_outcomes(outcomes: IntArray, n_qubits: int) -> Counts:
    """How often each of ``outcomes (R, S)`` is in each row."""
    n_rows, shots = outcomes.shape
    if 1 << n_qubits <= _DENSE_SHARE * shots:
        keys = outcomes + (np.arange(n_rows, dtype=np.int64) << n_qubits)[:, np.newaxis]
        table = np.bincount(keys.reshape(-1), minlength=n_rows << n_qubits)
        places = np.flatnonzero(table)
        lengths = np.count_nonzero(table.reshape(n_rows, -1), axis=1)
        return pack_counts(places & ((1 << n_qubits) - 1), table[places], lengths, n_qubits)
    ordered = np.sort(outcomes, axis=1)
    is_first = np.ones(ordered.shape, dtype=np.bool_)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=is_first[:, 1:])
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=ordered.size)
    return pack_counts(ordered.reshape(-1)[starts], counts, np.count_nonzero(is_first, axis=1), n_qubits)


def pack_counts(outcomes: AnyArray, counts: IntArray, lengths: IntArray, n_qubits: int) -> Counts:
    """``Counts`` in the smallest types; ``lengths (R,)``: how many outcomes each row has."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return Counts(
        n_qubits,
        outcomes.astype(smallest_unsigned((1 << n_qubits) - 1)),
        counts.astype(smallest_unsigned(int(counts.max(initial=0)))),
        offsets,
    )
