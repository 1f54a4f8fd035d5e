"""What IBM charges jobs for: pending until it is complete, read of many jobs at once, and if need be from metrics."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hand_timer import HandTimer
from ibm_bench import IbmBench, opened
from ibm_client import LONG_AGO, asked, document, scripted, watch_of
from ibm_harness import SETTINGS
from ibm_vendor import DEVICE, environment
from scripted_server import Request, reply

from qorch.errors import UnknownNameError
from qorch.model.job import RemoteState
from qorch.model.usage import PENDING_USAGE, ReportedUsage, report_usage
from qorch.ports.clock import WallClock
from qorch_providers.emulators.ibm import start
from qorch_providers.ibm import open_backend
from qorch_providers.ibm.backend import IbmBackend
from qorch_providers.ibm.jobs.memory import JobMemory
from qorch_providers.ibm.jobs.usage import fetch_usage
from qorch_providers.ibm.wire.client import IbmClient


def usage_of(bench: IbmBench, ids: Sequence[str]) -> tuple[dict[str, ReportedUsage], int]:
    """What a new process is told of these jobs, and in how many requests."""

    async def work(client: IbmClient) -> tuple[dict[str, ReportedUsage], int]:
        return await fetch_usage(client, JobMemory(), ids, since=LONG_AGO), client.calls["usage"]

    result: tuple[dict[str, ReportedUsage], int] = asked(bench, work)
    return result


def test_usage_is_pending_until_it_is_complete() -> None:
    """In the poll that sees the job over, and in questions afterwards."""
    timer = HandTimer()
    with opened(timer, usage_delay="30") as bench:
        job_id = bench.submit()
        bench.wait(job_id)

        async def poll(client: IbmClient) -> Any:
            return (await watch_of(client).poll([job_id]))[job_id]

        status = asked(bench, poll)
        assert (status.state, status.usage) == (RemoteState.DONE, PENDING_USAGE)
        timer.advance(29.0)
        assert usage_of(bench, [job_id])[0] == {job_id: PENDING_USAGE}
        timer.advance(2.0)
        three = report_usage(device_seconds=3)
        assert usage_of(bench, [job_id]) == ({job_id: three}, 1)
        assert asked(bench, poll).usage == three


def test_many_jobs_are_read_from_the_list() -> None:
    """Also by a process that never saw them; what IBM does not know costs a question each, and is missing."""
    with opened() as bench:
        ids = [bench.submit() for _ in range(9)]
        for job_id in ids:
            bench.wait(job_id)
        found, calls = usage_of(bench, [*ids, "d000", "no/id"])
    assert (found, calls) == (dict.fromkeys(ids, report_usage(device_seconds=3)), 2)


@pytest.mark.parametrize(
    ("usage", "expected"),
    [({"status": "complete", "qpu_charge_time_seconds": 7}, report_usage(device_seconds=7)),
     ({"status": "COMPLETE", "qpu_charge_time_seconds": 0.25}, report_usage(device_seconds=0.25)),
     ({"status": "pending", "qpu_charge_time_seconds": 0}, PENDING_USAGE), ({"status": "complete"}, PENDING_USAGE),
     ({"status": "complete", "qpu_charge_time_seconds": -1}, PENDING_USAGE), ("x", PENDING_USAGE),
     (None, PENDING_USAGE)],
)  # fmt: skip
@pytest.mark.parametrize("is_in_metrics", [True, False])
def test_usage_is_read_where_it_is_told(usage: Any, expected: ReportedUsage, is_in_metrics: bool) -> None:
    """In the job's document or, if that tells nothing, in its metrics; seconds that cannot be are not believed."""
    asked_paths = []

    def answer(request: Request) -> Any:
        asked_paths.append(request.path.rpartition("/")[2])
        fields = {} if is_in_metrics else {"usage": usage}
        is_metrics = request.path.endswith("/metrics")
        return reply(200, {"usage": usage} if is_metrics else document(1, status="Completed", **fields))

    async def work(client: IbmClient) -> None:
        assert await fetch_usage(client, JobMemory(), ["d1"], since=LONG_AGO) == {"d1": expected}
        status = (await watch_of(client).poll(["d1"]))["d1"]
        assert status.usage == expected

    scripted(answer, work)
    # A poll looks for the times in the metrics anyway.
    assert asked_paths[-2:] == ["d1", "metrics"]


def test_a_job_that_is_not_over_is_not_asked_for_its_metrics() -> None:
    """It has no usage yet."""

    def answer(request: Request) -> Any:
        assert not request.path.endswith("/metrics")
        return reply(200, document(1, status="Running"))

    async def work(client: IbmClient) -> None:
        assert await fetch_usage(client, JobMemory(), ["d1"], since=LONG_AGO) == {"d1": PENDING_USAGE}

    scripted(answer, work)


def test_the_usage_of_a_retired_device_can_be_asked_for_without_opening_it() -> None:
    """A question about jobs needs no device."""

    async def work(url: str) -> None:
        backend = open_backend(DEVICE, clock=WallClock(), environment=environment(url))
        assert isinstance(backend, IbmBackend)
        try:
            assert await backend.fetch_usage(["d000"], since=LONG_AGO) == {}
            assert backend.calls["usage"] == 1
            with pytest.raises(UnknownNameError):
                await backend.open()
        finally:
            await backend.close()

    with start(replace(SETTINGS, retired=DEVICE)) as running:
        asyncio.run(work(running.root))
