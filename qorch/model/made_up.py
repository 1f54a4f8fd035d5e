"""Made-up results: what stands in for executing rows where only their number and their time matter."""

import numpy as np

from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.measurement import BlockResult, BlockShape

MADE_UP_OUTCOMES = 8
"""How many different outcomes a made-up sample has, if it has as many shots."""


def make_up(block: BlockShape, random: np.random.Generator) -> BlockResult:
    """A result of the right shape that passes verification: counts, exact values, or estimates."""
    measurement, shape = block.measurement, (block.n_rows, block.measurement.n_values)
    if block.shots is not None and not measurement.is_estimated:
        return BlockResult(counts=_make_up_counts(block, block.shots, random))
    if measurement.is_exact and measurement.masks is None:
        shares = random.uniform(0.5, 1.5, shape)
        return BlockResult(values=shares / shares.sum(axis=1, keepdims=True))
    values = random.uniform(-0.5, 0.5, shape)
    return BlockResult(values=values, variances=np.full(shape, 1e-4) if measurement.is_estimated else None)


def _make_up_counts(block: BlockShape, shots: int, random: np.random.Generator) -> Counts:
    """Some outcomes of each row, evenly spread from a random first one, with random shares of the shots."""
    n_outcomes = min(shots, 1 << block.n_qubits, MADE_UP_OUTCOMES)
    distance = (1 << block.n_qubits) // n_outcomes
    first = random.integers(0, distance, size=(block.n_rows, 1), dtype=np.uint64)
    outcomes = first + np.uint64(distance) * np.arange(n_outcomes, dtype=np.uint64)
    shares = random.uniform(0.0, 1.0, (block.n_rows, n_outcomes))
    counts = 1 + np.floor((shots - n_outcomes) * shares / shares.sum(axis=1, keepdims=True)).astype(np.int64)
    counts[:, 0] += shots - counts.sum(axis=1)
    return Counts(
        block.n_qubits,
        outcomes.ravel().astype(smallest_unsigned((1 << block.n_qubits) - 1)),
        counts.ravel().astype(smallest_unsigned(shots)),
        np.arange(0, counts.size + 1, n_outcomes, dtype=np.int64),
    )
