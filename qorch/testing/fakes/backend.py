"""A backend in this process for tests: honest samples of the reference simulator, and faults on demand."""

import asyncio
import hashlib
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from zipfile import BadZipFile

import numpy as np

from qorch.errors import BackendError, CircuitError, InvalidResultError, RejectedError
from qorch.model.arrays import AnyArray
from qorch.model.circuit import GateList
from qorch.model.counts import Counts
from qorch.model.job import JobRequest, JobResult, JobShape, Payload, RawResult, Usage
from qorch.model.measurement import BlockResult, BlockShape, Measurement
from qorch.ports.backend import Capabilities
from qorch.testing.fakes.simulation import simulate_block

FREE = Capabilities(
    max_qubits=10, max_shots=10**6, max_rows_per_job=1000, slots=1, charges=False, samples=True, exact=True
)
ESTIMATES = replace(FREE, samples=False, exact=False, estimates=True)
"""Of a fake that answers with values and variances, as a provider does that mitigates errors."""


@dataclass(eq=False)
class FakeBackend:
    """Implements `qorch.ports.backend.InProcessBackend`; made for one event loop after the other.

    ``faults``: which run (0, 1, …) raises what. ``held``: jobs are not done before ``release``. ``submitted`` keeps
    every request that was run, and ``cancelled`` the ids of the cancelled jobs, for tests to count.
    """

    name: str = "fake"
    capabilities: Capabilities = FREE
    rows_in_job: int = 64
    revision: str = "1"
    faults: Mapping[int, BackendError] = field(default_factory=dict)
    held: bool = False
    submitted: list[JobRequest] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    _runs: "itertools.count[int]" = field(default_factory=itertools.count)
    _changed: asyncio.Condition | None = None

    @property
    def n_rows(self) -> int:
        """Rows of all submitted jobs."""
        return sum(request.n_rows for request in self.submitted)

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        if gates.n_qubits > self.capabilities.max_qubits:
            raise CircuitError(
                f"circuit has {gates.n_qubits} qubits; {self.name} holds at most {self.capabilities.max_qubits}"
            )
        if not measurement.is_exact and self.capabilities.estimates is not measurement.is_estimated:
            raise CircuitError(f"{self.name} has {'no counts' if self.capabilities.estimates else 'no estimates'}")

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        return self.rows_in_job

    def context(self, gates: GateList) -> bytes:
        """See Backend."""
        return hashlib.sha256(f"{self.name}/{self.revision}".encode()).digest()

    async def open(self) -> None:
        """See Backend."""
        self._changed = asyncio.Condition()

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """See Backend."""

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend."""
        shots = sum(block.n_rows * (block.shots or 0) for block in request.blocks)
        return Payload(request, key, usage=Usage(request.n_rows, shots))

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend."""
        request = payload.request
        for block in request.blocks:
            if block.gates.n_qubits > self.capabilities.max_qubits:
                raise RejectedError(f"{self.name} holds at most {self.capabilities.max_qubits} qubits")
        self.submitted.append(request)
        fault = self.faults.get(next(self._runs))
        if fault is not None:
            raise fault
        try:
            await self._wait()
        except asyncio.CancelledError:
            self.cancelled.append(request.job_id)
            raise
        return RawResult(encode_blocks(request))

    async def _wait(self) -> None:
        if self._changed is None:
            raise BackendError("the backend was not opened")
        async with self._changed:
            await self._changed.wait_for(lambda: not self.held)

    async def release(self) -> None:
        """Let held jobs be done."""
        self.held = False
        if self._changed is not None:
            async with self._changed:
                self._changed.notify_all()

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend."""
        return JobResult(decode_blocks(shape, raw))

    async def close(self) -> None:
        """See Backend."""
        self._changed = None


def encode_blocks(request: JobRequest) -> bytes:
    """Run all blocks of a request; the answer, sealed with the request's job id."""
    return _encode(request, [simulate_block(block) for block in request.blocks])


def decode_blocks(shape: JobShape, raw: RawResult) -> tuple[BlockResult, ...]:
    """Read and verify what ``encode_blocks`` made. Raises InvalidResultError."""
    try:
        with np.load(io.BytesIO(raw.content), allow_pickle=False) as arrays:
            if arrays["digest"].tobytes() != _digest(shape.job_id):
                raise InvalidResultError("the answer belongs to another request")
            return tuple(_decode_block(block, arrays, index) for index, block in enumerate(shape.blocks))
    except (BadZipFile, OSError, KeyError, ValueError, EOFError) as error:
        raise InvalidResultError(f"the answer cannot be read: {error}") from error


def _digest(job_id: str) -> bytes:
    return hashlib.sha256(job_id.encode()).digest()


def _encode(request: JobRequest, results: list[BlockResult]) -> bytes:
    arrays: dict[str, AnyArray] = {"digest": np.frombuffer(_digest(request.job_id), dtype=np.uint8)}
    for index, result in enumerate(results):
        if result.values is not None:
            arrays[f"values{index}"] = result.values
        if result.variances is not None:
            arrays[f"variances{index}"] = result.variances
        if result.counts is not None:
            arrays[f"outcomes{index}"] = result.counts.outcomes
            arrays[f"counts{index}"] = result.counts.counts
            arrays[f"offsets{index}"] = result.counts.offsets
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def _decode_block(block: BlockShape, arrays: Mapping[str, AnyArray], index: int) -> BlockResult:
    if block.measurement.is_estimated:
        return BlockResult(values=arrays[f"values{index}"], variances=arrays[f"variances{index}"])
    if block.shots is None:
        return BlockResult(values=arrays[f"values{index}"])
    counts = Counts(block.n_qubits, arrays[f"outcomes{index}"], arrays[f"counts{index}"], arrays[f"offsets{index}"])
    if counts.n_rows != block.n_rows or (counts.shots != block.shots).any():
        raise InvalidResultError(f"block {index} has other rows or shots than were asked for")
    return BlockResult(counts=counts)
