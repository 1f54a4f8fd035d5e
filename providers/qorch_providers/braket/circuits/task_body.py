"""The body of CreateQuantumTask: one row as a program, several as one program set, with what qorch has Braket keep."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from qorch.errors import CircuitError
from qorch.model.job import JobRequest, Usage
from qorch.model.measurement import RowBlock
from qorch_providers.braket.circuits.durations import count_amplitudes, estimate_seconds
from qorch_providers.braket.circuits.limits import MAX_BODY_BYTES, check_circuit, check_shots, max_rows
from qorch_providers.braket.circuits.programs import Program, program_of
from qorch_providers.braket.device import BraketDevice
from qorch_providers.braket.labels import tags_of, task_name
from qorch_providers.braket.options import Options

_PROGRAM = b'{"braketSchemaHeader":{"name":"braket.ir.openqasm.program","version":"1"},"source":%b%b}'
_PROGRAM_SET = b'{"braketSchemaHeader":{"name":"braket.ir.openqasm.program_set","version":"1"},"programs":[%b]}'
_DEBIAS = "braket.device_schema.error_mitigation.debias.Debias"
_OWN_PARAMETERS = ("ionq.ionq", "iqm.iqm", "rigetti.rigetti", "simulators.gate_model_simulator")
"""Devices whose parameters have a schema of their own in Amazon's library."""
_SCHEMAS = "braket.device_schema"


@dataclass(frozen=True)
class Destination:
    """Where the results of tasks go, and the token of the hybrid job that this process is; empty if it is none."""

    bucket: str
    key_prefix: str
    job_token: str = ""


class _Header(msgspec.Struct):
    name: str
    version: str = "1"


class _Paradigm(msgspec.Struct, rename="camel"):
    braket_schema_header: _Header
    qubit_count: int
    disable_qubit_rewiring: bool


class _Mitigation(msgspec.Struct):
    type: str


class _Parameters(msgspec.Struct, rename="camel", omit_defaults=True):
    braket_schema_header: _Header
    paradigm_parameters: _Paradigm
    error_mitigation: list[_Mitigation] | None = None


