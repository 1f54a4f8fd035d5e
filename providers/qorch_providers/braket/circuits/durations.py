"""How long Amazon's simulators may take for a task: a rough estimate, by which they are billed."""

from qorch.model.job import Interval
from qorch_providers.braket.device import BraketDevice

MOST_SECONDS = 21_600.0
"""After which a task on a simulator is ended, as Amazon's quotas say."""
_GATE_SECONDS = 1e-9
"""Of one gate on one amplitude. Amazon gives one to two hours for some hundred gates on 34 qubits, half of this."""
_SHOT_SECONDS = 1e-5
_MARGIN = 20.0
"""How many times longer than expected a task may take before it counts as wrong."""
LEAST_SECONDS = 3.0
"""A task is billed for at least so long."""


def count_amplitudes(n_qubits: int, device: BraketDevice) -> int:
    """How many numbers a simulator keeps: those of a state, or of a density matrix (DM1)."""
    return 1 << (2 * n_qubits if device.arn.endswith("dm1") else n_qubits)


def estimate_seconds(amplitude_gates: int, shots: int) -> Interval:
    """The time of a task, from its gates times amplitudes, and its shots."""
    expected = min(MOST_SECONDS, amplitude_gates * _GATE_SECONDS + shots * _SHOT_SECONDS)
    return Interval(0.0, expected, min(MOST_SECONDS, max(LEAST_SECONDS, _MARGIN * expected)))
