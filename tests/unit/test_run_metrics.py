"""`run.log`: what counts as a number, where numbers are stored, and that none is lost."""

import math
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import qorch
from qorch.errors import RunError, UsageError
from qorch.ports.clock import WallClock
from qorch.ports.records import MetricRecord
from qorch.ports.store import Store
from qorch.stores import open_store
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

GRADED = torch.tensor([0.5], requires_grad=True)
NUMBERS: list[tuple[Any, float]] = [
    (1, 1.0),
    (True, 1.0),
    (Fraction(1, 4), 0.25),
    (Decimal("0.5"), 0.5),
    (np.float32(0.5), 0.5),
    (np.bool_(True), 1.0),
    (np.array([[2.5]]), 2.5),
    (GRADED.sum(), 0.5),
    (GRADED, 0.5),
    (torch.tensor(3), 3.0),
    (math.inf, math.inf),
]
NOT_NUMBERS: list[tuple[Any, str]] = [
    ("0.5", r"a str, '0\.5'"),
    (None, "a NoneType"),
    (1j, "a complex, 1j"),
    (torch.tensor(1j), "a Tensor"),
    (torch.zeros(2), r"a Tensor of shape \(2,\)"),
    (np.zeros((0, 3)), r"a ndarray of shape \(0, 3\)"),
    ([0.5], "a list"),
    ({"a": 1.0}, "a dict"),
    (10**400, "a int, 10+"),
    (np.str_("x"), "a str_, .*"),
]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    clock = WallClock()
    opened = MemoryStore(clock) if request.param == "memory" else open_store(tmp_path / "runs.db", clock=clock)
    yield opened
    opened.close()


def start(store: Store, *, resume: bool = False) -> qorch.Run:
    """A run on the fake."""
    return qorch.start_run("log", backend=FakeBackend(), db=store, seed=5, resume=resume, progress=lambda _: None)


def logged(store: Store) -> list[tuple[int, int, int | None, str, float]]:
    """What the newest run logged: step, ordinal, epoch, name and number."""
    found = store.metrics(store.runs()[0].run_id)
    return [(item.step, item.ordinal, item.epoch, item.name, item.value) for item in found]


@pytest.mark.parametrize(("value", "number"), NUMBERS)
def test_a_number_is_a_number(value: Any, number: float) -> None:
    """Of Python, NumPy and torch, with or without a gradient."""
    store = MemoryStore(WallClock())
    with start(store) as run:
        run.log(value=value)
    assert logged(store) == [(-1, 0, None, "value", number)]


@pytest.mark.parametrize(("value", "words"), NOT_NUMBERS)
def test_what_is_not_a_number_is_refused(value: Any, words: str) -> None:
    """The error names metric and value, nothing of the call is stored, and the run goes on."""
    store = MemoryStore(WallClock())
    with start(store) as run:
        with pytest.raises(UsageError, match=f"metric 'bad' is {words}, which is not a number") as caught:
            run.log({"good": 1.0, "bad": value})
        assert "\n" not in str(caught.value)
        assert run.metrics == {}
        run.log(fine=math.nan)
    assert [item[3] for item in logged(store)] == ["fine"]


@pytest.mark.parametrize("metrics", [0.5, [1.0], {1: 0.5}, {"": 0.5}])
def test_numbers_have_names(metrics: Any) -> None:
    """A number without one is refused."""
    with start(MemoryStore(WallClock())) as run, pytest.raises(UsageError, match=r"run\.log got"):
        run.log(metrics)


def test_numbers_are_stored_wherever_they_are_logged(store: Store) -> None:
    """Before the first step, in a step, between two loops and after the last one: with the step and epoch before."""
    with start(store) as run:
        run.log(first=1.0)
        for number in run.steps(range(2), epochs=2):
            run.log(loss=number)
        run.log({"val/loss": torch.tensor(0.5)}, loss=9.0)
        for _ in run.steps(range(1)):
            run.log(loss=0.1)
            run.log(loss=0.2)
        run.log(test=1.0)
        assert run.metrics == {"first": 1.0, "loss": 0.2, "val/loss": 0.5, "test": 1.0}
        assert run.report().metrics == run.metrics
    assert logged(store) == [
        (-1, 0, None, "first", 1.0),
        (0, 0, 0, "loss", 0.0),
        (1, 0, 0, "loss", 1.0),
        (2, 0, 1, "loss", 0.0),
        (3, 0, 1, "loss", 1.0),
        (3, 1, 1, "val/loss", 0.5),
        (3, 2, 1, "loss", 9.0),
        (4, 0, 2, "loss", 0.1),
        (4, 1, 2, "loss", 0.2),
        (4, 2, 2, "test", 1.0),
    ]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_numbers_of_a_run_that_fails_are_stored(store: Store, error: type[BaseException]) -> None:
    """Also those of the step that failed, such as the loss that is not finite any more."""

    def program() -> None:
        with start(store) as run:
            for _ in run.steps(range(3)):
                run.log(loss=math.inf)
                raise error

    with pytest.raises(error):
        program()
    assert logged(store) == [(0, 0, 0, "loss", math.inf)]
    assert store.steps(store.runs()[0].run_id) == []


def test_a_closed_run_takes_no_numbers() -> None:
    """It says so, instead of losing them."""
    with start(MemoryStore(WallClock())) as run:
        pass
    with pytest.raises(RunError, match="closed"):
        run.log(test=1.0)


def test_a_resumed_run_knows_its_numbers(store: Store) -> None:
    """Of earlier sessions, before it has gone on itself."""
    with start(store) as run:
        run.log(loss=0.5)
    with start(store, resume=True) as run:
        assert run.metrics == {"loss": 0.5}


def test_a_resume_does_not_read_all_numbers() -> None:
    """A night logs millions; they are read only if they are asked for and no checkpoint has them."""
    store = MemoryStore(WallClock())
    with start(store) as run:
        for _ in run.steps(range(2), save=({"best": 1.0},)):
            run.log(loss=0.5)
    read: list[str] = []

    class Watched(MemoryStore):
        def metrics(self, run_id: str) -> list[MetricRecord]:
            read.append(run_id)
            return MemoryStore.metrics(self, run_id)

    store.__class__ = Watched
    with start(store, resume=True) as run:
        run.log(begun=1.0)
        assert list(run.steps(range(2), save=({},))) == []
        run.log(test=0.25)
        assert run.metrics == {"loss": 0.5, "test": 0.25}
        assert read == []
