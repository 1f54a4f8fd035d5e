"""The body of `POST /jobs`: rows of circuits and their settings as JSON, in the protocol's version 0.4 or 0.3."""

import hashlib

import msgspec
import numpy as np

from qorch.errors import CircuitError, ShotsError
from qorch.model.arrays import ByteArray
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, Usage
from qorch.model.measurement import Measurement, RowBlock
from qorch.model.observable import Z
from qorch_providers.ionq.circuits.durations import estimate_seconds
from qorch_providers.ionq.circuits.limits import (
    MAX_BODY_BYTES,
    MAX_GATES,
    MAX_SHOTS,
    MIN_DEBIASED_SHOTS,
    check_measurement,
    check_qubits,
    check_row,
)
from qorch_providers.ionq.circuits.templates import template_of
from qorch_providers.ionq.labels import KEY_FIELD, job_name, label_fields
from qorch_providers.ionq.options import MAX_CIRCUITS, MAX_SEED, Options

_IDEAL_SHOTS = 1
"""Sent for exact values: the ideal simulator ignores it, but every job has one."""


class _Noise(msgspec.Struct, omit_defaults=True):
    model: str
    seed: int | None = None


class _Mitigation(msgspec.Struct):
    debiasing: bool


class _OldMitigation(msgspec.Struct):
    debias: bool


class _Settings(msgspec.Struct):
    error_mitigation: _Mitigation


class _Body(msgspec.Struct, omit_defaults=True, kw_only=True):
    type: str
    name: str
    backend: str
    shots: int
    metadata: dict[str, str]
    noise: _Noise | None = None
    settings: _Settings | None = None
    dry_run: bool = False
    input: msgspec.Raw


class _OldBody(msgspec.Struct, omit_defaults=True, kw_only=True):
    name: str
    target: str
    shots: int
    metadata: dict[str, str]
    noise: _Noise | None = None
    error_mitigation: _OldMitigation | None = None
    input: msgspec.Raw


def check_gates(gates: GateList, options: Options) -> None:
    """Raise CircuitError, naming the limit, if not even one row of these gates could be sent."""
    check_qubits(gates, options)
    measurement = Measurement(_all_z(gates.n_qubits), is_exact=False)
    check_row(template_of(gates, measurement, options))


def measure_usage(request: JobRequest, options: Options) -> Usage | None:
    """What IonQ bills of a job: circuits, shots, gates times shots of the circuits as they are sent, and compute time.

    Exact values count as the one shot with which they are sent. None for a dry run, which is not billed. By which of
    these a job is billed is a matter of contract.
    """
    if options.dry_run:
        return None
    shots = one_qubit = two_qubit = 0
    for block in request.blocks:
        each = _IDEAL_SHOTS if block.shots is None else block.shots
        one, two = template_of(block.gates, block.measurement, options).count_gates(block.angles)
        shots += each * block.n_rows
        one_qubit += each * one
        two_qubit += each * two
    seconds = estimate_seconds(shots, one_qubit, two_qubit)
    return Usage(request.n_rows, shots, one_qubit, two_qubit, seconds, is_mitigated=bool(options.debiasing))


def _all_z(n_qubits: int) -> ByteArray:
    return np.full(n_qubits, Z, dtype=np.uint8)


def encode_job(request: JobRequest, *, key: str, options: Options) -> bytes:
    """The JSON of a job: one row as a circuit job, more as a multi-circuit job, rows in the order of the blocks.

    Raises CircuitError if the rows are more than a job takes, differ in shots, or ask for exact values of a target
    that has none; ShotsError for a number of shots that IonQ does not run; ParameterError for an angle not finite.
    """
    shots = _shots(request, options)
    circuits = _circuits(request, options)
    n_qubits = max(block.gates.n_qubits for block in request.blocks)
    head = b'{"gateset":%b,"qubits":%d,' % (msgspec.json.encode(options.gateset), n_qubits)
    if options.version == "v0.3":
        head = b'{"format":"ionq.circuit.v0",' + head[1:]
    rows = b'"circuit":%b}' % circuits[0] if request.n_rows == 1 else b'"circuits":[%b]}' % b",".join(circuits)
    body = _envelope(request, msgspec.Raw(head + rows), shots=shots, key=key, options=options)
    if len(body) > MAX_BODY_BYTES:
        raise CircuitError(f"the job has {len(body)} bytes; IonQ takes at most {MAX_BODY_BYTES}, so send fewer rows")
    return body


