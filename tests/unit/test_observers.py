"""Observers: told all that a run records, in order, and never in its way, however broken or slow they are."""

import logging
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from observing import PAID, Memory, buy_too_much, pub, set_prices, start

import qorch
from qorch.errors import MissingPackageError, UnknownNameError, UsageError, WorkerLostError
from qorch.model.job import AttemptOutcome, JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.observers import feed as feeding
from qorch.observers.feed import MOST_FAILURES, Feed
from qorch.observers.observed_store import observe_store
from qorch.ports.clock import WallClock
from qorch.ports.observer import Event, Notice, Refusal, RunStart
from qorch.ports.progress import Progress
from qorch.ports.records import AttemptRecord, JobRecord, MetricRecord, RunMove, RunState, SpanRecord, StepRecord
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore(WallClock())


def test_what_is_told_is_what_is_stored(store: MemoryStore) -> None:
    """From the start of the run to its end: steps, numbers, jobs, phases, progress; the observer is closed once."""
    memory = Memory()
    with start(store, memory) as run:
        for number in range(3):
            with run.step(number):
                run.execute(pub(2))
                run.log(loss=number)
    assert isinstance(memory.events[0], RunStart)
    assert memory.events[0].run_id == run.run_id
    assert memory.events[-1] == RunMove(run.run_id, RunState.DONE, memory.told(RunMove)[0].summary)
    assert memory.told(StepRecord) == store.steps(run.run_id)
    assert memory.told(MetricRecord) == store.metrics(run.run_id)
    assert memory.told(JobRecord) == store.jobs(run.run_id)
    assert memory.told(SpanRecord) == store.spans(run.run_id)
    assert [(each.run_id, each.step) for each in memory.told(Progress)] == [(run.run_id, step) for step in range(3)]
    assert memory.n_closed == 1


