"""Opening a device of IBM's: what is missing or wrong is said in a sentence, before anything is paid."""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from ibm_vendor import DEVICE, environment
from ionq_circuits import gate_list

from qorch.errors import (
    BackendError,
    BusyError,
    CircuitError,
    CredentialsError,
    JobFailedError,
    QorchError,
    RejectedError,
    UnavailableError,
    UnknownNameError,
    UnreachableError,
    UsageError,
)
from qorch.model.job import JobRequest, JobStatus, Payload, RemoteState
from qorch.model.measurement import Measurement
from qorch.model.usage import report_usage
from qorch.ports.backend import Diagnosable, FindingStatus, RemoteBackend
from qorch.ports.clock import WallClock
from qorch.ports.policy import OnUnknown, Rate
from qorch.testing.conformance.backend import block_of
from qorch_providers.emulators.ibm import IbmSettings, RunningIbm, start
from qorch_providers.ibm import open_backend
from qorch_providers.ibm.backend import IbmBackend
from qorch_providers.ibm.device_watch import LOOK_AGAIN_SECONDS

BELL = gate_list(2, ("h", (0,), ()), ("cx", (0, 1), ()))
OK, WARN, FAIL = FindingStatus.OK, FindingStatus.WARN, FindingStatus.FAIL
SMALL = "ibm_lagos"
"""A device with 7 qubits."""


@contextmanager
def serving(**settings: Any) -> Iterator[RunningIbm]:
    """An emulator without a limit of POSTs."""
    chosen = {"devices": f"{DEVICE},{SMALL}", "noise": "off", "posts_per_minute": 0, "usage_delay": "0"} | settings
    with start(IbmSettings(**chosen)) as running:
        yield running


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningIbm]:
    """One whose devices are all active."""
    with serving() as running:
        yield running


def make(options: str, variables: Mapping[str, str]) -> IbmBackend:
    """A backend that is not open yet."""
    backend = open_backend(options, clock=WallClock(), environment=variables)
    assert isinstance(backend, IbmBackend)
    assert isinstance(backend, RemoteBackend)
    return backend


def opened(
    options: str, variables: Mapping[str, str], use: Callable[[IbmBackend], Any] = lambda backend: backend
) -> Any:
    """Open a backend, use it in its event loop, and close it."""

    async def main() -> Any:
        backend = make(options, variables)
        try:
            await backend.open()
            found = use(backend)
            return await found if asyncio.iscoroutine(found) else found
        finally:
            await backend.close()
            await backend.close()

    return asyncio.run(main())


def diagnosed(options: str, variables: Mapping[str, str]) -> dict[str, tuple[FindingStatus, str]]:
    """What a backend that was not opened finds."""

    async def main() -> dict[str, tuple[FindingStatus, str]]:
        backend = make(options, variables)
        assert isinstance(backend, Diagnosable)
        try:
            return {finding.name: (finding.status, finding.message) for finding in await backend.diagnose()}
        finally:
            await backend.close()

    return asyncio.run(main())


async def payload_of(backend: IbmBackend, number: int = 0) -> Payload:
    """A job of one row."""
    await backend.prepare([BELL])
    request = JobRequest(f"job-{number}", (block_of(BELL, np.zeros((1, 0)), shots=100),))
    return backend.encode(request, key=f"{number:064x}")


async def end_of(backend: IbmBackend, job_id: str) -> JobStatus:
    """The status of a job that is over."""
    while True:
        status = (await backend.poll([job_id]))[job_id]
        if status.state not in (RemoteState.QUEUED, RemoteState.RUNNING):
            return status
        await asyncio.sleep(0.01)


def test_a_device_has_its_own_limits(emulator: RunningIbm) -> None:
    """Whole gradients in one job, no exact values, and what jobs cost is at stake."""
    found = opened(DEVICE, environment(emulator.root)).capabilities
    assert (found.max_qubits, found.max_rows_per_job, found.slots) == (16, 10_000_000, 1)
    assert (found.exact, found.charges, found.mixes_shots) == (False, True, False)
    assert opened(f"{DEVICE},rows=7", environment(emulator.root)).capabilities.max_rows_per_job == 7


def test_a_whole_gradient_is_one_job(emulator: RunningIbm) -> None:
    """2,080 executions of 1,024 shots of eight qubits fit into one POST."""

    async def rows(backend: IbmBackend) -> int:
        gates = gate_list(8, *(("ry", (qubit,), (0.1 * qubit,)) for qubit in range(8)), ("cx", (0, 1), ()))
        await backend.prepare([gates])
        return backend.rows_per_job(gates, Measurement(np.zeros(8, dtype=np.uint8), is_exact=False), shots=1024)

    assert opened(DEVICE, environment(emulator.root), rows) >= 2080


