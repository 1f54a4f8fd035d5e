"""What one job of IBM's holds, and how many rows of a circuit that is."""

from types import MappingProxyType

from qorch.errors import CircuitError, ShotsError
from qorch.model.circuit import GateList
from qorch.model.measurement import Measurement
from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.circuits.durations import check_time
from qorch_providers.ibm.circuits.isa import IsaCircuit
from qorch_providers.ibm.circuits.sizes import (
    ENVELOPE_BYTES,
    MAX_BODY_BYTES,
    MAX_QUBITS,
    check_twirling,
    circuit_bytes,
    row_bytes,
    rows_within,
    shots_per_row,
)
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.options import MAX_EXECUTIONS, Options

MAX_GATES = MappingProxyType({"rz": 2_400_000, "sx": 1_600_000})
MAX_TWO_QUBIT_GATES = 400_000
"""Of one circuit, as IBM documents them."""


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
    if measurement.is_estimated is (options.mitigation is None):
        known = (
            "estimates come from program=estimator" if options.mitigation is None else "program=estimator has no counts"
        )
        raise CircuitError(f"{known}; open {device.name} with another program for this circuit")
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
    if circuit_bytes(len(isa.circuit.data)) + row_bytes(len(isa.slots)) + ENVELOPE_BYTES > MAX_BODY_BYTES:
        raise CircuitError(
            f"one row may have more than the {MAX_BODY_BYTES} bytes of a job: the circuit has"
            f" {len(isa.circuit.data)} gates on {device.name}, so make it shorter"
        )


def check_shots(shots: int, n_rows: int, *, circuits: int, options: Options) -> None:
    """Raise ShotsError if one job does not hold so many shots of each of so many rows, which are so many circuits."""
    if shots * circuits > MAX_EXECUTIONS:
        known = "" if circuits == n_rows else f" in {circuits // n_rows} circuits each"
        raise ShotsError(
            f"{n_rows} rows of {shots} shots{known} are {shots * circuits}; a job of IBM has {MAX_EXECUTIONS}:"
            " take fewer shots, or send fewer rows"
        )
    check_twirling(shots, options)


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

    It compiles the circuit if that was not done yet. Raises CircuitError if not even one row fits, ShotsError for shots
    that twirling cannot divide.
    """
    check_circuit(gates, measurement, device=device, options=options, compiler=compiler)
    isa = compiler.compile(gates, device=device, options=options)
    check_gates(isa, device)
    check_twirling(shots, options)
    check_time(shots_per_row(measurement, options, shots=shots), options, name=device.name)
    return rows_within(
        options,
        measurement,
        n_gates=len(isa.circuit.data),
        n_angles=len(isa.slots),
        n_device_qubits=isa.circuit.num_qubits,
        shots=shots,
    )
