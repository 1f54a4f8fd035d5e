"""kill -9 between the opening and the closing of a session at the emulator of IBM Quantum: none stays open."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import MappingProxyType

import msgspec
import numpy as np
import pytest
from campaign import (
    KILLED,
    PATIENCE_SECONDS,
    Nursery,
    Tally,
    assert_none_lost,
    assert_paid_once,
    kill_at_step,
    open_nursery,
    said,
    start_driver,
    states,
    wait_for,
)
from ibm_vendor import DEVICE, IBM, environment
from kill_checks import KillCampaign, decide, note
from life_driver import HELD, STOPPED, Death, Life
from vendors import VendorEmulator

from qorch.config import read_config
from qorch.ports.clock import WallClock
from qorch.ports.provider_sessions import ProviderSessionState
from qorch.recovery import recover_runs
from qorch.stores import open_store
from qorch_providers.emulators.ibm import RunningIbm

TROUBLE = (
    "open:reset-after%0.3,open:reset-before%0.2,open:502-before%0.1,open:504-during%0.1,open:429-before%0.1,"
    "session:reset-before%0.2,session:reset-after%0.1,workloads:503-before%0.2,post:reset-after%0.05"
)
CERTAIN = MappingProxyType({"is_certain": True})
STEPS = ("during open_session", "after open_session", "during close_session", "after close_session")
RECOVERED = [pytest.param(step, marks=() if step == "after open_session" else pytest.mark.soak) for step in STEPS]
RESUMED = [pytest.param(step, marks=() if step == "during open_session" else pytest.mark.soak) for step in STEPS]
KILLS = (2, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(3600)]))


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process in which lives begin within milliseconds."""
    with open_nursery(IBM) as opened:
        yield opened


class TestSessionsKilled(KillCampaign):
    """A session is charged until it is closed, so a killed process must leave none behind."""

    vendor = IBM
    fields = MappingProxyType({**CERTAIN, "options": f"{DEVICE},settle=0.5,rows=2,mode=session"})
    trouble = TROUBLE

    def check_books(self, life: Life, emulator: VendorEmulator) -> None:
        """Nothing is booked, as IBM bills the time of sessions and not their jobs."""
        with closing(open_store(life.db, clock=WallClock())) as store:
            assert store.ledger() == []

    @pytest.mark.parametrize("kills", KILLS)
    def test_none_is_open_after_recover(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, monkeypatch: pytest.MonkeyPatch, kills: int
    ) -> None:
        """After every kill, `recover` leaves no session open; the run then goes on, and nothing is bought twice."""
        random, tally, found, n_sessions = np.random.default_rng(kills), Tally(), Counter[str](), 0
        while tally.kills.total() < kills:
            settings = self.changed(seed=tally.runs, faults=self.trouble if tally.runs % 2 else "")
            with self.stage(tmp_path / str(tally.runs), settings=settings) as (emulator, life):
                for name, value in environment(emulator.root).items():
                    monkeypatch.setenv(name, value)
                while tally.kills.total() < kills:
                    moment = undisturbed.seconds * float(random.uniform(0.2, 1.1))
                    death = nursery.bear(msgspec.structs.replace(life, die_after_seconds=moment))
                    if death.code == 0:
                        break
                    note(tally, death, life, emulator)
                    if death.code == KILLED:
                        found[_recover(life, emulator)] += 1
                        tally.held += _decide(life, emulator)
                emulator.set_faults("")
                while (death := nursery.bear(life)).code == HELD:
                    note(tally, death, life, emulator)
                self.finish(nursery, life, emulator, undisturbed)
                _assert_closed(life, emulator)
                n_sessions += len(emulator.truth()["sessions"])
                tally.runs += 1
                tally.jobs += len(emulator.jobs())
        print(f"\n{tally}; sessions: {n_sessions} in all; after a kill {dict(found)}")
        assert tally.kills.total() >= kills
        assert n_sessions >= tally.runs

    @pytest.mark.parametrize("step", RECOVERED)
    def test_none_is_open_after_a_kill_at_a_step(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """While it is opened or closed, or right after that: `recover` leaves none open, and the run goes on."""
        with self.stage(tmp_path) as (emulator, life):
            for name, value in environment(emulator.root).items():
                monkeypatch.setenv(name, value)
            kill_at_step(nursery, life, step, 1)
            _recover(life, emulator)
            self.finish(nursery, life, emulator, undisturbed)
            _assert_closed(life, emulator)

    @pytest.mark.parametrize("step", RESUMED)
    def test_none_is_open_after_the_next_start(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str
    ) -> None:
        """Without `recover`: the resumed run closes what was left, beside its own."""
        with self.stage(tmp_path) as (emulator, life):
            kill_at_step(nursery, life, step, 1)
            self.finish(nursery, life, emulator, undisturbed)
            _assert_closed(life, emulator)

    def test_ctrl_c_closes_the_session(self, nursery: Nursery, tmp_path: Path) -> None:
        """While its jobs run: they finish there, and the resumed run fetches what is paid."""
        with self.stage(tmp_path, settings=self.changed(execute="1"), steps=1, rows=2) as (emulator, life):
            with start_driver(life) as process:
                wait_for(emulator, lambda jobs: any(job["status"] == "Running" for job in jobs))
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=PATIENCE_SECONDS)
                assert process.returncode == STOPPED
            [session] = emulator.truth()["sessions"]
            assert session["accepting_jobs"] is False
            with closing(open_store(life.db, clock=WallClock())) as store:
                assert [record.state for record in store.provider_sessions()] == [ProviderSessionState.CLOSED]
                assert store.open_jobs() != []
            death = nursery.bear(life)
            assert (death.code, said(death, "executed")) == (0, 0), death.said
            assert_paid_once(emulator, rows=life.rows)
            assert_none_lost(life.db, emulator)
            _assert_closed(life, emulator)


def _recover(life: Life, emulator: RunningIbm) -> str:
    """Let `recover` settle what a killed life left; in which state its last session was."""
    if not states(life.db):
        return "none"
    with closing(open_store(life.db, clock=WallClock())) as store:
        left = store.open_provider_sessions()
        ended = recover_runs(store, [run.run_id for run in store.runs()], config=read_config(), clock=WallClock())
        assert [recovery.problem for recovery in ended if recovery.problem] == []
    _assert_closed(life, emulator)
    return left[-1].state.value if left else "none"


def _decide(life: Life, emulator: RunningIbm) -> int:
    """Decide on held jobs as the truth says, so that the next life has something to do; how many there were."""
    return decide(life.db, emulator) if states(life.db)["unknown"] else 0


def _assert_closed(life: Life, emulator: RunningIbm) -> None:
    """No session is open in the books, nor at the emulator once the jobs that it had are over."""
    with closing(open_store(life.db, clock=WallClock())) as store:
        assert store.open_provider_sessions() == []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while open_sessions := [each for each in emulator.truth()["sessions"] if each["state"] != "closed"]:
        assert [each for each in open_sessions if each["accepting_jobs"]] == []
        assert time.monotonic() < deadline, open_sessions
        time.sleep(0.01)
