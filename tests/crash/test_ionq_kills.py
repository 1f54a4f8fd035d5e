"""kill -9 against an emulator of IonQ's service: at random moments, and at every named step of a submission.

The truth is what the emulator accepted: no row is ever paid twice, and none that was paid is lost.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from ionq_campaign import (
    KILLED,
    OPTIONS,
    QUICK,
    Nursery,
    Tally,
    assert_none_lost,
    assert_paid_once,
    kill_at_step,
    moment_of,
    open_nursery,
    said,
    stage,
    states,
)
from ionq_driver import HELD, Death, Life
from ionq_steps import ABANDONED_STEPS, LOST_STEPS, REFUSED_STEPS, STEPS

from qorch.model.job import JobState
from qorch.ports.clock import WallClock
from qorch.recovery import adopt_job, release_job
from qorch.stores import open_store
from qorch_providers.emulators.ionq import RunningEmulator

# A loaded machine may be slow to take a call that was sent; what is settled for must stay above it.
SLOW_OPTIONS = "simulator,settle=0.3,rows=2"
LATEST_SECONDS = 0.6
"""The latest moment of a kill: a run takes some three times as long, so most of its lives end before their time."""
TROUBLE = "post:reset-after%0.04,post:502-before%0.02,post:504-during%0.02,post:429-before%0.02,list:503-before%0.02"


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process in which lives begin within milliseconds."""
    with open_nursery() as opened:
        yield opened


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Death:
    """How a life ends that is left alone."""
    with stage(tmp_path_factory.mktemp("undisturbed")) as (emulator, life):
        death = nursery.bear(life)
        assert death.code == 0, death.said
        assert len(emulator.jobs()) == life.steps * life.rows / 2
    return death


def finish(nursery: Nursery, life: Life, emulator: RunningEmulator, undisturbed: Death) -> None:
    """Let the run come to its end, and compare its values, its database and the truth."""
    death = nursery.bear(life)
    assert death.code == 0, death.said
    assert said(death, "done") == said(undisturbed, "done")
    assert_paid_once(emulator, rows=life.steps * life.rows)
    assert_none_lost(life.db, emulator)


def run_campaign(nursery: Nursery, folder: Path, undisturbed: Death, *, kills: int, seed: int, options: str) -> Tally:
    """Kill so often at random moments; a run that is finished meanwhile is compared, and another begun."""
    tally, random = Tally(), np.random.default_rng(seed)
    while tally.kills.total() < kills:
        settings = replace(QUICK, seed=tally.runs, faults=TROUBLE if tally.runs % 3 == 2 else "")
        with stage(folder / str(tally.runs), settings=settings, options=options) as (emulator, life):
            while tally.kills.total() < kills:
                moment = float(random.uniform(0.03, LATEST_SECONDS))
                death = nursery.bear(msgspec.structs.replace(life, die_after_seconds=moment))
                if death.code == 0:
                    break
                note(tally, death, life, emulator)
            while (death := nursery.bear(life)).code == HELD:
                note(tally, death, life, emulator)
            finish(nursery, life, emulator, undisturbed)
            tally.runs += 1
            tally.jobs += len(emulator.jobs())
    return tally


def note(tally: Tally, death: Death, life: Life, emulator: RunningEmulator) -> None:
    """Count where a kill struck; where a run stopped with jobs held, decide on them as the truth says."""
    if death.code == KILLED:
        tally.kills[moment_of(states(life.db))] += 1
        return
    assert death.code == HELD, death.said
    tally.held += decide(life.db, emulator)


def decide(db: str, emulator: RunningEmulator) -> int:
    """Adopt the held jobs that were accepted, and release the others; how many there were."""
    accepted = {job["key"]: str(job["id"]) for job in emulator.jobs()}
    with closing(open_store(db, clock=WallClock())) as store:
        held = store.jobs(state=JobState.UNKNOWN)
        for job in held:
            key = store.attempts(job.job_id)[-1].key
            if key in accepted:
                adopt_job(store, job.job_id, accepted[key], clock=WallClock())
            else:
                release_job(store, job.job_id, clock=WallClock())
    assert held
    return len(held)


