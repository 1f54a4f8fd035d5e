"""Which trials a sampler chooses, and which a pruner ends, by what the database has."""

import datetime as dt
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from qorch.cli.settings import as_stored, read_settings
from qorch.ports.clock import WallClock
from qorch.ports.records import MetricRecord, RunRecord, RunState, SessionRecord, StepRecord
from qorch.stores import open_store
from qorch.sweeps.grid import GridRange, Values
from qorch.sweeps.ranking import MINIMIZE, Ranking
from qorch.sweeps.search import Search
from qorch.sweeps.stored_trial import read_trials
from qorch.sweeps.trial import Trial
from qorch.sweeps.trial_process import TrialState
from qorch.sweeps.trials import TrialOutcome

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
SPACE: dict[str, Values] = {"lr": GridRange(0.001, 1.0, is_whole=False, is_log=True), "classes": ("3,6", "1,7")}


def make_trial(values: Mapping[str, str]) -> Trial:
    """A trial of digits with these values."""
    return Trial("s", "digits", backend="local", seed=0, options=dict(values), chosen=dict(values))


def search(
    db: Path, space: Mapping[str, Values] = SPACE, *, sampler: str | None = None, pruner: str | None = None
) -> Search:
    """A search for the smallest loss, of six trials."""
    ranking = Ranking("loss", MINIMIZE)
    return Search(space, make_trial=make_trial, ranking=ranking, n_trials=6, db=str(db), sampler=sampler, pruner=pruner)


def record(
    db: Path, trial: Trial, *, state: str = RunState.DONE, losses: tuple[float, ...], first_step: int = 0
) -> None:
    """Write down a run of the trial, with a loss for each step; ``first_step``: -1 if one is logged before them."""
    settings = as_stored(read_settings("digits", trial.run_name, trial.options))
    with closing(open_store(str(db), clock=WallClock())) as store:
        created = NOON + dt.timedelta(minutes=len(store.runs()))
        run = RunRecord(
            trial.run_name, trial.run_name, "local", 0, "reuse", created, "digits", state=state,
            settings=msgspec.json.encode(settings).decode(),
        )  # fmt: skip
        steps = [StepRecord(run.run_id, index, 0, NOON, 0, 0) for index, _ in enumerate(losses)]
        logged = [
            MetricRecord(run.run_id, step, 0, "loss", value, NOON) for step, value in enumerate(losses, first_step)
        ]
        store.write([run, SessionRecord(run.run_id, 0, 1, "here", NOON), *steps, *logged]).result()


def loss_of(trial: Trial) -> float:
    """The loss that a training with these values has."""
    return abs(float(trial.options["lr"]) - 0.1) + (0.5 if trial.options["classes"] == "1,7" else 0.0)


def try_all(db: Path, *, stop_after: int = 100, sampler: str = "tpe") -> list[str]:
    """Go through the trials, each with its loss; the names of those that were not done before."""
    one, new = search(db, sampler=sampler), []
    for trial in one.trials():
        with closing(open_store(str(db), clock=WallClock())) as store:
            was_done = store.find_run(trial.run_name) is not None
        if not was_done:
            record(db, trial, losses=(loss_of(trial),))
            new.append(trial.run_name)
        one.end(TrialOutcome(trial, TrialState.DONE, was_done=was_done))
        if len(new) == stop_after:
            break
    return new


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_stopped_search_chooses_the_same_trials(tmp_path: Path, sampler: str) -> None:
    """Six different ones, whether the sweep is stopped in the middle or not."""
    whole = try_all(tmp_path / "whole.db", sampler=sampler)
    begun = try_all(tmp_path / "stopped.db", sampler=sampler, stop_after=3)
    ended = try_all(tmp_path / "stopped.db", sampler=sampler)
    assert [*begun, *ended] == whole
    assert len(set(whole)) == 6
    assert try_all(tmp_path / "whole.db", sampler=sampler) == []


