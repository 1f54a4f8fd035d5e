"""How large jobs of IBM's may become: bytes of circuits, rows and answers."""

from qorch_providers.ibm.options import MAX_EXECUTIONS

MAX_BODY_BYTES = 20_000_000
"""Of one job. IBM documents no limit; its client sends jobs of any size."""
MAX_QUBITS = 63
"""Outcomes are 64-bit integers."""

ENVELOPE_BYTES = 20_000
"""Room for what surrounds the circuits: tags, options, names of fields."""
_NUMBER_BYTES = 11
"""Of a number of eight bytes in base64, that cannot be compressed."""
_GATE_BYTES = 60
"""At most of a gate in QPY in base64: bits and angles, before it is compressed."""
_ANSWER_BYTES = 24 << 20
"""Jobs are packed so that their answers stay below this, as the HTTP client reads no larger body than 32 MiB."""
_ASSUMED_SHOTS = 1_000


def circuit_bytes(n_gates: int) -> int:
    """Of a circuit with so many gates, at most."""
    return _GATE_BYTES * n_gates


def row_bytes(n_angles: int) -> int:
    """Of a row with so many angles, at most."""
    return max(1, _NUMBER_BYTES * n_angles)


def rows_within(wanted: int | None, *, n_qubits: int, n_gates: int, n_angles: int, shots: int | None) -> int:
    """How many rows of a circuit one job holds: executions and bytes are limited, and the answer stays readable.

    ``wanted``: the user's own limit.
    """
    taken = shots or _ASSUMED_SHOTS
    answer = taken * -(-n_qubits // 8) * 4 // 3 + 1
    limits = (
        wanted or MAX_EXECUTIONS,
        MAX_EXECUTIONS // taken,
        (MAX_BODY_BYTES - ENVELOPE_BYTES - circuit_bytes(n_gates)) // row_bytes(n_angles),
        _ANSWER_BYTES // answer,
    )
    return max(1, min(limits))
