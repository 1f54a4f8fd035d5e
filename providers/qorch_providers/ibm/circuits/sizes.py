"""How large jobs of IBM's may become: bytes of circuits, rows and answers, and how shots are divided."""

from qorch.errors import ShotsError
from qorch.model.measurement import Measurement
from qorch_providers.ibm.circuits.durations import shots_in_time
from qorch_providers.ibm.options import MAX_EXECUTIONS, Options, Twirling

MAX_BODY_BYTES = 20_000_000
"""Of one job. IBM documents no limit; its client sends jobs of any size."""
MAX_QUBITS = 63
"""Outcomes are 64-bit integers."""
MAX_RANDOMIZATIONS = 32
"""Into how many random circuits twirling divides the shots of one."""

ENVELOPE_BYTES = 20_000
"""Room for what surrounds the circuits: tags, options, names of fields."""
_NUMBER_BYTES = 11
"""Of a number of eight bytes in base64, that cannot be compressed."""
_GATE_BYTES = 60
"""At most of a gate in QPY in base64: bits and angles, before it is compressed."""
_COEFFICIENT_BYTES = 30
"""Of a number with all its digits, and what stands around it and its label."""
_ANSWER_BYTES = 24 << 20
"""Jobs are packed so that their answers stay below this, as the HTTP client reads no larger body than 32 MiB."""
_ASSUMED_SHOTS = 1_000
_MIN_RANDOMIZATIONS = 8


def circuit_bytes(n_gates: int) -> int:
    """Of a circuit with so many gates, at most."""
    return _GATE_BYTES * n_gates


def row_bytes(n_angles: int) -> int:
    """Of a row with so many angles, at most."""
    return max(1, _NUMBER_BYTES * n_angles)


def circuits_per_row(measurement: Measurement, options: Options) -> int:
    """How many circuits the device runs for a row, each with all shots: several only of the estimator's."""
    if measurement.sums is None or options.mitigation is None:
        return 1
    return len(measurement.sums.bases) * options.mitigation.circuits_per_basis


def shots_per_row(measurement: Measurement, options: Options, *, shots: int | None) -> int:
    """How many shots the device takes for a row in all its circuits; without ``shots``, of a usual number."""
    return (shots or _ASSUMED_SHOTS) * circuits_per_row(measurement, options)


def check_twirling(shots: int | None, options: Options) -> None:
    """Raise ShotsError for a number of shots that twirling, if it is asked for, cannot divide into equal parts."""
    if options.twirling is not Twirling.OFF and shots is not None:
        randomizations(shots)


def randomizations(shots: int) -> int:
    """Into how many random circuits twirling divides the shots; all have the same number of them.

    Raises ShotsError for a number that has no good divisor.
    """
    most = next(parts for parts in range(min(MAX_RANDOMIZATIONS, shots), 0, -1) if shots % parts == 0)
    if most < min(_MIN_RANDOMIZATIONS, shots):
        raise ShotsError(
            f"twirling divides the shots into 8 to 32 equal parts, which {shots} cannot be; take a multiple of 32"
        )
    return most


def rows_within(
    options: Options,
    measurement: Measurement,
    *,
    n_gates: int,
    n_angles: int,
    n_device_qubits: int,
    shots: int | None,
) -> int:
    """How many rows of a circuit one job holds.

    Executions, bytes and time are limited, and the answer stays readable.
    """
    taken = shots_per_row(measurement, options, shots=shots)
    sent = circuit_bytes(n_gates) + _observable_bytes(measurement, n_device_qubits)
    limits = (
        options.rows or MAX_EXECUTIONS,
        MAX_EXECUTIONS // taken,
        shots_in_time(options) // taken,
        (MAX_BODY_BYTES - ENVELOPE_BYTES - sent) // row_bytes(n_angles),
        _ANSWER_BYTES // _answer_bytes(measurement, options, shots=shots or _ASSUMED_SHOTS),
    )
    return max(1, min(limits))


def _answer_bytes(measurement: Measurement, options: Options, *, shots: int) -> int:
    """Of one row, in base64."""
    if options.mitigation is not None:
        return measurement.n_values * options.mitigation.arrays_per_value * _NUMBER_BYTES
    return shots * -(-len(measurement.basis) // 8) * 4 // 3 + 1


def _observable_bytes(measurement: Measurement, n_device_qubits: int) -> int:
    return 0 if measurement.sums is None else len(measurement.sums.letters) * (n_device_qubits + _COEFFICIENT_BYTES)
