"""How long IonQ's machines compute for a job, by which some contracts bill: a rough estimate."""

from qorch.model.job import Interval

_SHOT_SECONDS = 0.0003
"""To prepare the ions of a shot, and to read them."""
_ONE_QUBIT_SECONDS, _TWO_QUBIT_SECONDS = 0.00013, 0.00097
"""Of a gate, as IonQ characterises Forte."""
_MARGIN = 3.0
"""How far off the estimate may be: the compiler changes gates, and machines differ."""


def estimate_seconds(shots: int, one_qubit_gate_shots: int, two_qubit_gate_shots: int) -> Interval:
    """The quantum compute time of a job; all numbers are those of its usage."""
    expected = (
        shots * _SHOT_SECONDS + one_qubit_gate_shots * _ONE_QUBIT_SECONDS + two_qubit_gate_shots * _TWO_QUBIT_SECONDS
    )
    return Interval(expected / _MARGIN, expected, expected * _MARGIN)
