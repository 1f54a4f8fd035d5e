"""How large circuits and jobs can be on this machine: memory, a rough cost model, job sizes."""

from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.braket.local.options import DENSITY_MATRIX, STATE_VECTOR
from qorch_providers.job_sizes import fitting_rows, row_bytes

MAX_SHOTS = 10**7
MAX_ROWS_PER_JOB = 4_096
MAX_ANSWER_BYTES = 8 << 20
TARGET_SECONDS = 0.1

_LARGEST_QUBITS = {STATE_VECTOR: 26, DENSITY_MATRIX: 13}
"""What the SDK's simulators declare."""
_BYTES_PER_AMPLITUDE = 64
"""Three arrays of complex numbers while gates are applied, and room for one more."""

# Seconds, measured with version 1.41 of the SDK's simulators on one core of a virtual machine with two (AMD EPYC,
# November 2026). The sizes of jobs need no more than the order of magnitude.
_ROW_SECONDS = 200e-6
_GATE_SECONDS = 75e-6
_AMPLITUDE_SECONDS = 10e-9
_SHOT_SECONDS = 40e-9


def max_qubits(simulator: str, *, workers: int, memory: int) -> int:
    """The largest state that each of the workers can hold at the same time, in qubits."""
    amplitudes = memory // workers // _BYTES_PER_AMPLITUDE
    held = (amplitudes.bit_length() - 1) // _indices_per_qubit(simulator)
    return max(1, min(_LARGEST_QUBITS[simulator], held))


def rows_per_job(gates: GateList, measurement: Measurement, *, simulator: str, shots: int | None) -> int:
    """Rows that take about TARGET_SECONDS and answer within MAX_ANSWER_BYTES: from 1 to MAX_ROWS_PER_JOB."""
    by_time = TARGET_SECONDS / _row_seconds(gates, simulator=simulator, shots=shots)
    size = row_bytes(gates, measurement, shots=shots)
    return fitting_rows(by_time, size, max_bytes=MAX_ANSWER_BYTES, max_rows=MAX_ROWS_PER_JOB)


def _row_seconds(gates: GateList, *, simulator: str, shots: int | None) -> float:
    amplitudes = 2.0 ** (gates.n_qubits * _indices_per_qubit(simulator))
    evolution = gates.n_gates * (_GATE_SECONDS + _AMPLITUDE_SECONDS * amplitudes)
    return _ROW_SECONDS + evolution + _SHOT_SECONDS * (shots or 0)


def _indices_per_qubit(simulator: str) -> int:
    return 2 if simulator == DENSITY_MATRIX else 1