@pytest.mark.parametrize(("on_unknown", "kills"), [("resubmit", 12), ("hold", 6)])
def test_random_kills(nursery: Nursery, tmp_path: Path, undisturbed: Death, on_unknown: str, kills: int) -> None:
    """Whenever it is killed: every row is paid once, none is lost, and the values are those of a quiet run."""
    options = f"{OPTIONS},on_unknown={on_unknown}"
    tally = run_campaign(nursery, tmp_path, undisturbed, kills=kills, seed=4, options=options)
    print(tally)
    assert tally.kills.total() >= kills
    if on_unknown == "resubmit":
        assert tally.held == 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("on_unknown", "kills"), [("resubmit", 1000), ("hold", 200)])
def test_many_random_kills(nursery: Nursery, tmp_path: Path, undisturbed: Death, on_unknown: str, kills: int) -> None:
    """The same a thousand times."""
    started = time.monotonic()
    options = f"{OPTIONS},on_unknown={on_unknown}"
    tally = run_campaign(nursery, tmp_path, undisturbed, kills=kills, seed=40, options=options)
    print(f"\n{on_unknown}: {tally}; {time.monotonic() - started:.0f} s")
    assert tally.kills.total() >= kills


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_step_of_a_submission(nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str) -> None:
    """Killed twice at the same step, once with other jobs under way: all is paid once and nothing lost."""
    with stage(tmp_path, options=SLOW_OPTIONS) as (emulator, life):
        kill_at_step(nursery, life, step, 2)
        kill_at_step(nursery, life, step, 1)
        finish(nursery, life, emulator, undisturbed)


def test_what_is_accepted_late_is_waited_for(nursery: Nursery, tmp_path: Path) -> None:
    """Accepted after the next life has looked for it, and before the settle time is over: found, and not sent again."""
    settings = replace(QUICK, accept_delay="1")
    with stage(tmp_path, settings=settings, options="simulator,settle=2", steps=1) as (emulator, life):
        kill_at_step(nursery, life, "during submit", 1)
        death = nursery.bear(life)
        assert (death.code, said(death, "executed")) == (0, 0), death.said
        assert len(emulator.jobs()) == 1
        assert_paid_once(emulator, rows=life.rows)
        assert_none_lost(life.db, emulator)


@pytest.mark.parametrize("fault", ["post:reset-after@1", "post:reset-before@1"])
@pytest.mark.parametrize("step", LOST_STEPS)
def test_killed_while_an_answer_is_looked_for(
    nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str, fault: str
) -> None:
    """The answer to a submission is lost and then the process: found by its key where it was accepted, else sent."""
    with stage(tmp_path, settings=replace(QUICK, faults=fault), options=SLOW_OPTIONS) as (emulator, life):
        kill_at_step(nursery, life, step, 1)
        finish(nursery, life, emulator, undisturbed)


@pytest.mark.parametrize("step", REFUSED_STEPS)
def test_killed_after_a_refusal(nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str) -> None:
    """A job that was refused is provably not there, whether or not that was written down."""
    with stage(tmp_path, settings=replace(QUICK, faults="post:429-before@2"), options=SLOW_OPTIONS) as (emulator, life):
        kill_at_step(nursery, life, step, 1)
        finish(nursery, life, emulator, undisturbed)


@pytest.mark.parametrize("step", ABANDONED_STEPS)
def test_killed_while_recovering(nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str) -> None:
    """A second crash, in the recovery from the first: the intent of which nothing left is given up only once."""
    with stage(tmp_path, options=SLOW_OPTIONS) as (emulator, life):
        kill_at_step(nursery, life, "after write intent", 2)
        kill_at_step(nursery, life, step, 1)
        finish(nursery, life, emulator, undisturbed)