class _Body(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    client_token: str
    device_arn: str
    shots: int
    output_s3_bucket: str
    output_s3_key_prefix: str
    action: str
    device_parameters: str | None = None
    tags: dict[str, str]
    job_token: str = ""


def encode_task(
    request: JobRequest, *, key: str, device: BraketDevice, options: Options, destination: Destination
) -> bytes:
    """The JSON of a task, rows in the order of the blocks. ``key``: at most 64 characters, its client token.

    Shots are those of all rows together; 0 asks for exact values. Raises CircuitError if the rows are more than a task
    holds or differ in shots; ShotsError for a number of shots that the device does not run; ParameterError for an
    angle that is not finite.
    """
    shots = _total_shots(request, device, options)
    programs = [
        (program_of(block.gates, block.measurement, device=device, options=options), block)
        for block in request.blocks
        if block.n_rows
    ]
    action = _one(*programs[0]) if request.n_rows == 1 else _PROGRAM_SET % b",".join(_several(programs))
    prefix = destination.key_prefix.strip("/")
    body = msgspec.json.encode(
        _Body(
            client_token=key,
            device_arn=device.arn,
            shots=shots,
            output_s3_bucket=destination.bucket,
            output_s3_key_prefix=f"{prefix}/{task_name(key)}" if prefix else task_name(key),
            action=action.decode(),
            device_parameters=_device_parameters(request, device, options),
            tags=tags_of(key, request.label),
            job_token=destination.job_token,
        )
    )
    if len(body) > MAX_BODY_BYTES:
        raise CircuitError(f"the task has {len(body)} bytes; at most {MAX_BODY_BYTES} are sent, so send fewer rows")
    return body


def measure_usage(request: JobRequest, *, device: BraketDevice, options: Options) -> Usage:
    """What is billed of a task: executions, shots, gates times shots of the circuits as they are sent, and time."""
    shots = one_qubit = two_qubit = amplitude_gates = 0
    for block in request.blocks:
        program = program_of(block.gates, block.measurement, device=device, options=options)
        n_gates = program.n_one_qubit + program.n_two_qubit
        amplitude_gates += block.n_rows * n_gates * count_amplitudes(block.gates.n_qubits, device)
        of_block = block.n_rows * (block.shots or 0)
        shots += of_block
        one_qubit += of_block * program.n_one_qubit
        two_qubit += of_block * program.n_two_qubit
    seconds = estimate_seconds(amplitude_gates, shots) if device.is_simulator else None
    return Usage(request.n_rows, shots, one_qubit, two_qubit, seconds, is_mitigated=options.debiasing)


def locate_row(
    request: JobRequest, *, program: int, inputs: int, device: BraketDevice, options: Options
) -> tuple[int, int]:
    """The block, and the row of it, that Braket names by a program of the set and a place in its inputs.

    Raises IndexError if the set has no such row.
    """
    first = 0
    for index, block in enumerate(request.blocks):
        found = program_of(block.gates, block.measurement, device=device, options=options)
        n_programs = min(block.n_rows, 1) if found.names else block.n_rows
        if program < first + n_programs:
            row = inputs if found.names else program - first
            return index, range(block.n_rows)[row]
        first += n_programs
    raise IndexError(program)


def _total_shots(request: JobRequest, device: BraketDevice, options: Options) -> int:
    wanted = {block.shots for block in request.blocks}
    if len(wanted) > 1 or request.n_rows < 1:
        raise CircuitError(
            f"a task of Braket has one number of shots and at least one row; this one has {request.n_rows} rows with"
            f" the shots {sorted(wanted, key=str)}, so send them as several tasks"
        )
    for block in request.blocks:
        check_circuit(block.gates, block.measurement, device=device, options=options)
    shots = wanted.pop()
    most = 1 if shots is None else max_rows(device, options)
    if request.n_rows > most:
        raise CircuitError(f"the task has {request.n_rows} rows; {device.name} takes at most {most}, so send fewer")
    if shots is None:
        return 0
    check_shots(shots, request.n_rows, device=device, options=options)
    return shots * request.n_rows


def _one(program: Program, block: RowBlock) -> bytes:
    """A program with a number for each input."""
    return _encode(program, program.values(block.angles)[0].tolist())


def _several(programs: Sequence[tuple[Program, RowBlock]]) -> list[bytes]:
    """A program for each block, with a list for each input.

    Without inputs nothing would tell how many rows there are: such a program is there once for each row.
    """
    found: list[bytes] = []
    for program, block in programs:
        found += [_encode(program, program.values(block.angles).T.tolist())] * (1 if program.names else block.n_rows)
    return found


def _encode(program: Program, values: list[float] | list[list[float]]) -> bytes:
    inputs = b""
    if program.names:
        inputs = b',"inputs":' + msgspec.json.encode(dict(zip(program.names, values, strict=True)))
    return _PROGRAM % (msgspec.json.encode(program.source), inputs)


def _device_parameters(request: JobRequest, device: BraketDevice, options: Options) -> str | None:
    """Only what an option asks for: without, the service takes its defaults, as for any OpenQASM program.

    Written here and not by Amazon's library, whose next version may write the same with other bytes: a task that is
    sent again must have those of its first attempt.
    """
    if not (options.keeps_qubits or options.debiasing):
        return None
    n_qubits = max(block.gates.n_qubits for block in request.blocks)
    paradigm = _Paradigm(_Header(f"{_SCHEMAS}.gate_model_parameters"), n_qubits, options.keeps_qubits)
    mitigation = [_Mitigation(_DEBIAS)] if options.debiasing else None
    kind = device.schema.removeprefix(f"{_SCHEMAS}.").removesuffix("_device_capabilities")
    name = kind if kind in _OWN_PARAMETERS else "common.gate_model"
    parameters = _Parameters(_Header(f"{_SCHEMAS}.{name}_device_parameters"), paradigm, mitigation)
    return msgspec.json.encode(parameters).decode()
