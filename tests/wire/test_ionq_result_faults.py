"""Whole runs through faults after the acceptance: a paid result is fetched again, kept, or re-run row by row."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from ionq_vendor import IONQ
from result_fault_checks import QUESTIONS, ResultFaultChecks, states
from watched_runs import check_values, work_of

from qorch.cli.exit_codes import FAILED
from qorch.cli.main import exit_code
from qorch.errors import InvalidResultError
from qorch.model.job import JobState
from qorch_providers.emulators.ionq import Settings


class TestIonqResultFaults(ResultFaultChecks):
    """On the ideal simulator."""

    vendor = IONQ
    settings = Settings()
    target = "simulator"
    settling = "simulator,settle=10"
    slow = "simulator,settle=12,deadline=5"
    settle_seconds = (10.0, 12.0)
    credentials = "IONQ_API_KEY"
    device_route = "GET /v0.4/backends/{backend}"

    def cancel_in_console(self, emulator: Any, job_id: str) -> None:
        """See ResultFaultChecks."""
        headers = {"authorization": "apiKey other"}
        assert httpx.put(f"{emulator.url}/jobs/{job_id}/status/cancel", headers=headers).status_code == 200

    @pytest.mark.parametrize("fault", QUESTIONS)
    def test_a_bad_answer_to_a_question_is_asked_again(self, fault: str, tmp_path: Path) -> None:
        """Of a list, a job or its results."""
        self.check_question(fault, tmp_path)

    def test_only_the_missing_row_runs_again(self, tmp_path: Path) -> None:
        """A circuit that no answer has was not charged."""
        self.check_lost_row("child-missing", tmp_path)

    @pytest.mark.parametrize("route", ["list", "get", "results"])
    def test_an_expired_key_stops_the_run_and_loses_nothing(self, route: str, tmp_path: Path) -> None:
        """Whatever is asked for when the key expires."""
        self.check_expired_key(route, tmp_path)

    def test_the_order_of_rows_in_an_answer_does_not_matter(self, tmp_path: Path) -> None:
        """Rows are paired by the ids of their circuits."""
        with self.start("results:wrong-order") as emulator, self.watch(emulator, tmp_path) as watched:
            check_values(watched.run.execute(work_of(5))[0])
            assert states(watched) == [JobState.DONE]

    @pytest.mark.parametrize(
        ("fault", "trace"), [("wrong-rows", b"completed"), ("nan", b"NaN"), ("malformed", b"\x01")]
    )
    def test_a_result_that_stays_wrong_is_kept_and_never_used(self, fault: str, trace: bytes, tmp_path: Path) -> None:
        """After three fetches the job has failed, its bytes are in quarantine, and no row came of it."""
        with self.start(f"results:{fault}") as emulator, self.watch(emulator, tmp_path) as watched:
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

    def test_a_paid_answer_that_could_not_be_read_is_fetched_by_the_next_session(self, tmp_path: Path) -> None:
        """However often it comes wrong, the job is held; a later session asks again, and nothing is bought twice."""
        self.check_held_answer("wrong-rows", tmp_path, target="qpu.forte-1")
