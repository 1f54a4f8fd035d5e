"""Checks of what becomes of jobs: partial and whole failures, cancelled jobs, and answers that are damaged."""

import asyncio

import numpy as np
import pytest

from qorch.errors import BusyError, InvalidResultError, JobFailedError
from qorch.model.job import JobRequest, JobResult, JobShape, RawResult, RemoteState
from qorch.model.verification import verify_result
from qorch.ports.backend import RemoteBackend
from qorch.testing.conformance.backend import MAX_SIGMAS, counts_of, rows_of, with_shots
from qorch.testing.conformance.estimates import worst_sigmas
from qorch.testing.conformance.remote.base import SHOTS, RemoteChecks
from qorch.testing.conformance.remote.harness import Behaviour
from qorch.testing.reference import chi_square_sigmas, reference_probabilities

N_ROWS = 6


class ResultChecks(RemoteChecks):
    """What ``fetch``, ``read`` and ``cancel`` must do."""

    @pytest.mark.parametrize("failure", [Behaviour.PARTIAL, Behaviour.PARTIAL_FINAL])
    def test_rows_that_failed_are_lost_and_the_others_are_right(self, failure: Behaviour) -> None:
        """Lost rows say why, and whether another try may help; every other row has its own distribution."""

        async def work(backend: RemoteBackend) -> None:
            request = self.request_of(N_ROWS)
            with self.server(failure):
                sent = await self.send(backend, request)
            result = await self.result_of(backend, sent)
            assert result.lost, "a partial failure was read as a whole success"
            for part in result.lost[0]:
                assert part.reason
                assert part.is_repeatable is (failure is Behaviour.PARTIAL)
            lost = result.lost_in(0)
            assert 0 < len(lost) < N_ROWS
            self._check_rows(request, result, kept=np.setdiff1d(np.arange(N_ROWS), lost).tolist())

        self.ask(work)

    @pytest.mark.parametrize("failure", [Behaviour.FAILURE, Behaviour.FAILURE_FINAL])
    def test_a_failed_job_says_so_and_whether_to_repeat_it(self, failure: Behaviour) -> None:
        """Its status is not DONE, and there is nothing to fetch."""

        async def work(backend: RemoteBackend) -> None:
            with self.server(failure):
                sent = await self.send(backend)
            status = await self.wait(backend, sent.provider_id)
            assert status.state is RemoteState.FAILED
            with pytest.raises(JobFailedError) as caught:
                await backend.fetch(sent.provider_id)
            assert str(caught.value)
            assert caught.value.is_repeatable is (failure is Behaviour.FAILURE)

        self.ask(work)

    def test_a_cancelled_job_ends_and_others_go_on(self) -> None:
        """It is over, without a result; cancelling it again is harmless, and so is cancelling what is not there."""

        async def work(backend: RemoteBackend) -> None:
            with self.server(Behaviour.HELD):
                held = await self.send(backend)
            other = await self.send(backend)
            assert (await backend.poll([held.provider_id]))[held.provider_id].state in (
                RemoteState.QUEUED,
                RemoteState.RUNNING,
            )
            await backend.cancel(held.provider_id)
            status = await self.wait(backend, held.provider_id)
            assert status.state in (RemoteState.CANCELLED, RemoteState.FAILED)
            with pytest.raises(JobFailedError):
                await backend.fetch(held.provider_id)
            await backend.cancel(held.provider_id)
            assert not (await self.result_of(backend, other)).lost
            self.harness.forget(other.provider_id)
            await backend.cancel(other.provider_id)

        self.ask(work)

    def test_a_job_that_is_over_keeps_its_results_if_it_is_cancelled(self) -> None:
        """It is paid for, so a late request to stop it takes nothing away."""

        async def work(backend: RemoteBackend) -> None:
            sent = await self.send(backend)
            await self.wait(backend, sent.provider_id)
            await backend.cancel(sent.provider_id)
            assert (await self.wait(backend, sent.provider_id)).state is RemoteState.DONE
            assert not (await self.result_of(backend, sent)).lost

        self.ask(work)

    @pytest.mark.parametrize("damage", [Behaviour.CUT_ANSWER, Behaviour.WRONG_ANSWER])
    def test_a_damaged_answer_is_not_believed_and_fetched_again(self, damage: Behaviour) -> None:
        """It is asked for again or invalid, never lost; the next answer is right."""

        async def work(backend: RemoteBackend) -> None:
            request = self.request_of(N_ROWS)
            sent = await self.send(backend, request)
            await self.wait(backend, sent.provider_id)
            with self.server(damage), pytest.raises((BusyError, InvalidResultError)):
                await self.read(backend, sent)
            result = await self.result_of(backend, sent)
            self._check_rows(request, result, kept=list(range(request.n_rows)))

        self.ask(work)

    def test_an_answer_is_read_by_the_shape_of_its_job_alone(self) -> None:
        """Another backend reads it after a restart; cut short, or as the answer to other rows, it is invalid."""

        async def fetch(backend: RemoteBackend) -> RawResult:
            sent = await self.send(backend, request)
            await self.wait(backend, sent.provider_id)
            return await backend.fetch(sent.provider_id)

        request = self.request_of(N_ROWS)
        raw = self.ask(fetch)
        later = self.make_backend()
        self._check_rows(request, _read(later, request.shape, raw), kept=list(range(request.n_rows)))
        other = self._other_rows(request)
        for shape, content in ((request.shape, raw.content[:-8]), (other.shape, raw.content), (request.shape, b"")):
            with pytest.raises(InvalidResultError):
                _read(later, shape, RawResult(content))
        asyncio.run(later.close())

    def _other_rows(self, request: JobRequest) -> JobRequest:
        """Fewer rows, or the only one with other shots."""
        [block] = request.blocks
        other = rows_of(block, [0, 1]) if request.n_rows > 1 else with_shots(block, SHOTS + 1)
        return JobRequest(request.job_id, (other,))

    def _check_rows(self, request: JobRequest, result: JobResult, *, kept: list[int]) -> None:
        """The kept rows are there in their order, each with its own distribution."""
        [block], [found] = request.blocks, result.blocks
        if block.measurement.is_estimated:
            assert not self.is_ideal or worst_sigmas(block.take(np.array(kept)), found) < MAX_SIGMAS
            return
        histograms = counts_of(found).dense()
        assert len(histograms) == len(kept)
        wanted = reference_probabilities(block.gates, block.angles[kept], basis=block.measurement.basis)
        for histogram, probabilities in zip(histograms, wanted, strict=True):
            assert not self.is_ideal or chi_square_sigmas(histogram, probabilities) < MAX_SIGMAS


def _read(backend: RemoteBackend, shape: JobShape, raw: RawResult) -> JobResult:
    return verify_result(shape, backend.read(shape, raw))
