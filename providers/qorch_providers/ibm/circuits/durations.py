"""How many seconds of the device a job may take: an estimate, and the limit after which IBM cancels it."""

from qorch.errors import CircuitError
from qorch.model.job import Interval
from qorch_providers.ibm.options import Options

_JOB_SECONDS, _SHOT_SECONDS, _USUAL_REP_DELAY_SECONDS = 2.0, 0.00035, 0.00025
"""Of the device, for a job and for each of its shots, by IBM's "quick formula" for workload usage; and what of the
latter is the usual delay between two shots."""


def estimate_seconds(shots: int, options: Options) -> Interval:
    """The time of a job with so many shots in all; at most ``max_time``, with which it is submitted."""
    most = float(options.max_seconds)
    expected = min(most, _JOB_SECONDS + shots * _shot_seconds(options))
    return Interval(min(expected, shots * _delay_seconds(options) / 2), expected, most)


def shots_in_time(options: Options) -> int:
    """How many shots of all rows a job should be able to take before ``max_time`` ends it, which would be charged."""
    return max(0, int((options.max_seconds - _JOB_SECONDS) / _shot_seconds(options)))


def check_time(shots: int, options: Options, *, name: str) -> None:
    """Raise CircuitError if one row of so many shots may need more than ``max_time``. ``name``: of the device."""
    if shots > shots_in_time(options):
        raise CircuitError(
            f"one row of {shots} shots needs more time of {name} than max_time={options.max_seconds} s allows:"
            " raise max_time=, or take fewer shots"
        )


def _delay_seconds(options: Options) -> float:
    return _USUAL_REP_DELAY_SECONDS if options.rep_delay_seconds is None else options.rep_delay_seconds


def _shot_seconds(options: Options) -> float:
    return _SHOT_SECONDS - _USUAL_REP_DELAY_SECONDS + _delay_seconds(options)
