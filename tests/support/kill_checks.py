"""kill -9 on a vendor's emulator, at random moments and at every named step of a submission: a class for each vendor.

The truth is what the emulator accepted: no row is ever paid twice, and none that was paid is lost.
"""

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import numpy as np
import pytest
from book_checks import assert_settled
from campaign import (
    KILLED,
    Nursery,
    Tally,
    assert_none_lost,
    assert_paid_once,
    kill_at_step,
    moment_of,
    said,
    stage,
    states,
)
from life_driver import HELD, Death, Life
from submission_steps import ABANDONED_STEPS, LOST_STEPS, REFUSED_STEPS
from vendors import Vendor, VendorEmulator

from qorch.model.job import JobState
from qorch.ports.clock import WallClock
from qorch.recovery import adopt_job, release_job
from qorch.stores import open_store

SHORT = MappingProxyType({"steps": 2, "rows": 4})
"""A life of four jobs, for kills at named steps."""
LATEST_SECONDS = 0.6
"""The latest moment of a kill; later on a slow machine, on which a whole run takes longer than that."""


class KillCampaign:
    """Its module has the fixture ``nursery``.

    What a subclass says: the ``vendor``, the options of its backend, and what an emulator does now and then.
    ``slow_options``: with a settle time above that of a loaded machine, which may be slow to take a call that was sent.
    ``settings`` of an emulator, the vendor's quick ones if None. ``trouble``: faults of every third run of a campaign.
    ``fields`` of every life.
    """

    vendor: Vendor
    settings: Any = None
    slow_options: str = ""
    trouble: str = ""
    fields: Mapping[str, Any] = MappingProxyType({})

    @pytest.fixture(scope="class")
    @classmethod
    def undisturbed(cls, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Death:
        """How a life ends that is left alone."""
        with cls.stage(tmp_path_factory.mktemp("undisturbed")) as (emulator, life):
            death = nursery.bear(life)
            assert death.code == 0, death.said
            assert len(emulator.jobs()) == life.steps * life.rows / 2
        return death

    @classmethod
    def stage(cls, folder: Path, **given: Any) -> AbstractContextManager[tuple[Any, Life]]:
        """An emulator, with the settings of the class unless others are given, and a life on it."""
        return stage(cls.vendor, folder, **{"settings": cls.settings, **cls.fields, **given})

    @classmethod
    def changed(cls, **settings: Any) -> Any:
        """The settings of the class with these changes."""
        return replace(cls.settings or cls.vendor.quick, **settings)

    def finish(self, nursery: Nursery, life: Life, emulator: VendorEmulator, undisturbed: Death) -> None:
        """Let the run come to its end, and compare its values, its database, its books and the truth."""
        death = nursery.bear(life)
        assert death.code == 0, death.said
        self.compare(death, undisturbed)
        assert_paid_once(emulator, rows=life.steps * life.rows)
        assert_none_lost(life.db, emulator)
        self.check_books(life, emulator)

    def check_books(self, life: Life, emulator: VendorEmulator) -> None:
        """The ledger is what the emulator charges."""
        assert_settled(self.vendor, life.db, emulator)

    def compare(self, death: Death, undisturbed: Death) -> None:
        """The values are those of a run that was left alone."""
        assert said(death, "done") == said(undisturbed, "done")

    def kill_at_random(
        self, nursery: Nursery, folder: Path, undisturbed: Death, *, kills: int, seed: int, **given: Any
    ) -> Tally:
        """Kill so often at random moments; a run that is finished meanwhile is compared, and another begun."""
        started, tally, random = time.monotonic(), Tally(), np.random.default_rng(seed)
        while tally.kills.total() < kills:
            settings = self.changed(seed=tally.runs, faults=self.trouble if tally.runs % 3 == 2 else "")
            with self.stage(folder / str(tally.runs), settings=settings, **given) as (emulator, life):
                while tally.kills.total() < kills:
                    moment = float(random.uniform(0.03, max(LATEST_SECONDS, 0.7 * undisturbed.seconds)))
                    death = nursery.bear(msgspec.structs.replace(life, die_after_seconds=moment))
                    if death.code == 0:
                        break
                    note(tally, death, life, emulator)
                while (death := nursery.bear(life)).code == HELD:
                    note(tally, death, life, emulator)
                self.finish(nursery, life, emulator, undisturbed)
                tally.runs += 1
                tally.jobs += len(emulator.jobs())
        print(f"\n{tally}; {time.monotonic() - started:.0f} s")
        assert tally.kills.total() >= kills
        return tally


class KillChecks(KillCampaign):
    """Kills at named steps."""

    def check_step(self, nursery: Nursery, folder: Path, undisturbed: Death, *, step: str) -> None:
        """Killed twice at the same step, once with other jobs under way: all is paid once and nothing lost."""
        with self.stage(folder, options=self.slow_options) as (emulator, life):
            kill_at_step(nursery, life, step, 2)
            kill_at_step(nursery, life, step, 1)
            self.finish(nursery, life, emulator, undisturbed)

    @pytest.mark.parametrize("step", REFUSED_STEPS)
    def test_killed_after_a_refusal(self, nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str) -> None:
        """A job that was refused is provably not there, whether or not that was written down."""
        settings = self.changed(faults="post:429-before@2")
        with self.stage(tmp_path, settings=settings, options=self.slow_options) as (emulator, life):
            kill_at_step(nursery, life, step, 1)
            self.finish(nursery, life, emulator, undisturbed)


class SearchedKillChecks(KillChecks):
    """Of a vendor whose answers are looked for in a list if they were lost; under ``resubmit``, nothing is held."""

    late_options: str
    """With a settle time above a second."""

    def test_what_is_accepted_late_is_waited_for(self, nursery: Nursery, tmp_path: Path) -> None:
        """Accepted after the next life has looked for it, and within the settle time: found, and not sent again."""
        settings = self.changed(accept_delay="1")
        with self.stage(tmp_path, settings=settings, options=self.late_options, steps=1) as (emulator, life):
            kill_at_step(nursery, life, "during submit", 1)
            death = nursery.bear(life)
            assert (death.code, said(death, "executed")) == (0, 0), death.said
            assert len(emulator.jobs()) == 1
            assert_paid_once(emulator, rows=life.rows)
            assert_none_lost(life.db, emulator)

    @pytest.mark.parametrize("fault", ["post:reset-after@1", "post:reset-before@1"])
    @pytest.mark.parametrize("step", LOST_STEPS)
    def test_killed_while_an_answer_is_looked_for(
        self, nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str, fault: str
    ) -> None:
        """The answer to a submission is lost and then the process: found by its key if it was accepted, else sent."""
        settings = self.changed(faults=fault)
        with self.stage(tmp_path, settings=settings, options=self.slow_options) as (emulator, life):
            kill_at_step(nursery, life, step, 1)
            self.finish(nursery, life, emulator, undisturbed)

    @pytest.mark.parametrize("step", ABANDONED_STEPS)
    def test_killed_while_recovering(self, nursery: Nursery, tmp_path: Path, undisturbed: Death, step: str) -> None:
        """A second crash, in the recovery from the first: the intent of which nothing left is given up only once."""
        with self.stage(tmp_path, options=self.slow_options) as (emulator, life):
            kill_at_step(nursery, life, "after write intent", 2)
            kill_at_step(nursery, life, step, 1)
            self.finish(nursery, life, emulator, undisturbed)


def note(tally: Tally, death: Death, life: Life, emulator: VendorEmulator) -> None:
    """Count where a kill struck; if a run stopped with jobs held, decide on them as the truth says."""
    if death.code == KILLED:
        tally.kills[moment_of(states(life.db))] += 1
        return
    assert death.code == HELD, death.said
    tally.held += decide(life.db, emulator)


def decide(db: str, emulator: VendorEmulator) -> int:
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
