"""A run over a fake backend: faults, cancellation, durability, replay."""

import asyncio
import dataclasses
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch import machine
from qorch.errors import (
    BackendError,
    CircuitError,
    ParameterError,
    RunBusyError,
    RunChangedError,
    RunError,
    RunStoppedError,
    ShotsError,
    UsageError,
    WorkerLostError,
)
from qorch.model.job import JobState, Payload, RawResult
from qorch.ports.clock import WallClock
from qorch.ports.store import Store
from qorch.run.resources import Progress
from qorch.stores import open_store
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore

PAID = dataclasses.replace(FREE, charges=True)


def pair() -> QuantumCircuit:
    """Two qubits, two angles."""
    angles = ParameterVector("a", 2)
    circuit = QuantumCircuit(2)
    circuit.ry(angles[0], 0)
    circuit.cx(0, 1)
    circuit.rx(angles[1], 1)
    return circuit


def pub(rows: int = 8, *, seed: int = 0, shots: int | None = 50) -> qorch.Pub:
    """Some rows of ``pair``."""
    values = np.random.default_rng(seed).uniform(-3, 3, (rows, 2))
    return qorch.Pub(pair(), values, observables=["Z0", "Z0 Z1"], shots=shots)


def quiet(progress: Progress) -> None:
    """Shows nothing."""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    clock = WallClock()
    opened = MemoryStore(clock) if request.param == "memory" else open_store(tmp_path / "runs.db", clock=clock)
    yield opened
    opened.close()


def start(backend: FakeBackend, store: Store, **settings: object) -> qorch.Run:
    """A run named ``test``."""
    settings.setdefault("accept_unknown_price", True)
    return qorch.start_run("test", backend=backend, db=store, seed=1, progress=quiet, **settings)  # type: ignore[arg-type]


def test_a_lost_worker_is_repaired(store: Store) -> None:
    """A job whose worker dies twice is run a third time; results are those of an undisturbed run."""
    faulty = FakeBackend(faults={0: WorkerLostError("gone"), 1: WorkerLostError("gone again")})
    with start(faulty, store) as run:
        values = run.execute(pub())[0].values
    (job,) = store.jobs(run.run_id)
    assert (job.state, job.attempts) == (JobState.DONE, 3)
    attempts = [(attempt.outcome, attempt.error) for attempt in store.attempts(job.job_id)]
    assert attempts == [("failed", "gone"), ("failed", "gone again"), ("accepted", None)]
    with start(FakeBackend(), MemoryStore(WallClock())) as other:
        assert (other.execute(pub())[0].values == values).all()


def test_a_job_that_kills_every_worker_fails(store: Store) -> None:
    """After three lost workers the error is raised, the job is recorded as failed, and the run is resumable."""
    with (
        pytest.raises(WorkerLostError),
        start(FakeBackend(faults=dict.fromkeys(range(3), WorkerLostError("x"))), store) as run,
    ):
        run.execute(pub())
    (job,) = store.jobs(run.run_id)
    assert (job.state, job.error) == (JobState.FAILED, "x")
    assert [(attempt.outcome, attempt.error) for attempt in store.attempts(job.job_id)] == [("failed", "x")] * 3
    with start(FakeBackend(), store, resume=True) as again:
        assert again.run_id == run.run_id
        assert again.execute(pub())[0].n_rows == 8
    assert [item.state for item in store.jobs(run.run_id)] == [JobState.DONE]


def test_one_failed_job_stops_its_call_and_a_resume_repeats_only_the_rest(store: Store) -> None:
    """What other jobs of a failed call stored is kept: resuming executes the missing rows, no other."""
    faulty = FakeBackend(faults={5: BackendError("boom")}, rows_in_job=4)
    with pytest.raises(BackendError, match="boom"), start(faulty, store) as run:
        run.execute(pub(64))
    stored = sum(job.n_executions for job in store.jobs(run.run_id, state=JobState.DONE))
    assert 0 < stored < 64
    rest = FakeBackend(rows_in_job=4)
    with start(rest, store, resume=True) as again:
        result = again.execute(pub(64))[0]
    assert rest.n_rows == 64 - stored
    assert result.n_executed == 64 - stored
    with start(FakeBackend(), MemoryStore(WallClock())) as other:
        assert (other.execute(pub(64))[0].values == result.values).all()


class IntentChecker(FakeBackend):
    """Asserts that a job is on record before it is submitted."""

    store: Store
    keys: list[str]

    async def run(self, payload: Payload) -> RawResult:
        """The intent must be stored by now, and every other job of the call at least reserved."""
        states = {job.job_id: job.state for job in self.store.jobs()}
        assert states[payload.request.job_id] is JobState.INTENT
        assert len(states) == 4
        self.keys.append(payload.key)
        return await super().run(payload)


def test_paid_jobs_are_written_down_before_they_are_sent(store: Store) -> None:
    """Where a backend charges, the intent is durable before the submission, and results before they are returned."""
    backend = IntentChecker(capabilities=PAID, rows_in_job=4)
    backend.store = store
    backend.keys = []
    with start(backend, store) as run, run.step(0):
        run.execute(pub(16))
        assert {job.state for job in store.jobs(run.run_id)} == {JobState.DONE}
    assert len(set(backend.keys)) == len(backend.keys) == 4
    assert all(len(key) == 64 for key in backend.keys)


