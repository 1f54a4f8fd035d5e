"""Jobs that were never sent are counted apart from those that were; what failed for good says how to go on."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from simulation.harness import Sandbox

from qorch.audit.report import make_report
from qorch.cli.main import run_command
from qorch.engine.engine import Engine
from qorch.errors import JobFailedError
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord, RunRecord
from qorch.recovery import release_job
from qorch.stores import open_store
from qorch.testing.fakes.remote import PAID

HERE = Position(0, 0)
STATES = (
    (JobState.DONE, "id-0"), (JobState.CANCELLED, None), (JobState.RESERVED, None), (JobState.FAILED, None),
    (JobState.UNKNOWN, None), (JobState.CANCELLED, "id-5"), (JobState.INTENT, None),
)  # fmt: skip
"""Of seven jobs; the second and third were never sent."""


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """One run with a job in each of these states."""
    path = tmp_path / "q.db"
    now = WallClock().now()
    with closing(open_store(path, clock=WallClock())) as store:
        run = RunRecord("r-20261129-120000-abcd", "r", "ionq:qpu.forte-1", 1, "resume", now)
        jobs = [
            JobRecord(f"{run.run_id}/0.0.{number}", run.run_id, HERE, state, 4, 20, now, provider_id, 1)
            for number, (state, provider_id) in enumerate(STATES)
        ]
        store.write([run, *jobs]).result()
    return path


def test_reports_count_them_apart(
    database: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`report`, `show` and the view; the states keep their meaning."""
    monkeypatch.setenv("QORCH_DB", str(database))
    by_state = {"done": 1, "cancelled": 2, "reserved": 1, "failed": 1, "unknown": 1, "intent": 1}
    for command in ("report", "show"):
        assert run_command([command, "latest", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert (document["jobs"], document["jobs_unsent"], document["jobs_by_state"]) == (5, 2, by_state)
    assert run_command(["report", "latest"]) == 0
    text = capsys.readouterr().out
    assert "in 5 jobs" in text
    assert "never sent: 2 more jobs, of which nothing ran" in text
    assert run_command(["show", "latest"]) == 0
    assert "(2 of them never sent)" in capsys.readouterr().out
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT jobs, jobs_unsent FROM run_overview").fetchall() == [(5, 2)]


def test_a_released_job_that_was_accepted_still_counts(database: Path) -> None:
    """Its answer could not be read, and a person gave it up: it was sent, and its cost is not known."""
    with closing(open_store(database, clock=WallClock())) as store:
        (held,) = store.jobs(state=JobState.UNKNOWN)
        store.write([JobRecord(**{**vars(held), "provider_id": "id-4"})]).result()
        assert release_job(store, held.job_id, clock=WallClock()).provider_id == "id-4"
        report = make_report(store, "r")
        assert (report.jobs, report.jobs_unsent, report.spend) == (5, 2, None)


@pytest.mark.parametrize("is_repeatable", [True, False])
def test_a_job_that_failed_for_good_says_how_to_go_on(sandbox: Sandbox, is_repeatable: bool) -> None:
    """The job, the provider's reason, and the next step; resumed, its rows run as a new job."""
    sandbox.provider.failures = lambda: JobFailedError("the provider's own reason", is_repeatable=is_repeatable)
    remote = sandbox.remote(capabilities=PAID)

    async def work() -> None:
        engine: Engine = sandbox.engine(remote)
        await engine.open()
        with pytest.raises(JobFailedError, match="the provider's own reason") as caught:
            await sandbox.execute(engine, 4, step=3)
        text = str(caught.value)
        assert f"job r/3.0.{2 if is_repeatable else 0} (4 circuits of step 3, call 0)" in text
        assert "resume=True" in text
        assert "--resume r`" in text
        await engine.close()
        sandbox.provider.failures = lambda: None
        again = sandbox.engine(remote)
        await again.open()
        await sandbox.execute(again, 4, step=3, is_replayed=True)

    sandbox.run(work())
    assert [job.state for job in sandbox.store.jobs("r")][-1] is JobState.DONE
    assert sandbox.store.jobs("r")[0].error == "the provider's own reason"
