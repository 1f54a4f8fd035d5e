"""What is collected of a task that is over: also of a program set that failed or was cancelled, at least in part."""

import asyncio
import json
from typing import Any

import pytest
from braket_access import connected
from braket_answers import ARN, executable, failure, program_result, set_result
from scripted_server import Request, ScriptedServer, reply

from qorch.errors import BusyError, JobFailedError
from qorch.model.job import RemoteState
from qorch.ports.clock import WallClock
from qorch_providers.braket.results.documents import RESULTS, TASK, decode_documents
from qorch_providers.braket.tasks.collection import AnswerCollector
from qorch_providers.braket.tasks.status import read_status
from qorch_providers.braket.wire.documents import decode_task

SET = {"actionType": "braket.ir.openqasm.program_set", "executableCount": 2}
ROWS = set_result([program_result([executable(0, measurements=[[1]], measuredQubits=[0]), failure(1)])])
ALL_FAILED = set_result([program_result([failure(0), failure(1, is_retryable=False)])])


def task(status: str, **fields: Any) -> dict[str, Any]:
    """The document of a program set."""
    return {
        "quantumTaskArn": ARN,
        "status": status,
        "outputS3Bucket": "bucket",
        "outputS3Directory": "tasks/1",
        "actionMetadata": SET,
        **fields,
    }


def collected(document: dict[str, Any], result: Any) -> dict[str, bytes]:
    """The documents of the answer to a task whose result is this; None if it is not there."""

    def answer(request: Request) -> Any:
        if request.path.startswith("/quantum-task/"):
            return reply(200, document)
        assert request.path == "/bucket/tasks/1/results.json"
        gone = b"<Error><Code>NoSuchKey</Code></Error>"
        return reply(404, gone) if result is None else reply(200, json.dumps(result).encode())

    async def main() -> bytes:
        variables = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}
        async with (
            ScriptedServer(answer) as server,
            connected({**variables, "AWS_ENDPOINT_URL": server.url}) as access,
        ):
            collector = AnswerCollector(
                access.client, access.objects, access.memory, clock=WallClock(), settle_seconds=30.0
            )
            return await collector.collect(ARN)

    return decode_documents(asyncio.run(main()))


@pytest.mark.parametrize(
    ("document", "result"),
    [
        (task("FAILED", numSuccessfulShots=1), ROWS),
        (task("CANCELLED", numSuccessfulShots=1), ROWS),
        (task("FAILED", numSuccessfulShots=0, failureReason="all executables failed"), ALL_FAILED),
        (task("FAILED"), ALL_FAILED),
    ],
)
def test_a_set_that_failed_has_rows(document: dict[str, Any], result: Any) -> None:
    """Those that ran are paid for, and of the others it is told which may run again."""
    assert read_status(decode_task(json.dumps(document).encode())).state is RemoteState.FAILED
    documents = collected(document, result)
    assert json.loads(documents[RESULTS]) == result
    assert json.loads(documents[TASK]) == document


@pytest.mark.parametrize(
    ("document", "result"),
    [
        (task("FAILED"), None),
        (task("FAILED"), {"braketSchemaHeader": {"name": "other"}}),
        (task("FAILED"), set_result([])),
        (task("CANCELLED"), None),
        (task("FAILED", actionMetadata={"actionType": "braket.ir.openqasm.program"}), ROWS),
    ],
)
def test_what_failed_as_a_whole_has_none(document: dict[str, Any], result: Any) -> None:
    """A task without a result, or with one that tells of no rows, has failed."""
    with pytest.raises(JobFailedError, match=f"is {document['status']} at Amazon Braket"):
        collected(document, result)


def test_paid_rows_of_a_failed_set_are_waited_for() -> None:
    """Their object may lag behind the status."""
    with pytest.raises(BusyError, match=r"no results at s3://bucket/tasks/1/results.json yet"):
        collected(task("FAILED", numSuccessfulShots=1), None)