def _shots(request: JobRequest, options: Options) -> int:
    wanted = {block.shots for block in request.blocks}
    if len(wanted) > 1 or request.n_rows < 1:
        raise CircuitError(
            f"a job of IonQ has one number of shots and at least one row; this one has {request.n_rows} rows with the"
            f" shots {sorted(wanted, key=str)}, so send them as several jobs"
        )
    for block in request.blocks:
        check_measurement(block.measurement, options)
    shots = wanted.pop()
    if shots is None:
        return _IDEAL_SHOTS
    least = MIN_DEBIASED_SHOTS if options.debiasing else 1
    if not least <= shots <= MAX_SHOTS:
        raise ShotsError(f"{shots} shots were asked for; ionq:{options.target} takes from {least} to {MAX_SHOTS}")
    return shots


def _circuits(request: JobRequest, options: Options) -> list[bytes]:
    """Every row's JSON: of a single one the bare list of gates, else an entry with its number of qubits."""
    circuits: list[bytes] = []
    n_gates = 0
    for block in request.blocks:
        template = template_of(block.gates, block.measurement, options)
        n_gates += block.n_rows * template.n_gates
        _check_size(len(circuits) + block.n_rows, n_gates)
        before, after = (b'{"qubits":%d,"circuit":' % block.gates.n_qubits, b"}") if request.n_rows > 1 else (b"", b"")
        circuits += template.rows(block.angles, before=before, after=after)
    return circuits


def _check_size(n_rows: int, n_gates: int) -> None:
    if n_rows > MAX_CIRCUITS or n_gates > MAX_GATES:
        raise CircuitError(
            f"the job has {n_rows} circuits with {n_gates} gates or more; IonQ takes at most {MAX_CIRCUITS} with"
            f" {MAX_GATES}, so send fewer rows"
        )


def _envelope(request: JobRequest, rows: msgspec.Raw, *, shots: int, key: str, options: Options) -> bytes:
    # Raw histograms are wanted: a machine debiases by itself unless it is told not to.
    debiasing = bool(options.debiasing) if not options.is_simulator else options.debiasing
    noise = None if options.noise is None else _Noise(options.noise, _noise_seed(request.blocks[0], options))
    name, metadata = job_name(key), {KEY_FIELD: key} | label_fields(request.label)
    if options.version == "v0.3":
        old = _OldBody(
            name=name,
            target=options.target,
            shots=shots,
            metadata=metadata,
            noise=noise,
            error_mitigation=None if debiasing is None else _OldMitigation(debiasing),
            input=rows,
        )
        return msgspec.json.encode(old)
    kind = "ionq.circuit.v1" if request.n_rows == 1 else "ionq.multi-circuit.v1"
    body = _Body(
        type=kind,
        name=name,
        backend=options.target,
        shots=shots,
        metadata=metadata,
        noise=noise,
        settings=None if debiasing is None else _Settings(_Mitigation(debiasing)),
        dry_run=options.dry_run,
        input=rows,
    )
    return msgspec.json.encode(body)


def _noise_seed(first: RowBlock, options: Options) -> int | None:
    """A noise seed from 1 to 2^31 - 1, derived from the user's seed and the first row's stream.

    The user's seed itself would repeat the noise of a step in the next one, and give a top-up the same shots again.
    """
    samples = first.samples
    if options.noise_seed is None or samples is None:
        return None
    text = f"qorch-ionq-noise-1/{options.noise_seed}/{samples.streams[0]}/{samples.ordinals[0]}/{samples.offset}"
    return 1 + int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") % MAX_SEED
