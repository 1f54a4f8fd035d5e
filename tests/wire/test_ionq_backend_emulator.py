"""The ionq backend and the emulator: what the backend says of a submission is what the emulator's books say."""

import asyncio
import datetime
import hashlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
import pytest

from qorch.errors import (
    BackendError,
    BusyError,
    CredentialsError,
    InvalidResultError,
    JobFailedError,
    RejectedError,
    UnknownOutcomeError,
)
from qorch.model.gates import GATES_BY_NAME
from qorch.model.job import JobRequest, JobResult, RawResult, RemoteState
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import block_of, circuit_of_gate
from qorch.testing.reference import reference_probabilities
from qorch_providers.emulators.ionq import RunningEmulator, Settings, start
from qorch_providers.ionq import open_backend

T = TypeVar("T")
Work = Callable[[RemoteBackend, RunningEmulator], Awaitable[T]]


def run_with(work: Work[T], settings: Settings | None = None, *, options: str = "simulator,deadline=5") -> T:
    """Work with an open backend on an emulator of these settings."""

    async def main(emulator: RunningEmulator) -> T:
        environment = {"IONQ_API_URL": emulator.root, "IONQ_API_KEY": "dummy"}
        backend = open_backend(options, clock=WallClock(), environment=environment)
        try:
            await backend.open()
            return await work(backend, emulator)
        finally:
            await backend.close()

    with start(settings) as emulator:
        return asyncio.run(main(emulator))


def key_of(number: int) -> str:
    """A key as the engine makes them."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def request_of(n_rows: int, *, shots: int = 1000) -> JobRequest:
    """Rows of an asymmetric circuit of three qubits."""
    gates = circuit_of_gate(GATES_BY_NAME["rzx"])
    angles = np.random.default_rng(5).uniform(-3, 3, (n_rows, gates.n_columns))
    return JobRequest(f"job of {n_rows}", (block_of(gates, angles, shots=shots),))


async def submit(backend: RemoteBackend, request: JobRequest, *, key: str) -> str:
    """Encode a job and send it once."""
    return await backend.submit(backend.encode(request, key=key))


async def wait_for(backend: RemoteBackend, job_id: str) -> RemoteState:
    """Poll until the job is over; its state."""
    while True:
        state = (await backend.poll([job_id]))[job_id].state
        if state not in (RemoteState.QUEUED, RemoteState.RUNNING):
            return state
        await asyncio.sleep(0.01)


async def run_rows(backend: RemoteBackend, request: JobRequest) -> tuple[RawResult, JobResult]:
    """Submit, wait, fetch and read."""
    job_id = await submit(backend, request, key=key_of(1))
    await wait_for(backend, job_id)
    raw = await backend.fetch(job_id)
    return raw, backend.read(request.shape, raw)


HURRIED = "simulator,deadline=2"
"""For an answer that never comes in whole."""
FAULTS = ("reset", "500", "502", "503", "504", "520", "524", "hang", "drip", "truncated", "malformed", "html",
          "gzip-bomb", "deep-json")  # fmt: skip


@pytest.mark.parametrize("moment", ["before", "after", "during"])
@pytest.mark.parametrize("fault", FAULTS)
def test_an_unclear_submission_is_unknown_and_found_by_its_key(fault: str, moment: str) -> None:
    """However the answer is lost: the job is never called rejected, and the list agrees with the records."""

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> None:
        since = datetime.datetime.now(datetime.UTC)
        emulator.set_faults(f"post:{fault}-{moment}@1")
        with pytest.raises(UnknownOutcomeError):
            await submit(backend, request_of(2), key=key_of(1))
        other = await submit(backend, request_of(2), key=key_of(2))
        books = {str(job["key"]): str(job["id"]) for job in emulator.jobs()}
        assert len(books) == (1 if moment == "before" else 2)
        assert await backend.find([key_of(1), key_of(2)], since=since) == books
        assert books[key_of(2)] == other
        assert emulator.truth()["calls"]["by_route"]["POST /v0.4/jobs"] == 2

    run_with(work, options=HURRIED if fault in {"hang", "drip"} else "simulator,deadline=5")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("429-before", BusyError), ("token-expiry-before", CredentialsError), ("unavailable", BackendError)],
)
def test_a_clear_refusal_left_nothing_behind(fault: str, kind: type[BackendError]) -> None:
    """Where the backend says that nothing was accepted, the books are empty."""

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> None:
        emulator.set_faults(f"post:{fault}")
        with pytest.raises(kind) as caught:
            await submit(backend, request_of(2), key=key_of(1))
        assert emulator.jobs() == []
        if fault == "unavailable":
            assert not (await backend.availability()).is_open
        else:
            assert isinstance(caught.value, RejectedError)

    run_with(work)


def test_a_job_is_found_once_it_is_in_the_list() -> None:
    """The server accepts after the client gave up: the key is not there at first, and then it is."""

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> None:
        since = datetime.datetime.now(datetime.UTC)
        with pytest.raises(UnknownOutcomeError):
            await submit(backend, request_of(1), key=key_of(1))
        assert await backend.find([key_of(1)], since=since) == {}
        found: dict[str, str] = {}
        while not found:
            found = await backend.find([key_of(1)], since=since)
        assert found == {key_of(1): emulator.jobs()[0]["id"]}

    run_with(work, Settings(accept_delay="0.6"), options="simulator,deadline=0.3")


@pytest.mark.parametrize("results", ["url", "artifact", "both"])
@pytest.mark.parametrize("n_rows", [1, 40])
def test_results_are_right_in_every_shape(results: str, n_rows: int) -> None:
    """Single and multi-circuit jobs, from URLs and artifacts: the exact probabilities stand behind the counts."""
    request = request_of(n_rows, shots=20_000)
    _, result = run_with(lambda backend, _: run_rows(backend, request), Settings(results=results))
    counts = result.blocks[0].counts
    assert counts is not None
    wanted = reference_probabilities(request.blocks[0].gates, request.blocks[0].angles, basis=np.zeros(3, np.uint8))
    assert np.abs(counts.dense() / 20_000 - wanted).max() < 6 * 0.5 / np.sqrt(20_000)
    assert result.lost == ()


@pytest.mark.parametrize("fault", ["child-failure", "child-missing"])
@pytest.mark.parametrize("version", ["v0.4", "v0.3"])
def test_a_failed_circuit_loses_its_own_row_only(fault: str, version: str) -> None:
    """Whether its parent failed with it or completed without it."""
    request = request_of(30)

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> JobResult:
        emulator.set_faults(f"post:{fault}@1")
        return (await run_rows(backend, request))[1]

    result = run_with(work, options=f"simulator,version={version}")
    assert len(result.lost_in(0)) == 1
    assert result.blocks[0].n_rows == 29


def test_a_failed_job_says_so_and_may_be_repeated() -> None:
    """A failure of the machine is not the job's fault."""

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> JobFailedError:
        emulator.set_faults("post:failure@1")
        with pytest.raises(JobFailedError) as caught:
            await run_rows(backend, request_of(1))
        return caught.value

    assert run_with(work).is_repeatable


