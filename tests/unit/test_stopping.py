"""A run that is asked to stop through the database, or that ends early: what its process sees, and what is said."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.errors import RunBusyError, RunError, RunStoppedError, UsageError
from qorch.model.job import JobState
from qorch.ports.clock import Clock, WallClock
from qorch.ports.records import RunMove, RunState, StopRequest
from qorch.run import stopping
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

SOON_SECONDS = 10.0
LOOK_SECONDS = 0.05
"""How often runs look whether they are asked to stop; outside of tests, twice a second."""


@pytest.fixture
def frequent_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs look often."""
    monkeypatch.setattr(stopping, "LOOK_SECONDS", LOOK_SECONDS)


def quiet(progress: Progress) -> None:
    """Shows nothing."""


def start(store: MemoryStore, backend: FakeBackend | None = None, **settings: Any) -> qorch.Run:
    """A run on the fake."""
    return qorch.start_run("odd", backend=backend or FakeBackend(), db=store, progress=quiet, **settings)


def pub() -> qorch.Pub:
    """Two rows of one qubit."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    return qorch.Pub(circuit, [[0.1], [0.2]], observables=["Z0"], shots=10)


def ask(store: MemoryStore) -> None:
    """Ask the only run to stop, as `qorch cancel` does."""
    store.write([StopRequest(store.runs()[0].run_id, WallClock().now())]).result()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Until it is so, or too late."""
    deadline = time.monotonic() + SOON_SECONDS
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_free(store: MemoryStore) -> bool:
    """Whether no process has the only run."""
    try:
        with store.claim_run(store.runs()[0].run_id):
            return True
    except RunBusyError:
        return False


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore(WallClock())


def test_a_call_that_waits_is_ended(store: MemoryStore) -> None:
    """Soon it raises RunStoppedError, which offers no resume; its job is recorded, the run cancelled."""
    backend = FakeBackend(held=True)
    run = start(store, backend)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(run.execute, pub())
        wait_until(lambda: bool(backend.submitted))
        ask(store)
        asked = time.monotonic()
        with pytest.raises(RunStoppedError) as caught, run:
            call.result()
    assert time.monotonic() - asked < SOON_SECONDS
    assert "was cancelled" in str(caught.value)
    assert "resume" not in str(caught.value)
    assert [job.state for job in store.jobs()] == [JobState.CANCELLED]
    assert store.runs()[0].state == RunState.CANCELLED
    assert run.is_cancelled
    with pytest.raises(UsageError, match="was cancelled"):
        start(store, resume=True)


@pytest.mark.usefixtures("frequent_looks")
@pytest.mark.parametrize("how", ["execute", "gradient", "aexecute", "submit", "step", "flush"])
def test_an_idle_run_is_let_go(store: MemoryStore, how: str) -> None:
    """Its process is doing something else: it is closed all the same, and its next call says what happened."""
    calls: dict[str, Callable[[qorch.Run], object]] = {
        "execute": lambda run: run.execute(pub()),
        "gradient": lambda run: run.gradient(pub()),
        "aexecute": lambda run: asyncio.run(run.aexecute(pub())),  # type: ignore[arg-type]
        "submit": lambda run: run.submit(pub()),
        "step": lambda run: run.step(0).__enter__(),
        "flush": lambda run: run.flush(),
    }
    run = start(store)
    ask(store)
    wait_until(lambda: is_free(store))
    with pytest.raises(RunStoppedError, match="was cancelled"):
        calls[how](run)
    assert store.runs()[0].state == RunState.CANCELLED


@pytest.mark.usefixtures("frequent_looks")
def test_a_step_that_was_begun_ends_with_the_sentence(store: MemoryStore) -> None:
    """The run is closed in the middle of a step that computes something of its own."""

    def train(run: qorch.Run) -> None:
        with run, run.step(0):
            run.execute(pub())
            ask(store)
            wait_until(lambda: is_free(store))
            run.log(loss=0.5)

    with pytest.raises(RunStoppedError, match="was cancelled"):
        train(start(store))
    assert [job.state for job in store.jobs()] == [JobState.DONE]


