"""What the fakes answer with: exact values, samples of each row's own stream, or mitigated estimates of those."""

from dataclasses import replace

import numpy as np

from qorch.model.arrays import FloatArray
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.measurement import BlockResult, RowBlock
from qorch.model.observable import Z
from qorch.model.pauli_sums import ANY_BASIS, NO_LETTER, PauliSums
from qorch.model.samples import Samples
from qorch.testing.reference import reference_parities, reference_probabilities

READOUT_ERROR = 0.05
"""Of estimates only: how often a bit is read wrong, before that is mitigated."""


def simulate_block(block: RowBlock) -> BlockResult:
    """Run the rows of one block: exact values, samples, or estimates."""
    if block.measurement.sums is not None and block.samples is not None:
        return _estimate(block, block.measurement.sums, block.samples)
    probabilities = reference_probabilities(block.gates, block.angles, basis=block.measurement.basis)
    if block.samples is not None:
        return BlockResult(counts=_sample(block.samples, probabilities))
    masks = block.measurement.masks
    return BlockResult(values=probabilities if masks is None else reference_parities(probabilities, masks))


def _sample(samples: Samples, probabilities: FloatArray) -> Counts:
    """Shot s of a row takes the s-th number of the row's own stream, so that a top-up goes on where it ended."""
    n_rows, size = probabilities.shape
    table = np.zeros((n_rows, size), dtype=np.int64)
    for row in range(n_rows):
        key = np.array([samples.streams[row], samples.ordinals[row]], dtype=np.uint64)
        stream = np.random.Generator(np.random.Philox(key=key))
        uniforms = stream.random(samples.end)[samples.offset :]
        outcomes = np.searchsorted(np.cumsum(probabilities[row]), uniforms, side="right")
        table[row] = np.bincount(np.minimum(outcomes, size - 1), minlength=size)
    rows, outcomes = np.nonzero(table)
    return Counts(
        (size - 1).bit_length(),
        outcomes.astype(smallest_unsigned(size - 1)),
        table[rows, outcomes].astype(smallest_unsigned(samples.shots)),
        np.searchsorted(rows, np.arange(n_rows + 1)).astype(np.int64),
    )


def _estimate(block: RowBlock, sums: PauliSums, samples: Samples) -> BlockResult:
    """Each basis is sampled with READOUT_ERROR, and each string divided by what that leaves of it.

    So values may exceed their range, and their variances are larger than the values and the shots alone would tell.
    """
    values, variances = np.zeros((2, block.n_rows, len(sums)))
    for index, basis in enumerate(sums.bases):
        letters = np.where(basis == ANY_BASIS, Z, basis).astype(np.uint8)
        probabilities = reference_probabilities(block.gates, block.angles, basis=letters)
        of_basis = replace(samples, streams=samples.streams ^ np.uint64(index << 32))
        counts = _sample(of_basis, _misread(probabilities)).dense()
        shot_values = _shot_values(sums, index, n_outcomes=counts.shape[1])
        means = counts @ shot_values / samples.shots
        spread = counts @ shot_values**2 / samples.shots - means**2
        values += means
        variances += np.maximum(spread, 0.0) / max(1, samples.shots - 1)
    return BlockResult(values=values, variances=variances)


def _shot_values(sums: PauliSums, basis: int, *, n_outcomes: int) -> FloatArray:
    """What each outcome ``(2**n,)`` of a basis counts for each sum, ``(2**n, M)``, mitigated."""
    found = np.zeros((n_outcomes, len(sums)))
    outcomes = np.arange(n_outcomes, dtype=np.uint64)
    for string in np.flatnonzero(sums.basis_of_string == basis):
        qubits = np.flatnonzero(sums.letters[string] != NO_LETTER)
        mask = np.uint64(sum(1 << int(qubit) for qubit in qubits))
        signs = 1.0 - 2.0 * (np.bitwise_count(outcomes & mask) & 1)
        left = (1.0 - 2.0 * READOUT_ERROR) ** len(qubits)
        found[:, sums.sum_of_string[string]] += sums.coefficients[string] / left * signs
    return found


def _misread(probabilities: FloatArray) -> FloatArray:
    """The probabilities ``(R, 2**n)`` of what is read."""
    outcomes = np.arange(probabilities.shape[1])
    read = probabilities
    for qubit in range((probabilities.shape[1] - 1).bit_length()):
        read = (1.0 - READOUT_ERROR) * read + READOUT_ERROR * read[:, outcomes ^ (1 << qubit)]
    return read
