"""`run.epochs`: finished epochs are skipped whole, `break` is resumable, and older shapes of loops do no harm."""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch import wiring
from qorch.errors import RunChangedError, UsageError
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.run.checkpoint.codec import encode_state
from qorch.run.loop import ASIDE_CALLS
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore

N_EPOCHS = 4
N_BATCHES = 3


class CrashError(Exception):
    """Ends a training in the middle."""


class Training:
    """A model of one weight that follows random numbers, and counts how often it is where."""

    def __init__(self, *, crash_at: str | None = None, has_generator: bool = False) -> None:
        """``crash_at``: such as ``step 1.2`` or ``validation 0``."""
        torch.manual_seed(3)
        self.model = torch.nn.Linear(1, 1)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.memory: dict[str, float] = {"best": 9.0}
        order = torch.Generator().manual_seed(8) if has_generator else None
        data = torch.utils.data.TensorDataset(torch.rand(2 * N_BATCHES, 1))
        self.loader = torch.utils.data.DataLoader(data, batch_size=2, shuffle=True, generator=order)
        self.crash_at = crash_at
        self.been: list[str] = []

    @property
    def saved(self) -> tuple[torch.nn.Module, torch.optim.Adam, dict[str, float]]:
        """All that changes."""
        return self.model, self.optimizer, self.memory

    def at(self, place: str) -> None:
        """The program is here."""
        self.been.append(place)
        if place == self.crash_at:
            raise CrashError

    def learn(self, run: qorch.Run, batch: torch.Tensor) -> None:
        """One step."""
        loss = ((self.model(batch) - torch.rand(())) ** 2).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        run.log(loss=loss)

    def validate(self, run: qorch.Run) -> float:
        """A number that depends on the model, and on random numbers."""
        value = self.model(torch.rand(1, 1)).item()
        self.memory["best"] = min(self.memory["best"], value)
        run.log({"val": value, "best": self.memory["best"]})
        return value


Loop = Callable[[Training, qorch.Run], None]


def per_epoch(training: Training, run: qorch.Run, *, stops_after: int = N_EPOCHS) -> None:
    """The shape that the README shows, with a stop and a final test."""
    for epoch in run.epochs(N_EPOCHS, save=training.saved):
        for index, (batch,) in enumerate(run.steps(training.loader)):
            training.at(f"step {epoch}.{index}")
            training.learn(run, batch)
        training.at(f"validation {epoch}")
        training.validate(run)
        training.at(f"end {epoch}")
        if epoch + 1 == stops_after:
            break
    training.at("test")
    run.log(test=training.model(torch.ones(1, 1)))


def stopped(training: Training, run: qorch.Run) -> None:
    """The same, left early."""
    per_epoch(training, run, stops_after=2)


def two_loops(training: Training, run: qorch.Run) -> None:
    """Two loops an epoch, the second of which is left early."""
    for epoch in run.epochs(N_EPOCHS, save=training.saved):
        for batch in run.steps([torch.ones(1, 1)] * 2):
            training.learn(run, batch)
        training.at(f"validation {epoch}")
        for (batch,) in run.steps(training.loader):
            training.learn(run, batch)
            training.at(f"step {run.current_step}")
            if run.current_step % 4 == 3:
                break
        training.at(f"end {epoch}")
        training.validate(run)


def one_loop_left(training: Training, run: qorch.Run) -> None:
    """One loop that is left early, and a test."""
    for (batch,) in run.steps(training.loader, epochs=N_EPOCHS, save=training.saved):
        training.learn(run, batch)
        training.at(f"step {run.current_step}")
        if run.current_step == 4:
            break
    training.at("test")
    training.validate(run)


def start(store: MemoryStore, *, resume: bool = False, show: list[Progress] | None = None, **more: Any) -> qorch.Run:
    """A run on the fake."""
    shown: list[Progress] = [] if show is None else show
    backend = FakeBackend()
    return qorch.start_run("loops", backend=backend, db=store, seed=5, resume=resume, progress=shown.append, **more)


def train(
    store: MemoryStore, loop: Loop, *, resume: bool = False, crash_at: str | None = None, has_generator: bool = False
) -> tuple[bytes, list[str]]:
    """All states at the end, and where the program has been."""
    training = Training(crash_at=crash_at, has_generator=has_generator)
    try:
        with start(store, resume=resume) as run:
            loop(training, run)
    except CrashError:
        assert crash_at is not None
    return encode_state([training.model.state_dict(), training.optimizer.state_dict(), training.memory]), training.been


