"""What every backend in this process must do, as a pytest class that adapters of third parties can subclass too.

::

    class TestMine(InProcessConformance):
        def make_backend(self) -> Backend:
            return open_backend("", clock=WallClock())
"""

import asyncio

import numpy as np
import pytest

from qorch.errors import InvalidResultError, RejectedError
from qorch.model.circuit import free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.job import JobRequest, JobResult, RawResult
from qorch.model.measurement import RowBlock
from qorch.model.pub import Pub
from qorch.model.verification import verify_result
from qorch.ports.backend import Backend, ExactGradients, InProcessBackend
from qorch.testing.conformance.backend import (
    BackendConformance,
    angles_for,
    block_of,
    circuit_of_gate,
    counts_of,
    rows_of,
    too_large,
    with_shots,
)
from qorch.testing.reference import reference_parities, reference_probabilities

CANCEL_SECONDS = 10.0
"""A cancelled job that runs longer than this was not stopped."""


async def run_request(backend: Backend, request: JobRequest) -> RawResult:
    """The answer of an in-process backend to a request."""
    assert isinstance(backend, InProcessBackend)
    return await backend.run(backend.encode(request, key=""))


async def execute_request(backend: Backend, request: JobRequest) -> JobResult:
    """The results of a request on an open in-process backend: encoded, run, read and verified."""
    await backend.prepare([block.gates for block in request.blocks])
    raw = await run_request(backend, request)
    return verify_result(request.shape, backend.read(request.shape, raw))


async def run_job(backend: Backend, *blocks: RowBlock, job_id: str = "conformance/0.0.0") -> JobResult:
    """The results of one job with these blocks on an open in-process backend."""
    return await execute_request(backend, JobRequest(job_id, blocks))


class InProcessConformance(BackendConformance):
    """Subclass it and give ``make_backend``; see BackendConformance for the attributes."""

    async def execute(self, backend: Backend, request: JobRequest) -> JobResult:
        """As the engine executes it."""
        return await execute_request(backend, request)

    def test_a_cancelled_call_ends_and_others_go_on(self) -> None:
        """A cancelled call of ``run`` raises CancelledError soon; other jobs, and later ones, are served."""
        self.need(samples=True)
        gates = circuit_of_gate(GATES_BY_NAME["h"])
        block = block_of(gates, angles_for(gates, 2), shots=100)

        async def work(backend: Backend) -> None:
            requests = [JobRequest(f"conformance/0.1.{n}", (block,)) for n in range(6)]
            jobs = [asyncio.create_task(run_request(backend, request)) for request in requests]
            await asyncio.sleep(0)
            if jobs[5].cancel():
                await asyncio.wait(jobs[5:], timeout=CANCEL_SECONDS)
                assert jobs[5].cancelled(), "a cancelled call of run must raise CancelledError soon"
            for request, raw in zip(requests[:5], await asyncio.gather(*jobs[:5]), strict=True):
                assert counts_of(backend.read(request.shape, raw).blocks[0]).shots.tolist() == [100, 100]
            (later,) = await self.run_blocks(backend, block)
            assert counts_of(later).shots.tolist() == [100, 100]

        self.drive(work)

    def test_too_many_qubits_are_rejected_by_run(self) -> None:
        """A job that is too large is refused before it runs, even if it was not checked before."""

        async def work(backend: Backend) -> None:
            gates = too_large(backend)
            request = JobRequest("conformance/0.2.0", (block_of(gates, np.zeros((1, 0)), shots=10),))
            with pytest.raises(RejectedError):
                await run_request(backend, request)

        self.drive(work)

    def test_damaged_answers_are_refused(self) -> None:
        """An answer that is cut short, or that belongs to another request, is an InvalidResultError."""
        self.need(samples=True)
        gates = circuit_of_gate(GATES_BY_NAME["x"])
        block = block_of(gates, angles_for(gates, 2), shots=50)

        async def work(backend: Backend) -> None:
            def verified(raw: RawResult, block: RowBlock) -> JobResult:
                shape = JobRequest("conformance/0.3.0", (block,)).shape
                return verify_result(shape, backend.read(shape, raw))

            raw = await run_request(backend, JobRequest("conformance/0.3.0", (block,)))
            assert verified(raw, block).lost == ()
            with pytest.raises(InvalidResultError):
                verified(RawResult(raw.content[:-8]), block)
            with pytest.raises(InvalidResultError):
                verified(raw, with_shots(block, 51))
            with pytest.raises(InvalidResultError):
                verified(raw, rows_of(block, [0]))

        self.drive(work)

    def test_execution_is_timed_on_the_monotonic_clock(self) -> None:
        """If execution was observed, it began before it ended."""
        self.need(samples=True)
        gates = circuit_of_gate(GATES_BY_NAME["s"])
        request = JobRequest("conformance/0.4.0", (block_of(gates, angles_for(gates, 1), shots=10),))
        raw = self.drive(lambda backend: run_request(backend, request))
        if raw.started_ns is not None and raw.ended_ns is not None:
            assert raw.started_ns < raw.ended_ns

    def test_exact_gradients_are_those_of_the_reference(self) -> None:
        """Cotangents times the Jacobian, at every row, agree with central differences of the independent simulator."""
        if not self.make_backend().capabilities.exact_gradients:
            pytest.skip("the backend has no exact gradients")
        gates = circuit_of_gate(GATES_BY_NAME["crx"])
        pub = Pub(free_circuit(gates), angles_for(gates, 3), observables=["Z0 Z2", "Z1"])
        weights = np.array([[0.3, -1.2], [0.7, 0.1], [-0.4, 2.0]])

        async def work(backend: Backend) -> None:
            assert isinstance(backend, ExactGradients)
            found = backend.vjp(pub, weights, check=lambda: None)
            step = 1e-5
            for column in range(gates.n_columns):
                moved = [pub.parameter_values + sign * step * np.eye(gates.n_columns)[column] for sign in (1, -1)]
                plus, minus = (
                    reference_parities(
                        reference_probabilities(gates, angles, basis=np.zeros(gates.n_qubits, dtype=np.uint8)),
                        np.array([0b101, 0b010], dtype=np.uint64),
                    )
                    for angles in moved
                )
                slopes = ((plus - minus) * weights).sum(axis=1) / (2 * step)
                np.testing.assert_allclose(found[:, column], slopes, atol=1e-6, rtol=0)

        self.drive(work)
