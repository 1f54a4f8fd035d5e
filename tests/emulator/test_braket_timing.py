"""Time, quotas, faults and money of the Braket emulator, on a clock that the test moves where time matters."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError
from braket_bench import BUCKET, FORTE, SV1, BraketBench, opened, program, program_set, refusal
from hand_timer import HandTimer

from qorch.errors import UsageError
from qorch_providers.emulators.braket.quotas import CallQuotas, parse_quotas
from qorch_providers.emulators.braket.settings import QUOTAS, ROUTES, read_settings
from qorch_providers.emulators.kit.rates import RateLimiter

SET = program_set(program(theta=[0.1, 0.2, 0.3]))


@pytest.fixture(scope="module")
def bench() -> Iterator[BraketBench]:
    """An emulator whose faults the tests set."""
    with opened(quotas="") as one:
        yield one


def test_statuses_in_time() -> None:
    """CREATED for a tenth of the queue, QUEUED, RUNNING, COMPLETED; times and the bill say how long each was."""
    timer = HandTimer()
    with opened(timer=timer, queue="10", execute="5", quotas="") as bench:
        arn = bench.create()
        seen = []
        for seconds in (0.5, 1.0, 9.0, 4.0):
            timer.wait_for_sleeper()
            timer.advance(seconds)
            seen.append(bench.get(arn)["status"])
        assert seen == ["CREATED", "QUEUED", "RUNNING", "RUNNING"]
        timer.advance(1.0)
        task = bench.wait(arn)
        assert (task["endedAt"] - task["createdAt"]).total_seconds() == pytest.approx(15.5, abs=0.51)
        assert bench.read(task)["additionalMetadata"]["simulatorMetadata"]["executionDuration"] == pytest.approx(
            5000, abs=510
        )
        assert bench.emulator.jobs()[0]["price_usd_micros"] == pytest.approx(5 * 1250, abs=650)


def test_a_simulation_is_charged_for_three_seconds(bench: BraketBench) -> None:
    """A short task on a simulator costs the minimum."""
    bench.wait(bench.create())
    assert bench.emulator.jobs()[-1]["price_usd_micros"] == 3750


def test_the_quotas_of_the_service() -> None:
    """40 calls pass at once and 20 more each second; searches have a quota of their own, as have all together."""
    quotas = CallQuotas(parse_quotas(QUOTAS, routes=ROUTES), RateLimiter(()))
    waits = [quotas.admit("post", now_seconds=0.0) for _ in range(41)]
    assert waits == [0.0] * 40 + [pytest.approx(0.05)]
    assert [quotas.admit("post", now_seconds=1.0) > 0.0 for _ in range(21)] == [False] * 20 + [True]
    assert [quotas.admit("list", now_seconds=1.0) > 0.0 for _ in range(51)] == [False] * 50 + [True]
    passed = sum(quotas.admit("get", now_seconds=1.0) == 0.0 for _ in range(1000))
    assert passed == 500
    assert all(quotas.admit("results", now_seconds=1.0) == 0.0 for _ in range(2000))


def test_throttling() -> None:
    """A call beyond a quota is answered with 429, is not carried out, and passes later."""
    timer = HandTimer()
    with opened(timer=timer, quotas="post:2/3") as bench:
        for _ in range(3):
            bench.create()
        with pytest.raises(ClientError) as error:
            bench.create()
        assert refusal(error)[:2] == (429, "ThrottlingException")
        timer.advance(0.5)
        bench.create()
        assert len(bench.emulator.jobs()) == 4


def test_concurrent_tasks_of_a_simulator() -> None:
    """Beyond the quota a simulator answers 402, a QPU queues; once one is over, another passes."""
    with opened(concurrent=2, execute="600", quotas="") as bench:
        first, _ = bench.create(), bench.create()
        with pytest.raises(ClientError) as error:
            bench.create()
        assert refusal(error)[:2] == (402, "ServiceQuotaExceededException")
        assert all(bench.create(deviceArn=FORTE) for _ in range(3))
        bench.braket.cancel_quantum_task(quantumTaskArn=first, clientToken="c")
        assert bench.create()


def test_a_new_task_is_seen_later() -> None:
    """Until the time that is set, GET and search do not know a task that was accepted."""
    timer = HandTimer()
    with opened(timer=timer, visible_seconds=2.0, quotas="") as bench:
        arn = bench.create()
        with pytest.raises(ClientError) as error:
            bench.get(arn)
        assert refusal(error)[:2] == (404, "ResourceNotFoundException")
        assert bench.braket.search_quantum_tasks(filters=[])["quantumTasks"] == []
        timer.advance(2.0)
        assert bench.get(arn)["quantumTaskArn"] == arn


@pytest.mark.parametrize("fault", ["reset-after", "500-after", "503-after", "truncated-after", "token-expiry-after"])
def test_a_lost_answer_is_settled_by_the_token(bench: BraketBench, fault: str) -> None:
    """The task exists although the client has not heard of it, and the same call again names it."""
    before = len(bench.emulator.jobs())
    bench.emulator.set_faults(f"post:{fault}@1")
    # Of a body that breaks off, botocore makes an empty answer.
    with pytest.raises((BotoCoreError, ClientError, KeyError)):
        bench.create(clientToken=f"lost-{fault}")
    arn = bench.create(clientToken=f"lost-{fault}")
    assert [job["id"] for job in bench.emulator.jobs()[before:]] == [arn]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("500-before", (500, "InternalServiceException")),
        ("429-before", (429, "ThrottlingException")),
        ("token-expiry", (403, "ExpiredTokenException")),
    ],
)
def test_a_call_that_is_not_carried_out(bench: BraketBench, fault: str, code: tuple[int, str]) -> None:
    """The error has its code, and no task exists."""
    before = len(bench.emulator.jobs())
    bench.emulator.set_faults(f"post:{fault}@1")
    with pytest.raises(ClientError) as error:
        bench.create()
    assert refusal(error)[:2] == code
    assert len(bench.emulator.jobs()) == before


def test_an_expired_token_of_s3(bench: BraketBench) -> None:
    """S3 says it in XML."""
    task = bench.wait(bench.create())
    bench.emulator.set_faults("results:token-expiry@1")
    with pytest.raises(ClientError) as error:
        bench.read(task)
    assert refusal(error)[:2] == (403, "ExpiredToken")


def test_executables_that_fail(bench: BraketBench) -> None:
    """One executable of a set fails, may run again or not, and its shots are not charged; or nothing is said of it."""
    failures = {}
    for kind in ("child-failure", "child-broken"):
        bench.emulator.set_faults(f"post:{kind}@1")
        task = bench.wait(bench.create(SET, deviceArn=FORTE, shots=300))
        result = bench.read(task)
        entries = result["programResults"][0]["executableResults"]
        (failed,) = (entry for entry in entries if "failureMetadata" in entry)
        failures[kind] = failed["failureMetadata"]["retryable"]
        assert (len(entries), result["taskMetadata"]["totalFailedExecutables"]) == (3, 1)
        assert task["numSuccessfulShots"] == result["taskMetadata"]["successfulShots"] == 200
        job = bench.emulator.jobs()[-1]
        assert job["failed_executables"] == [failed["inputsIndex"]]
        assert job["price_usd_micros"] == 300_000 + 200 * 80_000
    assert failures == {"child-failure": True, "child-broken": False}
    bench.emulator.set_faults("post:child-missing@1")
    result = bench.run(SET, deviceArn=FORTE, shots=300)
    assert len(result["programResults"][0]["executableResults"]) == 2


def test_a_task_that_fails_or_never_starts(bench: BraketBench) -> None:
    """A failed task has a reason and no price; a stuck one waits until it is cancelled."""
    bench.emulator.set_faults("post:failure@1, post:stuck@2")
    failed = bench.wait(bench.create())
    assert (failed["status"], bool(failed["failureReason"])) == ("FAILED", True)
    arn = bench.create()
    assert bench.get(arn)["status"] in ("CREATED", "QUEUED")
    assert bench.braket.cancel_quantum_task(quantumTaskArn=arn, clientToken="c")["cancellationStatus"] == "CANCELLING"
    assert bench.wait(arn)["status"] == "CANCELLED"
    assert [job["price_usd_micros"] for job in bench.emulator.jobs()[-2:]] == [0, 0]


def test_damaged_results(bench: BraketBench) -> None:
    """A completed task whose results are not there, are not JSON, or are too large to read."""
    bench.emulator.set_faults("post:object-missing@1, post:object-pickle@2, post:object-huge@3")
    missing, pickled, huge = (bench.wait(bench.create()) for _ in range(3))
    with pytest.raises(ClientError) as error:
        bench.read(missing)
    assert refusal(error)[:2] == (404, "NoSuchKey")
    key = f"{pickled['outputS3Directory']}/results.json"
    assert bench.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().startswith(b"cbuiltins")
    found = bench.s3.get_object(Bucket=BUCKET, Key=f"{huge['outputS3Directory']}/results.json")
    assert found["ContentLength"] > 500_000_000
    assert found["Body"].read(1000) == b" " * 1000
    found["Body"].close()
    for kind in ("truncated", "malformed", "html", "deep-json"):
        task = bench.wait(bench.create())
        bench.emulator.set_faults(f"results:{kind}@1")
        with pytest.raises((BotoCoreError, ValueError, RecursionError)):
            bench.read(task)


def test_a_client_that_gives_up() -> None:
    """A task is accepted after the delay although its client has gone, and its token names it."""
    timer = HandTimer()
    with opened(timer=timer, accept_delay="100", quotas="") as bench:
        bench.__dict__["braket"] = bench.client("braket", read_timeout=0.3)
        with pytest.raises(ReadTimeoutError):
            bench.create(clientToken="gone")
        timer.wait_for_sleeper()
        timer.advance(100.0)
        (job,) = bench.emulator.jobs()
        assert bench.create(clientToken="gone") == job["id"]


def test_the_same_call_twice_at_once() -> None:
    """Of two calls with one token that wait for acceptance side by side, one makes the task and both name it."""
    timer = HandTimer()
    with opened(timer=timer, accept_delay="100", quotas="") as bench, ThreadPoolExecutor(2) as pool:
        assert bench.braket
        calls = [pool.submit(bench.create, clientToken="twice") for _ in range(2)]
        deadline = time.monotonic() + 20.0
        while timer.n_sleepers < 2 and time.monotonic() < deadline:
            time.sleep(0.002)
        timer.advance(100.0)
        assert len({call.result() for call in calls}) == 1
        assert len(bench.emulator.jobs()) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"quotas": "post:5"}, {"offline": "nothing"}, {"retired": "sv2"}, {"noise": "maybe"}, {"denied": "a:write"},
        {"price": "much"}, {"faults": "chaos"}, {"results": "url"}, {"concurrent": "0"}, {"nothing": "1"},
    ],
)  # fmt: skip
def test_wrong_options(options: dict[str, str]) -> None:
    """Each is refused with a sentence before anything listens."""
    with pytest.raises(UsageError), opened(**vars(read_settings(options))):
        pass


def test_prices_can_be_set() -> None:
    """A price of one's own replaces the list price of devices that are charged so."""
    with opened(price="task=1,shot=0.001,minute=6", quotas="") as bench:
        bench.wait(bench.create(deviceArn=FORTE, shots=10))
        bench.wait(bench.create(deviceArn=SV1))
        assert [job["price_usd_micros"] for job in bench.emulator.jobs()] == [1_010_000, 300_000]
