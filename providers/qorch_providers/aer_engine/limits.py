"""How large circuits and jobs can be on this machine: memory, a rough cost model, job sizes."""

from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.job_sizes import fitting_rows, row_bytes

MAX_SHOTS = 10**7
MAX_ROWS_PER_JOB = 4_096
MAX_ANSWER_BYTES = 8 << 20
TARGET_SECONDS = 0.1
THREADS_MIN_QUBITS = 20
"""Below, Aer gains nothing from a second thread (measured: nothing at 12 to 18 qubits)."""

MAX_SAMPLED_DENSITY_QUBITS = 9
"""Up to so many active qubits a density matrix is cheaper than about a thousand trajectories."""
MAX_EXACT_NOISY_QUBITS = 10
MAX_EXACT_NOISY_ACTIVE_QUBITS = 13
"""A density matrix of 1 GiB: routing on a device may need more qubits than the circuit has."""

# Amplitudes, the probabilities and their running sum: 16 + 8 + 8 bytes, and room for what Aer copies.
_BYTES_PER_OUTCOME = 48
_LARGEST_QUBITS = 34

# Seconds, fitted to the shapes W1, W3 and W4 of `qorch bench` with Aer 0.18 on one core of a virtual machine with two
# (AMD EPYC, November 2026). The sizes of jobs need no more than the order of magnitude.
_ROW_SECONDS = 60e-6
_GATE_SECONDS = 0.5e-6
_AMPLITUDE_SECONDS = 2.5e-9
_OUTCOME_SECONDS = 10e-9
_SHOT_SECONDS = 40e-9
_COMPILED_GATES_PER_GATE = 4


def max_qubits(*, workers: int, memory: int) -> int:
    """The largest state that each of the workers can hold at the same time, in qubits."""
    outcomes = memory // workers // _BYTES_PER_OUTCOME
    return max(1, min(_LARGEST_QUBITS, outcomes.bit_length() - 1))


def row_seconds(gates: GateList, *, shots: int | None, is_noisy: bool) -> float:
    """About how long one row takes on one core."""
    n, n_gates, taken = gates.n_qubits, gates.n_gates, shots or 0
    reading = _ROW_SECONDS + _OUTCOME_SECONDS * 2.0**n + _SHOT_SECONDS * taken
    if not is_noisy:
        return reading + n_gates * (_GATE_SECONDS + _AMPLITUDE_SECONDS * 2.0**n)
    compiled = _COMPILED_GATES_PER_GATE * n_gates
    density = compiled * (_GATE_SECONDS + 4 * _AMPLITUDE_SECONDS * 4.0**n)
    trajectories = taken * compiled * (_GATE_SECONDS + _AMPLITUDE_SECONDS * 2.0**n)
    is_density = shots is None or n <= MAX_SAMPLED_DENSITY_QUBITS
    return reading + (density if is_density else trajectories)


def rows_per_job(gates: GateList, measurement: Measurement, *, shots: int | None, is_noisy: bool) -> int:
    """Rows that take about TARGET_SECONDS and answer within MAX_ANSWER_BYTES: from 1 to MAX_ROWS_PER_JOB."""
    by_time = TARGET_SECONDS / row_seconds(gates, shots=shots, is_noisy=is_noisy)
    size = row_bytes(gates, measurement, shots=shots)
    return fitting_rows(by_time, size, max_bytes=MAX_ANSWER_BYTES, max_rows=MAX_ROWS_PER_JOB)
