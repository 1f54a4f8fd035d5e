"""The commands that compare, draw, export and delete runs, as a user types them."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.ports.clock import WallClock
from qorch.ports.records import MetricRecord, RunRecord, RunState, SessionRecord, StepRecord, Write
from qorch.testing.conformance.store_records import NOW, make_block, make_job, make_run
from qorch_jobs_db import open_store

N_RUNS, N_STEPS, N_JOBS = 400, 12, 2


def fill(path: Path, *runs: list[Write]) -> None:
    """Write runs to a database."""
    with closing(open_store(str(path), clock=WallClock())) as store:
        for writes in runs:
            store.write(writes)
        store.write([]).result()


def trained_run(number: int) -> list[Write]:
    """A finished training: an accuracy at its end, a loss in every step, jobs with their results."""
    run = f"fit-{number:03}"
    writes: list[Write] = [
        RunRecord(
            run, "fit", "local", 0, "resume", NOW, "digits", json.dumps({"own": {"lr": f"0.{number % 7 + 1}"}}),
            state=RunState.DONE, charges=False,
        ),
        SessionRecord(run, 0, 1, "host", NOW, 10**9, N_STEPS * N_JOBS * 10),
        MetricRecord(run, N_STEPS - 1, 1, "test_accuracy", (number * 37 % N_RUNS) / N_RUNS, NOW),
    ]  # fmt: skip
    for step in range(N_STEPS):
        writes += [StepRecord(run, step, 0, NOW, 10 * N_JOBS, 0, NOW, 0), MetricRecord(run, step, 0, "loss", 1.0, NOW)]
        for ordinal in range(N_JOBS):
            job = make_job(f"{run}/{step}.0.{ordinal}")
            writes.append(replace(job, state=JobState.DONE, provider_id="local"))
            if step == 0:
                writes.append(replace(make_block(40), run_id=run, job_id=job.job_id))
    return writes


def size_bytes(path: Path) -> int:
    """Of the database and its log."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*") if file.is_file())


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_400_runs_are_sorted_in_a_second_and_give_their_space_back(typed: Any) -> None:
    """`qorch runs --sort` takes less than a second; deleting 390 of 400 leaves a tenth of the space in use."""
    fill(typed.database)
    empty = size_bytes(typed.database)
    fill(typed.database, *map(trained_run, range(N_RUNS)))
    full = size_bytes(typed.database) - empty
    typed("runs", "--limit", "1")  # loads what commands share
    started = time.perf_counter()
    outcome = typed("runs", "--sort", "-test_accuracy", "--json")
    assert time.perf_counter() - started < 1.0
    runs = outcome.document["runs"]
    accuracies = [run["metrics"]["test_accuracy"] for run in runs]
    assert len(runs) == N_RUNS
    assert accuracies == sorted(accuracies, reverse=True)
    outcome = typed("delete", *(run["run"] for run in runs[10:]), "--yes", "--json")
    assert (outcome.code, len(outcome.document["deleted"])) == (0, N_RUNS - 10), outcome.err
    assert typed("runs", "--sort", "-test_accuracy", "--json").document["runs"] == runs[:10]
    left = size_bytes(typed.database) - empty
    assert left < full / 10
    assert outcome.document["bytes"] > 0.8 * full


