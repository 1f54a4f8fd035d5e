"""A third party's backend at a provider, written from providers/README.md alone: the whole adapter in one file."""

import datetime
import hashlib
import itertools
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from qorch.errors import (
    BusyError,
    CircuitError,
    CredentialsError,
    InvalidResultError,
    JobFailedError,
    JobMissingError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
)
from qorch.model.circuit import FIXED, GateList
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.gates import GATES
from qorch.model.job import (
    Availability,
    JobRequest,
    JobResult,
    JobShape,
    JobStatus,
    LostRows,
    Payload,
    RawResult,
    RemoteState,
    Usage,
)
from qorch.model.label import JobLabel
from qorch.model.measurement import BlockResult, Measurement, RowBlock
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch.ports.policy import OnUnknown, Terms
from qorch_providers.http import HttpClient, HttpResponse, retry_after_seconds

T = TypeVar("T")
STATES = {"waiting": RemoteState.QUEUED, "done": RemoteState.DONE, "failed": RemoteState.FAILED}


class Job(msgspec.Struct):
    """A job as the toy shows it."""

    id: str
    key: str
    label: dict[str, str | None]
    state: str
    error: str | None = None
    retry: bool = False


class Row(msgspec.Struct):
    """One circuit's result: outcomes by their integer, or why it failed."""

    counts: dict[int, int] = {}
    error: str | None = None
    retry: bool = False


class ToyBackend:
    """A RemoteBackend. The toy keeps keys for a day, so that sending a job again is looking it up."""

    name = "toy"
    capabilities = Capabilities(
        max_qubits=10, max_shots=10_000, max_rows_per_job=5_000, slots=1, charges=True, mixes_shots=False
    )

    def __init__(self, url: str, key: str, *, clock: Clock) -> None:
        account = hashlib.sha256(f"{url} {key}".encode()).hexdigest()[:12]
        self.terms = Terms(account, OnUnknown.HOLD, settle_seconds=1.0, most_jobs=20, remembers_keys_seconds=86_400.0)
        self.calls: Counter[str] = Counter()
        self._revision = ""
        self._http = HttpClient(url, clock=clock, deadline_seconds=10.0, headers={"x-toy-key": key})

    async def open(self) -> None:
        await self.availability()

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        pass  # nothing is compiled

    def check(self, gates: GateList, measurement: Measurement) -> None:
        if gates.n_qubits > self.capabilities.max_qubits:
            raise CircuitError(f"the circuit has {gates.n_qubits} qubits; toy has {self.capabilities.max_qubits}")
        if measurement.is_exact:
            raise CircuitError("toy has no exact values; give a number of shots")

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        return 300

    def context(self, gates: GateList) -> bytes:
        return hashlib.sha256(f"toy 1 {self._revision}".encode()).digest()

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        shots = request.blocks[0].shots or 0
        for block in request.blocks:
            self.check(block.gates, block.measurement)
            if block.shots != shots:
                raise CircuitError("a job of toy has one number of shots; send several jobs")
        label = request.label or JobLabel()
        fields = {"job_id": label.job_id, "rows": label.rows, "digest": label.digest, "context": label.context}
        circuits = [circuit for block in request.blocks for circuit in _circuits(block)]
        name = f"qorch {key[:16]}"
        body = {"key": key, "name": name, "label": fields, "shots": shots, "circuits": circuits}
        usage = Usage(executions=request.n_rows, shots=shots * request.n_rows)
        return Payload(request, key, msgspec.json.encode(body), name, usage)

    async def submit(self, payload: Payload) -> str:
        self.calls["submit"] += 1
        response = await self._http.send("POST", "/jobs", content=payload.content)
        if response.status != 201:
            raise _refusal(response)
        try:
            return _decode(response.body, Job).id
        except BusyError as error:
            raise UnknownOutcomeError(f"toy took the job, but {error}") from error

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        jobs = await self._jobs("poll", [("id", name) for name in provider_ids]) if provider_ids else []
        return {job.id: _status(job) for job in jobs}

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        jobs = await self._jobs("find", []) if keys else []
        return {job.key: job.id for job in jobs if job.key in keys}

    async def list_keys(self, *, since: datetime.datetime, known: Collection[str]) -> dict[str, str | None] | None:
        return {job.key: job.label["job_id"] for job in await self._jobs("find", [])}

    async def fetch(self, provider_id: str) -> RawResult:
        [job] = await self._jobs("fetch", [("id", provider_id)]) or [None]
        if job is None:
            raise JobMissingError(f"toy has no job {provider_id}")
        status = _status(job)
        if status.state in (RemoteState.FAILED, RemoteState.CANCELLED):
            raise JobFailedError(f"job {job.id}: {job.error or 'cancelled'}", is_repeatable=job.retry)
        return RawResult((await self._ask("fetch", ["jobs", provider_id, "results"])).body)

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        try:
            rows = msgspec.json.decode(raw.content, type=list[Row])
        except msgspec.MsgspecError as error:
            raise InvalidResultError(f"job {shape.job_id}: the answer of toy cannot be read: {error}") from error
        if len(rows) != shape.n_rows:
            raise InvalidResultError(f"job {shape.job_id}: {shape.n_rows} rows were sent, {len(rows)} came back")
        places = np.cumsum([0, *(block.n_rows for block in shape.blocks)])
        parts = [rows[start:stop] for start, stop in itertools.pairwise(places)]
        blocks = tuple(_block(part, block.n_qubits) for part, block in zip(parts, shape.blocks, strict=True))
        lost = tuple(_lost(part) for part in parts)
        return JobResult(blocks, lost if any(lost) else ())

    async def cancel(self, provider_id: str) -> None:
        self.calls["cancel"] += 1
        await self._http.ask("POST", ["jobs", provider_id, "cancel"])

    async def availability(self) -> Availability:
        device = _decode((await self._ask("availability", ["device"])).body, dict[str, str])
        self._revision = device["revision"]
        return Availability(device["state"] == "open", device["state"])

    async def close(self) -> None:
        await self._http.aclose()

    async def _jobs(self, purpose: str, query: list[tuple[str, str]]) -> list[Job]:
        return _decode((await self._ask(purpose, ["jobs"], query)).body, list[Job])

    async def _ask(self, purpose: str, path: list[str], query: Sequence[tuple[str, str]] = ()) -> HttpResponse:
        self.calls[purpose] += 1
        response = await self._http.ask("GET", path, query=query)
        if response.status == 401:
            raise CredentialsError("toy refused the key; check TOY_KEY")
        if response.status != 200:
            raise BusyError(f"toy answered {response.status}", retry_after_seconds=_wait(response))
        return response