def test_changed_angles_stop_a_paid_run(store: Store) -> None:
    """A paid position whose angles are others now stops the run with a sentence; `rebuy` goes on."""
    with start(FakeBackend(capabilities=PAID), store) as run:
        run.execute(pub(seed=1))
    with (
        pytest.raises(RunChangedError, match="rebuy"),
        start(FakeBackend(capabilities=PAID), store, resume=True) as run,
    ):
        run.execute(pub(seed=2))
    bought = FakeBackend(capabilities=PAID)
    with start(bought, store, resume=True, rebuy=True) as run:
        run.execute(pub(seed=2))
    assert bought.n_rows == 8


def test_changed_angles_are_executed_anew_where_that_is_free(store: Store) -> None:
    """On a free backend a stored row with other angles is simply not used."""
    with start(FakeBackend(), store) as run:
        run.execute(pub(seed=1))
    backend = FakeBackend()
    with start(backend, store, resume=True) as run:
        run.execute(pub(seed=2))
    assert backend.n_rows == 8


def test_a_resumed_exact_call_executes_no_row_whose_equal_is_stored(store: Store) -> None:
    """Exact values have no streams: that of a stored row serves its equals when the call is repeated."""
    twins = qorch.Pub(pair(), np.full((2, 2), 0.3), observables=["Z0"], shots=None)
    with start(FakeBackend(), store) as run:
        (whole,) = run.execute([twins])
    with start(FakeBackend(), store, resume=True) as again:
        (found,) = again.execute([twins])
    assert (found.values == whole.values).all()
    assert [job.n_executions for job in store.jobs(run.run_id)] == [1]
    assert [job.is_exact for job in store.jobs(run.run_id)] == [True]


def test_another_device_revision_shares_nothing(store: Store) -> None:
    """Rows stored before a recalibration are not used after it, resumed or reused."""
    with start(FakeBackend(), store) as run:
        run.execute(pub())
    newer = FakeBackend(revision="2")
    with start(newer, store, resume=True) as run:
        run.execute(pub())
    assert newer.n_rows == 8
    with start(newer, store, cache="reuse") as run:
        run.execute(pub())
    assert newer.n_rows == 8


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: qorch.Pub(pair(), np.zeros((3, 5)), observables="Z0"), ParameterError),
        (lambda: qorch.Pub(pair(), [[0.0, np.nan]], observables="Z0"), ParameterError),
        (lambda: qorch.Pub(pair(), observables="Z0"), ParameterError),
        (lambda: pub(shots=None).with_shots(0), ShotsError),
        (lambda: pub().with_shots(10**12), ShotsError),
        (lambda: pub().with_shots(10**7), ShotsError),
        (lambda: qorch.Pub(QuantumCircuit(11), observables="Z0", shots=1), CircuitError),
        (lambda: qorch.Pub(pair(), [0.0, 0.0], shots=None), ShotsError),
    ],
)
def test_bad_input_is_refused_before_anything_runs(make: object, error: type[Exception]) -> None:
    """Input that cannot be run is a UsageError, nothing is submitted, and the run goes on."""
    backend = FakeBackend()
    store = MemoryStore(WallClock())
    with start(backend, store) as run:
        with pytest.raises(error) as caught:
            run.execute(make())  # type: ignore[operator]
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, UsageError)
        assert backend.submitted == []
        assert run.execute(pub())[0].n_rows == 8


