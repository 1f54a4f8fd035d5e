"""What a poll makes of answers that are lost or refused, and what it tells of a failure."""

from typing import Any

import pytest
from ibm_client import document, scripted, watch_of
from scripted_server import Request, reply

from qorch.errors import BusyError
from qorch.model.job import RemoteState
from qorch_providers.ibm.jobs.status import AT_ONCE
from qorch_providers.ibm.wire.client import IbmClient


def test_a_poll_of_many_jobs_that_loses_an_answer_asks_for_the_others_by_the_list() -> None:
    """What it saw is not asked for one by one again: else many jobs would hardly ever be polled on a bad network."""
    jobs = {f"d{number}": document(number) for number in range(40)}
    is_lost = True

    def answer(request: Request) -> Any:
        nonlocal is_lost
        job_id = request.path.rpartition("/")[2]
        if job_id == "jobs":
            return reply(200, {"jobs": list(jobs.values()), "count": len(jobs)})
        if job_id == "d30" and is_lost:
            is_lost = False
            return reply(503)
        return reply(200, jobs[job_id])

    async def work(client: IbmClient) -> None:
        watch = watch_of(client)
        with pytest.raises(BusyError):
            await watch.poll(list(jobs))
        before = client.calls["poll"]
        assert (await watch.poll(list(jobs))).keys() == jobs.keys()
        assert client.calls["poll"] - before <= 1 + 40 - (30 - AT_ONCE)

    scripted(answer, work)


def test_a_key_that_may_not_read_metrics_can_be_used() -> None:
    """An access policy may leave them out: the job is over all the same, and its results are fetched."""
    refused = reply(403, {"errors": [{"code": 1200, "message": "You are not authorized to perform this action."}]})

    async def work(client: IbmClient) -> None:
        status = (await watch_of(client).poll(["d1"]))["d1"]
        assert (status.state, status.started_at) == (RemoteState.DONE, None)

    job = reply(200, document(1, status="Completed"))
    scripted(lambda request: refused if request.path.endswith("/metrics") else job, work)


def test_a_failure_is_told_with_what_ibm_advises() -> None:
    """Its reason, the next step, and the number by which IBM's documentation is searched."""
    told = {"status": "Failed", "reason": "The QPU rz is not calibrated.", "reason_solution": "Choose another device."}

    async def work(client: IbmClient) -> None:
        status = (await watch_of(client).poll(["d1"]))["d1"]
        assert status.error == "The QPU rz is not calibrated. Choose another device. (code 1517)"

    job = reply(200, document(1, state=told | {"reason_code": 1517}))
    scripted(lambda request: reply(200, {}) if request.path.endswith("/metrics") else job, work)
