"""Whole runs on IBM Quantum through faults after the acceptance: a paid result is fetched again, kept, or re-run."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ibm_bench import IbmBench
from ibm_vendor import DEVICE, IBM, QUICK
from result_fault_checks import FAULTS, SCALE, ResultFaultChecks, states
from watched_runs import check_values, work_of

from qorch.model.job import JobState

BRIEF = ("get:reset", "get:500", "get:deep-json", "results:reset", "results:truncated", "results:html", "results:hang")
OTHERS = [
    fault for fault in (f"{route}:{kind}" for route in ("get", "results") for kind in FAULTS) if fault not in BRIEF
] + ["results:gzip-bomb"]


class TestIbmResultFaults(ResultFaultChecks):
    """On a device without noise."""

    vendor = IBM
    settings = replace(QUICK, accept_delay="0", execute="0")
    target = f"{DEVICE},settle=10"
    settling = f"{DEVICE},settle=10"
    slow = f"{DEVICE},settle=12,deadline=30"
    settle_seconds = (10.0, 12.0)
    credentials = "look at the API key"
    device_route = "GET /{base}/backends/{name}/status"

    def cancel_in_console(self, emulator: Any, job_id: str) -> None:
        """See ResultFaultChecks."""
        bench = IbmBench(emulator)
        with bench.root:
            assert bench.send("POST", f"/jobs/{job_id}/cancel").status_code == 204

    @pytest.mark.parametrize("fault", [*BRIEF, *(pytest.param(each, marks=pytest.mark.soak) for each in OTHERS)])
    def test_a_bad_answer_to_a_question_is_asked_again(self, fault: str, tmp_path: Path) -> None:
        """Of a job or its results: so few jobs are not asked after by the list."""
        self.check_question(fault, tmp_path)

    @pytest.mark.parametrize("route", ["get", "results"])
    def test_an_expired_key_stops_the_run_and_loses_nothing(self, route: str, tmp_path: Path) -> None:
        """Whatever is asked for when the key is refused."""
        self.check_expired_key(route, tmp_path)

    @pytest.mark.parametrize("fault", ["wrong-rows", "malformed"])
    def test_a_paid_answer_that_could_not_be_read_is_fetched_by_the_next_session(
        self, fault: str, tmp_path: Path
    ) -> None:
        """However often it comes wrong, the job is held; a later session asks again, and nothing is bought twice."""
        self.check_held_answer(fault, tmp_path, target=self.settling)

    @pytest.mark.parametrize("fault", ["wrong-rows", "nan"])
    def test_estimates_that_could_not_be_read_are_fetched_by_the_next_session(self, fault: str, tmp_path: Path) -> None:
        """As counts are: they are read by the plan that the database has kept."""
        self.check_held_answer(fault, tmp_path, target=f"{self.settling},resilience=1")

    def test_only_the_failed_row_runs_again(self, tmp_path: Path) -> None:
        """A job of IBM's fails as a whole, so there is no such row."""

    def test_many_rows_with_every_fault_now_and_then(self, tmp_path: Path) -> None:
        """Fifty jobs, every tenth call struck: all are bought once. A POST that was lost on its way would be held."""
        kinds = ("reset", "429", "503", "520", "truncated", "html")
        faults = [f"post:{kind}-after%0.02" for kind in kinds]
        for route in ("get", "list", "results", "metrics", "device"):
            faults += [f"{route}:{kind}-{moment}%0.01" for kind in kinds for moment in ("before", "after")]
        with (
            self.start(",".join(faults), seed=5) as emulator,
            self.watch(emulator, tmp_path, options=f"{self.slow},rows=20", scale=SCALE) as watched,
        ):
            check_values(watched.run.execute(work_of(1000, shots=512))[0])
            watched.check_submissions(settle_seconds=self.settle_seconds[1])
            assert sum(watched.accepted_by_key().values()) == 50
            assert states(watched) == [JobState.DONE] * 50
