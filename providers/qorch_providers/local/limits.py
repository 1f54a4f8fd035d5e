"""How large circuits and jobs can be on this machine: memory, a rough cost model, job sizes."""

import numpy as np

from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.job_sizes import fitting_rows, row_bytes
from qorch_providers.local.options import TORCH

MAX_SHOTS = 10**7
MAX_ROWS_PER_JOB = 8_192
MAX_ANSWER_BYTES = 64 << 20
TARGET_SECONDS = 0.3
TORCH_SAMPLE_QUBITS = 24
"""Beyond this the torch engine's 32-bit draws would be too coarse."""
LANES = 8
LANE_QUBITS = 18
"""Beyond this one row's state fills the caches, and rows go one by one."""
_LARGEST_QUBITS = 40
_SHARE_OF_MEMORY = 0.9

# Fitted on one core of a virtual machine with two (AMD EPYC, November 2026): sizes of jobs need no more precision.
_AMPLITUDE_SECONDS = 0.3e-9
_SHOT_SECONDS = 2.5e-9
_GRADIENT_ROWS = 4
"""A gradient takes about as long as so many rows."""


def sample_bytes(precision: str, *, engine: str, is_noisy: bool) -> int:
    """Memory per amplitude of a large state that is sampled: the state, and what draws are looked up in."""
    scalar = int(np.dtype(precision).itemsize)
    if engine == TORCH:
        return max(5 * scalar + 10, 44)
    return 2 * scalar + (24 if is_noisy else 0)


def exact_bytes(precision: str, *, engine: str, is_distribution: bool) -> int:
    """The same of a state whose parities or probabilities are computed."""
    scalar = int(np.dtype(precision).itemsize)
    own = 2 * scalar + (24 if is_distribution else 0)
    return max(own, 5 * scalar + 10) if engine == TORCH else own


def gradient_bytes(precision: str, *, engine: str, is_distribution: bool) -> int:
    """The same of a state that is differentiated; torch keeps a state per operation, and at least so many."""
    scalar = int(np.dtype(precision).itemsize)
    return (8 if engine == TORCH else 5) * scalar + (16 if is_distribution else 0)


def max_qubits(per_amplitude: int, *, memory: int) -> int:
    """The largest state that fits, in qubits."""
    amplitudes = int(memory * _SHARE_OF_MEMORY) // per_amplitude
    return max(1, min(_LARGEST_QUBITS, amplitudes.bit_length() - 1))


def row_seconds(gates: GateList, *, shots: int | None) -> float:
    """About how long one row takes on one core."""
    amplitudes = 2.0**gates.n_qubits
    return amplitudes * (gates.n_gates + 8) * _AMPLITUDE_SECONDS + (shots or 0) * _SHOT_SECONDS


def rows_per_job(gates: GateList, measurement: Measurement, *, shots: int | None, cores: int) -> int:
    """Rows that take about TARGET_SECONDS and answer within MAX_ANSWER_BYTES: from 1 to MAX_ROWS_PER_JOB."""
    by_time = TARGET_SECONDS * cores / row_seconds(gates, shots=shots)
    size = row_bytes(gates, measurement, shots=shots)
    return fitting_rows(by_time, size, max_bytes=MAX_ANSWER_BYTES, max_rows=MAX_ROWS_PER_JOB)


def gradient_slices(gates: GateList, *, n_rows: int, cores: int) -> list[slice]:
    """Slices of rows whose gradients take about TARGET_SECONDS: full blocks of lanes, and no lone row at the end.

    Kernels hold the caller's thread, which hears an interrupt between two slices only.
    """
    by_time = int(TARGET_SECONDS * cores / (_GRADIENT_ROWS * row_seconds(gates, shots=None)))
    block = cores * (LANES if gates.n_qubits <= LANE_QUBITS else 1)
    step = max(block, by_time - by_time % block)
    starts = range(0, max(1, n_rows - 1), step)
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], n_rows], strict=True)]