def _decode(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise BusyError(f"the answer of toy cannot be read: {error}") from error


def _circuits(block: RowBlock) -> list[object]:
    gates, free = block.gates, block.gates.columns != FIXED
    basis = "".join("ZXY"[letter] for letter in block.measurement.basis.tolist())
    circuits: list[object] = []
    for row in block.angles:
        angles = gates.constants.copy()
        angles[free] = row[gates.columns[free]]
        listed = zip(gates.opcodes.tolist(), gates.qubits.tolist(), angles.tolist(), strict=True)
        bound = [(GATES[op].name, qubits[: GATES[op].n_qubits], a[: GATES[op].n_angles]) for op, qubits, a in listed]
        circuits.append({"qubits": gates.n_qubits, "basis": basis, "gates": bound})
    return circuits


def _refusal(response: HttpResponse) -> Exception:
    told = f"toy answered {response.status} to the job"
    if response.status == 429:
        return BusyError(told, retry_after_seconds=_wait(response))
    if response.status == 401:
        return CredentialsError(f"{told}; check TOY_KEY")
    if response.status == 409:
        return UnavailableError(told)
    return RejectedError(told) if 400 <= response.status < 500 else UnknownOutcomeError(told)


def _wait(response: HttpResponse) -> float | None:
    return retry_after_seconds(response.headers, now=response.received_at)


def _status(job: Job) -> JobStatus:
    state = STATES.get(job.state, RemoteState.CANCELLED)
    return JobStatus(state, job.error, job.retry, key=job.key, label=JobLabel(**job.label))


def _block(rows: list[Row], n_qubits: int) -> BlockResult:
    histograms = [sorted(row.counts.items()) for row in rows if row.error is None]
    outcomes = np.array([outcome for row in histograms for outcome, _ in row], dtype=np.int64)
    counts = np.array([count for row in histograms for _, count in row], dtype=np.int64)
    offsets = np.cumsum([0, *(len(row) for row in histograms)], dtype=np.int64)
    kinds = smallest_unsigned((1 << n_qubits) - 1), smallest_unsigned(int(counts.max(initial=0)))
    return BlockResult(counts=Counts(n_qubits, outcomes.astype(kinds[0]), counts.astype(kinds[1]), offsets))


def _lost(rows: list[Row]) -> tuple[LostRows, ...]:
    failed = [(np.array([place]), row) for place, row in enumerate(rows) if row.error is not None]
    return tuple(LostRows(place, row.error or "", row.retry) for place, row in failed)
