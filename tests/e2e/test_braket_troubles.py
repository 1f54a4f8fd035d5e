"""What goes wrong on Braket: one sentence that says what to do, nothing paid before it, nothing paid lost."""

from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from braket_vendor import BRAKET, FREE
from watched_runs import WatchedRun, check_values, watched_run, work_of

import qorch
from qorch.errors import (
    CircuitError,
    CredentialsError,
    InvalidResultError,
    QorchError,
    RejectedError,
    UnknownNameError,
    UsageError,
)
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.job import JobState
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import gate_triple
from qorch_providers.emulators.braket import RunningBraket

NOWHERE = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}


def start(**settings: Any) -> AbstractContextManager[RunningBraket]:
    """An emulator without noise or quotas, with these settings."""
    return BRAKET.start(replace(FREE, **settings))


def watch(
    emulator: RunningBraket, folder: Path, options: str = "garnet", **more: Any
) -> AbstractContextManager[WatchedRun]:
    """A run on it."""
    return watched_run(BRAKET, emulator, folder, options=options, **more)


def failure(
    emulator: RunningBraket, folder: Path, options: str = "garnet", *, pub: qorch.Pub | None = None, **environment: str
) -> QorchError:
    """How a run ends that cannot begin, and of which the provider has nothing."""
    with (
        pytest.raises(QorchError) as caught,
        watch(emulator, folder, options, environment=environment) as watched,
    ):
        watched.run.execute(pub or work_of(2))
    assert emulator.jobs() == []
    print(caught.value)
    assert str(caught.value).count("\n") == 0
    return caught.value


@pytest.mark.parametrize(
    ("settings", "environment", "kind", "words"),
    [
        ({}, {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", **NOWHERE}, CredentialsError, "AWS_ACCESS_KEY_ID"),
        ({"faults": "any:token-expiry"}, {}, CredentialsError, "aws sso login"),
        ({"access_key": "AKIAOTHER"}, {}, CredentialsError, "does not know the access key"),
        ({"retired": "garnet"}, {}, RejectedError, "choose another device"),
        ({"denied": "amazon-braket-tests"}, {}, CredentialsError, "QORCH_BRAKET_S3"),
        ({"denied": "amazon-braket-tests:read"}, {}, CredentialsError, "s3:GetObject"),
    ],
    ids=["no credentials", "expired", "wrong key", "retired", "no bucket", "unreadable bucket"],
)
def test_an_account_that_cannot_be_used(
    settings: dict[str, str], environment: dict[str, str], kind: type[QorchError], words: str, tmp_path: Path
) -> None:
    """The class says what to do, the sentence says it to the user, and nothing was sent."""
    with start(**settings) as emulator:
        error = failure(emulator, tmp_path, **environment)
    assert isinstance(error, kind), repr(error)
    assert words in str(error)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ("garnet,region=us-east-1", UsageError, "the device is in eu-north-1"),
        ("arn:aws:braket:us-east-1::device/qpu/iqm/Garnet", UnknownNameError, "us-east-1"),
        ("sv2", UnknownNameError, "choose sv1"),
    ],
)
def test_a_device_that_is_not_there(options: str, kind: type[QorchError], words: str, tmp_path: Path) -> None:
    """It is known before anything is sent that costs something."""
    with start() as emulator:
        error = failure(emulator, tmp_path, options)
    assert isinstance(error, kind), repr(error)
    assert words in str(error)


def test_a_simulator_without_a_region(tmp_path: Path) -> None:
    """Its ARN names none."""
    with start() as emulator:
        error = failure(emulator, tmp_path, "sv1", AWS_DEFAULT_REGION="", **NOWHERE)
    assert isinstance(error, UsageError)
    assert "AWS_REGION" in str(error)


@pytest.mark.parametrize(
    ("options", "gate", "n_qubits", "words"),
    [
        ("garnet", "h", 21, "Garnet has 20"),
        ("sv1", "h", 35, "SV1 has 34"),
        ("garnet", "cx", 2, "cx"),
    ],
    ids=["too wide", "too wide for a simulator", "a gate that it lacks"],
)
def test_a_circuit_that_the_device_cannot_run(
    options: str, gate: str, n_qubits: int, words: str, tmp_path: Path
) -> None:
    """The sentence names the limit or the gate."""
    circuit = free_circuit(build_gate_list(n_qubits, [gate_triple(gate, tuple(range(1 + (gate == "cx"))))]))
    with start(gates="h,rx,rz" if gate == "cx" else "") as emulator:
        error = failure(emulator, tmp_path, options, pub=qorch.Pub(circuit, [[]], observables=["Z0"], shots=100))
    assert isinstance(error, CircuitError), repr(error)
    assert words in str(error)


def test_an_offline_device_is_waited_for(tmp_path: Path) -> None:
    """Nothing is refused and nothing is lost: the queue pauses while it is offline."""
    with (
        start(offline="garnet@0..1.5") as emulator,
        watch(emulator, tmp_path, "garnet,tokens=80000", scale=60) as watched,
    ):
        check_values(watched.run.execute(work_of(2))[0])
        assert [job["rows"] for job in emulator.jobs()] == [2]
        assert "424" not in emulator.truth()["calls"]["by_status"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("object-missing", "its results are not at s3://"),
        ("object-pickle", "held"),
        pytest.param("object-huge", "larger than 128 MiB", marks=pytest.mark.soak),
    ],
)
def test_a_result_that_is_not_one(fault: str, words: str, tmp_path: Path) -> None:
    """The task is paid: it is held with a sentence, kept when the run goes on, and never bought again."""
    with start(faults=f"post:{fault}@1") as emulator:
        for resume in (False, True):
            with watch(emulator, tmp_path, "garnet,settle=0.2", resume=resume, scale=20) as watched:
                with pytest.raises((InvalidResultError, qorch.QorchError), match=words) as caught:
                    watched.run.execute(work_of(2))
                print(caught.value)
                assert "held" in str(caught.value)
                assert [job.state for job in watched.store.jobs()] == [JobState.UNKNOWN]
        assert [job["rows"] for job in emulator.jobs()] == [2]


def test_a_result_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """S3 may lag behind the status of a task, for the settle time."""
    with start(faults="results:404-before@2x3") as emulator, watch(emulator, tmp_path, scale=10) as watched:
        check_values(watched.run.execute(work_of(2))[0])
        assert [job["rows"] for job in emulator.jobs()] == [2]


def test_results_in_parts(tmp_path: Path) -> None:
    """Results of a program set may be an object for each executable."""
    with start(results="parts") as emulator, watch(emulator, tmp_path) as watched:
        check_values(watched.run.execute(work_of(6))[0])
        assert [job["rows"] for job in emulator.jobs()] == [6]


def test_a_clock_is_all_that_is_needed() -> None:
    """Opening sends nothing, so that a wrong account is no matter until something is to be run."""
    backend = BRAKET.open_backend("garnet", clock=WallClock(), environment=BRAKET.environment("http://127.0.0.1:1"))
    assert sum(backend.calls.values()) == 0
