"""Commands that reach a provider: what it offers, and the end of a run there."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qorch_providers.emulators.ionq import Settings, start


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An emulator whose jobs take long to run, and the environment that leads there."""
    with start(Settings(execute="30")) as running:
        monkeypatch.setenv("IONQ_API_URL", running.url)
        monkeypatch.setenv("IONQ_API_KEY", "dummy")
        yield running


def test_backends_ask_the_provider(qorch: Any, emulator: Any) -> None:
    """A backend that is named tells whether it takes jobs; one that the provider lacks says so."""
    outcome = qorch("backends", "local", "ionq:simulator", "ionq:qpu.forte-1", "ionq:qpu.nonsense", "--json")
    local, simulator, forte, nonsense = outcome.document["backends"]
    assert local["status"] is None
    assert simulator["status"]["is_open"]
    assert not simulator["limits"]["charges"]
    assert forte["limits"]["charges"]
    assert nonsense["limits"] is None
    assert "qpu.nonsense" in nonsense["problem"]


def test_a_key_that_is_missing_is_asked_for(qorch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key one line says where to get it and how to set it, and nothing is written."""
    monkeypatch.delenv("IONQ_API_KEY", raising=False)
    outcome = qorch("train", "digits", *qorch.small, "--backend", "ionq:simulator")
    assert outcome.code == 2
    assert "IONQ_API_KEY" in outcome.error
    assert not qorch.database.exists()


def test_a_machine_that_the_provider_lacks_leaves_no_run_behind(qorch: Any, emulator: Any) -> None:
    """One line says so, nothing else is on standard error, and nothing is written."""
    outcome = qorch("train", "digits", *qorch.small, "--backend", "ionq:qpu.nonsense")
    assert outcome.code == 2
    assert "qpu.nonsense" in outcome.error
    assert qorch("runs", "--json").document == {"runs": []}


def test_ctrl_c_while_the_provider_is_down_leaves_no_run_behind(qorch: Any, emulator: Any) -> None:
    """It ends with the signal's exit code while it still waits for the provider, and nothing is written."""
    emulator.set_faults("503@1+")
    process = qorch.start("train", "digits", *qorch.small, "--backend", "ionq:qpu.forte-1")
    try:
        wait_until(lambda: "503" in emulator.truth()["calls"]["by_status"], process)
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 130
    assert "Unclosed" not in said
    assert qorch("runs", "--json").document == {"runs": []}


def test_cancel_ends_the_jobs_at_the_provider(qorch: Any, emulator: Any) -> None:
    """A run that is cancelled in mid-flight is cancelled there, too, and nothing of it stays open."""
    process = qorch.start("train", "digits", *qorch.small, "--backend", "ionq:simulator")
    try:
        wait_until_accepted(emulator, process)
        outcome = qorch("cancel", "latest", "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.document["jobs_cancelled"] == len(emulator.jobs())
    finally:
        process.kill()
        process.communicate()
    assert {job["status"] for job in emulator.jobs()} == {"canceled"}
    recovered = qorch("recover", "--json")
    assert recovered.code == 0, recovered.err
    assert {job["ending"] for job in recovered.document["jobs"]} == {"failed"}
    assert qorch("recover").out.strip() == "nothing is open"


def wait_until_accepted(emulator: Any, process: Any) -> None:
    """Until the provider has a job; fails where the process ends before."""
    wait_until(lambda: bool(emulator.jobs()), process)


def wait_until(is_so: Callable[[], bool], process: Any) -> None:
    """Until it is so; fails where the process ends before."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