def logged(store: MemoryStore) -> list[tuple[int, int, int | None, str, float]]:
    """What the run logged."""
    (run,) = store.runs()
    return [(item.step, item.ordinal, item.epoch, item.name, item.value) for item in store.metrics(run.run_id)]


CASES = [
    *(
        (per_epoch, place)
        for place in ("step 0.0", "step 1.2", "validation 1", "end 1", "validation 3", "end 3", "test")
    ),
    *((stopped, place) for place in ("validation 1", "end 1", "test")),
    *((two_loops, place) for place in ("validation 1", "step 6", "step 7", "end 2")),
    *((one_loop_left, place) for place in ("step 4", "test")),
]


@pytest.mark.parametrize(("loop", "crash_at"), CASES, ids=lambda item: getattr(item, "__name__", item))
@pytest.mark.parametrize(("seconds", "has_generator"), [(0.0, False), (1e9, False), (0.0, True)])
def test_a_crash_anywhere_changes_nothing(
    loop: Loop, crash_at: str, seconds: float, has_generator: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Resumed, all logged numbers and all states are those of a training without the crash."""
    monkeypatch.setattr(wiring, "RunPolicy", partial(RunPolicy, checkpoint_seconds=seconds))
    whole = MemoryStore(WallClock())
    expected, _ = train(whole, loop, has_generator=has_generator)
    store = MemoryStore(WallClock())
    train(store, loop, crash_at=crash_at, has_generator=has_generator)
    resumed, _ = train(store, loop, resume=True, has_generator=has_generator)
    assert resumed == expected
    assert logged(store) == logged(whole)


def test_only_what_was_not_finished_is_run_again() -> None:
    """After a crash in a validation it begins with the validation, and a finished run does its test alone."""
    store = MemoryStore(WallClock())
    train(store, stopped, crash_at="validation 1")
    assert train(store, stopped, resume=True)[1] == ["validation 1", "end 1", "test"]
    assert train(store, stopped, resume=True)[1] == ["test"]


def test_break_keeps_the_step_and_a_checkpoint_of_it() -> None:
    """The step is stored before the next call returns, and an error in a step is no such end of it."""
    store = MemoryStore(WallClock())
    state, _ = train(store, one_loop_left)
    (run,) = store.runs()
    assert [step.step for step in store.steps(run.run_id)] == [0, 1, 2, 3, 4]
    fresh = Training()
    with start(store, resume=True) as again:
        assert again.restore(*fresh.saved) == 5
    assert encode_state([fresh.model.state_dict(), fresh.optimizer.state_dict()]) == encode_state(
        [*_model_and_optimizer(store)]
    )
    assert state


def _model_and_optimizer(store: MemoryStore) -> tuple[Any, Any]:
    training = Training()
    with start(store, resume=True) as run:
        list(run.steps(training.loader, epochs=N_EPOCHS, save=training.saved))
    return training.model.state_dict(), training.optimizer.state_dict()


def test_an_error_after_a_break_in_a_loop_is_told_from_it() -> None:
    """A run closed by hand in a `finally` does not take an error for a `break`."""
    store = MemoryStore(WallClock())
    run = start(store)

    def program() -> None:
        try:
            for _ in run.steps(range(3)):
                raise CrashError
        finally:
            run.close()

    with pytest.raises(CrashError):
        program()
    assert store.steps(run.run_id) == []


def old_shape(training: Training, run: qorch.Run) -> None:
    """`run.steps` once for every epoch, without `run.epochs`."""
    for epoch in range(N_EPOCHS):
        for index, (batch,) in enumerate(run.steps(training.loader, save=training.saved)):
            training.at(f"step {epoch}.{index}")
            training.learn(run, batch)
        training.validate(run)


def test_a_loop_for_every_epoch_does_not_overwrite_what_it_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The restored model's numbers are not those of epoch 0; one line says so and names the better shape."""
    whole, store = MemoryStore(WallClock()), MemoryStore(WallClock())
    expected, _ = train(whole, old_shape)
    train(store, old_shape, crash_at="step 2.1")
    with caplog.at_level(logging.WARNING, logger="qorch"):
        resumed, _ = train(store, old_shape, resume=True)
    assert resumed == expected
    assert logged(store) == logged(whole)
    assert sum("run.epochs" in message for message in caplog.messages) == 1


def test_a_run_of_the_older_loop_goes_on_in_run_epochs() -> None:
    """What `run.steps(epochs=n)` had come to is continued by the same program with `run.epochs` around it."""

    def older(training: Training, run: qorch.Run) -> None:
        for number, (batch,) in enumerate(run.steps(training.loader, epochs=N_EPOCHS, save=training.saved)):
            training.at(f"step {number // N_BATCHES}.{number % N_BATCHES}")
            training.learn(run, batch)

    store = MemoryStore(WallClock())
    train(store, older, crash_at="step 1.2")
    with start(store, resume=True) as run:
        run.restore(*Training().saved)
        assert run.current_step in (-1, 4)
    _, been = train(store, per_epoch, resume=True)
    assert been[-1] == "test"
    assert not set(been) & {"validation 0", "end 0"} or run.current_step == -1


def test_total_steps_are_those_of_all_epochs() -> None:
    """From the first step on, also where epochs are skipped."""
    shown: list[Progress] = []
    with start(MemoryStore(WallClock()), show=shown) as run:
        for _ in run.epochs(2):
            for _ in run.steps(range(3)):
                pass
    assert [(item.step, item.total_steps) for item in shown] == [(step, 6) for step in range(6)]


def test_loops_that_cannot_be_are_refused() -> None:
    """Epochs in epochs, states given inside of them, and numbers of epochs that are none."""
    with start(MemoryStore(WallClock())) as run:
        for _ in run.epochs(1):
            with pytest.raises(UsageError, match=r"inside of run\.epochs"):
                list(run.epochs(1))
            with pytest.raises(UsageError, match="give save to it"):
                list(run.steps(range(1), save=Training().saved))
        with pytest.raises(UsageError, match="epochs is"):
            list(run.epochs(1.5))  # type: ignore[arg-type]


def test_another_shape_of_loops_is_refused() -> None:
    """A run of `run.epochs` is not continued by `run.steps` alone."""
    store = MemoryStore(WallClock())
    train(store, per_epoch, crash_at="step 1.2")
    with pytest.raises(RunChangedError, match=r"started with run\.epochs"), start(store, resume=True) as run:
        list(run.steps(Training().loader, epochs=N_EPOCHS, save=Training().saved))


@pytest.mark.parametrize("crash_at", ["validation 0", "validation 1", "inner 1.1", "between 1"])
def test_a_paid_run_goes_on_whatever_an_epoch_runs_again(crash_at: str) -> None:
    """Circuits before and between the loops of an epoch take no position of those that come after: nothing is stuck."""
    store, backend = MemoryStore(WallClock()), FakeBackend(capabilities=replace(FREE, charges=True))
    settings = {"db": store, "seed": 1, "progress": "off", "accept_unknown_price": True}
    start = partial(qorch.start_run, "paid", backend=backend, **settings)  # type: ignore[arg-type]
    with pytest.raises(CrashError), start() as run:
        measure(run, Training(crash_at=crash_at))
    with start(resume=True) as run:
        measure(run, Training())
    stored = store.block_results(range(1, 100))
    whole = MemoryStore(WallClock())
    with start(db=whole) as run:
        measure(run, Training())
    places = {(job.position.step, job.position.call) for job in store.jobs() if job.position.call < ASIDE_CALLS}
    assert places == {(job.position.step, job.position.call) for job in whole.jobs()}
    # At most what stands before the place in one epoch is run again.
    assert len(whole.jobs()) <= len(stored) <= len(whole.jobs()) + 2


def measure(run: qorch.Run, training: Training) -> None:
    """Two epochs with two loops each; every circuit has an angle of its own."""
    for epoch in run.epochs(2, save=training.saved):
        run.execute(turn(100 * epoch))
        for index, _ in enumerate(run.steps(range(2))):
            training.at(f"step {epoch}.{index}")
            run.execute(turn(10 + 100 * epoch + index))
        training.at(f"between {epoch}")
        run.execute(turn(20 + 100 * epoch))
        for index, _ in enumerate(run.steps(range(2))):
            training.at(f"inner {epoch}.{index}")
            run.execute(turn(30 + 100 * epoch + index))
        run.execute(turn(40 + 100 * epoch))
        training.at(f"validation {epoch}")


def turn(angle: float) -> qorch.Pub:
    """One row of one qubit."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    return qorch.Pub(circuit, [[angle]], observables=["Z0"], shots=10)
