"""The body of ``POST /jobs``: all rows in one job, with what qorch has IBM keep.

A block of rows is one PUB: its compiled circuit, measured in its basis, and an array with the numbers of each row.
Bases are PUBs and not parameters: the device is busy with the same number of shots either way, but a measurement in Z
then takes no pulse more, and one in X or Y takes one.

Jobs go to IBM's program ``executor``: the sampler of the client of today submits there, while ``sampler``, to which the
client's SamplerV2 submits, is deprecated with that class since qiskit-ibm-runtime 0.50. Both are accepted today.
The executor runs circuits exactly as they are. Twirling and dynamical decoupling are done on the server by ``sampler``
alone, so jobs with one of them go there. Expectation values with mitigated errors come from ``estimator``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from qorch.errors import CircuitError
from qorch.model.arrays import FloatArray
from qorch.model.job import JobRequest, Usage
from qorch.model.measurement import Measurement
from qorch_providers.ibm.circuits.compiler import IsaCompiler
from qorch_providers.ibm.circuits.durations import estimate_seconds
from qorch_providers.ibm.circuits.estimator_body import EstimatedRows, estimator_params
from qorch_providers.ibm.circuits.isa import QPY_VERSION, IsaCircuit, measured_circuit, write_qpy
from qorch_providers.ibm.circuits.limits import check_circuit, check_gates, check_shots
from qorch_providers.ibm.circuits.sizes import MAX_BODY_BYTES, circuits_per_row, randomizations
from qorch_providers.ibm.circuits.values import array_value, circuit_value, little_endian, pack
from qorch_providers.ibm.device import IbmDevice
from qorch_providers.ibm.labels import tags_of
from qorch_providers.ibm.options import Decoupling, IbmProgram, Options, Twirling

EXECUTOR_SCHEMA = "v2.0"
_KEPT = 64

Measured = tuple[IsaCircuit, bytes]
"""A compiled circuit, and the basis in which it is measured."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of one block: ``values (R, P)`` of its compiled circuit, and how it is measured."""

    isa: IsaCircuit
    measurement: Measurement
    values: FloatArray


class _Body(msgspec.Struct, omit_defaults=True, kw_only=True):
    program_id: str
    backend: str
    params: dict[str, Any]
    tags: list[str]
    cost: int


def encode_job(request: JobRequest, *, key: str, device: IbmDevice, options: Options, compiler: IsaCompiler) -> bytes:
    """The JSON of a job, rows in the order of the blocks.

    It compiles circuits that were not compiled yet, which takes seconds. Raises CircuitError if the rows are more than
    a job holds or differ in shots, or a circuit cannot be run; ShotsError for a number of shots that a job cannot have;
    ParameterError for an angle that is not finite.
    """
    shots = _one_number_of_shots(request, device=device, options=options, compiler=compiler)
    rows: list[_Rows] = []
    for block in request.blocks:
        if block.n_rows:
            isa = compiler.compile(block.gates, device=device, options=options)
            check_gates(isa, device)
            rows.append(_Rows(isa, block.measurement, isa.values(block.angles)))
    body = msgspec.json.encode(
        _Body(
            program_id=options.program,
            backend=device.name,
            params=_params(rows, shots, options=options),
            tags=tags_of(key, request.label),
            cost=options.max_seconds,
        )
    )
    if len(body) > MAX_BODY_BYTES:
        raise CircuitError(f"the job has {len(body)} bytes; at most {MAX_BODY_BYTES} are sent, so send fewer rows")
    return body


def _params(rows: Sequence[_Rows], shots: int, *, options: Options) -> dict[str, Any]:
    """What the program takes."""
    if options.mitigation is not None:
        pubs = [EstimatedRows(each.isa, each.measurement.sums, each.values) for each in rows if each.measurement.sums]
        return estimator_params(pubs, _sampler_options(shots, options), mitigation=options.mitigation)
    measured = [(each.isa, each.measurement.basis.tobytes()) for each in rows]
    make = _executor_params if options.program is IbmProgram.EXECUTOR else _sampler_params
    return make(measured, [each.values for each in rows], shots, options=options)