def test_runs_are_compared_drawn_exported_and_deleted(typed: Any) -> None:
    """Two trainings that differ in one setting, from the table to an empty database."""
    for rate in ("0.05", "0.2"):
        assert (
            typed("train", "digits", *typed.small, "--backend", "local", "--lr", rate, "--name", f"lr{rate}").code == 0
        )
    table = typed("runs", "--sort", "-loss").out
    assert table.split()[:5] == ["run", "state", "loss", "test_accuracy", "baseline_accuracy"]
    assert "lr" in table.splitlines()[0].split()
    assert "epochs" not in table
    [run] = typed("runs", "--filter", "lr=0.2", "--filter", "test_accuracy>=0", "--json").document["runs"]
    assert run["name"] == "lr0.2"
    rows = list(csv.DictReader(io.StringIO(typed("runs", "--csv", "--sort", "lr").out)))
    assert [row["settings.lr"] for row in rows] == ["0.05", "0.2"]
    assert float(rows[1]["metrics.loss"]) == run["metrics"]["loss"]

    drawn = typed("plot", "lr0.05", "lr0.2", "--metric", "loss", "--x", "circuits", "-o", "x.svg", "--json").document
    assert (drawn["metrics"], len(drawn["runs"])) == (["loss"], 2)
    assert b"<svg" in (typed.folder / "x.svg").read_bytes()

    assert typed("export", "lr0.2", "model.pt").code == 0
    state = torch.load(typed.folder / "model.pt", weights_only=True)
    assert list(state) == ["0.weights", "1.weight", "1.bias"]
    again = typed("export", "lr0.2", "model.pt")
    assert (again.code, "--force" in again.error) == (2, True)

    assert typed("delete", "lr0.05", "lr0.2").code == 0
    assert typed("runs", "--json").document == {"runs": []}
    assert typed("jobs", "--json").document == {"jobs": [], "open_sessions": []}


def test_show_tells_what_was_in_force(trained: Any) -> None:
    """Every setting with its value, the workload's defaults among them; versions, arguments, and the commit if any."""
    document = trained("show", "latest", "--json").document
    assert document["settings"] == {
        "workload": "digits", "name": "digits", "backend": "local", "shots": 1024, "epochs": 1, "batch_size": 16,
        "limit": 40, "gradient": "parameter-shift", "budget": None, "cache": "resume", "data_dir": None, "seed": 0,
        "own": {"classes": "3,6", "lr": "0.05"},
    }  # fmt: skip
    environment = document["environment"]
    assert environment["argv"][1:4] == ["train", "digits", "--limit"]
    assert environment["packages"]["torch"] == torch.__version__
    assert document["steps"][0]["begun_at"] <= document["steps"][0]["ended_at"]
    text = trained("show", "latest").out
    assert all(word in text for word in ("lr          0.05", "epochs      1", "numba", "argv"))


def test_a_run_of_an_older_version_is_resumed(typed: Any) -> None:
    """Its settings were stored as null where nothing was said."""
    assert typed("train", "digits", *typed.small).code == 0
    with closing(open_store(str(typed.database), clock=WallClock())) as store:
        [run] = store.runs()
        old = json.loads(run.settings) | {"gradient": None, "cache": None, "own": {}}
        store.write([replace(run, settings=json.dumps(old), state=RunState.STOPPED)]).result()
    outcome = typed("train", "digits", "--resume", "--json")
    assert (outcome.code, outcome.document["rows_executed"]) == (0, 1044 * 2)


def test_wrong_options_are_refused(typed: Any) -> None:
    """Each with exit code 2 and one line that says what there is."""
    fill(typed.database, trained_run(1))
    for arguments, words in (
        (("runs", "--sort", "acuracy"), "metrics.test_accuracy"),
        (("runs", "--filter", "lr"), "write for example"),
        (("runs", "--state", "ended"), "interrupted"),
        (("runs", "--csv", "--json"), "not both"),
        (("plot", "fit", "--metric", "acc"), "loss"),
        (("plot", "fit", "--x", "hours"), "circuits"),
        (("plot", "fit", "-o", "x.pdf"), ".svg"),
        (("export", "nobody", "x.pt"), "nobody"),
        (("delete", "fit", "nobody"), "nobody"),
    ):
        outcome = typed(*arguments)
        assert (outcome.code, words in outcome.error) == (2, True), outcome.err
    assert len(typed("runs", "--json").document["runs"]) == 1
    assert typed("export", "fit", "x.pt").code == 1


