"""Whole runs through faults after the acceptance: a paid result is fetched again, kept, or re-run row by row."""

import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from ionq_runs import SHOTS, WatchedRun, check_values, watched_run, work_of

from qorch.cli.exit_codes import FAILED
from qorch.cli.main import exit_code
from qorch.errors import (
    CredentialsError,
    InvalidResultError,
    JobFailedError,
    RunStoppedError,
)
from qorch.model.job import JobState
from qorch_providers.emulators.ionq import RunningEmulator, Settings, start

FAULTS = ("reset", "429", "500", "503", "520", "hang", "drip", "truncated", "malformed", "html", "deep-json")
OPTIONS = "simulator,settle=0.2,deadline=0.4"
SLOW_OPTIONS = "simulator,settle=12,deadline=5"


def states(watched: WatchedRun) -> list[JobState]:
    """The states of all jobs in the store."""
    return [job.state for job in watched.store.jobs()]


@pytest.mark.parametrize(
    ("route", "fault"),
    [(route, fault) for route in ("list", "results") for fault in FAULTS]
    + [("get", fault) for fault in ("reset", "500", "malformed", "deep-json")]
    + [("results", "gzip-bomb")],
)
def test_a_bad_answer_to_a_question_is_asked_again(route: str, fault: str, tmp_path: Path) -> None:
    """Whatever happens to one poll or fetch of two jobs, both are done, and nothing is submitted again."""
    with (
        start(Settings(faults=f"{route}:{fault}@1")) as emulator,
        watched_run(emulator, tmp_path, options=OPTIONS + ",rows=2") as watched,
    ):
        check_values(watched.run.execute(work_of(4))[0])
        assert list(watched.accepted_by_key().values()) == [1, 1]
        assert states(watched) == [JobState.DONE] * 2


@pytest.mark.parametrize("fault", ["wrong-rows", "nan"])
def test_a_wrong_result_is_fetched_again(fault: str, tmp_path: Path) -> None:
    """What is wrong once is not believed, and right the second time."""
    with start(Settings(faults=f"results:{fault}@1")) as emulator, watched_run(emulator, tmp_path) as watched:
        check_values(watched.run.execute(work_of(5))[0])
        assert [job["rows"] for job in emulator.jobs()] == [5]


def test_the_order_of_rows_in_an_answer_does_not_matter(tmp_path: Path) -> None:
    """Rows are paired by the ids of their circuits."""
    with start(Settings(faults="results:wrong-order")) as emulator, watched_run(emulator, tmp_path) as watched:
        check_values(watched.run.execute(work_of(5))[0])
        assert states(watched) == [JobState.DONE]


@pytest.mark.parametrize(("fault", "trace"), [("wrong-rows", b"completed"), ("nan", b"NaN"), ("malformed", b"\x01")])
def test_a_result_that_stays_wrong_is_kept_and_never_used(fault: str, trace: bytes, tmp_path: Path) -> None:
    """After three fetches the job has failed, its bytes are in quarantine, and no row came of it."""
    with start(Settings(faults=f"results:{fault}")) as emulator, watched_run(emulator, tmp_path) as watched:
        with pytest.raises(InvalidResultError) as caught:
            watched.run.execute(work_of(5))
        assert exit_code(caught.value) == FAILED
        (job,) = watched.store.jobs()
        assert job.state is JobState.FAILED
        raw = watched.store.raw_result(job.job_id)
        assert raw is not None
        assert raw.is_quarantined
        assert trace in raw.content
        assert watched.store.blocks_at(job.run_id, job.position) == []
        assert len(watched.accepted_by_key()) == 1


def test_a_paid_answer_that_could_not_be_read_is_fetched_by_the_next_session(tmp_path: Path) -> None:
    """However often it comes wrong, the job is held; a session after that asks again, and nothing is bought twice."""
    options = "qpu.forte-1"
    with start(Settings(faults="results:wrong-rows")) as emulator:
        with watched_run(emulator, tmp_path, options=options) as watched:
            with pytest.raises(InvalidResultError, match="held"):
                watched.run.execute(work_of(5))
            assert states(watched) == [JobState.UNKNOWN]
        httpx.post(f"{emulator.root}/_emulator/faults", json={"faults": ""}).raise_for_status()
        with watched_run(emulator, tmp_path, options=options, resume=True) as watched:
            assert (watched.run.execute(work_of(5))[0].shots == SHOTS).all()
            assert states(watched) == [JobState.DONE]
            assert watched.sent == []
        assert [job["rows"] for job in emulator.jobs()] == [5]


@pytest.mark.parametrize("fault", ["child-failure", "child-missing"])
def test_only_the_failed_row_runs_again(fault: str, tmp_path: Path) -> None:
    """One circuit of 30 fails: the second job has one row, and all 30 values are right."""
    with start(Settings(faults=f"post:{fault}@1")) as emulator, watched_run(emulator, tmp_path) as watched:
        check_values(watched.run.execute(work_of(30))[0])
        assert [job["rows"] for job in emulator.jobs()] == [30, 1]
        watched.check_submissions(settle_seconds=0.0)


def test_a_failed_job_runs_again_under_another_key(tmp_path: Path) -> None:
    """A failure of the machine costs nothing and may be repeated; the first job is not touched."""
    with start(Settings(faults="post:failure@1")) as emulator, watched_run(emulator, tmp_path) as watched:
        check_values(watched.run.execute(work_of(3))[0])
        assert states(watched) == [JobState.FAILED, JobState.DONE]
        assert list(watched.accepted_by_key().values()) == [1, 1]


