"""In a worker: rows of the same circuit computed together, within bounded memory, and read from their probabilities."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from qorch.model.arrays import FloatArray, UIntArray
from qorch.model.circuit import GateList
from qorch.model.counts import concatenate_counts
from qorch.model.measurement import BlockResult, RowBlock
from qorch_providers.sampling import sample_counts

TABLE_BYTES = 32 << 20
MAX_PROGRAMS = 128
"""How many compiled circuits an executor keeps."""

BatchRunner = Callable[[Sequence[RowBlock]], Iterable[BlockResult]]
"""Executes blocks of the same circuit, basis and kind, whose probabilities fit into TABLE_BYTES; a result of each."""


@dataclass(frozen=True)
class _Piece:
    """Rows ``start`` to ``stop`` of a block."""

    block: int
    start: int
    stop: int


def execute_in_batches(blocks: Sequence[RowBlock], run: BatchRunner) -> list[BlockResult]:
    """One result per block, in order; ``run`` is called for as many rows at a time as may be computed together."""
    parts: list[list[BlockResult]] = [[] for _ in blocks]
    for pieces in _batches(blocks):
        taken = [blocks[piece.block].take(slice(piece.start, piece.stop)) for piece in pieces]
        for piece, part in zip(pieces, run(taken), strict=True):
            parts[piece.block].append(part)
    return [_join(part) for part in parts]


def _batches(blocks: Sequence[RowBlock]) -> Iterator[list[_Piece]]:
    """Pieces that run together: same circuit, basis and kind, and a table within TABLE_BYTES."""
    groups: dict[tuple[GateList, bytes, bool], list[int]] = {}
    for index, block in enumerate(blocks):
        measurement = block.measurement
        groups.setdefault((block.gates, measurement.basis.tobytes(), measurement.is_exact), []).append(index)
    for members in groups.values():
        capacity = max(1, TABLE_BYTES >> (3 + blocks[members[0]].gates.n_qubits))
        batch: list[_Piece] = []
        room = capacity
        for index in members:
            start, n_rows = 0, blocks[index].n_rows
            while start < n_rows:
                stop = min(n_rows, start + room)
                batch.append(_Piece(index, start, stop))
                room -= stop - start
                start = stop
                if room == 0:
                    yield batch
                    batch, room = [], capacity
        if batch:
            yield batch


def read_table(blocks: Sequence[RowBlock], table: FloatArray) -> Iterator[BlockResult]:
    """What is wanted of each block, from the outcome probabilities ``(R, 2**n)`` of the rows of all blocks in order."""
    start = 0
    for block in blocks:
        yield _read_block(block, table[start : start + block.n_rows])
        start += block.n_rows


def _read_block(block: RowBlock, table: FloatArray) -> BlockResult:
    if block.samples is not None:
        return BlockResult(counts=sample_counts(table, block.samples))
    masks = block.measurement.masks
    return BlockResult(values=table if masks is None else parities(table, masks))


def parities(probabilities: FloatArray, masks: UIntArray) -> FloatArray:
    """Expectation values ``(R, M)`` of the parities ``masks`` under ``(R, 2**n)`` probabilities.

    Folds one qubit after the other: only element-wise sums, so that a row's bits do not depend on its neighbours.
    """
    values = np.empty((len(probabilities), len(masks)))
    n_qubits = (probabilities.shape[1] - 1).bit_length()
    for column, mask in enumerate(masks.tolist()):
        folded = probabilities
        for qubit in reversed(range(n_qubits)):
            low, high = folded[:, : 1 << qubit], folded[:, 1 << qubit :]
            folded = low - high if mask >> qubit & 1 else low + high
        values[:, column] = folded[:, 0]
    return values


def _join(parts: list[BlockResult]) -> BlockResult:
    if len(parts) == 1:
        return parts[0]
    counts = [part.counts for part in parts if part.counts is not None]
    if counts:
        return BlockResult(counts=concatenate_counts(counts))
    return BlockResult(values=np.concatenate([part.values for part in parts if part.values is not None]))
