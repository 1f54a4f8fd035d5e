"""`qorch doctor BACKEND`: what a user is told of a provider's address, key and machine, without paying."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from qorch.cli import backend_health
from qorch_providers.emulators.ionq import Settings, start

KEY = "the-right-key"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An emulator that accepts one key, with a queue, and the environment that leads there."""
    with start(Settings(api_key=KEY, queue="120", time_scale=1000.0)) as running:
        monkeypatch.setenv("IONQ_API_URL", running.url)
        monkeypatch.setenv("IONQ_API_KEY", KEY)
        yield running


def ask(qorch: Any, *names: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and the checks of backends by name: status and finding."""
    outcome = qorch("doctor", *names, "--json")
    checks = {check["name"]: (check["status"], check["message"]) for check in json.loads(outcome.out)["checks"]}
    assert checks["python"][0] == "ok"
    return outcome.code, {name: found for name, found in checks.items() if name.startswith(names)}


def test_all_is_well(qorch: Any, emulator: Any) -> None:
    """Key and machine each have a line, with how long jobs wait; what runs here has one; no job was sent."""
    code, checks = ask(qorch, "ionq:qpu.forte-1", "local")
    assert code == 0
    assert list(checks) == ["ionq:qpu.forte-1 key", "ionq:qpu.forte-1 machine", "ionq:qpu.forte-1 limits", "local"]
    assert {status for status, _ in checks.values()} == {"ok"}
    assert checks["ionq:qpu.forte-1 machine"][1] == "takes jobs; 36 qubits; jobs wait about 120 s"
    assert "runs on this machine" in checks["local"][1]
    assert emulator.jobs() == []
    assert emulator.truth()["calls"]["by_route"].get("post", 0) == 0
    text = qorch("doctor", "ionq:simulator").out
    assert "ionq:simulator key" in text
    [document] = qorch("backends", "ionq:qpu.forte-1", "--json").document["backends"]
    assert document["status"]["queue_seconds"] == 120.0
    assert "120 s" in qorch("backends", "ionq:qpu.forte-1").out


def test_what_is_wrong_is_said(qorch: Any, emulator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that IonQ lacks, a key that it refuses, one that is missing: one sentence each, and exit code 1."""
    code, checks = ask(qorch, "ionq:qpu.nonsense")
    assert (code, checks["ionq:qpu.nonsense key"][0], checks["ionq:qpu.nonsense machine"][0]) == (1, "ok", "fail")
    assert "qpu.nonsense" in checks["ionq:qpu.nonsense machine"][1]
    monkeypatch.setenv("IONQ_API_KEY", "another-key")
    code, checks = ask(qorch, "ionq:qpu.forte-1")
    assert (code, checks["ionq:qpu.forte-1 key"][0], checks["ionq:qpu.forte-1 machine"][0]) == (1, "fail", "ok")
    assert "IONQ_API_KEY" in checks["ionq:qpu.forte-1 key"][1]
    assert "another-key" not in str(checks)
    monkeypatch.delenv("IONQ_API_KEY")
    code, checks = ask(qorch, "ionq:qpu.forte-1", "nonsense")
    assert code == 1
    assert "IONQ_API_KEY" in checks["ionq:qpu.forte-1"][1]
    assert "there is no backend" in checks["nonsense"][1]


def test_a_dead_address_is_named(qorch: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("IONQ_API_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
    monkeypatch.setenv("IONQ_API_KEY", KEY)
    code, checks = ask(qorch, "ionq:qpu.forte-1")
    assert (code, list(checks)) == (1, ["ionq:qpu.forte-1 address"])
    status, message = checks["ionq:qpu.forte-1 address"]
    assert status == "fail"
    assert "IONQ_API_URL" in message


def test_a_silent_address_does_not_hang(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes connections and never answers: the checks of all backends together end within the time of one."""
    monkeypatch.setattr(backend_health, "PATIENCE_SECONDS", 0.3)
    monkeypatch.setenv("IONQ_API_KEY", KEY)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("IONQ_API_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        code, checks = ask(typed, "ionq:qpu.forte-1", "ionq:simulator")
    assert code == 1
    silent = ("fail", "no answer within 0 s: look at its address, and at the network")
    assert checks == {"ionq:qpu.forte-1": silent, "ionq:simulator": silent}
