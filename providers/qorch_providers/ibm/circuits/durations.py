"""How many seconds of the device a job may take: an estimate, and the limit after which IBM cancels it."""

from qorch.model.job import Interval
from qorch_providers.ibm.options import Options

_REP_DELAY_SECONDS = 0.00025
"""Between two shots, by default on most devices."""
_CIRCUIT_SECONDS = 0.00005
"""Of a shot, its readout included."""
_JOB_SECONDS = 2.0
"""Of what every job takes beside its shots, as IBM's manual estimates it."""


def estimate_seconds(shots: int, options: Options) -> Interval:
    """The time of a job with so many shots in all; at most ``max_time``, with which it is submitted."""
    delay = _REP_DELAY_SECONDS if options.rep_delay_seconds is None else options.rep_delay_seconds
    most = float(options.max_seconds)
    expected = min(most, _JOB_SECONDS + shots * (delay + _CIRCUIT_SECONDS))
    return Interval(min(expected, shots * delay / 2), expected, most)
