"""How large circuits and jobs can be on this machine: memory, a rough cost model, job sizes."""

import numpy as np

from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement

MAX_SHOTS = 10**7
MAX_ROWS_PER_JOB = 8_192
MAX_ANSWER_BYTES = 64 << 20
TARGET_SECONDS = 0.3
_LARGEST_QUBITS = 40
_SHARE_OF_MEMORY = 0.9

# Fitted on one core of the machine that performance.md was measured on.
_AMPLITUDE_SECONDS = 0.3e-9
_SHOT_SECONDS = 2.5e-9


def bytes_per_amplitude(precision: str, *, is_distribution: bool = False, is_gradient: bool = False) -> int:
    """Memory per amplitude of a large state: real and imaginary part, and what is made of it."""
    scalar = int(np.dtype(precision).itemsize)
    if is_gradient:
        return 5 * scalar + (16 if is_distribution else 0)
    return 2 * scalar + (24 if is_distribution else 0)


def max_qubits(per_amplitude: int, *, memory: int) -> int:
    """The largest state that fits, in qubits."""
    amplitudes = int(memory * _SHARE_OF_MEMORY) // per_amplitude
    return max(1, min(_LARGEST_QUBITS, amplitudes.bit_length() - 1))


def row_seconds(gates: GateList, *, shots: int | None) -> float:
    """About how long one row takes on one core."""
    amplitudes = 2.0**gates.n_qubits
    return amplitudes * (gates.n_gates + 8) * _AMPLITUDE_SECONDS + (shots or 0) * _SHOT_SECONDS


def row_bytes(gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
    """At most how many bytes of answer one row has."""
    if shots is None:
        return 8 * measurement.n_values
    return 8 + 12 * int(min(shots, 2.0**gates.n_qubits))


def rows_per_job(gates: GateList, measurement: Measurement, *, shots: int | None, cores: int) -> int:
    """Rows that take about TARGET_SECONDS and answer within MAX_ANSWER_BYTES: from 1 to MAX_ROWS_PER_JOB."""
    by_time = TARGET_SECONDS * cores / row_seconds(gates, shots=shots)
    by_bytes = MAX_ANSWER_BYTES // max(1, row_bytes(gates, measurement, shots=shots))
    return int(max(1, min(by_time, by_bytes, MAX_ROWS_PER_JOB)))
