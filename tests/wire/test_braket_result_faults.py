"""Whole runs on Braket through faults after the acceptance: a paid result is fetched again, kept, or re-run."""

from pathlib import Path
from typing import Any

import pytest
from braket_bench import BraketBench
from braket_vendor import BRAKET, FREE
from result_fault_checks import FAULTS, ResultFaultChecks, states
from watched_runs import work_of

from qorch.errors import HeldResultError
from qorch.model.job import JobState

BRIEF = ("get:reset", "get:500", "get:deep-json", "results:reset", "results:truncated", "results:html", "results:hang")
OTHERS = [
    fault for fault in (f"{route}:{kind}" for route in ("get", "results") for kind in FAULTS) if fault not in BRIEF
] + ["results:gzip-bomb"]


class TestBraketResultFaults(ResultFaultChecks):
    """On Garnet without noise, which packs many rows into a task."""

    vendor = BRAKET
    settings = FREE
    target = "garnet"
    settling = "garnet,settle=10"
    slow = "garnet,settle=12,deadline=30,tokens=80000"
    settle_seconds = (0.0, 0.0)
    credentials = "aws sso login"
    device_route = "GET /device/{arn}"
    n_jobs = 12

    def cancel_in_console(self, emulator: Any, job_id: str) -> None:
        """See ResultFaultChecks."""
        bench = BraketBench(emulator, region="eu-north-1")
        bench.braket.cancel_quantum_task(quantumTaskArn=job_id, clientToken="a-person")

    @pytest.mark.parametrize("fault", [*BRIEF, *(pytest.param(each, marks=pytest.mark.soak) for each in OTHERS)])
    def test_a_bad_answer_to_a_question_is_asked_again(self, fault: str, tmp_path: Path) -> None:
        """Of a task or its results: so few tasks are not asked after by the list."""
        self.check_question(fault, tmp_path)

    @pytest.mark.parametrize("route", ["get", "results"])
    def test_an_expired_key_stops_the_run_and_loses_nothing(self, route: str, tmp_path: Path) -> None:
        """Whatever is asked for when the key expires: so few tasks are not asked after by the list."""
        self.check_expired_key(route, tmp_path)

    def test_a_missing_row_is_held(self, tmp_path: Path) -> None:
        """A task that says nothing of one of its executables was paid: it is not bought again."""
        with self.start("post:child-missing@1") as emulator, self.watch(emulator, tmp_path) as watched:
            with pytest.raises(HeldResultError, match="the results lack the executable"):
                watched.run.execute(work_of(30))
            assert states(watched) == [JobState.UNKNOWN]
            assert [job["rows"] for job in emulator.jobs()] == [30]

    @pytest.mark.parametrize("fault", ["wrong-rows", "nan", "malformed"])
    def test_a_paid_answer_that_could_not_be_read_is_fetched_by_the_next_session(
        self, fault: str, tmp_path: Path
    ) -> None:
        """However often it comes wrong, the job is held; a later session asks again, and nothing is bought twice."""
        self.check_held_answer(fault, tmp_path, target=self.settling)
