"""The log of JSON lines: what stands in it, that every line can be read, and that no text forges one."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from observing import PAID, buy_too_much, set_prices, start

from qorch.errors import UsageError, WorkerLostError
from qorch.model.job import QueuePlace
from qorch.model.usage import report_usage
from qorch.observers.log import JsonLog
from qorch.ports.clock import WallClock
from qorch.ports.observer import Notice
from qorch.ports.records import QueueMove, UsageRecord
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore


def lines(file: Path) -> list[dict[str, Any]]:
    """The events of a log."""
    return [json.loads(line) for line in file.read_text(encoding="ascii").splitlines()]


def test_a_paid_run_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind of event with its keys, the time first; but no settings and arguments, which may hold secrets."""
    set_prices(tmp_path, monkeypatch)
    file = tmp_path / "run.jsonl"
    backend = FakeBackend(capabilities=PAID, faults={0: WorkerLostError("gone")})
    store = MemoryStore(WallClock())
    settings = {"token": "hunter2"}
    run = start(store, f"log:{file}", backend=backend, budget="2 EUR", settings=settings)
    buy_too_much(run)
    events = lines(file)
    assert all(list(each)[:2] == ["at", "event"] and each["run"] == run.run_id for each in events)
    kinds = [each["event"] for each in events]
    assert (kinds[0], kinds[-1]) == ("run_started", "run_ended")
    assert set(kinds) == {
        "run_started",
        "job",
        "attempt",
        "money",
        "step",
        "metric",
        "progress",
        "refusal",
        "run_ended",
    }
    first = {each["event"]: each for each in reversed(events)}
    assert first["run_started"]["budget"] == {"currency": "EUR", "micros": 2_000_000}
    assert list(first["job"]) == [
        "at", "event", "run", "step", "job", "state", "provider_id", "executions", "shots", "attempts", "error",
    ]  # fmt: skip
    assert first["metric"]["value"] is None
    assert first["refusal"]["class"] == "BudgetError"
    assert [(each["kind"], each["micros"]) for each in events if each["event"] == "money"] == [
        ("reserved", 1_500_000),
        ("spent", 1_500_000),
    ]
    assert "gone" in {each["error"] for each in events if each["event"] == "attempt"}
    assert events[-1]["state"] == "stopped"
    assert "hunter2" not in file.read_text()


def test_hostile_text_stays_in_its_line(tmp_path: Path) -> None:
    """Line breaks of every kind, control sequences of terminals and half characters are escaped."""
    file = tmp_path / "run.jsonl"
    text = 'a\n{"event":"forged"}\r\u2028\x1b[2J\x9b31m\x00\ud800"'
    log = JsonLog(file)
    log.observe([Notice("run", text, WallClock().now())])
    log.close()
    [event] = lines(file)
    assert event["text"] == text
    assert all(0x20 <= byte < 0x7F for byte in file.read_bytes().rstrip(b"\n"))


def test_queue_and_usage_are_logged(tmp_path: Path) -> None:
    """Events that a local run does not have; what has no time of its own is dated by the clock."""
    file, now = tmp_path / "run.jsonl", WallClock().now()
    log = JsonLog(file)
    usage = report_usage(shots=100)
    log.observe([QueueMove("run/0.0.0", "run", QueuePlace(3, now)), UsageRecord("run/0.0.0", "run", usage)])
    log.observe([QueueMove("run/0.0.0", "run", None)])
    log.close()
    queued, reported, left = lines(file)
    assert queued["place"] == "3rd in the queue"
    assert reported["quantities"] == {"shots": 100}
    assert (left["place"], left["at"] >= queued["at"]) == (None, True)


def test_a_log_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs append to it, by the environment too; only its owner may read it."""
    file = tmp_path / "run.jsonl"
    store = MemoryStore(WallClock())
    for _ in range(2):
        with start(store, f"log:{file}"):
            pass
    monkeypatch.setenv("QORCH_LOG_FILE", str(file))
    with start(store):
        pass
    assert [each["event"] for each in lines(file)] == ["run_started", "run_ended"] * 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["log", "log:/nowhere/run.jsonl", "log:a\0b"])
def test_a_log_that_cannot_be_written_is_refused(name: str) -> None:
    """Before anything is stored."""
    store = MemoryStore(WallClock())
    with pytest.raises(UsageError, match="log"):
        start(store, name)
    assert store.runs() == []
