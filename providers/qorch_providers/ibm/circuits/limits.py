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
_COEFFICIENT_BYTES = 30
"""Of a number with all its digits, and what stands around it and its label."""
_ANSWER_BYTES = 24 << 20
"""Jobs are packed so that their answers stay below this, as the HTTP client reads no larger body than 32 MiB."""
_ASSUMED_SHOTS = 1_000


def check_circuit(
    gates: GateList, measurement: Measurement, *, device: IbmDevice, options: Options, compiler: IsaCompiler
) -> None:
    """Raise CircuitError, naming the limit, if not even one row could be sent.

    The limits of its gates are seen once the circuit is compiled; it is not compiled here.
    """
    most = min(device.n_qubits, MAX_QUBITS)
    if gates.n_qubits > most:
        known = "" if most == device.n_qubits else ", and qorch reads outcomes of at most 63"
        raise CircuitError(f"the circuit has {gates.n_qubits} qubits; {device.name} has {device.n_qubits}{known}")
    if measurement.is_exact:
        raise CircuitError(f"{device.name} has no exact values; give a number of shots")
    if measurement.is_estimated is (options.mitigation is None):
        known = (
            "estimates come from program=estimator" if options.mitigation is None else "program=estimator has no counts"
        )
        raise CircuitError(f"{known}; open {device.name} with another program for this circuit")
    if options.layout and len(options.layout) < gates.n_qubits:
        raise CircuitError(f"the circuit has {gates.n_qubits} qubits; layout= names {len(options.layout)}")
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


def circuits_per_row(measurement: Measurement, options: Options) -> int:
    """How many circuits the device runs for a row, each with all shots: several only of the estimator's."""
    if measurement.sums is None or options.mitigation is None:
        return 1
    return len(measurement.sums.bases) * options.mitigation.circuits_per_basis


def check_shots(shots: int, n_rows: int, *, circuits: int, options: Options) -> None:
    """Raise ShotsError if one job does not hold so many shots of each of so many rows, which are so many circuits."""
    if shots * circuits > MAX_EXECUTIONS:
        known = "" if circuits == n_rows else f" in {circuits // n_rows} circuits each"
        raise ShotsError(
            f"{n_rows} rows of {shots} shots{known} are {shots * circuits}; a job of IBM has {MAX_EXECUTIONS}"
        )
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
    """How many rows one job holds: executions and bytes are limited, and the answer should stay readable.

    It compiles the circuit if that was not done yet. Raises CircuitError if not even one row fits.
    """
    check_circuit(gates, measurement, device=device, options=options, compiler=compiler)
    isa = compiler.compile(gates, device=device, options=options)
    check_gates(isa, device)
    taken = (shots or _ASSUMED_SHOTS) * circuits_per_row(measurement, options)
    sent = _circuit_bytes(isa) + _observable_bytes(isa, measurement)
    limits = (
        options.rows or MAX_EXECUTIONS,
        MAX_EXECUTIONS // taken,
        (MAX_BODY_BYTES - _ENVELOPE_BYTES - sent) // _row_bytes(isa),
        _ANSWER_BYTES // _answer_bytes(measurement, options, shots=shots or _ASSUMED_SHOTS),
    )
    return max(1, min(limits))


def _answer_bytes(measurement: Measurement, options: Options, *, shots: int) -> int:
    """Of one row, in base64."""
    if options.mitigation is not None:
        return measurement.n_values * options.mitigation.arrays_per_value * _NUMBER_BYTES
    return shots * -(-len(measurement.basis) // 8) * 4 // 3 + 1


def _observable_bytes(isa: IsaCircuit, measurement: Measurement) -> int:
    if measurement.sums is None:
        return 0
    label_bytes: int = isa.circuit.num_qubits
    return len(measurement.sums.letters) * (label_bytes + _COEFFICIENT_BYTES)


def _circuit_bytes(isa: IsaCircuit) -> int:
    return _GATE_BYTES * len(isa.circuit.data)


def _row_bytes(isa: IsaCircuit) -> int:
    return max(1, _NUMBER_BYTES * len(isa.slots))
