"""What one job of IBM's holds, and how many rows of a circuit that is."""

from types import MappingProxyType

from qorch.errors import CircuitError, ShotsError
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.circuits.isa import IsaCircuit
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import MAX_EXECUTIONS, Options, Twirling

MAX_BODY_BYTES = 20_000_000
"""Of one job. IBM documents no limit; its client sends jobs of any size."""
MAX_QUBITS = 63
"""Outcomes are 64-bit integers."""
MAX_GATES = MappingProxyType({"rz": 2_400_000, "sx": 1_600_000})
MAX_TWO_QUBIT_GATES = 400_000
"""Of one circuit, as IBM documents them."""
MAX_RANDOMIZATIONS = 32
"""Into how many random circuits twirling divides the shots of one."""

_MIN_RANDOMIZATIONS = 8
_ENVELOPE_BYTES = 20_000
"""Room for what surrounds the circuits: tags, options, names of fields."""
_NUMBER_BYTES = 11
"""Of a number of eight bytes in base64, that cannot be compressed."""
_GATE_BYTES = 60
"""At most of a gate in QPY in base64: bits and angles, before it is compressed."""
_ANSWER_BYTES = 24 << 20
"""Jobs are packed so that their answers stay below this, as the HTTP client reads no larger body than 32 MiB."""
_ASSUMED_SHOTS = 1_000
_JOB_SECONDS, _SHOT_SECONDS, _USUAL_REP_DELAY_SECONDS = 2.0, 0.00035, 0.00025
"""Of the device, for a job and for each of its shots, by IBM's "quick formula" for workload usage; and what of the
latter is the usual delay between two shots."""


def check_circuit(
    gates: GateList, measurement: Measurement, *, device: IbmDevice, options: Options, compiler: IsaCompiler
) -> None:
    """Raise CircuitError, naming the limit, if not even one row could be sent.

    The limits of its gates are seen once the circuit is compiled; it is not compiled here.
    """
    most = min(device.n_qubits, MAX_QUBITS)
    if gates.n_qubits > most:
        known = "" if most == device.n_qubits else ", and qorch reads outcomes of at most 63"
        raise CircuitError(
            f"the circuit has {gates.n_qubits} qubits; {device.name} has {device.n_qubits}{known}:"
            " use fewer, or a device with more"
        )
    if measurement.is_exact:
        raise CircuitError(f"{device.name} has no exact values; give a number of shots")
    if options.layout and len(options.layout) < gates.n_qubits:
        raise CircuitError(
            f"the circuit has {gates.n_qubits} qubits; layout= names {len(options.layout)}: name as many"
        )
    if compiler.is_compiled(gates, device=device, options=options):
        check_gates(compiler.compile(gates, device=device, options=options), device)


def check_gates(isa: IsaCircuit, device: IbmDevice) -> None:
    """Raise CircuitError if a compiled circuit has more gates than IBM allows, or is too large for one job."""
    found = isa.circuit.count_ops()
    for name, most in MAX_GATES.items():
        if found.get(name, 0) > most:
            raise CircuitError(f"the circuit has {found[name]} {name} on {device.name}; IBM takes at most {most}")
    if isa.n_two_qubit > MAX_TWO_QUBIT_GATES:
        raise CircuitError(
            f"the circuit has {isa.n_two_qubit} gates on two qubits on {device.name}; IBM takes {MAX_TWO_QUBIT_GATES}"
        )
    if _circuit_bytes(isa) + _row_bytes(isa) + _ENVELOPE_BYTES > MAX_BODY_BYTES:
        raise CircuitError(
            f"one row may have more than the {MAX_BODY_BYTES} bytes of a job: the circuit has"
            f" {len(isa.circuit.data)} gates on {device.name}, so make it shorter"
        )


def check_shots(shots: int, n_rows: int, *, options: Options) -> None:
    """Raise ShotsError if one job does not hold so many shots of each of so many rows."""
    if shots * n_rows > MAX_EXECUTIONS:
        raise ShotsError(f"{n_rows} rows of {shots} shots are {shots * n_rows}; a job of IBM has {MAX_EXECUTIONS}")
    if options.twirling is not Twirling.OFF:
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


def rows_per_job(
    gates: GateList,
    measurement: Measurement,
    *,
    device: IbmDevice,
    options: Options,
    compiler: IsaCompiler,
    shots: int | None,
) -> int:
    """How many rows one job holds: executions, bytes and time are limited, and the answer should stay readable.

    It compiles the circuit if that was not done yet. Raises CircuitError if not even one row fits.
    """
    check_circuit(gates, measurement, device=device, options=options, compiler=compiler)
    isa = compiler.compile(gates, device=device, options=options)
    check_gates(isa, device)
    taken = shots or _ASSUMED_SHOTS
    answer = taken * -(-gates.n_qubits // 8) * 4 // 3 + 1
    limits = (
        options.rows or MAX_EXECUTIONS,
        MAX_EXECUTIONS // taken,
        _check_time(shots_in_time(options) // taken, taken, device=device, options=options),
        (MAX_BODY_BYTES - _ENVELOPE_BYTES - _circuit_bytes(isa)) // _row_bytes(isa),
        _ANSWER_BYTES // answer,
    )
    return max(1, min(limits))


def shots_in_time(options: Options) -> int:
    """How many shots of all rows a job should be able to take before ``max_time`` ends it, which would be charged."""
    delay = options.rep_delay_seconds
    shot_seconds = _SHOT_SECONDS if delay is None else _SHOT_SECONDS - _USUAL_REP_DELAY_SECONDS + delay
    return max(0, int((options.max_seconds - _JOB_SECONDS) / shot_seconds))


def _check_time(rows: int, shots: int, *, device: IbmDevice, options: Options) -> int:
    """The rows. Raises CircuitError if it is none."""
    if not rows:
        raise CircuitError(
            f"one row of {shots} shots needs more time of {device.name} than max_time={options.max_seconds} s allows:"
            " raise max_time=, or take fewer shots"
        )
    return rows


def _circuit_bytes(isa: IsaCircuit) -> int:
    return _GATE_BYTES * len(isa.circuit.data)


def _row_bytes(isa: IsaCircuit) -> int:
    return max(1, _NUMBER_BYTES * len(isa.slots))
