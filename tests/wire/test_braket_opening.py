"""Opening a device of Amazon Braket: what is missing or wrong is said in a sentence, before anything is paid."""

import asyncio
import datetime
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from braket_vendor import environment
from ionq_circuits import gate_list
from scripted_server import Request, ScriptedServer, reply

from qorch.errors import (
    BackendError,
    BusyError,
    CredentialsError,
    QorchError,
    RejectedError,
    UnknownNameError,
    UnknownOutcomeError,
    UnreachableError,
    UsageError,
)
from qorch.ports.backend import Diagnosable, FindingStatus, RemoteBackend
from qorch.ports.clock import WallClock
from qorch.ports.policy import OnUnknown, Rate
from qorch_providers.braket import open_backend
from qorch_providers.braket.backend import BraketBackend
from qorch_providers.braket.device_reading import read_device
from qorch_providers.emulators.braket import BraketSettings, RunningBraket, start
from qorch_providers.list_health import CHECK_SECONDS, CHECKS

BELL = gate_list(2, ("h", (0,), ()), ("cx", (0, 1), ()))
OK, WARN, FAIL = FindingStatus.OK, FindingStatus.WARN, FindingStatus.FAIL


@contextmanager
def serving(**settings: Any) -> Iterator[RunningBraket]:
    """An emulator without quotas."""
    with start(BraketSettings(quotas="", **settings)) as running:
        yield running


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningBraket]:
    """One whose devices are all online."""
    with serving() as running:
        yield running


def opened(
    options: str, variables: Mapping[str, str], use: Callable[[BraketBackend], Any] = lambda backend: None
) -> Any:
    """Open a backend, use it in its event loop, and close it."""

    async def main() -> Any:
        backend = open_backend(options, clock=WallClock(), environment=variables)
        assert isinstance(backend, BraketBackend)
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
        backend = open_backend(options, clock=WallClock(), environment=variables)
        assert isinstance(backend, Diagnosable)
        try:
            return {finding.name: (finding.status, finding.message) for finding in await backend.diagnose()}
        finally:
            await backend.close()  # type: ignore[attr-defined]

    return asyncio.run(main())


def test_a_simulator_has_its_own_limits(emulator: RunningBraket) -> None:
    """One task for each row, exact values, and what tasks cost is at stake."""
    backend: BraketBackend = opened("sv1", environment(emulator.root), lambda backend: backend)
    assert isinstance(backend, RemoteBackend)
    found = backend.capabilities
    assert (found.max_qubits, found.max_shots, found.max_rows_per_job) == (34, 100_000, 1)
    assert (found.exact, found.charges, found.mixes_shots) == (True, True, False)
    assert backend.name == "braket:sv1"


def test_a_machine_takes_program_sets(emulator: RunningBraket) -> None:
    """To its limit, or the option's."""
    limits = opened("garnet", environment(emulator.root), lambda backend: backend.capabilities)
    assert (limits.max_qubits, limits.max_rows_per_job, limits.exact) == (20, 100, False)
    fewer = opened("garnet,rows=7", environment(emulator.root), lambda backend: backend.capabilities)
    assert fewer.max_rows_per_job == 7


def test_the_terms_are_the_options(emulator: RunningBraket) -> None:
    """Known before anything is sent; the account is no secret, and the same for all keys of a region."""
    variables = environment(emulator.root)
    backend = open_backend("garnet,tokens=90,settle=5,jobs=4", clock=WallClock(), environment=variables)
    assert isinstance(backend, BraketBackend)
    terms = backend.terms
    assert (terms.remembers_keys_seconds, terms.settle_seconds, terms.most_jobs) == (90.0, 5.0, 4)
    assert (terms.on_unknown, terms.rate) == (OnUnknown.HOLD, Rate(40, 2.0))
    assert (terms.poll_rate, terms.find_rate) == (None, None)
    assert terms.console.startswith("https://eu-north-1.console.aws.amazon.com/braket/")
    other = open_backend("garnet", clock=WallClock(), environment=variables | {"AWS_ACCESS_KEY_ID": "AKIAOTHER"})
    far = open_backend("sv1", clock=WallClock(), environment=variables)
    assert isinstance(other, BraketBackend)
    assert isinstance(far, BraketBackend)
    assert terms.account == other.terms.account != far.terms.account
    assert "emulator" not in terms.account
    assert sum(backend.calls.values()) == 0


