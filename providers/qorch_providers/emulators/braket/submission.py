"""From the body of CreateQuantumTask to what a task is accepted with, or to why it is refused."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from qorch.errors import CircuitError, UsageError
from qorch_providers.emulators.braket.devices import EmulatedDevice
from qorch_providers.emulators.braket.lowering import LoweredProgram, RowRefusedError, lower
from qorch_providers.emulators.braket.openqasm import read_program
from qorch_providers.emulators.braket.program import SourceProgram
from qorch_providers.emulators.braket.refusals import AwsRefusedError
from qorch_providers.emulators.braket.settings import BraketSettings
from qorch_providers.emulators.braket.tasks import TaskOrder
from qorch_providers.emulators.braket.wire import (
    PROGRAM,
    PROGRAM_SET,
    ActionWire,
    CreateWire,
    ProgramSetWire,
    ProgramWire,
    decode,
)
from qorch_providers.emulators.statevector.matrices import Floats

MAX_SIMULATED_QUBITS = 20
MAX_DENSITY_QUBITS = 9
"""More qubits are accepted if the device has them, but the task fails: this is a small machine."""


@dataclass(frozen=True)
class ReadyProgram:
    """One program of a task, ready to run: all its rows."""

    wire: ProgramWire
    program: SourceProgram
    lowered: LoweredProgram

    @property
    def n_rows(self) -> int:
        """How many executables it is."""
        return len(self.lowered.angles)


@dataclass(frozen=True)
class TaskSubmission:
    """A task that may be accepted; ``failure``: why it will fail all the same."""

    order: TaskOrder
    programs: tuple[ReadyProgram, ...]
    failure: str | None


def read_digest(body: bytes) -> str:
    """A digest of a body but for its client token. Raises UsageError."""
    document = decode(body, dict[str, msgspec.Raw])
    document.pop("clientToken", None)
    digest = hashlib.sha256()
    for name in sorted(document):
        digest.update(name.encode() + b"\0" + bytes(document[name]) + b"\0")
    return digest.hexdigest()


def read_task(
    wire: CreateWire, device: EmulatedDevice, settings: BraketSettings, *, digest: str, region: str, has_sets: bool
) -> TaskSubmission:
    """Check a task as the service does. Raises UsageError and AwsRefusedError for what it answers with 400."""
    kind = decode(wire.action, ActionWire).braket_schema_header.name
    if kind not in (PROGRAM, PROGRAM_SET) or (kind == PROGRAM_SET and not has_sets):
        raise UsageError(f"The action {kind} is not supported by the device {device.name}")
    programs = _read_set(wire, device, settings) if kind == PROGRAM_SET else (_read_single(wire, device),)
    _check_parameters(wire, device)
    order = TaskOrder(
        device=device,
        shots=wire.shots,
        bucket=wire.output_s3_bucket,
        prefix=wire.output_s3_key_prefix.rstrip("/"),
        action_type=kind,
        device_parameters=wire.device_parameters,
        client_token=wire.client_token,
        digest=digest,
        region=region,
        associations=tuple(wire.associations),
        experimental=wire.experimental_capabilities,
        executables=tuple(each.n_rows for each in programs),
    )
    return TaskSubmission(order, programs, _find_failure(programs))


def _read_single(wire: CreateWire, device: EmulatedDevice) -> ReadyProgram:
    least, most = device.shots
    if not least <= wire.shots <= most:
        raise UsageError(f"Shots must be between {least} and {most} on {device.name}, not {wire.shots}")
    given = decode(wire.action, ProgramWire)
    try:
        program = read_program(given.source)
        _check_program(program, device, shots=wire.shots)
        values = {name: _one(name, value) for name, value in (given.inputs or {}).items()}
        return ReadyProgram(given, program, _lower(program, values, n_rows=1))
    except CircuitError as error:
        raise UsageError(str(error)) from error


def _one(name: str, value: float | list[float]) -> Floats:
    if isinstance(value, list):
        raise CircuitError(f"input '{name}' is one number, not a list")
    return np.array([value], dtype=np.float64)


def _read_set(wire: CreateWire, device: EmulatedDevice, settings: BraketSettings) -> tuple[ReadyProgram, ...]:
    given = decode(wire.action, ProgramSetWire).programs
    failures: list[dict[str, object]] = []
    programs = []
    for index, each in enumerate(given):
        try:
            programs.append(_read_of_set(each, device))
        except CircuitError as error:
            row = {"inputsIndex": error.row} if isinstance(error, RowRefusedError) else {}
            failures.append({"programIndex": index, **row, "errors": [str(error)]})
    if failures:
        raise _refuse_set("The program set is not valid", failures)
    _check_counts(wire.shots, sum(each.n_rows for each in programs), device, settings)
    return tuple(programs)


def _refuse_set(message: str, failures: list[dict[str, object]]) -> AwsRefusedError:
    details = {"reason": "ProgramSetValidationFailed", "programSetValidationFailures": failures}
    return AwsRefusedError(400, "ValidationException", message, details=details)


def _read_of_set(given: ProgramWire, device: EmulatedDevice) -> ReadyProgram:
    program = read_program(given.source)
    if program.results:
        raise CircuitError("a program of a set has measurements, not result pragmas")
    _check_program(program, device, shots=1)
    columns = {name: value if isinstance(value, list) else [value] for name, value in (given.inputs or {}).items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1 or 0 in lengths:
        raise CircuitError("the inputs of a program have lists of the same length")
    n_rows = lengths.pop() if lengths else 1
    values = {name: np.array(column, dtype=np.float64) for name, column in columns.items()}
    return ReadyProgram(given, program, _lower(program, values, n_rows=n_rows))


def _check_counts(shots: int, n_executables: int, device: EmulatedDevice, settings: BraketSettings) -> None:
    if not 1 <= n_executables <= settings.max_executables:
        raise UsageError(f"A program set has 1 to {settings.max_executables} executables, not {n_executables}")
    if not 1 <= shots <= settings.max_total_shots:
        raise UsageError(f"A program set has 1 to {settings.max_total_shots} shots in all, not {shots}")
    if shots % n_executables:
        raise UsageError(f"The {shots} shots cannot be divided among {n_executables} executables")
    least, most = device.shots
    if not max(1, least) <= shots // n_executables <= most:
        raise UsageError(f"Shots per executable must be between {max(1, least)} and {most} on {device.name}")


def _lower(program: SourceProgram, values: dict[str, Floats], *, n_rows: int) -> LoweredProgram:
    wants_density = any(request.kind == "densitymatrix" for request in program.results)
    return lower(program, values, n_rows=n_rows, is_density=program.has_noise or wants_density)


def _check_program(program: SourceProgram, device: EmulatedDevice, *, shots: int) -> None:
    """Raise CircuitError for what a device does not have."""
    _check_qubits(program, device)
    for step in program.steps:
        gates = device.native_gates if step.is_verbatim else (*device.gates, "unitary" if device.is_simulator else "")
        if step.kraus and not device.has_noise_gates:
            raise CircuitError(f"[line {step.line}] noise is not supported by the device {device.name}")
        if not step.kraus and step.name not in gates:
            within = "in a verbatim box " if step.is_verbatim else ""
            limits = f"{within}by the device {device.name}"
            raise CircuitError(f"[line {step.line}] uses a gate: {step.name} which is not supported {limits}")
    allowed = device.sampled_results if shots else tuple(name for name in device.exact_results if name != "sample")
    for request in program.results:
        if request.kind not in allowed:
            raise CircuitError(f"result '{request.kind}' with {shots} shots is not supported by {device.name}")
        for factor in request.factors:
            if (factor.letter or "hermitian") not in device.observables:
                raise CircuitError(f"observable 'hermitian' is not supported by {device.name}")
    if not shots and not program.results:
        raise CircuitError("with 0 shots a program needs result pragmas")


def _check_qubits(program: SourceProgram, device: EmulatedDevice) -> None:
    if len(program.qubits) > len(device.qubits):
        raise CircuitError(f"the device {device.name} has {len(device.qubits)} qubits, not {len(program.qubits)}")
    if not program.is_physical:
        return
    if device.is_simulator:
        raise CircuitError(f"the device {device.name} has no physical qubits; declare a register")
    missing = sorted(set(program.qubits) - set(device.qubits))
    if missing:
        raise CircuitError(f"the device {device.name} has no qubit ${missing[0]}")


def _check_parameters(wire: CreateWire, device: EmulatedDevice) -> None:
    if wire.device_parameters is None:
        return
    parameters = decode(wire.device_parameters, dict[str, object])
    if not parameters.get("errorMitigation"):
        return
    if device.debias_shots is None:
        raise UsageError(f"Error mitigation is not supported by the device {device.name}")
    if wire.shots < device.debias_shots:
        raise UsageError(f"Error mitigation needs at least {device.debias_shots} shots, not {wire.shots}")


_FITS: tuple[tuple[Callable[[ReadyProgram], bool], int], ...] = (
    (lambda each: each.lowered.is_density, MAX_DENSITY_QUBITS),
    (lambda each: not each.lowered.is_density, MAX_SIMULATED_QUBITS),
)


def _find_failure(programs: Sequence[ReadyProgram]) -> str | None:
    for concerns, most in _FITS:
        if any(concerns(each) and each.lowered.n_qubits > most for each in programs):
            return f"this emulator simulates at most {most} qubits of such a program"
    return None
