"""What boto3's clients see of the Braket emulator: tokens, searches, tags, refusals, devices and objects."""

import datetime
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from braket_bench import (
    ANKAA,
    BUCKET,
    DM1,
    FORTE,
    GARNET,
    SKEWED,
    SV1,
    BraketBench,
    opened,
    program,
    program_set,
    refusal,
    skewed_weights,
)

SET = program_set(
    program(theta=[0.1, 0.2, 0.3]), program(SKEWED.replace("theta", "0.8").replace("input float 0.8;", ""))
)


@pytest.fixture(scope="module")
def bench() -> Iterator[BraketBench]:
    """An emulator without latencies, and clients of us-east-1, where the Forte is."""
    with opened(quotas="", denied="forbidden-bucket,unreadable-bucket:read", noise="off") as one:
        yield one


def test_a_task_has_the_documented_shape(bench: BraketBench) -> None:
    """The fields of GetQuantumTask, before and after, and the result's schema."""
    arn = bench.create(tags={"qorch_key": "k1"}, deviceParameters='{"a": 1}')
    task = bench.wait(arn)
    assert arn.startswith("arn:aws:braket:us-east-1:000000000000:quantum-task/")
    assert task["deviceArn"] == SV1
    assert (task["shots"], task["numSuccessfulShots"], task["tags"]) == (100, 100, {"qorch_key": "k1"})
    assert task["outputS3Directory"] == f"some/where/{arn.rpartition('/')[2]}"
    assert task["actionMetadata"] == {"actionType": "braket.ir.openqasm.program"}
    assert task["queueInfo"]["position"] == "None"
    assert task["createdAt"] <= task["endedAt"]
    result = bench.read(task)
    assert result["braketSchemaHeader"]["name"] == "braket.task_result.gate_model_task_result"
    assert result["taskMetadata"]["id"] == arn
    assert len(result["measurements"]) == 100
    assert bench.emulator.jobs()[-1]["key"] == "k1"


def test_the_same_token_is_the_same_task(bench: BraketBench) -> None:
    """Sent again, a call is answered with its task; other parameters are refused; another token is a new task."""
    before = len(bench.emulator.jobs())
    first = bench.create(clientToken="t" * 64)
    assert bench.create(clientToken="t" * 64) == first
    with pytest.raises(ClientError) as error:
        bench.create(clientToken="t" * 64, shots=101)
    assert refusal(error)[:2] == (400, "ValidationException")
    assert bench.create(clientToken="u" * 64) != first
    jobs = bench.emulator.jobs()[before:]
    assert [(job["id"] == first, job["replays"]) for job in jobs] == [(True, 1), (False, 0)]


def test_tokens_are_forgotten_in_time() -> None:
    """After the time that is set, the same call makes another task."""
    with opened(token_seconds=0.0) as bench:
        assert bench.create(clientToken="same") != bench.create(clientToken="same")


def test_program_sets(bench: BraketBench) -> None:
    """One task for all executables, each with its index, and one price per task."""
    task = bench.wait(bench.create(SET, deviceArn=FORTE, shots=4000))
    assert task["actionMetadata"] == {
        "actionType": "braket.ir.openqasm.program_set", "programCount": 2, "executableCount": 4,
    }  # fmt: skip
    result = bench.read(task)
    first, second = result["programResults"]
    assert [entry["inputsIndex"] for entry in first["executableResults"]] == [0, 1, 2]
    weights = second["executableResults"][0]["measurementProbabilities"]
    assert weights == pytest.approx(skewed_weights(0.8), abs=0.07)
    assert result["taskMetadata"]["totalFailedExecutables"] == 0
    assert bench.emulator.jobs()[-1]["price_usd_micros"] == 300_000 + 4000 * 80_000


def with_gate(text: str) -> dict[str, Any]:
    """A program with this statement."""
    return program(f"OPENQASM 3.0;\nqubit[2] q;\n{text}\n")