@pytest.mark.parametrize(
    ("options", "changes", "error", "words"),
    [
        ("sv1", {"AWS_DEFAULT_REGION": ""}, UsageError, "add region=us-east-1 to the backend's name, or set AWS_REG"),
        ("sv1", {"QORCH_BRAKET_S3": "a_b/c"}, UsageError, "does not begin with the name of a bucket"),
        ("sv1", {"QORCH_BRAKET_S3": "bucket/a//b"}, UsageError, "with single slashes"),
        ("sv1", {"QORCH_BRAKET_S3": "bucket/a/../b"}, UsageError, "with single slashes"),
        ("sv1", {"AWS_PROFILE": "nobody"}, UsageError, "there is no AWS profile 'nobody'"),
        ("sv1", {"AWS_METADATA_SERVICE_TIMEOUT": "soon"}, UsageError, "AWS_METADATA_SERVICE_TIMEOUT is 'soon'"),
        ("sv1", {"AWS_ENDPOINT_URL_BRAKET": "http://example.com"}, UsageError, "use https://example.com"),
        ("sv1", {"AWS_SECRET_ACCESS_KEY": ""}, CredentialsError, "AWS_SECRET_ACCESS_KEY is missing"),
        ("sv1", {"AWS_ACCESS_KEY_ID": ""}, CredentialsError, "there are no AWS credentials: set AWS_ACCESS_KEY_ID"),
        ("arn:aws:braket:us-east-1::device/qpu/none/Lost", {}, UnknownNameError, "Amazon Braket has no device"),
        ("garnet,debiasing=on", {}, UsageError, "Garnet has no debiasing"),
        ("sv1", {"QORCH_BRAKET_S3": "no-entry/x"}, CredentialsError, "AccessDenied.*QORCH_BRAKET_S3"),
        ("sv1", {"QORCH_BRAKET_S3": "no-reading/x"}, CredentialsError, "AccessDenied.*allow s3:ListBucket"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_said_before_anything_is_paid(
    options: str, changes: Mapping[str, str], error: type[QorchError], words: str, tmp_path: Any
) -> None:
    """One sentence that names what to change; the emulator has accepted nothing."""
    with serving(denied="no-entry,no-reading:read") as running:
        files = {name: str(tmp_path / name) for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")}
        with pytest.raises(error, match=words) as caught:
            opened(options, environment(running.root) | files | changes)
        assert "emulator" not in str(caught.value)
        assert running.jobs() == []


@pytest.mark.parametrize(
    ("fault", "settings", "words"),
    [
        ("device:token-expiry-before", {}, "aws sso login"),
        ("", {"access_key": "AKIAKNOWN"}, "look at AWS_ACCESS_KEY_ID"),
    ],
)
def test_credentials_that_aws_refuses_say_what_to_do(fault: str, settings: dict[str, str], words: str) -> None:
    """Expired, or not known; and the same in the diagnosis, where the device cannot be asked."""
    with serving(faults=fault, **settings) as running:
        with pytest.raises(CredentialsError, match=words):
            opened("sv1", environment(running.root))
        status, message = diagnosed("sv1", environment(running.root))["device"]
        assert status is FAIL
        assert words in message


def test_an_address_where_nobody_is_says_what_to_look_at() -> None:
    """The variable, the region and the network."""
    variables = environment("http://127.0.0.1:9")
    with pytest.raises(UnreachableError, match="look at AWS_ENDPOINT_URL_BRAKET"):
        opened("sv1", variables)


def test_the_default_bucket_is_the_sdks(emulator: RunningBraket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found through STS and made, at the addresses of the environment that is passed in and not of this process."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    variables = {name: value for name, value in environment(emulator.root).items() if name != "QORCH_BRAKET_S3"}
    backend: BraketBackend = opened("sv1", variables, lambda backend: backend)
    destination = backend._destination
    assert destination is not None
    assert (destination.bucket, destination.key_prefix) == ("amazon-braket-us-east-1-000000000000", "tasks/qorch")
    named = variables | {"AMZN_BRAKET_OUT_S3_BUCKET": "amazon-braket-of-the-job", "AMZN_BRAKET_JOB_TOKEN": "token"}
    inside: BraketBackend = opened("sv1", named, lambda backend: backend)
    assert inside._destination is not None
    assert (inside._destination.bucket, inside._destination.job_token) == ("amazon-braket-of-the-job", "token")


def test_a_default_bucket_that_may_not_be_made_is_a_sentence() -> None:
    """Before anything is paid."""
    with serving(denied="amazon-braket-us-east-1-000000000000") as running:
        variables = environment(running.root) | {"QORCH_BRAKET_S3": ""}
        with pytest.raises(CredentialsError, match=r"cannot be found or made \(CreateBucket: .*set QORCH_BRAKET_S3"):
            opened("sv1", variables)


def test_windows_and_retirement_are_told() -> None:
    """A device that is offline takes no jobs now, a retired one never; both can be opened, to fetch what is paid."""
    with serving(offline="garnet", retired="ankaa-3") as running:
        variables = environment(running.root)
        offline = opened("garnet", variables, lambda backend: backend.availability())
        with pytest.raises(RejectedError, match="Ankaa-3 is retired and takes no tasks any more; choose another"):
            opened("ankaa-3", variables, lambda backend: backend.availability())
        online = opened("sv1", variables, lambda backend: backend.availability())
        assert (offline.is_open, offline.reason) == (False, "Garnet is offline")
        assert (online.is_open, online.reason, online.n_qubits) == (True, "0 tasks wait", 34)
        assert diagnosed("garnet", variables)["device"][0] is WARN
        assert diagnosed("ankaa-3", variables)["device"] == (
            FAIL, "Ankaa-3 is retired and takes no tasks any more; choose another",
        )  # fmt: skip


def test_a_diagnosis_pays_for_nothing(emulator: RunningBraket) -> None:
    """One sentence each; without a key the rest is not asked."""
    variables = environment(emulator.root)
    found = diagnosed("garnet", variables)
    assert {name: status for name, (status, _) in found.items()} == dict.fromkeys(
        ("region", "credentials", "device", "bucket", "limits"), OK
    )
    assert "limits" not in diagnosed("sv1", variables)
    assert found["region"][1] == f"eu-north-1, at {emulator.root}"
    assert found["device"][1] == "Garnet is online; 0 tasks wait"
    assert found["bucket"][1] == "s3://amazon-braket-tests/qorch can be read"
    assert "amazon-braket-eu-north-1-ACCOUNT" in diagnosed("garnet", variables | {"QORCH_BRAKET_S3": ""})["bucket"][1]
    without = diagnosed("garnet", variables | {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""})
    assert list(without) == ["region", "credentials"]
    assert without["credentials"][0] is FAIL
    assert "emulator" not in str(found)
    assert emulator.jobs() == []


def test_what_is_not_open_is_not_known(emulator: RunningBraket) -> None:
    """Its gates, its calibration and its bucket come with opening it."""
    backend = open_backend("garnet", clock=WallClock(), environment=environment(emulator.root))
    with pytest.raises(BackendError, match="is not open yet"):
        backend.context(BELL)


def test_a_new_calibration_is_another_context(emulator: RunningBraket) -> None:
    """What a device says of itself counts, but for its prices and hours; options that change how circuits run, too."""

    async def look(backend: BraketBackend) -> None:
        before = backend.context(BELL)
        await backend.availability()
        assert backend.context(BELL) == before
        assert backend._device is not None
        backend._device = replace(backend._device, calibration="0" * 64)
        assert backend.context(BELL) != before
        await backend.availability()
        assert backend.context(BELL) == before

    variables = environment(emulator.root)
    opened("garnet", variables, look)
    contexts = {
        opened(options, variables, lambda backend: backend.context(BELL))
        for options in ("garnet", "garnet,rewiring=off", "garnet,rewiring=off,verbatim=on", "forte-1", "sv1", "dm1")
    }
    assert len(contexts) == 6
    assert opened("garnet,rows=3,jobs=2", variables, lambda backend: backend.context(BELL)) in contexts


def test_a_device_that_runs_no_circuits_is_named() -> None:
    """As Aquila, whose programs are of another kind; an unreadable document is asked for again."""
    document = (
        b'{"deviceArn":"a","deviceName":"Aquila","deviceType":"QPU","deviceStatus":"ONLINE","deviceCapabilities":'
        b'"{\\"action\\":{\\"braket.ir.ahs.program\\":{}}}"}'
    )
    with pytest.raises(UnknownNameError, match="Aquila does not run circuits of gates"):
        read_device(document)

    async def main(answer: Any) -> None:
        def serve(request: Request) -> Any:
            return answer

        async with ScriptedServer(serve) as server:
            backend = open_backend("sv1", clock=WallClock(), environment=environment(server.url))
            try:
                await backend.open()
            finally:
                await backend.close()

    for body in (b"<html>", b"{}", b'{"deviceArn": 1}', document.replace(b"ahs.program", b"openqasm.program")):
        with pytest.raises(BusyError, match="cannot be read"):
            asyncio.run(main(reply(200, body)))


def test_an_arn_that_the_region_does_not_take_is_named() -> None:
    """Braket calls it invalid: it is not asked about again and again."""
    refused = reply(400, {"message": "no"}, {"x-amzn-errortype": "ValidationException"})

    async def main() -> None:
        async with ScriptedServer(lambda request: refused) as server:
            backend = open_backend("sv1", clock=WallClock(), environment=environment(server.url))
            with pytest.raises(UnknownNameError, match=r"has no device arn:aws:braket:::device/.*/sv1 in us-east-1"):
                await backend.open()
            await backend.close()

    asyncio.run(main())


def test_a_device_is_read_although_it_says_more_or_less() -> None:
    """Actions of other kinds, fields that are null, and sizes of queues as numbers change nothing."""
    action = {"supportedOperations": ["H", "CNot"], "supportedResultTypes": None, "supportedPragmas": None}
    capabilities = {
        "braketSchemaHeader": {"name": "braket.device_schema.new.new_device_capabilities", "version": "9"},
        "service": {"shotsRange": [1, 1000], "more": []},
        "action": {"braket.ir.openqasm.program": action, "braket.ir.new": {"supportedOperations": {"a": 1}}},
        "paradigm": {
            "qubitCount": 4,
            "nativeGateSet": None,
            "connectivity": {"fullyConnected": False, "connectivityGraph": None},
        },
    }
    document = {
        "deviceArn": "a",
        "deviceName": "New",
        "deviceType": "QPU",
        "deviceStatus": "ONLINE",
        "deviceCapabilities": json.dumps(capabilities),
        "deviceQueueInfo": [{"queue": "QUANTUM_TASKS_QUEUE", "queueSize": 5, "queuePriority": None}],
    }
    seen = read_device(json.dumps(document).encode())
    assert (seen.device.n_qubits, seen.device.gates, seen.waiting) == (4, {"h", "cnot"}, "5")
    assert read_device(json.dumps({**document, "deviceQueueInfo": None}).encode()).waiting == ""


def test_the_local_simulator_needs_no_account() -> None:
    """Another kind of backend under the same name."""
    backend = open_backend("local", clock=WallClock(), environment={})
    assert not isinstance(backend, RemoteBackend)
    assert not backend.capabilities.charges


def test_a_list_that_stays_unreadable_is_given_up() -> None:
    """After minutes in which Braket answered everything else, so that a job in doubt is held, not waited for."""
    seconds = [0.0]

    class SetClock(WallClock):
        def monotonic_ns(self) -> int:
            return round(seconds[0] * 1e9)

    async def main(variables: Mapping[str, str]) -> int:
        backend = open_backend("sv1", clock=SetClock(), environment=variables)
        assert isinstance(backend, BraketBackend)
        await backend.open()
        try:
            for count in range(20):
                seconds[0] += CHECK_SECONDS
                try:
                    await backend.find(["0" * 64], since=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
                except BusyError:
                    continue
                except UnknownOutcomeError:
                    return count
            return -1
        finally:
            await backend.close()

    with serving(faults="list:500-before") as running:
        assert asyncio.run(main(environment(running.root))) == CHECKS
