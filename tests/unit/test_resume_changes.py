"""A resumed run says what differs from what it was started with, and goes on with what is new where that is allowed."""

import logging
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch import wiring
from qorch.errors import RunChangedError, UnknownNameError
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.run.used_settings import UsedSettings
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

CIRCUIT = QuantumCircuit(1)
CIRCUIT.ry(Parameter("a"), 0)


class CrashError(Exception):
    """Ends a training in the middle."""


def start(store: MemoryStore, **more: Any) -> qorch.Run:
    """A run on the fake."""
    return qorch.start_run("same", backend=FakeBackend(), db=store, seed=5, progress=lambda _: None, **more)


def pub(value: float = 0.0, *, shots: int | None = 20, rows: int = 3) -> qorch.Pub:
    """A few rows."""
    return qorch.Pub(CIRCUIT, np.full((rows, 1), value), observables="Z0", shots=shots)


def data(batch_size: int = 2, rows: int = 8) -> torch.utils.data.DataLoader[Any]:
    """A loader."""
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(rows)), batch_size=batch_size)


def train(
    store: MemoryStore,
    *,
    epochs: int = 3,
    loader: Any = None,
    shots: int = 20,
    gradient: bool = False,
    crash_at: int | None = None,
    is_nested: bool = False,
    **more: Any,
) -> int:
    """A training that may end in the middle; the number of its steps."""
    steps = 0
    with start(store, **more) as run:
        outer = run.epochs(epochs) if is_nested else [0]
        for _ in outer:
            for _ in run.steps(loader or data(), epochs=1 if is_nested else epochs):
                if run.current_step == crash_at:
                    raise CrashError
                _ = run.gradient(pub(shots=shots)) if gradient else run.execute(pub(shots=shots))
                steps += 1
    return steps


def begin(store: MemoryStore, **more: Any) -> None:
    """A training that ended in its sixth step."""
    with pytest.raises(CrashError):
        train(store, crash_at=5, **more)


CHANGES: list[tuple[str, dict[str, Any], str, int]] = [
    ("epochs", {"epochs": 4}, "started with epochs 3, and the program has 4 now", 11),
    ("epochs", {"epochs": 2}, "started with epochs 3, and the program has 2 now", 3),
    ("batch_size", {"loader": data(4, 16)}, "a batch size of 2, and the program has 4", 7),
    ("batches", {"loader": data(2, 12)}, "batches of an epoch: 4, and the program has 6", 11),
    ("shots", {"shots": 40}, "shots 20, and the program has 40", 7),
]