@pytest.mark.parametrize(
    ("action", "fields", "words"),
    [
        (SET, {}, "not supported by the device SV1"),
        (SET, {"deviceArn": FORTE, "shots": 4001}, "cannot be divided"),
        (SET, {"deviceArn": FORTE, "shots": 400_000}, "200000 shots in all"),
        (program_set(program(theta=[0.1] * 101)), {"deviceArn": FORTE, "shots": 101}, "1 to 100 executables"),
        (program(theta=0.1), {"shots": 100_001}, "Shots must be between 0 and 100000"),
        (program(theta=0.1), {"deviceArn": FORTE, "shots": 0}, "Shots must be between 1 and 5000"),
        (program(theta=0.1), {"shots": 0}, "needs result pragmas"),
        (program(), {}, "input 'theta' has no value"),
        (with_gate("gpi(0.1) q[0];"), {"deviceArn": FORTE}, "[line 3] uses a gate: gpi which is not supported"),
        (with_gate("foo q[0];"), {}, "[line 3] uses 'foo'"),
        (with_gate("h q[2];"), {}, "[line 3] register 'q' has 2 qubit(s)"),
        (with_gate("cnot q[0], q[0];"), {}, "acts twice"),
        (with_gate("rx(1/0) q[0];"), {}, "cannot be computed"),
        (with_gate("h q[0]"), {}, "does not end with ;"),
        (with_gate("if (1) { h q[0]; }"), {}, "uses 'if'"),
        (with_gate("#pragma braket noise bit_flip(0.1) q[0]"), {}, "noise is not supported by the device SV1"),
        (with_gate("#pragma braket result state_vector"), {"deviceArn": DM1, "shots": 0}, "'statevector'"),
        (with_gate("#pragma braket result adjoint_gradient"), {"shots": 0}, "'adjoint_gradient' is not supported"),
        (program("OPENQASM 3.0;\nqubit[35] q;\nh q;\n"), {}, "has 34 qubits, not 35"),
        (program("OPENQASM 3.0;\nh $36;\n"), {"deviceArn": FORTE}, "has no qubit $36"),
        (with_gate("h q;"), {"deviceParameters": '{"errorMitigation": [{}]}', "deviceArn": FORTE}, "at least 2500"),
        (with_gate("h q;"), {"clientToken": "t" * 65}, "clientToken"),
    ],
)  # fmt: skip
def test_what_is_refused(bench: BraketBench, action: dict[str, Any], fields: dict[str, Any], words: str) -> None:
    """A call that a device cannot serve is answered with 400 and a sentence, and makes no task."""
    before = len(bench.emulator.jobs())
    with pytest.raises(ClientError) as error:
        bench.create(action, **fields)
    assert refusal(error)[:2] == (400, "ValidationException")
    assert words in refusal(error)[2]
    assert len(bench.emulator.jobs()) == before


def test_a_refused_set_names_its_programs(bench: BraketBench) -> None:
    """The refusal of a program set lists which programs and inputs are wrong."""
    uneven = program(theta=[0.1, 0.2]) | {"inputs": {"theta": [0.1, 0.2], "other": [1.0]}}
    root = program(SKEWED.replace("ry(theta)", "ry(sqrt(theta))"), theta=[1.0, -1.0])
    with pytest.raises(ClientError) as error:
        bench.create(program_set(program(theta=[0.1]), uneven, root), deviceArn=FORTE, shots=50)
    answer = error.value.response
    assert answer["reason"] == "ProgramSetValidationFailed"
    failures = answer["programSetValidationFailures"]
    assert [(each["programIndex"], each.get("inputsIndex")) for each in failures] == [(1, None), (2, 1)]


