"""A run whose jobs are in a session of IonQ's with a limit: it stops there, keeps what it has, and goes on later."""

from collections.abc import Iterator
from typing import Any

import pytest

from qorch_providers.emulators.ionq import Settings, start

OPTIONS = "qpu.forte-1,settle=0.2,mode=session"


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An emulator at which a shot costs a hundredth of a cent, and the environment that leads there."""
    with start(Settings(price="qpu=0.0001")) as running:
        monkeypatch.setenv("IONQ_API_URL", running.url)
        monkeypatch.setenv("IONQ_API_KEY", "dummy")
        yield running


def test_a_run_stops_at_its_sessions_limit_and_can_be_resumed(typed: Any, emulator: Any) -> None:
    """One sentence, exit code 3, no open session; what was bought is kept, and the next session brings the rest."""
    backend = f"ionq:{OPTIONS},max_jobs=2"
    trained = typed("train", "digits", *typed.small, "--shots", "8", "--backend", backend, "--name", "belt")
    assert trained.code == 3, trained.err
    assert "has reached its limit of 2 jobs" in trained.err
    assert "resume the run" in trained.err
    assert [job["status"] for job in emulator.jobs()] == ["completed"] * 2
    assert [session["status"] for session in emulator.truth()["sessions"]] == ["ended"]
    resumed = typed("train", "digits", "--resume", "belt")
    assert resumed.code == 0, resumed.err
    assert len(emulator.jobs()) == len({job["key"] for job in emulator.jobs()}) == 3
    assert [session["status"] for session in emulator.truth()["sessions"]] == ["ended"] * 2


def test_a_limit_on_the_cost_is_a_wall(typed: Any, emulator: Any) -> None:
    """What the jobs of the session cost at IonQ stays below it."""
    backend = f"ionq:{OPTIONS},max_cost=0.10USD"
    trained = typed("train", "digits", *typed.small, "--shots", "8", "--backend", backend)
    assert trained.code == 3, trained.err
    assert "would exceed its cost limit" in trained.err
    assert sum(job["price_usd_micros"] for job in emulator.jobs()) <= 100_000


def test_doctor_tells_the_limits(typed: Any, emulator: Any) -> None:
    """Those that the name asks for, or how to set one, and the sessions that are open; nothing is opened."""

    def limits_of(name: str) -> tuple[str, str]:
        checks = typed("doctor", name, "--json").document["checks"]
        [found] = [check for check in checks if check["name"] == f"{name} limits"]
        return found["status"], found["message"]

    status, message = limits_of("ionq:qpu.forte-1")
    assert status == "ok"
    assert "mode=session,max_cost=25USD in the backend's name" in message
    assert "Open sessions on qpu.forte-1: none" in message
    status, message = limits_of(f"ionq:{OPTIONS},max_cost=25USD,max_jobs=7,max_ttl=3600")
    assert status == "ok"
    assert "which IonQ ends at 25.00 USD or after 7 jobs or after 3,600 s" in message
    assert emulator.truth()["sessions"] == []
    emulator.set_faults("sessions:403-before")
    status, message = limits_of(f"ionq:{OPTIONS},max_cost=25USD")
    assert status == "warn"
    assert "Sessions cannot be listed" in message
