"""Shots from exact probabilities: each row has its own random stream, so packing cannot change a bit.

Shot s of a row is draw ``offset + s`` of its stream (see `qorch_providers.streams`), turned into an outcome by the
inverse distribution function.
"""

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import FloatArray, IntArray
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.samples import Samples
from qorch_providers.streams import RowStream

CHUNK_SHOTS = 1 << 18
_DENSE_OUTCOMES = 1 << 22


def sample_counts(probabilities: FloatArray, samples: Samples) -> Counts:
    """Histograms of the shots of each row of ``probabilities (R, 2**n)``."""
    cumulative = np.cumsum(probabilities, axis=1)
    cumulative /= cumulative[:, -1:]
    source = RowStream()
    pieces = []
    for row in range(len(cumulative)):
        source.seek(int(samples.streams[row]), int(samples.ordinals[row]), offset=samples.offset)
        pieces.append(_sample_row(cumulative[row], source, shots=samples.shots))
    n_qubits = (probabilities.shape[1] - 1).bit_length()
    return pack_counts([piece[0] for piece in pieces], [piece[1] for piece in pieces], n_qubits=n_qubits)


def pack_counts(outcomes: list[IntArray], counts: list[IntArray], *, n_qubits: int) -> Counts:
    """Counts in compact types from the ascending outcomes of each row and how often each was seen."""
    frequencies = np.concatenate(counts)
    return Counts(
        n_qubits,
        np.concatenate(outcomes).astype(smallest_unsigned((1 << n_qubits) - 1)),
        frequencies.astype(smallest_unsigned(int(frequencies.max(initial=0)))),
        np.concatenate(([0], np.cumsum([len(piece) for piece in outcomes]))).astype(np.int64),
    )


def _sample_row(cumulative: FloatArray, source: RowStream, *, shots: int) -> tuple[IntArray, IntArray]:
    if shots <= CHUNK_SHOTS:
        return _sample_chunk(cumulative, source, shots=shots)
    sizes = [min(CHUNK_SHOTS, shots - start) for start in range(0, shots, CHUNK_SHOTS)]
    chunks = (_sample_chunk(cumulative, source, shots=size) for size in sizes)
    if len(cumulative) <= _DENSE_OUTCOMES:
        table = np.zeros(len(cumulative), dtype=np.int64)
        for outcomes, counts in chunks:
            table[outcomes] += counts
        return _seen(table)
    parts = list(chunks)
    outcomes, places = np.unique(np.concatenate([part[0] for part in parts]), return_inverse=True)
    weights = np.concatenate([part[1] for part in parts])
    return outcomes, np.bincount(places, weights=weights).astype(np.int64)


def _sample_chunk(cumulative: FloatArray, source: RowStream, *, shots: int) -> tuple[IntArray, IntArray]:
    """Outcome k is drawn by the uniforms in ``[cumulative[k - 1], cumulative[k])``; search the shorter side."""
    uniforms = np.empty(shots)
    source.fill(uniforms)
    uniforms.sort()
    if len(cumulative) <= shots:
        below = np.searchsorted(uniforms, cumulative, side="left")
        return _seen(np.diff(below, prepend=0))
    drawn = np.searchsorted(cumulative, uniforms, side="right")
    starts = np.flatnonzero(np.diff(drawn, prepend=-1))
    return drawn[starts], np.diff(starts, append=shots)


def _seen(table: npt.NDArray[np.int64]) -> tuple[IntArray, IntArray]:
    outcomes = np.flatnonzero(table)
    return outcomes, table[outcomes]