class SlowToOpen(FakeBackend):
    """Opens only when it is cancelled, as while its provider is down."""

    async def open(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


def test_a_run_that_opens_is_ended_too(store: MemoryStore) -> None:
    """`start_run` itself raises, and the run keeps the state that it had until it is marked."""
    start(store).stop()
    backend = SlowToOpen()
    asked = threading.Timer(0.2, ask, [store])
    asked.start()
    with pytest.raises(RunStoppedError, match="was cancelled"):
        start(store, backend, resume=True)
    asked.join()
    assert store.runs()[0].state == RunState.STOPPED
    assert is_free(store)


@pytest.mark.usefixtures("frequent_looks")
def test_a_new_session_was_not_asked(store: MemoryStore) -> None:
    """A request that its process did not live to see is none for the next one."""
    start(store).stop()
    ask(store)
    with start(store, resume=True) as run:
        time.sleep(4 * LOOK_SECONDS)
        run.execute(pub())
    assert store.runs()[0].state == RunState.DONE


class CancelledInBetween(MemoryStore):
    """Its runs are cancelled by another process just before one that is resumed is claimed."""

    def claim_run(self, run_id: str) -> Any:
        """See Store."""
        if self.find_run(run_id) is not None:
            self.write([RunMove(run_id, RunState.CANCELLED)]).result()
        return super().claim_run(run_id)


def test_a_run_that_is_cancelled_as_it_is_resumed_stays_cancelled() -> None:
    """What was read before the run was claimed is read again: it neither trains on nor becomes another state."""
    store = CancelledInBetween(WallClock())
    start(store).stop()
    with pytest.raises(UsageError, match="was cancelled, which is for good"):
        start(store, resume=True)
    assert store.runs()[0].state == RunState.CANCELLED
    assert store.sessions(store.runs()[0].run_id)[1:] == []


class Counting(MemoryStore):
    """Counts how often it is looked at, and by which threads."""

    def __init__(self, clock: Clock) -> None:
        """Nothing was read."""
        super().__init__(clock)
        self.readers: list[str] = []

    def stop_asked(self, run_id: str) -> Any:
        """See Store."""
        self.readers.append(threading.current_thread().name)
        return super().stop_asked(run_id)


def test_looking_costs_a_step_nothing() -> None:
    """A hundred steps read nothing: only the watch does, twice a second."""
    store = Counting(WallClock())
    started = time.monotonic()
    with start(store) as run:
        for step in range(100):
            with run.step(step):
                run.execute(pub())
    assert len(store.readers) <= 2 * (time.monotonic() - started)
    assert set(store.readers) <= {"qorch-stop-watch"}


def test_no_thread_is_left() -> None:
    """Not of a run that was closed, and not of one that could not be opened."""

    class Broken(FakeBackend):
        async def open(self) -> None:
            raise RunError("no")

    store = MemoryStore(WallClock())
    start(store).close()
    with pytest.raises(RunError):
        start(store, Broken())
    assert not [thread for thread in threading.enumerate() if thread.name == "qorch-stop-watch"]


def end_early(run: qorch.Run, error: BaseException, *, before: Callable[[], object]) -> None:
    """A program that does something in its run, and then ends with an error."""
    with pytest.raises(type(error)), run:
        _do(before, error)


def _do(before: Callable[[], object], error: BaseException) -> None:
    before()
    raise error


def said(log: pytest.LogCaptureFixture) -> list[str]:
    """The lines about runs."""
    return [record.getMessage() for record in log.records if record.name == "qorch.runs"]


@pytest.mark.parametrize(
    ("error", "words"), [(KeyboardInterrupt(), "was stopped"), (ValueError("bug"), "ended with an error")]
)
def test_a_run_that_ends_early_says_how_to_resume(
    store: MemoryStore, caplog: pytest.LogCaptureFixture, error: BaseException, words: str
) -> None:
    """One line, with the name that start_run takes."""
    run = start(store)
    end_early(run, error, before=lambda: run.execute(pub()))
    assert said(caplog) == [f'run {run.run_id} {words}; resume it with start_run("odd", ..., resume=True)']


def test_the_line_names_the_id_of_a_run_that_is_not_the_newest(
    store: MemoryStore, caplog: pytest.LogCaptureFixture
) -> None:
    """Its name would resume another run."""
    run = start(store)
    end_early(run, KeyboardInterrupt(), before=start(store).close)
    assert f'start_run("{run.run_id}", ..., resume=True)' in said(caplog)[0]


@pytest.mark.parametrize("case", ["complete", "nothing done", "a command", "cancelled", "asked"])
def test_nothing_is_offered_where_there_is_nothing_to_resume(
    store: MemoryStore, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    """Also not by a run that was asked to stop in the moment in which Ctrl-C was pressed."""
    run = start(store, is_command=case == "a command")

    def act() -> None:
        if case == "complete":
            run.close()
        if case in {"cancelled", "asked"}:
            ask(store)
        if case == "cancelled":
            wait_until(lambda: is_free(store))

    end_early(run, ValueError() if case == "nothing done" else KeyboardInterrupt(), before=act)
    assert said(caplog) == []
    wanted = {"complete": RunState.DONE, "nothing done": RunState.FAILED, "a command": RunState.STOPPED}
    assert store.runs()[0].state == wanted.get(case, RunState.CANCELLED)


def test_a_run_opened_twice_in_one_process_says_so(store: MemoryStore) -> None:
    """As when a cell of a notebook is executed again; closed, it can be opened."""
    run = start(store)
    with pytest.raises(RunBusyError, match=r"open in this process.*run\.close\(\)") as caught:
        start(store, resume=True)
    assert "another process" not in str(caught.value)
    assert caught.value.pid == os.getpid()
    run.close()
    start(store, resume=True).close()


def test_a_session_knows_whether_its_process_may_be_ended(store: MemoryStore) -> None:
    """Only the command line says so of itself."""
    start(store).close()
    start(store, resume=True, is_command=True).close()
    assert [session.is_command for session in store.sessions(store.runs()[0].run_id)] == [False, True]