def test_exact_values_that_do_not_fit_are_refused_before_anything_runs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence has the numbers of rows and values; sampled rows, and fewer exact ones, are executed."""
    backend = FakeBackend()
    monkeypatch.setattr(machine, "memory_bytes", lambda: 10_000)
    many = qorch.Pub(pair(), np.zeros((400, 2)), observables=qorch.probabilities(), shots=None)
    with start(backend, store) as run:
        with pytest.raises(UsageError, match=r"4 values for each of 400 rows; this machine has .* execute fewer rows"):
            run.execute(many)
        assert backend.submitted == []
        assert run.execute(many.with_shots(10))[0].n_rows == 400
        assert run.execute(pub(shots=None))[0].n_rows == 8


def test_cancelling_leaves_nothing_dangling(store: Store) -> None:
    """A cancelled call cancels its jobs at the backend and records that; the run goes on."""
    backend = FakeBackend(held=True, rows_in_job=4)

    async def scenario(run: qorch.Run) -> None:
        task = asyncio.create_task(run.aexecute(pub(16)))
        while len(backend.submitted) < 2:  # noqa: ASYNC110 - the fake has no event for this
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with start(backend, store) as run:
        asyncio.run(scenario(run))
        backend.held = False
        assert run.execute(pub(4, seed=3))[0].n_rows == 4
    assert len(backend.cancelled) == 2
    states = [job.state for job in store.jobs(run.run_id)]
    assert states.count(JobState.CANCELLED) == 2
    assert states.count(JobState.DONE) == 1


def test_stopping_a_run_wakes_who_waits(store: Store) -> None:
    """`stop` from another thread ends a waiting call with RunStoppedError and records its jobs."""
    backend = FakeBackend(held=True)
    run = start(backend, store)
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            run.execute(pub())
        except RunError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not backend.submitted:
        threading.Event().wait(0.001)
    run.stop()
    thread.join(10)
    assert isinstance(errors[0], RunStoppedError)
    assert store.jobs(run.run_id)[0].state is JobState.CANCELLED
    assert store.runs()[0].state == "stopped"


def test_threads_and_loops_share_a_run(store: Store) -> None:
    """Several threads, an event loop and a submitted call use one run at once, and each gets its own results."""
    with start(FakeBackend(rows_in_job=4), store) as run, ThreadPoolExecutor(6) as pool:
        wanted = [pub(5, seed=number, shots=None) for number in range(12)]
        pending = run.submit(wanted[0])
        results = list(pool.map(lambda item: run.execute(item)[0], wanted))

        async def gather() -> list[list[qorch.PubResult]]:
            return list(await asyncio.gather(*(run.aexecute(item) for item in wanted)))

        again = asyncio.run(gather())
        assert (pending.result(10)[0].values == results[0].values).all()
    for first, (second,) in zip(results, again, strict=True):
        assert (first.values == second.values).all()


def test_positions_keep_calls_apart(store: Store) -> None:
    """Two equal calls of one step are two samples; resumed, each gets its own back."""

    def train(run: qorch.Run) -> list[np.ndarray]:
        values = []
        for step in range(3):
            with run.step(step):
                values += [run.execute(pub())[0].values for _ in range(2)]
        return values

    with start(FakeBackend(), store) as run:
        first = train(run)
    idle = FakeBackend()
    with start(idle, store, resume=True) as run:
        second = train(run)
    assert idle.submitted == []
    assert all((a == b).all() for a, b in zip(first, second, strict=True))
    assert len({values.tobytes() for values in first}) == 6


def test_results_carry_their_timeline(store: Store) -> None:
    """A result's timeline holds the spans of its own call, in order and never negative."""
    with start(FakeBackend(), store) as run, run.step(0):
        first, second = run.execute(pub())[0], run.execute(pub(seed=9))[0]
    for call, result in enumerate((first, second)):
        assert {span.call for span in result.timeline} == {call}
        assert {"plan", "decode"} <= {span.phase.value for span in result.timeline}
        assert all(span.ended_ns >= span.started_ns >= 0 for span in result.timeline)


def test_steps_must_rise(store: Store) -> None:
    """A step number that does not rise, or a step inside a step, is refused."""
    with start(FakeBackend(), store) as run:
        with run.step(3):
            with pytest.raises(UsageError, match="must rise"), run.step(4):
                pass
            with pytest.raises(UsageError, match="inside a step"):
                run.checkpoint()
        with pytest.raises(UsageError, match="must rise"), run.step(3):
            pass


def test_a_closed_run_refuses(store: Store) -> None:
    """After its end a run gives a clear error."""
    with start(FakeBackend(), store) as run:
        pass
    with pytest.raises(RunError, match="closed"):
        run.execute(pub())


def test_a_fork_refuses(store: Store) -> None:
    """In a forked child the run is refused with a sentence, and the parent goes on undisturbed."""
    with start(FakeBackend(), store) as run:
        read_end, write_end = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                run.execute(pub())
            except RunError as error:
                os.write(write_end, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert b"fork" in os.read(read_end, 1000)
        assert run.execute(pub())[0].n_rows == 8
        os.close(read_end)
        os.close(write_end)


def test_one_owner_at_a_time(store: Store) -> None:
    """A run that is being worked on cannot be continued elsewhere."""
    with start(FakeBackend(), store), pytest.raises(RunBusyError):
        start(FakeBackend(), store, resume=True)


def test_a_resumed_run_stays_what_it_was(store: Store) -> None:
    """A run cannot go on with another backend or another seed."""
    with start(FakeBackend(), store):
        pass
    with pytest.raises(UsageError, match="was started on fake"):
        start(FakeBackend(name="other"), store, resume=True)
    with pytest.raises(UsageError, match="seed"):
        qorch.start_run("test", backend=FakeBackend(), db=store, seed=2, resume=True)


def test_the_report_adds_up(store: Store) -> None:
    """The phases of a report sum to the wall time, and its rows are those that were executed and found."""
    backend = FakeBackend()
    with start(backend, store) as run:
        for step in range(3):
            with run.step(step):
                run.execute(pub(shots=None))
                run.log(loss=1.0 / (step + 1))
        report = run.report()
    assert sum(part.seconds for part in report.phases) == pytest.approx(report.wall_seconds)
    assert sum(part.share for part in report.phases) == pytest.approx(1.0)
    assert (report.rows_executed, report.rows_from_cache) == (8, 16)
    assert report.steps == 3
    assert report.metrics == {"loss": pytest.approx(1 / 3)}
    assert report.jobs_by_state == {"done": 1}
    assert "100.0%" in str(report)
    assert report.to_json()["spend"] == {"currency": "USD", "micros": 0}
