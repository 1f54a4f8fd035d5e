"""Trials that were begun before: taken by other processes, which are waited for, or to go on with what is given now."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from qorch.cli import trial_work
from qorch.cli.settings import Settings, as_stored
from qorch.cli.trial_work import train_trial, trial_settings
from qorch.model.budget import Budget
from qorch.model.money import Money
from qorch.ports.clock import WallClock
from qorch.ports.records import RunMove, RunRecord, RunState
from qorch.ports.store import Store
from qorch.stores import open_store
from qorch.sweeps import trial_process
from qorch.sweeps.trial import Trial
from qorch.sweeps.trial_process import TrialState, TrialTerms
from qorch.sweeps.trials import TrialOutcome, TrialWatcher, run_trials

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
TAKEN, FREE = (Trial("s", "digits", options={"lr": lr}) for lr in ("0.1", "0.2"))


class Process:
    """A trial's process that is over at once, or (the one that is ended early) when it is asked to stop."""

    def __init__(self, trial: Trial, elsewhere: "Elsewhere") -> None:
        """Over, unless it will be ended early."""
        self.trial = trial
        self.is_ended_early = False
        self.sentinel, self._writer = os.pipe()
        self._elsewhere = elsewhere
        if not elsewhere.ends_early(trial):
            os.close(self._writer)

    def stop(self) -> None:
        """Stop, and let another process take the run."""
        self._elsewhere.take()
        os.close(self._writer)

    def end(self) -> tuple[TrialState, str | None]:
        """Stopped if that was asked for, else done."""
        os.close(self.sentinel)
        return (TrialState.STOPPED, "it was stopped") if self.is_ended_early else (TrialState.DONE, None)


class Elsewhere:
    """What another process does with the taken trial's run, in a database of its own."""

    def __init__(self, store: Store, *, prunes: bool) -> None:
        """Write the run down, as one that was begun before."""
        self.run_id = f"{TAKEN.run_name}-1"
        self._store, self._prunes, self._right = store, prunes, ExitStack()
        store.write([RunRecord(self.run_id, TAKEN.run_name, "local", 0, "reuse", NOON)]).result()

    def ends_early(self, trial: Trial) -> bool:
        """Whether the sweep gives this trial up."""
        return self._prunes and trial == TAKEN

    def take(self) -> None:
        """Begin to work on the run."""
        self._right.enter_context(self._store.claim_run(self.run_id))

    def finish(self, outcome: TrialOutcome) -> None:
        """Once the free trial is over, end the run."""
        if outcome.trial == FREE:
            self._store.write([RunMove(self.run_id, RunState.DONE)]).result()
            self._right.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The other process's database."""
    with closing(open_store(str(tmp_path / "s.db"), clock=WallClock())) as opened:
        yield opened


@pytest.mark.parametrize("prunes", [False, True])
def test_a_run_that_another_process_took_is_waited_for(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prunes: bool
) -> None:
    """By its run alone, as `qorch train --resume` takes it, before the trial begins or while it is ended early."""
    elsewhere, begun = Elsewhere(store, prunes=prunes), []
    if not prunes:
        elsewhere.take()

    def start(trial: Trial, *_: Any, **__: Any) -> Process:
        begun.append(trial)
        return Process(trial, elsewhere)

    monkeypatch.setattr("qorch.sweeps.trials.start_trial", start)
    monkeypatch.setattr("qorch.sweeps.trials.POLL_SECONDS", 0.0)
    watcher = TrialWatcher(ended=elsewhere.finish, ends_early=lambda trial, _: elsewhere.ends_early(trial))
    terms = TrialTerms(db=str(tmp_path / "s.db"))
    ended = run_trials([TAKEN, FREE], terms, work=lambda *_: None, parallel=1, watcher=watcher)
    assert begun == ([TAKEN, FREE] if prunes else [FREE])
    assert [(each.trial, each.state, each.was_done) for each in ended] == [
        (FREE, TrialState.DONE, False),
        (TAKEN, TrialState.DONE, True),
    ]


def test_a_trial_that_goes_on_finds_its_files_where_they_are_now(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the data, the cache and the budget are those of the sweep that goes on; all else stays."""
    trained: list[Settings] = []
    monkeypatch.setattr("qorch.cli.trial_work.train_run", lambda _, settings, **__: trained.append(settings))
    before, now = (replace(TAKEN, options={"lr": "0.1", "data-dir": folder}) for folder in ("here", "there"))
    terms = TrialTerms(db=str(tmp_path / "s.db"), threads=torch.get_num_threads())
    stored = as_stored(trial_settings(before, terms))
    run = RunRecord(f"{TAKEN.run_name}-1", TAKEN.run_name, "local", 0, "reuse", NOON, "digits")
    store.write([replace(run, settings=msgspec.json.encode(stored).decode())]).result()
    train_trial(now, replace(terms, cache="off", budget=Money("USD", 2_000_000)))
    [settings] = trained
    assert (settings.data_dir, settings.cache, settings.sweep_budget) == ("there", "off", "2.00 USD")
    assert settings.own == stored["own"]


def test_a_trial_that_was_cancelled_meanwhile_has_not_failed(store: Store, tmp_path: Path) -> None:
    """As by another sweep that shares the trial, between the look at it and the beginning of its process."""
    run = RunRecord(f"{TAKEN.run_name}-1", TAKEN.run_name, "local", 0, "reuse", NOON, state=RunState.CANCELLED)
    store.write([run]).result()
    worked: list[Trial] = []
    answer = trial_process._carry_out(
        lambda trial, _: worked.append(trial), TAKEN, TrialTerms(db=str(tmp_path / "s.db"))
    )
    assert (answer.state, worked) == (TrialState.CANCELLED, [])


def test_a_programs_own_budgets_hold_beside_that_of_the_sweep(tmp_path: Path) -> None:
    """What the program itself allows its runs together is not replaced."""
    given: dict[str, Any] = {}

    def start(_: str, **options: Any) -> Any:
        given.update(options)

    own = Budget(limit=Money("USD", 1_000_000), name="own")
    terms = TrialTerms(db=str(tmp_path / "s.db"), budget=Money("USD", 2_000_000))
    runs = trial_work._TrialRuns(Trial("s", "mine.py"), terms, real_start=start)
    runs.start_run("mine", backend="local", shared_budgets=[own])
    assert [budget.name for budget in given["shared_budgets"]] == ["own", "s"]
