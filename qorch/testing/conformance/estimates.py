"""What a backend must do that estimates expectation values itself: its values are right, and its variances are theirs.

Its tests mix these checks into the suite of its kind; checks of counts are skipped then::

    class TestMine(EstimateChecks, RemoteBackendConformance): ...
"""

import numpy as np
import pytest

from qorch.errors import CircuitError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.model.measurement import BlockResult, RowBlock
from qorch.ports.backend import Backend
from qorch.testing.conformance.backend import (
    MAX_SIGMAS,
    N_QUBITS,
    BackendConformance,
    angles_for,
    block_of,
    circuit_of_gate,
    entangled_pair,
    estimates_of,
    gate_triple,
    rows_of,
    sums_of,
)
from qorch.testing.reference import reference_sums

SUMS = ("Z0", "X1", "Y2 X0", "0.5*Z0 Z2 - 1.5*X1 + Y0", "Z0 + Z1 + Z2")
"""Of three qubits: one letter, several letters, a sum that needs two bases, and strings that are correlated."""


def worst_sigmas(block: RowBlock, found: BlockResult) -> float:
    """How far estimates are from the exact values, in their own standard errors; infinite for another shape.

    A sample that is all alike has the variance 0, so an error of at least one shot in ten thousand is assumed.
    """
    sums = block.measurement.sums
    assert sums is not None
    values, variances = estimates_of(found)
    exact = reference_sums(block.gates, block.angles, sums)
    if values.shape != exact.shape:
        return float("inf")
    errors = np.sqrt(np.maximum(variances, 1e-4 / (block.shots or 1)))
    return float(np.abs((values - exact) / errors).max())


class EstimateChecks(BackendConformance):
    """Checks of values and variances; mixed into a suite. ``is_ideal`` False: only shapes and refusals are checked."""

    def test_estimates_are_right(self) -> None:
        """Sums of every kind, of rows that differ, in several blocks, are within their errors of the exact values."""
        gates = circuit_of_gate(GATES_BY_NAME["cry"])
        sums = sums_of(*SUMS, n_qubits=N_QUBITS)
        blocks = [
            block_of(gates, angles_for(gates, 3, seed=seed), shots=self.shots, sums=some, stream=seed)
            for seed, some in enumerate((sums, sums_of("Z0 Z1 Z2", n_qubits=N_QUBITS), sums))
        ]
        for block, part in zip(blocks, self.run(*blocks), strict=True):
            assert not self.is_ideal or worst_sigmas(block, part) < MAX_SIGMAS

    def test_variances_are_those_of_the_values(self) -> None:
        """Many rows of one circuit spread as their variances say, also of strings that are correlated."""
        self.need_ideal()
        sums = sums_of("Z0 + Z1", "Z0 - Z1 + 0.5*X1", "Y1 Y0", n_qubits=2)
        block = block_of(entangled_pair(), np.full((self.n_compared, 1), 1.1), shots=256, sums=sums)
        values, variances = estimates_of(self.run(block)[0])
        ratios = spread_of(values) / variances.mean(axis=0)
        assert np.abs(ratios - 1.0).max() < MAX_SIGMAS * np.sqrt(2 / (self.n_compared - 1)), ratios

    def test_rows_and_sums_keep_their_order(self) -> None:
        """Each value stands where its row and its sum do, whatever else is in the job."""
        self.need_ideal()
        sums = sums_of("X0", "Z1", "Z0", "X1", n_qubits=2)
        block = block_of(entangled_pair(), np.linspace(0.1, 3.0, 5)[:, np.newaxis], shots=self.shots, sums=sums)
        turned = rows_of(block, [4, 2, 0])
        for asked, part in zip((block, turned), self.run(block, turned), strict=True):
            assert worst_sigmas(asked, part) < MAX_SIGMAS

    def test_counts_are_refused_before_anything_is_sent(self) -> None:
        """The check says that there are none."""
        gates = build_gate_list(1, [gate_triple("h", (0,))])

        async def work(backend: Backend) -> None:
            assert not backend.capabilities.samples
            with pytest.raises(CircuitError, match="counts"):
                backend.check(gates, block_of(gates, np.zeros((1, 0)), shots=10).measurement)

        self.drive(work)


def spread_of(values: FloatArray) -> FloatArray:
    """The variance ``(M,)`` of values ``(R, M)`` over the rows."""
    return np.asarray(values.var(axis=0, ddof=1))
