"""kill -9 between the opening and the end of a session at the emulator of IonQ: none stays open, nothing is lost."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from campaign import Nursery, assert_none_lost, assert_paid_once, kill_at_step, open_nursery, stage
from ionq_vendor import IONQ, environment
from life_driver import Life

from qorch.config import read_config
from qorch.ports.clock import WallClock
from qorch.recovery import recover_runs
from qorch.stores import open_store
from qorch_providers.emulators.ionq import RunningEmulator

OPTIONS = "qpu.forte-1,settle=0.5,rows=2,mode=session,max_cost=1000000USD"
OFTEN = "during open_session"
"""The step at which the answer is lost, so that the session is known by its mark alone."""
STEPS = ("after open_session", "during close_session", "after close_session")
KILLED_AT = (OFTEN, *(pytest.param(step, marks=pytest.mark.soak) for step in STEPS))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process in which lives begin within milliseconds."""
    with open_nursery(IONQ) as opened:
        yield opened


@pytest.mark.parametrize("step", KILLED_AT)
def test_recover_ends_what_a_killed_run_left(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """By its id, or by its mark; the run then goes on in another session, and pays nothing twice."""
    with stage(IONQ, tmp_path, options=OPTIONS, steps=1, rows=4) as (emulator, life):
        for name, value in environment(emulator.root).items():
            monkeypatch.setenv(name, value)
        kill_at_step(nursery, life, step, 1)
        with closing(open_store(life.db, clock=WallClock())) as store:
            recover_runs(store, [run.run_id for run in store.runs()], config=read_config(), clock=WallClock())
        _assert_ended(life, emulator)
        _finish(nursery, life, emulator)


@pytest.mark.parametrize("step", KILLED_AT)
def test_the_next_start_ends_what_a_killed_run_left(nursery: Nursery, tmp_path: Path, step: str) -> None:
    """Without `recover`, beside its own session."""
    with stage(IONQ, tmp_path, options=OPTIONS, steps=1, rows=4) as (emulator, life):
        kill_at_step(nursery, life, step, 1)
        _finish(nursery, life, emulator)


def _finish(nursery: Nursery, life: Life, emulator: RunningEmulator) -> None:
    death = nursery.bear(life)
    assert death.code == 0, death.said
    assert_paid_once(emulator, rows=life.steps * life.rows)
    assert_none_lost(life.db, emulator)
    _assert_ended(life, emulator)


def _assert_ended(life: Life, emulator: RunningEmulator) -> None:
    """No session is open in the books, nor at the emulator."""
    with closing(open_store(life.db, clock=WallClock())) as store:
        assert store.open_provider_sessions() == []
    assert [each for each in emulator.truth()["sessions"] if each["active"]] == []
