"""Whole runs through faults after the acceptance, as a class for each vendor.

A paid result is fetched again, kept, or run again row by row.
"""

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_checks import pace_of
from vendors import Vendor
from watched_runs import WatchedRun, check_values, watched_run, work_of

from qorch.cli.exit_codes import FAILED
from qorch.cli.main import exit_code
from qorch.errors import CredentialsError, InvalidResultError, JobFailedError, RunStoppedError
from qorch.model.job import JobState

FAULTS = ("reset", "429", "500", "503", "520", "hang", "drip", "truncated", "malformed", "html", "deep-json")
QUESTIONS = (
    *(f"{route}:{fault}" for route in ("list", "results") for fault in FAULTS),
    *(f"get:{fault}" for fault in ("reset", "500", "malformed", "deep-json")),
    "results:gzip-bomb",
)
SPEED = 10.0
"""How much faster than real a run's own waits pass, and ``SCALE`` where it waits for half a minute."""
SCALE = 60.0
MOST_DEVICE_CALLS = 4
"""While a device is closed for 1 1/2 minutes, once it is opened: before the first job, and then once a minute."""


class ResultFaultChecks:
    """What a subclass says: the ``vendor``, the ``settings`` of an emulator without noise, and options of its backend.

    ``target``: the backend alone; ``settling``: with a short settle time; ``slow``: for a run whose waits pass sixty
    times as fast. ``settle_seconds``: how long a job in doubt is not sent again, under ``settling`` and under ``slow``.
    ``credentials``: what an error says that refuses them. ``device_route``: of the call that asks whether a device
    takes jobs.
    """

    vendor: Vendor
    settings: Any
    target: str
    settling: str
    slow: str
    settle_seconds: tuple[float, float]
    credentials: str
    device_route: str
    n_jobs = 50
    """Of 20 rows each, in the run that meets every fault now and then."""

    def count_device_calls(self, emulator: Any) -> int:
        """How often the device was asked for so far."""
        return int(emulator.truth()["calls"]["by_route"].get(self.device_route, 0))

    def cancel_in_console(self, emulator: Any, job_id: str) -> None:
        """Cancel a job as another user of the account."""
        raise NotImplementedError

    def start(self, faults: str = "", **more: Any) -> AbstractContextManager[Any]:
        """An emulator with these faults."""
        return self.vendor.start(replace(self.settings, faults=faults, **more))

    def watch(
        self, emulator: Any, folder: Path, *, options: str = "", **more: Any
    ) -> AbstractContextManager[WatchedRun]:
        """A run on it, whose own waits pass quickly."""
        return watched_run(self.vendor, emulator, folder, options=options or self.target, **{"scale": SPEED, **more})

    def check_question(self, fault: str, folder: Path) -> None:
        """Whatever happens to one poll or fetch of two jobs, both are done, and nothing is submitted again."""
        deadline, scale = pace_of(fault)
        options = f"{self.settling}{deadline},rows=2"
        with (
            self.start(f"{fault}@1") as emulator,
            self.watch(emulator, folder, options=options, scale=scale) as watched,
        ):
            check_values(watched.run.execute(work_of(4))[0])
            assert list(watched.accepted_by_key().values()) == [1, 1]
            assert states(watched) == [JobState.DONE] * 2

    @pytest.mark.parametrize("fault", ["wrong-rows", "nan"])
    def test_a_wrong_result_is_fetched_again(self, fault: str, tmp_path: Path) -> None:
        """What is wrong once is not believed, and right the second time."""
        with self.start(f"results:{fault}@1") as emulator, self.watch(emulator, tmp_path) as watched:
            check_values(watched.run.execute(work_of(5))[0])
            assert [job["rows"] for job in emulator.jobs()] == [5]

    def check_held_answer(self, fault: str, folder: Path, *, target: str) -> None:
        """A paid answer that always comes wrong is held; the next session asks again, and nothing is bought twice."""
        with self.start(f"results:{fault}") as emulator:
            with self.watch(emulator, folder, options=target) as watched:
                with pytest.raises(InvalidResultError, match="held"):
                    watched.run.execute(work_of(5))
                assert states(watched) == [JobState.UNKNOWN]
            emulator.set_faults("")
            with self.watch(emulator, folder, options=target, resume=True) as watched:
                result = watched.run.execute(work_of(5))[0]
                assert (result.shots == result.pub.shots).all()
                assert states(watched) == [JobState.DONE]
                assert watched.sent == []
            assert [job["rows"] for job in emulator.jobs()] == [5]

    def test_only_the_failed_row_runs_again(self, tmp_path: Path) -> None:
        """One circuit of 30 fails: the second job has one row, and all 30 values are right."""
        self.check_lost_row("child-failure", tmp_path)

    def check_lost_row(self, fault: str, folder: Path) -> None:
        """A job of 30 rows meets this fault, and one of them runs again."""
        with self.start(f"post:{fault}@1") as emulator, self.watch(emulator, folder) as watched:
            check_values(watched.run.execute(work_of(30))[0])
            assert [job["rows"] for job in emulator.jobs()] == [30, 1]
            watched.check_submissions(settle_seconds=0.0)

    def test_a_failed_job_runs_again_under_another_key(self, tmp_path: Path) -> None:
        """A failure of the machine costs nothing and may be repeated; the first job is not touched."""
        with self.start("post:failure@1") as emulator, self.watch(emulator, tmp_path) as watched:
            check_values(watched.run.execute(work_of(3))[0])
            assert states(watched) == [JobState.FAILED, JobState.DONE]
            assert list(watched.accepted_by_key().values()) == [1, 1]

    def test_a_job_that_always_fails_ends_the_run_with_a_sentence(self, tmp_path: Path) -> None:
        """Three jobs, then no more."""
        with self.start("post:failure") as emulator, self.watch(emulator, tmp_path) as watched:
            with pytest.raises(JobFailedError, match=r"(?i)failed at ") as caught:
                watched.run.execute(work_of(3))
            assert exit_code(caught.value) == FAILED
            assert len(emulator.jobs()) == 3

    def test_a_stuck_job_is_never_sent_again_until_it_is_cancelled(self, tmp_path: Path) -> None:
        """Over a stop it stays submitted, asked after more and more rarely; its rows run again once it is cancelled."""
        with self.start("post:stuck") as emulator:
            with self.watch(emulator, tmp_path, options=self.slow, scale=SCALE) as watched:
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
            self.cancel_in_console(emulator, str(emulator.jobs()[0]["id"]))
            with self.watch(emulator, tmp_path, options=self.slow, resume=True) as watched:
                check_values(watched.run.execute(work_of(2))[0])
                assert states(watched) == [JobState.FAILED, JobState.DONE]
            assert [job["rows_completed"] for job in emulator.jobs()] == [0, 2]
            assert len({job["key"] for job in emulator.jobs()}) == 2

    def check_expired_key(self, route: str, folder: Path) -> None:
        """One sentence says what to renew; with a new key the run fetches what it had paid for, and sends nothing."""
        # Both jobs are there at once, so that they are asked after by one list.
        with self.start(execute="1") as emulator:
            options = f"{self.target},rows=2"
            with self.watch(emulator, folder, options=options) as watched:
                emulator.set_faults(f"{route}:token-expiry")
                with pytest.raises(CredentialsError, match=self.credentials) as caught:
                    watched.run.execute(work_of(4))
                assert exit_code(caught.value) == FAILED
                wait_until_submitted(watched)
            emulator.set_faults("")
            with self.watch(emulator, folder, options=options, resume=True) as watched:
                check_values(watched.run.execute(work_of(4))[0])
                assert watched.sent == []
            assert len(emulator.jobs()) == 2

    def test_a_refused_key_sends_nothing_more(self, tmp_path: Path) -> None:
        """Of ten jobs one learns it, or the few that were under way; the others never leave."""
        with (
            self.start("post:token-expiry") as emulator,
            self.watch(emulator, tmp_path, options=f"{self.target},rows=1") as watched,
        ):
            with pytest.raises(CredentialsError, match=self.credentials):
                watched.run.execute(work_of(10))
            assert emulator.jobs() == []
            assert len(watched.sent) <= 2

    def test_a_closed_backend_is_waited_for(self, tmp_path: Path) -> None:
        """While it is unavailable the queue pauses and asks it once a minute; then everything runs once."""
        with (
            self.start("unavailable@0s..1.5s") as emulator,
            self.watch(emulator, tmp_path, options=f"{self.slow},rows=1", scale=SCALE) as watched,
        ):
            n_opening = self.count_device_calls(emulator)
            check_values(watched.run.execute(work_of(4))[0])
            watched.check_submissions(settle_seconds=self.settle_seconds[1])
            assert states(watched) == [JobState.DONE] * 4
            assert n_opening <= 1
            assert 0 < self.count_device_calls(emulator) - n_opening <= MOST_DEVICE_CALLS

    def test_answers_of_a_hostile_server_are_unknown_outcomes(self, tmp_path: Path) -> None:
        """A bomb and a document 10,000 deep as answers to POSTs: settled by the key, and fetched."""
        with (
            self.start("post:gzip-bomb-after@1,post:deep-json-after@2") as emulator,
            self.watch(emulator, tmp_path, options=f"{self.settling},rows=2") as watched,
        ):
            check_values(watched.run.execute(work_of(4))[0])
            watched.check_submissions(settle_seconds=self.settle_seconds[0])
            assert np.sum([job["rows"] for job in emulator.jobs()]) == 4

    def test_many_rows_with_every_fault_now_and_then(self, tmp_path: Path) -> None:
        """Many jobs, every tenth call struck: all values are right, and no key is in the books twice."""
        kinds = ("reset", "429", "503", "520", "truncated", "html")
        faults = ",".join(f"any:{kind}-{moment}%0.01" for kind in kinds for moment in ("before", "after"))
        with (
            self.start(faults, seed=5) as emulator,
            self.watch(emulator, tmp_path, options=f"{self.slow},rows=20", scale=SCALE) as watched,
        ):
            check_values(watched.run.execute(work_of(20 * self.n_jobs, shots=512))[0])
            watched.check_submissions(settle_seconds=self.settle_seconds[1])
            assert sum(watched.accepted_by_key().values()) == self.n_jobs
            assert states(watched) == [JobState.DONE] * self.n_jobs


def states(watched: WatchedRun) -> list[JobState]:
    """The states of all jobs in the store."""
    return [job.state for job in watched.store.jobs()]


def wait_until_submitted(watched: WatchedRun) -> None:
    """Wait until a job is at the provider."""
    deadline = time.monotonic() + 10
    while not any(job.state is JobState.SUBMITTED for job in watched.store.jobs()):
        assert time.monotonic() < deadline, states(watched)
        time.sleep(0.01)
