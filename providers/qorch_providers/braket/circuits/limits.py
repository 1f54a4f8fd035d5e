"""What a device of Braket takes, and how many rows of a circuit one task holds within all limits."""

from qorch.errors import CircuitError, ShotsError, UsageError
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.braket.circuits.programs import Program, program_of
from qorch_providers.braket.device import BraketDevice
from qorch_providers.braket.options import Options

MAX_BODY_BYTES = 4_000_000
"""Of one task. Amazon documents no limit; this is below what its gateways and its functions take (10 and 6 MB)."""
MAX_QUBITS = 63
"""Outcomes are 64-bit integers."""
MAX_DISTRIBUTION_QUBITS = 20
"""All 2^n exact probabilities of a row: 8 MiB, and some 20 MB of JSON."""
MAX_NUMBER_BYTES = 25
"""The longest shortest decimal of a float64, such as -2.2250738585072014e-308, and a comma."""

_ENVELOPE_BYTES = 20_000
"""Room for what surrounds the programs: tags, device parameters, the place of the results."""
_PROGRAM_BYTES = 200
"""Room for what surrounds one program: its header, and the names of its fields."""
_ANSWER_BYTES = 24 << 20
"""Tasks are packed so that their answers stay below this, as the HTTP client reads no larger body than 32 MiB."""
_ASSUMED_SHOTS = 1_000


def check_device(device: BraketDevice, options: Options) -> None:
    """Raise UsageError for options that the device does not have."""
    if options.verbatim and not device.has_verbatim_boxes:
        raise UsageError(f"{device.name} has no verbatim boxes; leave verbatim=on out")
    if options.keeps_qubits and not device.can_keep_qubits:
        raise UsageError(f"{device.name} cannot run circuits without rewiring their qubits; leave rewiring=off out")
    if options.debiasing and device.min_debiased_shots is None:
        raise UsageError(f"{device.name} has no debiasing; leave debiasing=on out")


def check_circuit(gates: GateList, measurement: Measurement, *, device: BraketDevice, options: Options) -> None:
    """Raise CircuitError, naming the limit or the gate, if not even one row could be sent."""
    most = min(device.n_qubits, MAX_QUBITS)
    if gates.n_qubits > most:
        known = "" if most == device.n_qubits else ", and qorch reads outcomes of at most 63"
        raise CircuitError(f"the circuit has {gates.n_qubits} qubits; {device.name} has {device.n_qubits}{known}")
    check_measurement(measurement, device)
    _check_bytes(program_of(gates, measurement, device=device, options=options))


def check_measurement(measurement: Measurement, device: BraketDevice) -> None:
    """Raise CircuitError for exact values that the device does not have or that no answer holds."""
    if not measurement.is_exact:
        return
    if not device.has_exact_values:
        raise CircuitError(f"{device.name} has no exact values; give a number of shots")
    n_qubits = len(measurement.basis)
    if measurement.masks is None and n_qubits > MAX_DISTRIBUTION_QUBITS:
        raise CircuitError(
            f"the exact distribution of {n_qubits} qubits has {1 << n_qubits} values per row; at most"
            f" {MAX_DISTRIBUTION_QUBITS} qubits are read, so ask for observables or for shots"
        )


def check_shots(shots: int, n_rows: int, *, device: BraketDevice, options: Options) -> None:
    """Raise ShotsError if the device does not run so many shots of each of so many rows in one task."""
    least = max(1, device.min_shots, (device.min_debiased_shots or 1) if options.debiasing else 1)
    if not least <= shots <= device.max_shots:
        raise ShotsError(f"{shots} shots were asked for; {device.name} takes from {least} to {device.max_shots}")
    limits = device.program_sets
    if n_rows == 1 or limits is None:
        return
    if not limits.min_total_shots <= shots * n_rows <= limits.max_total_shots:
        raise ShotsError(
            f"{n_rows} rows of {shots} shots are {shots * n_rows} shots; a program set of {device.name} takes from"
            f" {limits.min_total_shots} to {limits.max_total_shots}"
        )


def max_rows(device: BraketDevice, options: Options) -> int:
    """The most rows of any circuit that one task holds.

    1 without program sets, and with debiasing: Amazon does not say that program sets are debiased, and the price of a
    task is little beside that of its 2,500 shots.
    """
    if device.program_sets is None or options.debiasing:
        return 1
    return max(1, min(device.program_sets.max_executables, options.rows or device.program_sets.max_executables))


def rows_per_job(
    gates: GateList, measurement: Measurement, *, device: BraketDevice, options: Options, shots: int | None
) -> int:
    """How many rows one task holds: executables, shots and bytes are limited, and the answer should stay readable.

    1 for exact values, which program sets do not have. Raises CircuitError if not even one row fits.
    """
    program = program_of(gates, measurement, device=device, options=options)
    _check_bytes(program)
    most = max_rows(device, options)
    if measurement.is_exact or device.program_sets is None:
        return 1
    answer = (shots or _ASSUMED_SHOTS) * (3 * gates.n_qubits + 2)
    limits = (
        most,
        device.program_sets.max_total_shots // (shots or 1),
        (MAX_BODY_BYTES - _ENVELOPE_BYTES) // _row_bytes(program),
        _ANSWER_BYTES // answer,
    )
    return max(1, min(limits))


def _check_bytes(program: Program) -> None:
    n_bytes = _ENVELOPE_BYTES + _source_bytes(program) + len(program.names) * MAX_NUMBER_BYTES
    if n_bytes > MAX_BODY_BYTES:
        raise CircuitError(
            f"one row is up to {n_bytes} bytes of JSON; a task holds {MAX_BODY_BYTES}, so make the circuit shorter"
        )


def _row_bytes(program: Program) -> int:
    """At most how much a row adds to a task; blocks of one row each have a source each, so that it counts, too."""
    return _source_bytes(program) + len(program.names) * MAX_NUMBER_BYTES


def _source_bytes(program: Program) -> int:
    """The source as JSON within JSON, where a line break is ``\\\\n``, and the names of its inputs, quoted twice."""
    names = sum(len(name) + 10 for name in program.names)
    return len(program.source) + 3 * program.source.count("\n") + names + _PROGRAM_BYTES