@pytest.mark.parametrize("fault", ["wrong-rows", "nan", "malformed", "deep-json"])
def test_wrong_results_are_never_believed(fault: str) -> None:
    """They are kept and refused, or asked for again."""

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> None:
        emulator.set_faults(f"results:{fault}")
        with pytest.raises((InvalidResultError, BusyError)):
            await run_rows(backend, request_of(4))

    run_with(work)


@pytest.mark.parametrize(
    "fault", ["reset", "500", "503", "524", "429", "hang", "drip", "truncated", "html", "gzip-bomb"]
)
def test_a_paid_result_survives_a_bad_answer(fault: str) -> None:
    """The first fetch is busy, the second brings the same job's result; nothing is submitted again."""
    request = request_of(2)

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> None:
        job_id = await submit(backend, request, key=key_of(1))
        await wait_for(backend, job_id)
        emulator.set_faults(f"results:{fault}@1")
        with pytest.raises(BusyError):
            await backend.fetch(job_id)
        assert backend.read(request.shape, await backend.fetch(job_id)).blocks[0].n_rows == 2
        assert len(emulator.jobs()) == 1

    run_with(work, options=HURRIED if fault in {"hang", "drip"} else "simulator,deadline=5")


def test_noisy_samples_are_the_providers_own() -> None:
    """With a noise model the counts are what the server drew: every row has exactly its shots."""
    request = request_of(5, shots=777)
    _, result = run_with(lambda backend, _: run_rows(backend, request), options="simulator,noise=aria-1")
    assert result.blocks[0].counts is not None
    assert result.blocks[0].counts.shots.tolist() == [777] * 5


def test_an_expired_token_in_the_middle_stops_with_a_sentence() -> None:
    """Polls and submissions alike; jobs in flight keep their ids and go on."""

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> None:
        job_id = await submit(backend, request_of(1), key=key_of(1))
        emulator.set_faults("any:token-expiry-before@1x2")
        for call in (backend.poll([job_id]), submit(backend, request_of(1), key=key_of(2))):
            with pytest.raises(CredentialsError, match="IONQ_API_KEY"):
                await call
        assert await wait_for(backend, job_id) is RemoteState.DONE
        assert len(emulator.jobs()) == 1

    run_with(work)


def test_a_thousand_jobs_are_polled_in_few_requests() -> None:
    """Forty requests for 1,000 jobs, all of whose states are told."""

    async def work(backend: RemoteBackend, emulator: RunningEmulator) -> None:
        request = request_of(1)
        ids = await asyncio.gather(*(submit(backend, request, key=key_of(n)) for n in range(1000)))
        assert len(set(ids)) == 1000
        assert set(await backend.poll(ids)) == set(ids)
        assert emulator.truth()["calls"]["by_route"]["GET /v0.4/jobs"] == 40
        found = await backend.find([key_of(3)], since=datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1))
        assert found == {key_of(3): ids[3]}

    run_with(work, options="simulator,deadline=60")
