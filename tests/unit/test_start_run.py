"""What `start_run` refuses, before anything is opened or written; and runs that are left or copied oddly."""

import asyncio
import copy
import sys
from typing import Any

import numpy as np
import pytest

import qorch
from qorch.errors import RunError, UsageError
from qorch.ports.clock import WallClock
from qorch.ports.records import RunState
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore

WRONG: dict[str, dict[str, Any]] = {
    "a seed with a fraction": {"seed": 1.5},
    "a seed that is a float": {"seed": 1e6},
    "a seed in words": {"seed": "1"},
    "a truth value for a seed": {"seed": True},
    "a seed below 0": {"seed": -1},
    "a seed too large": {"seed": 2**63},
    "no name": {"name": None},
    "a number for a name": {"name": 7},
    "the word for the newest run": {"name": "latest"},
    "no backend": {"backend": None},
    "a number for a backend": {"backend": 3},
    "a budget without currency": {"budget": 5},
    "a number for a database": {"db": 3},
    "settings that are no JSON": {"settings": {"a": object()}},
}


def quiet(progress: Progress) -> None:
    """Shows nothing."""


def start(store: MemoryStore, **settings: Any) -> qorch.Run:
    """A run on the fake."""
    return qorch.start_run(**({"name": "odd", "backend": FakeBackend(), "db": store, "progress": quiet} | settings))


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused(case: str) -> None:
    """A UsageError in one line, and no run is stored."""
    store = MemoryStore(WallClock())
    with pytest.raises(UsageError) as caught:
        start(store, **WRONG[case])
    assert len(str(caught.value).splitlines()) == 1
    assert store.runs() == []


def test_a_seed_of_numpy_is_a_plain_number() -> None:
    """It is stored as Python's own."""
    store = MemoryStore(WallClock())
    with start(store, seed=np.int64(7)) as run:
        assert type(run.seed) is int
    assert store.runs()[0].seed == 7


@pytest.mark.parametrize("number", [7.5, "9", True, None, -1])
def test_a_step_has_a_whole_number(number: Any) -> None:
    """Others are refused, and the run goes on."""
    with start(MemoryStore(WallClock())) as run:
        with pytest.raises(UsageError, match="step is"), run.step(number):
            pass
        with run.step(int(np.int64(0))):
            pass


@pytest.mark.parametrize(("code", "state"), [(0, RunState.STOPPED), (None, RunState.STOPPED), (1, RunState.FAILED)])
def test_a_program_that_ends_inside_of_a_run_has_stopped_it(code: int | None, state: str) -> None:
    """Unless it says that something was wrong."""
    store = MemoryStore(WallClock())
    with pytest.raises(SystemExit), start(store):
        sys.exit(code)
    assert store.runs()[0].state == state


def test_nothing_to_execute_is_refused() -> None:
    """None, or a number, is no pub."""
    with start(MemoryStore(WallClock())) as run:
        for nothing in (None, 5):
            with pytest.raises(UsageError, match="nothing to execute"):
                run.execute(nothing)  # type: ignore[arg-type]


def test_a_run_can_be_left_in_another_task() -> None:
    """As in two cells of a notebook: it is closed all the same, as done."""
    store = MemoryStore(WallClock())
    run = start(store)

    async def enter() -> None:
        run.__enter__()

    async def leave() -> None:
        run.__exit__(None, None, None)

    asyncio.run(enter())
    asyncio.run(leave())
    with pytest.raises(RunError, match="closed"), run.step(0):
        pass
    assert store.runs()[0].state == RunState.DONE


def test_a_copy_of_what_holds_a_run_is_in_the_same_run() -> None:
    """A run has threads and files, of which there is no second."""
    with start(MemoryStore(WallClock())) as run:
        assert copy.deepcopy([run])[0] is run