def test_too_wide_for_this_machine(bench: BraketBench) -> None:
    """What the device has but the emulator cannot simulate is accepted, and fails with a reason and no price."""
    task = bench.wait(bench.create(program("OPENQASM 3.0;\nqubit[25] q;\nh q;\n")))
    assert task["status"] == "FAILED"
    assert "at most 20 qubits" in task["failureReason"]
    assert task["actionMetadata"]["actionType"] == "braket.ir.openqasm.program"
    assert bench.emulator.jobs()[-1]["price_usd_micros"] == 0


def test_search(bench: BraketBench) -> None:
    """Tasks come newest first, in pages, by all filters at once, with their tags."""
    created = [bench.create(deviceArn=DM1, tags={"n": str(number)}) for number in range(5)]
    only = {"name": "deviceArn", "operator": "EQUAL", "values": [DM1]}
    pages = bench.braket.get_paginator("search_quantum_tasks").paginate(
        filters=[only], PaginationConfig={"PageSize": 2}
    )
    found = [task for page in pages for task in page["quantumTasks"]]
    assert [task["quantumTaskArn"] for task in found] == created[::-1]
    assert [task["tags"]["n"] for task in found] == ["4", "3", "2", "1", "0"]
    middle = bench.get(created[2])["createdAt"].isoformat()
    for operator, values, count in (
        ("GTE", [middle], 3), ("LT", [middle], 2), ("BETWEEN", [middle, "2999-01-01T00:00:00Z"], 3),
    ):  # fmt: skip
        in_time = {"name": "createdAt", "operator": operator, "values": values}
        answer = bench.braket.search_quantum_tasks(filters=[only, in_time])
        # Tasks that were created within the same millisecond count as equal.
        assert abs(len(answer["quantumTasks"]) - count) <= 2, operator
    for wrong in ({"name": "tags", "operator": "EQUAL", "values": ["1"]}, only | {"operator": "BETWEEN"}):
        with pytest.raises(ClientError) as error:
            bench.braket.search_quantum_tasks(filters=[wrong])
        assert refusal(error)[:2] == (400, "ValidationException")
    assert bench.braket.search_quantum_tasks(filters=[{**only, "values": [ANKAA]}])["quantumTasks"] == []


def test_tags(bench: BraketBench) -> None:
    """Tags can be added, listed and taken away."""
    arn = bench.create(tags={"a": "1"})
    bench.braket.tag_resource(resourceArn=arn, tags={"b": "2"})
    bench.braket.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert bench.braket.list_tags_for_resource(resourceArn=arn)["tags"] == {"b": "2"}


def test_cancel_is_refused_at_the_end(bench: BraketBench) -> None:
    """A task that is over cannot be cancelled; one that is not there is not found."""
    arn = bench.create()
    bench.wait(arn)
    for own, code in ((arn, (409, "ConflictException")), (arn[:-1], (404, "ResourceNotFoundException"))):
        with pytest.raises(ClientError) as error:
            bench.braket.cancel_quantum_task(quantumTaskArn=own, clientToken="c")
        assert refusal(error)[:2] == code


def test_regions(bench: BraketBench) -> None:
    """A QPU is seen from its own region alone, and so is a task."""
    elsewhere = BraketBench(bench.emulator, region="eu-north-1")
    with pytest.raises(ClientError) as error:
        bench.create(deviceArn=GARNET)
    assert refusal(error)[:2] == (404, "ResourceNotFoundException")
    arn = elsewhere.create(deviceArn=GARNET)
    assert elsewhere.get(arn)["quantumTaskArn"] == arn
    with pytest.raises(ClientError) as error:
        bench.get(arn)
    assert refusal(error)[0] == 404


def test_buckets_that_are_denied(bench: BraketBench) -> None:
    """Without access to the bucket no task is made; without leave to read, only the result is out of reach."""
    with pytest.raises(ClientError) as error:
        bench.create(outputS3Bucket="forbidden-bucket")
    assert refusal(error)[:2] == (403, "AccessDeniedException")
    task = bench.wait(bench.create(outputS3Bucket="unreadable-bucket"))
    with pytest.raises(ClientError) as error:
        bench.read(task)
    assert refusal(error)[:2] == (403, "AccessDenied")


