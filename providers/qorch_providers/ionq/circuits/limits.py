"""IonQ's limits on circuits and jobs, and how many rows of a circuit stay within all of them (protocols.md 1.3)."""

from qorch.errors import CircuitError
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.ionq.circuits.templates import MeasuredTemplate, template_of
from qorch_providers.ionq.options import MAX_CIRCUITS, Options

MAX_GATES = 150_000
MAX_BODY_BYTES = 10_000_000
MAX_SHOTS = 1_000_000
MIN_DEBIASED_SHOTS = 500
MAX_SIMULATED_QUBITS = 29
MAX_QUBITS = 63
"""Outcomes are 64-bit integers."""
MAX_DISTRIBUTION_QUBITS = 20
"""All 2^n exact probabilities of a row: 8 MiB."""

ENVELOPE_BYTES = 20_000
"""Room for what surrounds the circuits: name, metadata, settings."""
ENTRY_BYTES = 40
"""Room for what surrounds the gates of one row."""

_ANSWER_BYTES = 24 << 20
"""Jobs are packed so that their answers stay below this, as the HTTP client reads no larger body than 32 MiB."""
_ASSUMED_SHOTS = 10_000
_ENTRY_NUMBER_BYTES = 28
_CHILD_BYTES = 64


def max_qubits(options: Options) -> int:
    """The largest circuit that the target can hold as far as IonQ documents it."""
    return MAX_SIMULATED_QUBITS if options.is_simulator else MAX_QUBITS


def check_qubits(gates: GateList, options: Options) -> None:
    """Raise CircuitError if the circuit has too many qubits."""
    most = max_qubits(options)
    if gates.n_qubits > most:
        raise CircuitError(f"the circuit has {gates.n_qubits} qubits; ionq:{options.target} takes at most {most}")


def check_measurement(measurement: Measurement, options: Options) -> None:
    """Raise CircuitError for exact values that the target does not have or that no answer holds."""
    if not measurement.is_exact:
        return
    if not options.is_ideal:
        raise CircuitError(f"ionq:{options.target} has no exact values; give a number of shots")
    n_qubits = len(measurement.basis)
    if measurement.masks is None and n_qubits > MAX_DISTRIBUTION_QUBITS:
        raise CircuitError(
            f"the exact distribution of {n_qubits} qubits has {1 << n_qubits} values per row; at most"
            f" {MAX_DISTRIBUTION_QUBITS} qubits are read, so ask for observables or for shots"
        )


def rows_per_job(gates: GateList, measurement: Measurement, options: Options, *, shots: int | None = None) -> int:
    """How many rows one job takes: circuits, gates and bytes are limited, and the answer should stay readable.

    ``shots``, if known, bounds how many outcomes a row of a machine's answer can have. Raises CircuitError if not even
    one row fits.
    """
    template = template_of(gates, measurement, options)
    check_row(template)
    room = (MAX_BODY_BYTES - ENVELOPE_BYTES) // (template.max_row_bytes + ENTRY_BYTES)
    answer = _ANSWER_BYTES // _answer_bytes(gates.n_qubits, options, shots=shots)
    return min(options.rows or MAX_CIRCUITS, MAX_GATES // max(1, template.n_gates), room, max(1, answer))


def check_row(template: MeasuredTemplate) -> None:
    """Raise CircuitError if one row is more than a job may hold."""
    if template.n_gates > MAX_GATES:
        raise CircuitError(
            f"one row is {template.n_gates} IonQ gates; a job takes at most {MAX_GATES}, so make the circuit shorter"
        )
    n_bytes = template.max_row_bytes + ENTRY_BYTES + ENVELOPE_BYTES
    if n_bytes > MAX_BODY_BYTES:
        raise CircuitError(
            f"one row is up to {n_bytes} bytes of JSON; a job takes at most {MAX_BODY_BYTES}, so make the circuit"
            " shorter"
        )


def _answer_bytes(n_qubits: int, options: Options, *, shots: int | None) -> int:
    """The maximum size of one row of the answer."""
    outcomes = 1 << n_qubits
    if not options.is_ideal:
        outcomes = min(outcomes, shots or _ASSUMED_SHOTS)
    return _CHILD_BYTES + outcomes * (_ENTRY_NUMBER_BYTES + n_qubits // 3)