def measure_usage(request: JobRequest, *, device: IbmDevice, options: Options, compiler: IsaCompiler) -> Usage:
    """What a job asks of the device: executions, shots, gates times shots as they are sent, and time.

    Of the estimator: in all bases and at all noise factors, without what it learns about misreadings beside them.
    """
    executions = shots = one_qubit = two_qubit = 0
    for block in request.blocks:
        isa = compiler.compile(block.gates, device=device, options=options)
        of_rows = block.n_rows * circuits_per_row(block.measurement, options)
        of_block = of_rows * (block.shots or 0)
        executions += of_rows
        shots += of_block
        one_qubit += of_block * isa.n_one_qubit
        two_qubit += of_block * isa.n_two_qubit
    return Usage(executions, shots, one_qubit, two_qubit, estimate_seconds(shots, options))


def _one_number_of_shots(request: JobRequest, *, device: IbmDevice, options: Options, compiler: IsaCompiler) -> int:
    for block in request.blocks:
        check_circuit(block.gates, block.measurement, device=device, options=options, compiler=compiler)
    wanted = {block.shots for block in request.blocks}
    if len(wanted) > 1 or request.n_rows < 1:
        raise CircuitError(
            f"a job of IBM has one number of shots and at least one row; this one has {request.n_rows} rows with"
            f" the shots {sorted(wanted, key=str)}, so send them as several jobs"
        )
    if options.rows is not None and request.n_rows > options.rows:
        raise CircuitError(f"the job has {request.n_rows} rows; rows={options.rows} was given, so send fewer")
    shots = wanted.pop() or 0
    circuits = sum(block.n_rows * circuits_per_row(block.measurement, options) for block in request.blocks)
    check_shots(shots, request.n_rows, circuits=circuits, options=options)
    return shots


def _executor_params(
    measured: Sequence[Measured], values: Sequence[FloatArray], shots: int, *, options: Options
) -> dict[str, Any]:
    """The schema is ``ibm_quantum_schemas.executor.version_2_0.ParamsModel``."""
    items = [
        {
            "item_type": "circuit",
            "circuit_arguments": {"data": pack(little_endian(each).tobytes()), "shape": each.shape, "dtype": "f64"},
            "shape": [],
            "chunk_size": "auto",
        }
        for each in values
    ]
    program = {
        "shots": shots,
        "circuits": {
            "b64_data": _packed_circuits(tuple(measured)),
            "qpy_version": QPY_VERSION,
            "num_programs": len(items),
        },
        "items": items,
        "meas_level": "classified",
        "passthrough_data": None,
    }
    execution = {"init_qubits": True, "rep_delay": options.rep_delay_seconds}
    return {"schema_version": EXECUTOR_SCHEMA, "quantum_program": program, "options": execution}


def _sampler_params(
    measured: Sequence[Measured], values: Sequence[FloatArray], shots: int, *, options: Options
) -> dict[str, Any]:
    """What SamplerV2 of qiskit-ibm-runtime sends."""
    pubs = [
        [circuit_value(_packed_circuits((each,))), array_value(rows), shots]
        for each, rows in zip(measured, values, strict=True)
    ]
    return {"pubs": pubs, "options": _sampler_options(shots, options), "version": 2, "support_qiskit": True}


def _sampler_options(shots: int, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {"default_shots": shots, "execution": {"init_qubits": True}}
    if options.rep_delay_seconds is not None:
        found["execution"]["rep_delay"] = options.rep_delay_seconds
    if options.decoupling is not Decoupling.OFF:
        found["dynamical_decoupling"] = {"enable": True, "sequence_type": options.decoupling.value}
    if options.twirling is not Twirling.OFF:
        parts = randomizations(shots)
        found["twirling"] = {
            "enable_gates": options.twirling in (Twirling.GATES, Twirling.ALL),
            "enable_measure": options.twirling in (Twirling.MEASURE, Twirling.ALL),
            "num_randomizations": parts,
            "shots_per_randomization": shots // parts,
        }
    elif options.mitigation is not None:
        # What is not said is twirled as the level of resilience has it.
        found["twirling"] = {"enable_gates": False, "enable_measure": False}
    return found


@lru_cache(maxsize=_KEPT)
def _packed_circuits(measured: tuple[Measured, ...]) -> str:
    return pack(write_qpy([measured_circuit(isa, basis) for isa, basis in measured]))