def test_the_terms_are_ibms(emulator: RunningIbm) -> None:
    """Five jobs a minute, no remembered keys, so that what is unknown is held; nothing was sent for it."""
    backend = make(f"{DEVICE},settle=5,jobs=4", environment(emulator.root))
    terms = backend.terms
    assert (terms.rate, terms.remembers_keys_seconds, terms.on_unknown) == (Rate(5, 60.0), 0.0, OnUnknown.HOLD)
    assert (terms.settle_seconds, terms.most_jobs) == (5.0, 4)
    assert terms.console == "https://quantum.cloud.ibm.com/workloads"
    assert "emulator" not in terms.account
    assert sum(backend.calls.values()) == 0


@pytest.mark.parametrize(
    ("options", "changes", "error", "words"),
    [
        ("ibm_nowhere", {}, UnknownNameError, "ibm_nowhere, or not any more: choose one that it has .ibm_g"),
        (DEVICE, {"QISKIT_IBM_TOKEN": ""}, CredentialsError, "there is no IBM Quantum account"),
        (DEVICE, {"QISKIT_IBM_TOKEN": "wrong-key"}, CredentialsError, "API key could not be found.*QISKIT_IBM_TOKEN"),
        (DEVICE, {"QISKIT_IBM_INSTANCE": "third"}, UsageError, "'third': set QISKIT_IBM_INSTANCE to .*.first: crn:"),
        (DEVICE, {"QISKIT_IBM_INSTANCE": ""}, UsageError, "has 2 instances, and which of them pays"),
        (DEVICE, {"QISKIT_IBM_INSTANCE": "crn:v1:bluemix:public:quantum-computing:us-east:a/9:9::"}, CredentialsError,
         "403 to a question.*look at QISKIT_IBM_INSTANCE"),
        (f"{SMALL},layout=0-9", {}, UsageError, "layout= names 9"),
        ("fake_nothing", {}, UnknownNameError, "no recorded device"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_said_before_anything_is_paid(
    options: str, changes: Mapping[str, str], error: type[QorchError], words: str
) -> None:
    """One sentence that names what to change; the emulator has accepted nothing."""
    with serving(api_key="the-right-key") as running:
        variables = environment(running.root) | {"QISKIT_IBM_TOKEN": "the-right-key"} | changes
        with pytest.raises(error, match=words) as caught:
            opened(options, variables)
        assert "-key" not in str(caught.value).replace("saved", "")
        assert running.jobs() == []


def test_an_address_where_nobody_is_says_what_to_look_at() -> None:
    """The variable, the region and the network."""
    crn = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
    variables = environment("http://127.0.0.1:9") | {"QISKIT_IBM_INSTANCE": crn}
    with pytest.raises(UnreachableError, match="look at QISKIT_IBM_URL"):
        opened(DEVICE, variables)


def test_an_instance_is_found_by_its_name_or_as_the_only_one(emulator: RunningIbm) -> None:
    """By the account's own list; a CRN needs no look."""
    second = opened(f"{DEVICE},instance=second", environment(emulator.root))
    assert second._connector._client is not None
    with serving(instances="alone=premium@eu-de") as running:
        calls = opened(DEVICE, environment(running.root) | {"QISKIT_IBM_INSTANCE": "auto"}).calls
        assert calls["availability"] == 4
        named = environment(running.root) | {"QISKIT_IBM_INSTANCE": running.crns["alone"]}
        assert opened(DEVICE, named).calls["availability"] == 3


def test_the_least_busy_device_is_chosen() -> None:
    """Of those that are active; one that is named is waited for, and none is chosen if all are closed."""

    async def fill(backend: IbmBackend) -> None:
        await backend.submit(await payload_of(backend))

    with serving(faults="post:stuck") as running:
        variables = environment(running.root)
        opened(DEVICE, variables, fill)
        assert opened("least-busy", variables)._watch.name == SMALL
        with serving(maintenance=f"{SMALL}@0..1000") as other:
            assert opened("least-busy", environment(other.root))._watch.name == DEVICE
    with (
        serving(maintenance=f"{SMALL}@0..1000,{DEVICE}@0..1000") as closed,
        pytest.raises(UnavailableError, match="no device of the instance is online"),
    ):
        opened("least-busy", environment(closed.root))


def test_maintenance_is_told() -> None:
    """No jobs are taken now; the device can be opened, and a diagnosis warns."""
    with serving(maintenance=f"{SMALL}@0..1000") as running:
        variables = environment(running.root)
        found = opened(SMALL, variables, lambda backend: backend.availability())
        assert (found.is_open, found.reason) == (False, "ibm_lagos is in 'maintenance'")
        active = opened(DEVICE, variables, lambda backend: backend.availability())
        assert (active.is_open, active.reason, active.n_qubits) == (True, "0 jobs wait", 16)
        assert diagnosed(SMALL, variables)["device"] == (
            WARN, "ibm_lagos is in 'maintenance': jobs are sent once it is active; 0 jobs wait",
        )  # fmt: skip


def test_the_results_of_a_retired_device_are_fetched() -> None:
    """It can be opened while the instance has jobs of it, and then takes no more."""

    async def buy(backend: IbmBackend) -> str:
        job_id = await backend.submit(await payload_of(backend))
        await end_of(backend, job_id)
        return job_id

    async def fetch(backend: IbmBackend) -> int:
        assert not (await backend.availability()).is_open
        with pytest.raises(UnknownNameError, match="or not any more"):
            await backend.prepare([BELL])
        return len((await backend.fetch(job_id)).content)

    with serving() as running:
        variables = environment(running.root)
        job_id = opened(SMALL, variables, buy)
        running._server.hosted.service._retired = frozenset([SMALL])
        assert opened(SMALL, variables, fetch) > 100
        with pytest.raises(UnknownNameError, match="or not any more"):
            opened("ibm_nowhere", variables)


def test_a_diagnosis_pays_for_nothing(emulator: RunningIbm) -> None:
    """One sentence each; without a key that works the rest is not asked."""
    variables = environment(emulator.root)
    found = diagnosed(f"{DEVICE},instance=second", variables)
    names = ("account", "instance", "device", "limits")
    assert {name: status for name, (status, _) in found.items()} == dict.fromkeys(names, OK)
    assert found["account"][1] == f"the key is from QISKIT_IBM_TOKEN; tokens come from {emulator.root}"
    assert found["instance"][1] == "the key may use it; 0 of 600 QPU seconds are used"
    assert found["device"][1] == "ibm_guadalupe has 16 qubits and is active; 0 jobs wait"
    assert found["limits"][1] == ("IBM cancels a job after 1,200 s of the device, and charges these (max_time=SECONDS)")
    session = diagnosed(f"{DEVICE},instance=second,max_time=60,mode=batch,max_ttl=600", variables)["limits"][1]
    assert "after 60 s of the device" in session
    assert "it ends a batch after 600 s" in session
    with serving(api_key="right") as running:
        refused = diagnosed(DEVICE, environment(running.root))
    assert list(refused) == ["account", "instance"]
    assert refused["instance"][0] is FAIL
    assert "QISKIT_IBM_TOKEN" in refused["instance"][1]


def test_what_is_not_open_is_not_known(emulator: RunningIbm) -> None:
    """Its gates and its calibration come with opening it; what is closed sends nothing."""
    backend = make(DEVICE, environment(emulator.root))
    with pytest.raises(BackendError, match="is not open yet"):
        backend.context(BELL)
    closed = opened(DEVICE, environment(emulator.root))
    with pytest.raises(RejectedError, match="closed"):
        asyncio.run(closed.submit(Payload(JobRequest("x", ()), "0" * 64, b"{}")))


def test_circuits_that_the_device_cannot_run_are_refused(emulator: RunningIbm) -> None:
    """Too wide, or exact values."""

    async def work(backend: IbmBackend) -> None:
        wide = gate_list(8, ("h", (7,), ()))
        with pytest.raises(CircuitError, match="has 8 qubits; ibm_lagos has 7: use fewer, or a device with more"):
            await backend.prepare([wide])
        await backend.prepare([BELL])
        exact = Measurement(np.zeros(2, dtype=np.uint8), is_exact=True)
        with pytest.raises(CircuitError, match="no exact values"):
            backend.check(BELL, exact)

    opened(SMALL, environment(emulator.root), work)


def test_a_new_calibration_is_another_context() -> None:
    """It is seen by the next look, by itself after a quarter of an hour, and what follows is compiled anew."""
    seconds = [0.0]

    class SetClock(WallClock):
        def monotonic_ns(self) -> int:
            return round(seconds[0] * 1e9)

    async def main(running: RunningIbm) -> None:
        backend = open_backend(SMALL, clock=SetClock(), environment=environment(running.root))
        assert isinstance(backend, IbmBackend)
        await backend.open()
        try:
            await backend.prepare([BELL])
            before = backend.context(BELL)
            await backend.availability()
            assert backend.context(BELL) == before
            running.calibrate(SMALL)
            await backend.prepare([BELL])
            assert backend.context(BELL) == before
            await backend.availability()
            second = backend.context(BELL)
            assert second != before
            running.calibrate(SMALL)
            seconds[0] += LOOK_AGAIN_SECONDS + 1
            await backend.prepare([BELL])
            assert backend.context(BELL) not in (before, second)
            seconds[0] += LOOK_AGAIN_SECONDS + 1
            running.set_faults("device:reset-before")
            await backend.prepare([BELL])  # what is known stays in use
        finally:
            await backend.close()

    with serving() as running:
        asyncio.run(main(running))


def test_options_that_change_how_circuits_run_are_part_of_the_context(emulator: RunningIbm) -> None:
    """And those that do not, are not."""

    async def context(backend: IbmBackend) -> bytes:
        await backend.prepare([BELL])
        return backend.context(BELL)

    variables = environment(emulator.root)
    plain = opened(SMALL, variables, context)
    options = ("layout=3-5", "program=sampler", "dd=XY4", "twirling=all")
    others = {opened(f"{SMALL},{each}", variables, context) for each in options}
    assert len(others - {plain}) == 4
    assert opened(f"{SMALL},rows=3,jobs=2,max_time=60", variables, context) == plain


def test_one_token_serves_all_calls_and_is_renewed_once() -> None:
    """Single flight at the start and after a revocation; a job that is refused for its token is sent once more."""

    async def work(backend: IbmBackend) -> None:
        payload = await payload_of(backend)
        await asyncio.gather(*(backend.poll(["x"]) for _ in range(20)))
        running.revoke_tokens()
        polls = [backend.poll(["x"]) for _ in range(20)]
        await asyncio.gather(*polls, backend.submit(payload))

    with serving(token_delay="0.05") as running:  # noqa: S106
        variables = environment(running.root) | {"QISKIT_IBM_INSTANCE": running.crns["first"]}
        opened(SMALL, variables, work)
        book: Any = running.truth()["tokens"]  # type: ignore[typeddict-item]
        assert (book["issued"], book["refused"], book["most_at_once"]) == (2, 0, 1)
        assert len(running.jobs()) == 1


def test_a_token_that_cannot_be_had_now_is_no_refusal() -> None:
    """Only a refused key is an error of the key; the job was not sent, and is sent when there is a token again."""

    async def work(backend: IbmBackend) -> None:
        payload = await payload_of(backend)
        running.revoke_tokens()
        running.set_faults("identity:503-before@1")
        with pytest.raises(BusyError):
            await backend.submit(payload)
        assert running.jobs() == []
        await backend.submit(payload)
        assert len(running.jobs()) == 1

    with serving() as running:
        opened(SMALL, environment(running.root), work)


def test_a_job_that_ran_too_long_says_what_to_raise() -> None:
    """IBM cancels it and charges its time, so it is a failure that is not repeated by itself."""

    async def work(backend: IbmBackend) -> None:
        job_id = await backend.submit(await payload_of(backend))
        status = await end_of(backend, job_id)
        assert status.state is RemoteState.FAILED
        assert not status.is_repeatable
        assert status.error is not None
        assert all(words in status.error for words in ("max_time=1 s", "1305", "is charged"))
        assert status.usage == report_usage(device_seconds=1)
        with pytest.raises(JobFailedError, match="start a new run with a larger max_time=") as caught:
            await backend.fetch(job_id)
        assert not caught.value.is_repeatable

    for program in ("executor", "sampler"):
        with serving(execute="5", time_scale=100.0) as running:
            opened(f"{SMALL},max_time=1,program={program}", environment(running.root), work)
            assert [job["max_seconds"] for job in running.jobs()] == [1]


def test_a_used_up_instance_says_what_to_do() -> None:
    """The POST is refused (409), and a diagnosis says so before."""

    async def work(backend: IbmBackend) -> None:
        await end_of(backend, await backend.submit(await payload_of(backend)))
        with pytest.raises(RejectedError, match="wait for the next period, raise the limit") as caught:
            await backend.submit(await payload_of(backend, 1))
        assert not isinstance(caught.value, BusyError)

    with serving(instances="first=open/1") as running:
        opened(SMALL, environment(running.root), work)
        status, message = diagnosed(SMALL, environment(running.root))["instance"]
        assert status is FAIL
        assert "the limit is reached" in message


def test_a_failure_is_repeated_only_once_it_is_known_to_be_free() -> None:
    """Until IBM has counted what a job is charged, a failure of IBM's own counts as running, up to the settle time."""

    async def work(backend: IbmBackend, *, is_counted: bool) -> None:
        job_id = await backend.submit(await payload_of(backend))
        status = await end_of(backend, job_id)
        assert (status.state, status.is_repeatable) == (RemoteState.FAILED, is_counted)

    for delay, is_counted in (("0.2", True), ("1000", False)):
        with serving(usage_delay=delay, faults="post:failure") as running:
            opened(
                f"{SMALL},settle=0.5", environment(running.root), lambda each, c=is_counted: work(each, is_counted=c)
            )