def test_objects(bench: BraketBench) -> None:
    """What a client puts it gets back, also by boto3's transfers; what is not there is not found."""
    bench.s3.create_bucket(Bucket=BUCKET)
    bench.s3.upload_fileobj(io.BytesIO(b"hello" * 10), BUCKET, "a/b.txt")
    bench.s3.put_object(Bucket=BUCKET, Key="a/c.txt", Body=b"world")
    into = io.BytesIO()
    bench.s3.download_fileobj(BUCKET, "a/b.txt", into)
    assert into.getvalue() == b"hello" * 10
    assert bench.s3.get_object(Bucket=BUCKET, Key="a/c.txt", Range="bytes=1-2")["Body"].read() == b"or"
    listed = bench.s3.list_objects_v2(Bucket=BUCKET, Prefix="a/")["Contents"]
    assert [(each["Key"], each["Size"]) for each in listed] == [("a/b.txt", 50), ("a/c.txt", 5)]
    bench.s3.delete_object(Bucket=BUCKET, Key="a/c.txt")
    with pytest.raises(ClientError) as error:
        bench.s3.get_object(Bucket=BUCKET, Key="a/c.txt")
    assert refusal(error)[:2] == (404, "NoSuchKey")
    bench.s3.head_bucket(Bucket=BUCKET)
    with pytest.raises(ClientError) as error:
        bench.s3.head_bucket(Bucket="nobody-made-it")
    assert refusal(error)[0] == 404


def test_keys_are_checked() -> None:
    """With a key set, another one is let into none of the services, each in its own words."""
    with opened(access_key="AKIAONLYTHIS") as bench:
        calls = (
            (lambda: bench.braket.search_devices(filters=[]), "UnrecognizedClientException"),
            (lambda: bench.s3.list_objects_v2(Bucket=BUCKET), "InvalidAccessKeyId"),
            (lambda: bench.client("sts").get_caller_identity(), "InvalidClientTokenId"),
        )
        for call, code in calls:
            with pytest.raises(ClientError) as error:
                call()
            assert refusal(error)[:2] == (403, code)


def test_devices_that_take_nothing() -> None:
    """An offline device answers 424, a retired one 410, in their lists too; the others go on."""
    with opened(offline="sv1,garnet@1..2", retired="forte-1") as bench:
        for arn, code in ((SV1, (424, "DeviceOfflineException")), (FORTE, (410, "DeviceRetiredException"))):
            with pytest.raises(ClientError) as error:
                bench.create(deviceArn=arn)
            assert refusal(error)[:2] == code
        statuses = {
            each["deviceName"]: each["deviceStatus"] for each in bench.braket.search_devices(filters=[])["devices"]
        }
        assert statuses == {"SV1": "OFFLINE", "DM1": "ONLINE", "Forte 1": "RETIRED"}
        assert bench.run(deviceArn=DM1)["measuredQubits"] == [0, 1, 2]


def test_capabilities_follow_the_settings() -> None:
    """Which devices declare program sets, and how large, is an option."""
    with opened(program_sets="sv1", max_executables=7) as bench:
        action = json.loads(bench.braket.get_device(deviceArn=SV1)["deviceCapabilities"])["action"]
        assert action["braket.ir.openqasm.program_set"]["maximumExecutables"] == 7
        action = json.loads(bench.braket.get_device(deviceArn=FORTE)["deviceCapabilities"])["action"]
        assert "braket.ir.openqasm.program_set" not in action


def test_times_are_utc(bench: BraketBench) -> None:
    """The times of a task are the present."""
    created = bench.get(bench.create())["createdAt"]
    assert abs((datetime.datetime.now(datetime.UTC) - created).total_seconds()) < 60.0