@pytest.fixture(autouse=True)
def every_step_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that little is repeated."""
    monkeypatch.setattr(wiring, "RunPolicy", partial(RunPolicy, checkpoint_seconds=0.0))


@pytest.mark.parametrize(("name", "changed", "words", "left"), CHANGES)
@pytest.mark.parametrize("is_nested", [False, True])
def test_what_the_loops_use_stays_as_it_was(
    name: str, changed: dict[str, Any], words: str, left: int, is_nested: bool
) -> None:
    """Another value is an error with both and the way on; allowed, it is used, recorded, and is what the run has."""
    store = MemoryStore(WallClock())
    begin(store, is_nested=is_nested)
    with pytest.raises(RunChangedError, match=words) as caught:
        train(store, resume=True, is_nested=is_nested, **changed)
    assert f"allow_changes=['{name}']" in str(caught.value)
    allowed = partial(train, store, resume=True, is_nested=is_nested, allow_changes=name)
    assert allowed(**changed) == left
    assert train(store, resume=True, is_nested=is_nested, **changed) == 0
    with pytest.raises(RunChangedError, match="now"):
        train(store, resume=True, is_nested=is_nested, epochs=9)


def test_another_gradient_is_refused() -> None:
    """Exact ones, where it was parameter shift."""
    store = MemoryStore(WallClock())
    begin(store, gradient=True)
    with start(store, resume=True) as run, run.step(5):
        run._loops._loops_begun = 1  # as in the loop
        with pytest.raises(RunChangedError, match="gradient parameter-shift, and the program has exact"):
            run._see("gradient", "exact")


def test_shots_and_settings_of_start_run_stay_as_they_were() -> None:
    """They are compared before anything is done; what is new among the settings is taken."""
    store = MemoryStore(WallClock())
    first = partial(start, store, shots=10, settings={"lr": 0.1, "own": {"a": [1, 2]}})
    with first() as run:
        pass
    again = partial(start, store, resume=True)
    for changed, words in (
        ({"shots": 20}, "shots 10, and the program has 20"),
        ({}, "shots 10, and the program has exact"),
        ({"shots": 10, "settings": {"lr": 0.2}}, "settings lr = 0.1, and the program has 0.2"),
    ):
        with pytest.raises(RunChangedError, match=words):
            again(**changed)
    assert len(store.sessions(run.run_id)) == 1
    with again(shots=10, settings={"lr": 0.1, "own": {"a": (1, 2)}, "new": 1}):
        pass
    with again(shots=20, settings={"lr": 0.2}, allow_changes=["shots", "settings"]):
        pass
    with again(shots=20, settings={"lr": 0.2}):
        pass
    assert store.runs()[0].settings == '{"lr": 0.2}'
    with pytest.raises(UnknownNameError, match="takes shots, settings, epochs"):
        again(shots=20, allow_changes="epoch")


def test_what_may_differ_may_also_differ_after_a_kill() -> None:
    """A session that is allowed another number of epochs stores that as it begins, before its first loop."""
    store = MemoryStore(WallClock())
    with start(store) as run:
        list(run.epochs(1))
    with start(store, resume=True, allow_changes="epochs") as run:
        killed_now = store.sessions(run.run_id)
    UsedSettings(run.run_id, killed_now, allowed=frozenset()).see("epochs", 3, scope="0")
    with pytest.raises(RunChangedError):
        UsedSettings(run.run_id, killed_now[:1], allowed=frozenset()).see("epochs", 3, scope="0")


def test_what_a_program_changes_by_itself_is_no_change() -> None:
    """Batches that grow from epoch to epoch, and shots from step to step."""
    store = MemoryStore(WallClock())

    def program(crash_at: int | None) -> None:
        with start(store, resume=True) as run:
            for epoch in run.epochs(3):
                for _ in run.steps(data(2 ** (epoch + 1))):
                    if run.current_step == crash_at:
                        raise CrashError
                    run.execute(pub(shots=10 + run.current_step))

    for crash_at in (2, 5):
        with pytest.raises(CrashError):
            program(crash_at)
    program(None)


def test_a_complete_run_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """One sentence, and nothing is executed; not where it is to train longer."""
    store = MemoryStore(WallClock())
    train(store)
    with caplog.at_level(logging.WARNING, logger="qorch"):
        assert train(store, resume=True) == 0
        assert [message for message in caplog.messages if "is complete already" in message] == caplog.messages
        assert len(caplog.messages) == 1
        assert train(store, resume=True, epochs=5, allow_changes="epochs") == 8
        assert len(caplog.messages) == 1


def rates_told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The messages about learning rates."""
    return [message for message in caplog.messages if "learning rate" in message]


@pytest.mark.parametrize("allowed", [(), ("learning_rate",)])
def test_the_learning_rate_in_force_is_told(allowed: tuple[str, ...], caplog: pytest.LogCaptureFixture) -> None:
    """That of the checkpoint, which a scheduler may have changed; the program's new one where that is allowed."""
    store = MemoryStore(WallClock())

    def program(rate: float, *, crash_at: int | None = None, allow: tuple[str, ...] = ()) -> float:
        model = torch.nn.Linear(1, 1)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        with start(store, resume=True, allow_changes=allow) as run:
            for _ in run.epochs(2, save=(model, optimizer, scheduler)):
                for _ in run.steps(range(2)):
                    if run.current_step == crash_at:
                        raise CrashError
                    optimizer.step()
                scheduler.step()
        return float(optimizer.param_groups[0]["lr"])

    with pytest.raises(CrashError):
        program(0.4, crash_at=3)
    with caplog.at_level(logging.WARNING, logger="qorch"), pytest.raises(CrashError):
        program(0.4, crash_at=3)
    assert rates_told(caplog) == []
    with caplog.at_level(logging.WARNING, logger="qorch"):
        rate = program(0.8, allow=allowed)
    if allowed:
        assert rate == 0.4
        assert rates_told(caplog) == []
    else:
        assert rate == 0.1
        (message,) = rates_told(caplog)
        assert "goes on with 0.2, that of the checkpoint; the program set 0.8 now, and 0.4 when" in message
        assert "allow_changes=['learning_rate']" in message


def test_rows_with_other_angles_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """On a free backend they are executed again: one line with how many, and none where nothing has changed."""
    store = MemoryStore(WallClock())

    def program(value: float, **more: Any) -> None:
        with caplog.at_level(logging.WARNING, logger="qorch"), start(store, **more) as run:
            for step in range(4):
                with run.step(step):
                    run.execute(pub(value if step > 1 else 0.5))
            raise CrashError

    for value, more in ((0.1, {}), (0.1, {"resume": True}), (0.2, {"resume": True}), (0.2, {"resume": True})):
        with pytest.raises(CrashError):
            program(value, **more)
    (message,) = [text for text in caplog.messages if "angles" in text]
    assert "6 stored rows have other circuits, angles or shots now and were executed again" in message
