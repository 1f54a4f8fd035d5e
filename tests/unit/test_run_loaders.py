"""Loaders of one run: generators of their own, and loops that a variable still holds after `break`."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch

import qorch
from qorch import wiring
from qorch.errors import RunError, UsageError
from qorch.ports.clock import WallClock
from qorch.ports.policy import RunPolicy
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

N_EPOCHS = 3


class CrashError(Exception):
    """Ends a training in the middle."""


def start(store: MemoryStore, *, resume: bool = False, **more: Any) -> qorch.Run:
    """A run on the fake."""
    return qorch.start_run("r", backend=FakeBackend(), db=store, seed=5, resume=resume, progress="off", **more)


def loaders(kind: str, *, epoch: int) -> list[Any]:
    """What an epoch goes over; ``epoch`` seeds generators that are made anew."""
    data = torch.arange(6)
    orders = [torch.Generator().manual_seed(seed) for seed in (1, 2, 10 + epoch)]
    if kind == "two":
        return [torch.utils.data.DataLoader(data, batch_size=3, shuffle=True, generator=order) for order in orders[:2]]
    if kind == "sampler":
        sampler = torch.utils.data.WeightedRandomSampler([1.0] * 6, 6, generator=orders[0])
        return [torch.utils.data.DataLoader(data, batch_size=3, sampler=sampler)]
    return [torch.utils.data.DataLoader(data, batch_size=3, shuffle=True, generator=orders[2])]


def train(store: MemoryStore, kind: str, *, resume: bool = False, crash_at: int | None = None) -> dict[int, list[int]]:
    """The batches by step."""
    seen = {}
    kept = loaders(kind, epoch=0)
    try:
        with start(store, resume=resume) as run:
            for epoch in run.epochs(N_EPOCHS):
                for loader in loaders(kind, epoch=epoch) if kind == "new" else kept:
                    for batch in run.steps(loader):
                        if run.current_step == crash_at:
                            raise CrashError
                        seen[run.current_step] = batch.tolist()
    except CrashError:
        assert crash_at is not None
    return seen


@pytest.mark.parametrize(
    ("kind", "crash_at"),
    [("two", 3), ("two", 5), ("two", 8), ("two", 10), ("sampler", 3), ("sampler", 4), ("new", 3), ("new", 4)],
)
def test_every_generator_of_a_loader_goes_on(kind: str, crash_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two loaders an epoch, a sampler's own, or new ones in every epoch: the same batches as without a crash."""
    monkeypatch.setattr(wiring, "RunPolicy", partial(RunPolicy, checkpoint_seconds=0.0))
    store = MemoryStore(WallClock())
    before = train(store, kind, crash_at=crash_at)
    assert before | train(store, kind, resume=True) == train(MemoryStore(WallClock()), kind)


class Bar:
    """A progress bar that a program keeps in a variable, to write into it."""

    def __init__(self, loop: Iterator[Any]) -> None:
        """Around a loop."""
        self.loop = loop

    def __iter__(self) -> Iterator[Any]:
        """Its batches."""
        for batch in self.loop:  # noqa: UP028 `yield from` would close the loop
            yield batch


def train_with_a_bar(store: MemoryStore, *, resume: bool = False, crash_at: int | None = None) -> list[tuple[Any, ...]]:
    """Every epoch is left by `break` while a bar holds its loop; what was logged, and the steps."""
    weight = {"value": 0.0}
    try:
        with start(store, resume=resume) as run:
            for epoch in run.epochs(N_EPOCHS, save=[weight]):
                bar = Bar(run.steps([0, 1, 2]))
                for batch in bar:
                    weight["value"] += 1.0
                    run.log(loss=weight["value"])
                    if run.current_step == crash_at:
                        raise CrashError
                    if batch == 1:
                        break
                run.log(val=weight["value"] + epoch)
            run.log(final=1.0)
    except CrashError:
        assert crash_at is not None
    [record] = store.runs()
    logged = [(item.step, item.epoch, item.name, item.value) for item in store.metrics(record.run_id)]
    return [*logged, *((step.step,) for step in store.steps(record.run_id))]


@pytest.mark.parametrize("seconds", [0.0, 1e9])
def test_a_loop_that_a_bar_holds_ends_with_its_epoch(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its steps are stored, and a run that crashes and is resumed logs each number once."""
    monkeypatch.setattr(wiring, "RunPolicy", partial(RunPolicy, checkpoint_seconds=seconds))
    whole = train_with_a_bar(MemoryStore(WallClock()))
    assert [item for item in whole if len(item) == 1] == [(step,) for step in range(2 * N_EPOCHS)]
    for crash_at in (2, 4, 5):
        store = MemoryStore(WallClock())
        train_with_a_bar(store, crash_at=crash_at)
        assert train_with_a_bar(store, resume=True) == whole


def test_a_loop_that_a_variable_holds_ends_with_the_run() -> None:
    """It is left for good: its last step is stored, and a resumed program trains no more."""
    store = MemoryStore(WallClock())
    for resume in (False, True):
        with start(store, resume=resume) as run:
            loop = run.steps([0, 1, 2])
            for batch in loop:
                assert not resume
                if batch == 1:
                    break
    assert [step.step for step in store.steps(store.runs()[0].run_id)] == [0, 1]


def test_loops_do_not_stand_inside_of_a_step() -> None:
    """Of another loop: neither steps nor epochs, and the message says what may be the matter."""
    with start(MemoryStore(WallClock())) as run:
        for inner in (lambda: run.steps([0]), lambda: run.epochs(1)):
            for _ in run.steps([0]):
                with pytest.raises(UsageError, match="has not ended"):
                    list(inner())


class Odd:
    """A loader whose order is NumPy's, and that does not know its length."""

    def __init__(self) -> None:
        """A generator that has no state to save."""
        import numpy as np

        self.generator = np.random.default_rng(1)

    def __len__(self) -> int:
        """Not known."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[int]:
        """Two batches."""
        return iter(range(2))


def test_a_loader_that_is_not_of_torch_is_gone_over() -> None:
    """What it does not offer is not asked of it."""
    with start(MemoryStore(WallClock())) as run:
        assert list(run.steps(Odd())) == [0, 1]


def test_a_model_that_does_not_take_its_state_is_named() -> None:
    """One of another size, or in another order: a RunError with its place."""
    store = MemoryStore(WallClock())
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with start(store) as run:
        list(run.steps([0, 1], save=(model, optimizer)))
    for others in ((torch.nn.Linear(2, 1), optimizer), (optimizer, model)):
        with pytest.raises(RunError, match=r"object 0, a .* does not take state 0"), start(store, resume=True) as run:
            list(run.steps([0, 1], save=others))