def test_what_was_paid_for_is_kept_unless_forced(typed: Any) -> None:
    """A run with ledger entries, one with jobs on a backend that charges, one with open jobs; forced, books stay."""
    spent = replace(make_run("spent"), state=RunState.DONE)
    sent = replace(make_run("sent"), state=RunState.DONE, charges=True)
    waits = replace(make_run("waits"), state=RunState.STOPPED, charges=False)
    fill(
        typed.database,
        [spent, make_job("spent/0.0.0"), LedgerRecord("spent", "spent/0.0.0", EntryKind.SPENT, "USD", 5, NOW)],
        [sent, replace(make_job("sent/0.0.0"), state=JobState.DONE, provider_id="p-1")],
        [waits, replace(make_job("waits/0.0.0"), state=JobState.UNKNOWN)],
    )
    for run, words in (("spent", "paid results"), ("sent", "paid results"), ("waits", "1 of its jobs are open")):
        refused = typed("delete", run, "--yes")
        assert (refused.code, words in refused.error, "--force" in refused.error) == (2, True, True)
    done = typed("delete", "spent", "sent", "waits", "--force", "--json").document
    assert done["in_books"] == ["spent", "sent"]
    assert typed("runs", "--json").document == {"runs": []}
    assert [job["run"] for job in typed("jobs", "--json").document["jobs"]] == ["spent", "sent"]
    with closing(open_store(str(typed.database), clock=WallClock())) as store:
        assert len(store.ledger()) == 1
    assert typed("delete", "spent").code == 2


def test_what_is_bought_while_the_user_is_asked_is_kept(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The question may stand for hours; meanwhile another process goes on with the run, and pays."""
    fill(typed.database, [replace(make_run("r"), state=RunState.STOPPED, charges=True)])

    def buy(*_arguments: object, **_settings: object) -> None:
        fill(typed.database, [replace(make_job("r/0.0.0"), state=JobState.DONE, provider_id="p-1"), make_block(4)])

    monkeypatch.setattr("qorch.cli.delete._confirm", buy)
    refused = typed("delete", "r")
    assert (refused.code, "paid results" in refused.error) == (2, True)
    with closing(open_store(str(typed.database), clock=WallClock())) as store:
        assert store.cache_statistics().blocks == 1


def test_a_run_at_work_is_never_deleted(typed: Any) -> None:
    """Not even with --force."""
    fill(typed.database, [make_run("busy")])
    with closing(open_store(str(typed.database), clock=WallClock())) as store, store.claim_run("busy"):
        refused = typed("delete", "busy", "--force", "--yes")
        assert (refused.code, "qorch cancel busy" in refused.error) == (2, True)
        assert store.find_run("busy") is not None


def test_on_a_terminal_deleting_asks_first(qorch: Any) -> None:
    """Pressing only return means no; y deletes."""
    fill(qorch.database, [replace(make_run("r"), state=RunState.DONE)])
    for typed_text, code, left in ((b"\n", 1, 1), (b"y\n", 0, 0)):
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "qorch.cli.main", "delete", "r"],
            cwd=qorch.folder, env=qorch.environment, stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(follower)
        os.write(leader, typed_text)
        _, asked = process.communicate(timeout=60)
        os.close(leader)
        assert process.returncode == code, asked
        assert b"Delete this run for good?" in asked
        with closing(open_store(str(qorch.database), clock=WallClock())) as store:
            assert len(store.runs()) == left


def test_names_of_metrics_cannot_steer_the_terminal(typed: Any) -> None:
    """Escape codes in them are shown as text, in the table and the report; a spreadsheet gets no formula."""
    evil = "=1+1\x1b[2J"
    run = [replace(make_run("r"), state=RunState.DONE), MetricRecord("r", -1, 0, evil, 0.5, NOW)]
    fill(typed.database, run)
    for command in (("runs",), ("show", "r"), ("report", "r")):
        outcome = typed(*command)
        assert (outcome.code, "\x1b" in outcome.out) == (0, False)
    assert ",metrics.=1+1" in typed("runs", "--csv").out
    assert typed("runs", "--json").document["runs"][0]["metrics"] == {evil: 0.5}
