"""What IonQ's and Braket's documents tell of what a job was charged for; nothing is read out of what they leave out."""

import json
from typing import Any

import pytest
from ionq_answers import MULTI_JOB, OLD_JOB, job
from ionq_servers import SINCE, drive, job_document, page, routed
from scripted_server import ScriptedServer, reply

from qorch.model.money import Money
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage, report_usage
from qorch_providers.braket.tasks.usage import read_usage
from qorch_providers.braket.wire.documents import decode_task
from qorch_providers.ionq import IonqBackend
from qorch_providers.ionq.wire.documents import decode_job

ARN = "arn:aws:braket:us-east-1:000000000000:quantum-task/11111111-2222-3333-4444-555555555555"
BILLED = {"billed_quantum_compute_time_us": 5200}
COMPUTED = report_usage(compute_seconds=0.0052)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"cost_model": "QCT", "stats": BILLED}, COMPUTED), ({"stats": BILLED}, COMPUTED),
     ({"cost_model": "2QGE_operations", "stats": BILLED}, NO_USAGE),
     ({"cost_model": "QCT", "stats": {}}, PENDING_USAGE), ({"stats": {}}, NO_USAGE),
     ({"cost_model": "QCT", "stats": {"billed_quantum_compute_time_us": -3}}, PENDING_USAGE),
     ({"cost_model": 7, "stats": "none"}, NO_USAGE), ({"dry_run": True, "stats": BILLED}, NO_USAGE),
     ({"status": "failed", "cost_model": "QCT", "stats": {}}, NO_USAGE),
     ({"status": "failed", "stats": BILLED}, COMPUTED), ({"status": "started", "stats": BILLED}, None),
     ({"status": "canceled", "cost_model": "QCT", "stats": {}}, NO_USAGE),
     ({"parent_job_id": MULTI_JOB["id"], "stats": BILLED}, None)],
)  # fmt: skip
def test_ionq_reports_quantum_compute_time(fields: dict[str, Any], expected: ReportedUsage | None) -> None:
    """Where the contract counts it: with gates no billed number is told; a circuit of a job has no usage of its own."""
    base = {name: value for name, value in MULTI_JOB.items() if name not in ("cost_model", "stats", "dry_run")}
    assert decode_job(job(base | fields), version="v0.4").status.usage == expected


def test_ionq_of_old_tells_nothing() -> None:
    """Version 0.3 has no such number."""
    assert decode_job(job(OLD_JOB | {"status": "completed"}), version="v0.3").status.usage is None


def test_a_list_of_ionq_may_tell_less_than_a_job() -> None:
    """Jobs that are over, and of which it tells nothing, are asked for by themselves; each is asked for its cost."""
    told = {"cost_model": "QCT", "stats": BILLED}
    listed = [job_document("a"), job_document("b", **told), job_document("c", "started"), job_document("d")]
    cost = {"dry_run": False, "estimated_cost": {"value": 3, "unit": "usd"}, "cost": {"value": 2.5, "unit": "usd"}}
    routes = {
        "GET /v0.4/jobs/a/cost": reply(200, cost),
        "GET /v0.4/jobs/b/cost": reply(200, cost | {"cost": {"value": 7, "unit": "credit"}}),
        "GET /v0.4/jobs": reply(200, page(listed)),
        "GET /v0.4/jobs/a": reply(200, job_document("a", **told)),
        "GET /v0.4/jobs/d": reply(200, job_document("d")),
    }

    async def work(backend: IonqBackend, _server: ScriptedServer) -> None:
        found = await backend.fetch_usage(["a", "b", "c", "d", "e"], since=SINCE)
        charged = COMPUTED.with_charge(Money("USD", 2_500_000))
        assert found == {"a": charged, "b": COMPUTED, "c": PENDING_USAGE, "d": PENDING_USAGE}
        assert backend.calls == {"usage": 7}

    drive(routed(routes), work, options="qpu.forte-1,deadline=2")


@pytest.mark.parametrize(
    ("status", "shots", "expected"),
    [("COMPLETED", 1000, report_usage(tasks=1, shots=1000)), ("COMPLETED", None, PENDING_USAGE),
     ("RUNNING", 10, PENDING_USAGE), ("QUEUED", None, PENDING_USAGE), ("FAILED", None, NO_USAGE),
     ("FAILED", 0, NO_USAGE), ("CANCELLED", None, NO_USAGE), ("CANCELLED", 30, report_usage(tasks=1, shots=30))],
)  # fmt: skip
def test_braket_tells_the_shots_of_a_task(status: str, shots: int | None, expected: ReportedUsage) -> None:
    """On QPUs: those that were taken, not those that were asked for; simulators are charged by time."""
    document = {"quantumTaskArn": ARN, "status": status, "shots": 2000, "numSuccessfulShots": shots}
    task = decode_task(json.dumps(document).encode())
    assert read_usage(task, is_simulator=False) == expected
    assert read_usage(task, is_simulator=True) == NO_USAGE