def test_a_job_that_always_fails_ends_the_run_with_a_sentence(tmp_path: Path) -> None:
    """Three jobs, then no more."""
    with start(Settings(faults="post:failure")) as emulator, watched_run(emulator, tmp_path) as watched:
        with pytest.raises(JobFailedError, match="failed at IonQ") as caught:
            watched.run.execute(work_of(3))
        assert exit_code(caught.value) == FAILED
        assert len(emulator.jobs()) == 3


def wait_until_submitted(watched: WatchedRun) -> None:
    """Wait until a job is at the provider."""
    deadline = time.monotonic() + 10
    while not any(job.state is JobState.SUBMITTED for job in watched.store.jobs()):
        assert time.monotonic() < deadline, states(watched)
        time.sleep(0.01)


def cancel_in_console(emulator: RunningEmulator, job_id: str) -> None:
    """Cancel a job as another user of the same API key."""
    headers = {"authorization": "apiKey other"}
    assert httpx.put(f"{emulator.url}/jobs/{job_id}/status/cancel", headers=headers).status_code == 200


def test_a_stuck_job_is_never_sent_again_until_it_is_cancelled(tmp_path: Path) -> None:
    """It stays submitted over a stop and is asked after ever more rarely; once it is cancelled its rows run again."""
    with start(Settings(faults="post:stuck")) as emulator:
        with watched_run(emulator, tmp_path, options=SLOW_OPTIONS, scale=60) as watched:
            pending = watched.run.submit(work_of(2))
            wait_until_submitted(watched)
            time.sleep(0.5)
            watched.run.stop()
            with pytest.raises(RunStoppedError):
                pending.result()
            assert states(watched) == [JobState.SUBMITTED]
            # Every 50 ms at first, later after 3 % of its age: some 130 questions in 30 s.
            assert sum(emulator.truth()["calls"]["by_route"].values()) < 170
        emulator.set_faults("")
        cancel_in_console(emulator, str(emulator.jobs()[0]["id"]))
        with watched_run(emulator, tmp_path, options=SLOW_OPTIONS, resume=True) as watched:
            check_values(watched.run.execute(work_of(2))[0])
            assert states(watched) == [JobState.FAILED, JobState.DONE]
        assert [job["status"] for job in emulator.jobs()] == ["canceled", "completed"]
        assert len({job["key"] for job in emulator.jobs()}) == 2


@pytest.mark.parametrize("route", ["list", "get", "results"])
def test_an_expired_key_stops_the_run_and_loses_nothing(route: str, tmp_path: Path) -> None:
    """One sentence names the variable; with a new key the run fetches what it had paid for, and sends nothing."""
    # Both jobs are there at once, so that they are asked after by one list.
    with start(Settings(execute="2")) as emulator:
        with watched_run(emulator, tmp_path, options="simulator,rows=2") as watched:
            emulator.set_faults(f"{route}:token-expiry")
            with pytest.raises(CredentialsError, match="IONQ_API_KEY") as caught:
                watched.run.execute(work_of(4))
            assert exit_code(caught.value) == FAILED
            wait_until_submitted(watched)
        emulator.set_faults("")
        with watched_run(emulator, tmp_path, options="simulator,rows=2", resume=True) as watched:
            check_values(watched.run.execute(work_of(4))[0])
            assert watched.sent == []
        assert len(emulator.jobs()) == 2


def test_a_refused_key_sends_nothing_more(tmp_path: Path) -> None:
    """Of ten jobs one learns it, or the few that were under way; the others never leave."""
    with (
        start(Settings(faults="post:token-expiry")) as emulator,
        watched_run(emulator, tmp_path, options="simulator,rows=1") as watched,
    ):
        with pytest.raises(CredentialsError, match="IONQ_API_KEY"):
            watched.run.execute(work_of(10))
        assert emulator.jobs() == []
        assert len(watched.sent) <= 2


def test_a_closed_backend_is_waited_for(tmp_path: Path) -> None:
    """While it says that it is unavailable the queue pauses and asks it once a minute; then everything runs once."""
    with (
        start(Settings(faults="unavailable@0s..1.5s")) as emulator,
        watched_run(emulator, tmp_path, options=SLOW_OPTIONS + ",rows=1", scale=60) as watched,
    ):
        check_values(watched.run.execute(work_of(4))[0])
        watched.check_submissions(settle_seconds=12)
        assert states(watched) == [JobState.DONE] * 4
        assert emulator.truth()["calls"]["by_route"]["GET /v0.4/backends/{backend}"] <= 4


def test_answers_of_a_hostile_server_are_unknown_outcomes(tmp_path: Path) -> None:
    """A bomb and a document 10,000 deep as answers to POSTs: looked up by key, found, fetched."""
    with (
        start(Settings(faults="post:gzip-bomb-after@1,post:deep-json-after@2")) as emulator,
        watched_run(emulator, tmp_path, options="simulator,settle=0.2,rows=2") as watched,
    ):
        check_values(watched.run.execute(work_of(4))[0])
        watched.check_submissions(settle_seconds=0.2)
        assert np.sum([job["rows"] for job in emulator.jobs()]) == 4


def test_a_thousand_rows_with_every_fault_now_and_then(tmp_path: Path) -> None:
    """Fifty jobs, every tenth call struck: all values are right, and no key is in the books twice."""
    kinds = ("reset", "429", "503", "520", "truncated", "html")
    faults = ",".join(f"any:{kind}-{moment}%0.01" for kind in kinds for moment in ("before", "after"))
    with (
        start(Settings(faults=faults, seed=5)) as emulator,
        watched_run(emulator, tmp_path, options="simulator,settle=12,rows=20", scale=60) as watched,
    ):
        check_values(watched.run.execute(work_of(1000))[0])
        watched.check_submissions(settle_seconds=12)
        assert sum(watched.accepted_by_key().values()) == 50
        assert states(watched) == [JobState.DONE] * 50