def test_money_and_refusals_are_told(store: MemoryStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every entry of the ledger in order, a try that failed, and the call that the budget does not cover."""
    set_prices(tmp_path, monkeypatch)
    memory = Memory()
    backend = FakeBackend(capabilities=PAID, faults={0: WorkerLostError("gone")})
    run = start(store, memory, backend=backend, budget="2 EUR")
    buy_too_much(run)
    entries = memory.told(LedgerRecord)
    assert entries == store.ledger()
    assert [entry.kind for entry in entries] == [EntryKind.RESERVED, EntryKind.SPENT]
    states = [job.state for job in memory.told(JobRecord)]
    assert states == [JobState.RESERVED, JobState.INTENT, JobState.INTENT, JobState.DONE]
    assert AttemptOutcome.FAILED in {attempt.outcome for attempt in memory.told(AttemptRecord)}
    [refusal] = memory.told(Refusal)
    assert (refusal.run_id, refusal.error) == (run.run_id, "BudgetError")
    assert "budget" in refusal.text


class Broken(Memory):
    """Fails whenever it is told something."""

    def observe(self, events: Sequence[Event]) -> None:
        """See Observer."""
        super().observe(events)
        raise ValueError("the password is 1234")


def warnings(log: pytest.LogCaptureFixture) -> list[str]:
    """What was said of observers."""
    return [each.getMessage() for each in log.records if each.name == "qorch.observers" and each.levelname == "WARNING"]


def test_a_broken_observer_stops_nothing(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    """The run is done, the others are told everything, its error is named once without its text, and it is dropped."""
    caplog.set_level(logging.WARNING)
    broken, memory = Broken(), Memory()
    with start(store, broken, memory) as run:
        for number in range(MOST_FAILURES):
            with run.step(number):
                run.execute(pub())
    assert store.runs()[0].state == RunState.DONE
    assert len(memory.told(StepRecord)) == MOST_FAILURES
    assert 0 < len(broken.told(StepRecord)) < MOST_FAILURES
    assert warnings(caplog) == [
        "observer Broken raised ValueError; the run goes on",
        "observer Broken is dropped: it is told nothing more of this run",
    ]


def test_a_broken_observer_that_is_slow_is_dropped_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """Also after the end of the run; what it was not told is not said to be lost by its slowness."""
    released = threading.Event()

    class Late(Memory):
        def observe(self, events: Sequence[Event]) -> None:
            assert released.wait(60)
            super().observe(events)
            raise ValueError

    late = Late()
    feed = Feed([late], clock=WallClock())
    for number in range(MOST_FAILURES + 5):
        feed.note(str(number))
    ending = threading.Thread(target=feed.close)
    ending.start()
    released.set()
    ending.join()
    assert len(late.events) == MOST_FAILURES
    assert len(warnings(caplog)) == 2
    assert "observer Late is dropped" in warnings(caplog)[1]


def test_an_observer_that_ends_the_program_ends_itself(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    """Sys.exit in its code is an error like any other."""

    class Leaving(Memory):
        def observe(self, events: Sequence[Event]) -> None:
            sys.exit(3)

    with start(store, Leaving()) as run:
        run.execute(pub())
    assert store.runs()[0].state == RunState.DONE
    assert "SystemExit" in warnings(caplog)[0]


def test_one_failure_is_forgiven() -> None:
    """A method that fails does not keep the events that came with it from the others; the error is raised then."""
    told: list[str] = []

    class Picky(qorch.RunObserver):
        def noticed(self, notice: Notice) -> None:
            told.append(notice.text)
            if notice.text == "a":
                raise KeyError("a")

    events = [Notice("run", text, WallClock().now()) for text in "abc"]
    with pytest.raises(KeyError):
        Picky().observe(events)
    assert told == ["a", "b", "c"]


def test_an_observer_that_blocks_does_not_hold_up_the_run(store: MemoryStore) -> None:
    """Steps end while it sits in its first event; afterwards it is told all the same."""
    released, memory = threading.Event(), Memory()

    class Blocking(Memory):
        def observe(self, events: Sequence[Event]) -> None:
            assert released.wait(60)
            super().observe(events)

    blocking = Blocking()
    with start(store, blocking, memory) as run:
        for number in range(3):
            with run.step(number):
                run.execute(pub())
        assert blocking.events == []
        released.set()
    assert blocking.events == memory.events


class Stuck(Memory):
    """Blocks in each call until it is released."""

    def __init__(self) -> None:
        """Nothing is released."""
        super().__init__()
        self.entered, self.released = threading.Event(), threading.Event()

    def observe(self, events: Sequence[Event]) -> None:
        """See Observer."""
        self.entered.set()
        assert self.released.wait(60)
        super().observe(events)


def test_too_many_events_drop_the_oldest(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The observer is told how many it lost, and then the newest; so is the log, at the end."""
    monkeypatch.setattr(feeding, "MOST_WAITING", 5)
    stuck = Stuck()
    feed = Feed([stuck], clock=WallClock())
    feed.note("first")
    assert stuck.entered.wait(60)
    for number in range(20):
        feed.note(str(number))
    stuck.released.set()
    feed.close()
    texts = [event.text for event in stuck.told(Notice)]
    assert texts == ["first", texts[1], "15", "16", "17", "18", "19"]
    assert "15 events were dropped" in texts[1]
    assert "was not told 15 events" in warnings(caplog)[0]


def test_the_end_of_a_run_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """An observer that is stuck is left behind, with a word."""
    stuck = Stuck()
    feed = Feed([stuck], clock=WallClock(), close_seconds=0.0)
    feed.note("first")
    assert stuck.entered.wait(60)
    feed.note("second")
    feed.close()
    assert "observer Stuck is busy still" in warnings(caplog)[0]
    stuck.released.set()
    feed.close()


def test_an_observer_may_close_its_run(store: MemoryStore) -> None:
    """It runs in a thread of its own, which the end of the run does not wait for then."""
    opened, ended, runs = threading.Event(), threading.Event(), list[qorch.Run]()

    class Closing(qorch.RunObserver):
        def run_started(self, start: RunStart) -> None:
            assert opened.wait(60)
            runs[0].stop()
            ended.set()

    runs.append(start(store, Closing()))
    opened.set()
    assert ended.wait(60)
    assert store.runs()[0].state == RunState.STOPPED


def test_without_observers_nothing_stands_between(store: MemoryStore) -> None:
    """The engine writes to the store itself."""
    feed = Feed([], clock=WallClock())
    assert observe_store(store, feed) is store


@pytest.mark.parametrize("wrong", ["log", qorch.RunObserver(), [object()], [qorch.RunObserver], [7]])
def test_what_is_no_observer_is_refused(store: MemoryStore, wrong: Any) -> None:
    """Before anything is stored, with what to give instead."""
    with pytest.raises(UsageError, match="observers"):
        start(store, observers=wrong)
    assert store.runs() == []


def test_a_name_that_is_not_installed_is_refused(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the call and in the environment; those that were opened before are closed."""
    memory = Memory()
    monkeypatch.setenv("QORCH_OBSERVERS", "prometeus")
    with pytest.raises(UnknownNameError, match="there is no observer 'prometeus'; installed are: log, otel"):
        start(store, memory)
    assert memory.n_closed == 1
    assert store.runs() == []


def test_a_quote_is_told_to_nobody(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the program of `qorch quote SCRIPT.py` executes is made up."""
    monkeypatch.setenv("QORCH_REHEARSAL", "1")
    memory = Memory()
    with start(store, memory) as run:
        run.execute(pub())
    assert memory.events == []


def test_an_observer_whose_package_is_missing_is_refused(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs it."""
    monkeypatch.delitem(sys.modules, "qorch.observers.telemetry", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(MissingPackageError, match=r"needs opentelemetry: pip install 'qorch\[otel\]'"):
        start(store, "otel")
    assert store.runs() == []


INTERRUPTING = """
import sys
import qorch
from observing import pub, quiet
from qorch.ports.clock import WallClock
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

class Interrupting(qorch.RunObserver):
    def job_changed(self, job):
        raise KeyboardInterrupt

store = MemoryStore(WallClock())
try:
    with qorch.start_run("a", backend=FakeBackend(), db=store, progress=quiet, observers=[Interrupting()]) as run:
        for number in range(10_000):
            with run.step(number):
                run.execute(pub())
except KeyboardInterrupt:
    print(store.runs()[0].state)
"""


def test_an_interrupt_in_an_observer_is_not_swallowed() -> None:
    """It reaches the program as Ctrl-C does, whose run is stopped and can go on."""
    support = str(Path(__file__).parents[1] / "support")
    program = f"import sys; sys.path.insert(0, {support!r})\n{INTERRUPTING}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert ended.stdout.strip() == RunState.STOPPED, ended.stderr