def test_a_trial_that_was_stopped_goes_on_first(tmp_path: Path) -> None:
    """It is not chosen anew, and counts as one of those that were asked for."""
    stopped = make_trial({"lr": "0.03", "classes": "1,7"})
    record(tmp_path / "s.db", stopped, state=RunState.STOPPED, losses=(0.5,))
    record(tmp_path / "s.db", make_trial({"lr": "5", "classes": "1,7"}), losses=(0.5,))
    trials = list(search(tmp_path / "s.db").trials())
    assert trials[0].run_name == stopped.run_name
    assert len(trials) == 6


def test_a_sequence_that_begins_anew_still_finds_new_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped search by qmc, which goes through all trials that were there, ends with as many as one left alone."""
    monkeypatch.setattr("qorch.sweeps.search._MOST_REPEATS", 2)
    whole = try_all(tmp_path / "whole.db", sampler="qmc")
    begun = try_all(tmp_path / "stopped.db", sampler="qmc", stop_after=5)
    assert [*begun, *try_all(tmp_path / "stopped.db", sampler="qmc")] == whole
    assert len(whole) == 6


def test_what_is_logged_before_the_first_step_ends_no_sweep(tmp_path: Path) -> None:
    """Pruners know steps from 0 on: an earlier value is left out, of finished trials and of one at work."""
    db = tmp_path / "s.db"
    record(db, make_trial({"lr": "0.1", "classes": "3,6"}), losses=(9.0, 0.5), first_step=-1)
    working = make_trial({"lr": "0.2", "classes": "3,6"})
    record(db, working, state=RunState.RUNNING, losses=(9.0, 0.4), first_step=-1)
    one = search(db, pruner="median")
    names = [trial.run_name for trial, _ in zip(one.trials(), range(2), strict=False)]
    assert names[1] == working.run_name
    with closing(open_store(str(db), clock=WallClock())) as store:
        assert not one.ends_early(working, store)


def test_a_programs_own_seed_is_what_was_swept(tmp_path: Path) -> None:
    """What a program does with --seed is its own affair: the trial has the value that the sweep gave it."""
    trial = Trial("s", "mine.py", seed=None, options={"seed": "4"})
    settings = '{"script": "mine.py", "options": {"seed": "4"}}'
    with closing(open_store(str(tmp_path / "s.db"), clock=WallClock())) as store:
        store.write([RunRecord(trial.run_name, trial.run_name, "local", 1, "reuse", NOON, settings=settings)]).result()
        [stored] = read_trials(store, "s")
    assert stored.options == {"seed": "4", "backend": "local"}


def test_a_space_that_is_used_up_ends_the_search(tmp_path: Path) -> None:
    """No trial is chosen twice, though more were asked for."""
    trials = list(search(tmp_path / "s.db", {"lr": ("0.1", "0.2"), "classes": ("3,6", "1,7")}).trials())
    assert len({trial.run_name for trial in trials}) == len(trials) == 4


def test_the_median_ends_a_trial_that_falls_behind(tmp_path: Path) -> None:
    """One that is worse than the median of five at the same step ends; one that is better goes on."""
    db = tmp_path / "s.db"
    for index in range(5):
        record(db, make_trial({"lr": f"0.1{index}", "classes": "3,6"}), losses=(1.0, 0.5))
    bad, good = make_trial({"lr": "0.9", "classes": "1,7"}), make_trial({"lr": "0.09", "classes": "3,6"})
    record(db, bad, state=RunState.RUNNING, losses=(2.0, 1.5))
    record(db, good, state=RunState.RUNNING, losses=(0.9, 0.4))
    one = search(db, pruner="median")
    names = [trial.run_name for trial, _ in zip(one.trials(), range(7), strict=False)]
    assert names[-2:] == [bad.run_name, good.run_name]
    with closing(open_store(str(db), clock=WallClock())) as store:
        assert one.ends_early(bad, store)
        assert not one.ends_early(good, store)
