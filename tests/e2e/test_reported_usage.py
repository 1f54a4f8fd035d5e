"""What a run's jobs were charged for, end to end: the books say what the provider's own record says."""

import json
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from braket_vendor import BRAKET
from ibm_bench import IbmBench
from ibm_vendor import DEVICE, IBM, QUICK, environment
from ionq_vendor import IONQ
from watched_runs import WatchedRun, watched_run, work_of

from qorch.audit.report import make_report
from qorch.cli.main import run_command
from qorch.errors import JobFailedError
from qorch.model.usage import UsageTotals, report_usage, sum_usage
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord, RunRecord
from qorch.stores import open_store
from qorch.testing.conformance.store_records import NOW
from qorch.testing.conformance.store_usage import over
from qorch_providers.emulators.ibm import RunningIbm, start
from qorch_providers.emulators.kit.clock import MachineTimer

PATIENCE_SECONDS = 60.0
COUNT_SECONDS = 3600.0
"""From the end of a job until its usage is complete."""
SLOW = "execution=0.0005"
"""Seconds of the emulated device for a shot: more than by IBM's formula, after which jobs are sized."""
FEW, MANY = 100, 2800
"""Shots of a row: two rows of many fit into the four seconds of a job by the formula, and take longer."""


class JumpingTimer(MachineTimer):
    """The machine's time, and what a test lets pass at once."""

    ahead = 0.0

    def monotonic(self) -> float:
        """See Timer."""
        return super().monotonic() + self.ahead


def jobs_of(folder: Path) -> list[JobRecord]:
    """All jobs in the database."""
    with closing(open_store(str(folder / "runs.db"), clock=WallClock())) as store:
        return store.jobs()


def fail(watched: WatchedRun, rows: int, *, shots: int, faults: str = "") -> None:
    """A call whose only job fails for good."""
    watched.emulator.set_faults(faults)
    with pytest.raises(JobFailedError):
        watched.run.execute(work_of(rows, shots=shots))
    watched.emulator.set_faults("")


def cancel_next(emulator: RunningIbm) -> None:
    """Wait for a job that stays in the queue, and cancel it at the provider."""
    bench, deadline = IbmBench(emulator), time.monotonic() + PATIENCE_SECONDS
    with bench.root:
        while time.monotonic() < deadline:
            queued = [str(job["id"]) for job in emulator.jobs() if job["status"] == "Queued"]
            if queued:
                bench.send("POST", f"/jobs/{queued[0]}/cancel")
                return
            time.sleep(0.01)


def live(watched: WatchedRun, emulator: RunningIbm) -> None:
    """Three jobs that succeed, one that takes too long, one that is invalid after some ms, one that is cancelled."""
    watched.run.execute(work_of(6, shots=FEW))
    fail(watched, 2, shots=MANY)
    fail(watched, 2, shots=FEW, faults="post:invalid")
    canceller = threading.Thread(target=cancel_next, args=(emulator,))
    canceller.start()
    fail(watched, 2, shots=FEW, faults="post:stuck")
    canceller.join()


def use(folder: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Let commands use this account and this database."""
    monkeypatch.setenv("QORCH_DB", str(folder / "runs.db"))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def said(capsys: pytest.CaptureFixture[str], *command: str) -> Any:
    """The document of a command that succeeds."""
    assert run_command([*command, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_books_have_every_second_that_ibm_charges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All is pending when the run ends, which waits for none of it; `recover` learns it later, of all jobs at once."""
    timer = JumpingTimer()
    options = f"{DEVICE},settle=0.05,rows=2,max_time=4"
    with start(replace(QUICK, usage_delay=str(COUNT_SECONDS), usage=SLOW), timer=timer) as emulator:
        with watched_run(IBM, emulator, tmp_path, options=options) as watched:
            live(watched, emulator)
        use(tmp_path, monkeypatch, environment(emulator.root))
        jobs = said(capsys, "jobs")["jobs"]
        assert [job["usage"] for job in jobs] == [{"state": "pending", "quantities": {}}] * 6
        assert said(capsys, "show", "wire")["usage"]["jobs_pending"] == 6
        [asked] = said(capsys, "recover")["usage"]
        assert (asked["jobs_pending"], asked["jobs_reported"], asked["problem"]) == (6, 0, None)
        before = sum(emulator.truth()["calls"]["by_route"].values())
        timer.ahead += COUNT_SECONDS
        [asked] = said(capsys, "recover")["usage"]
        assert (asked["jobs_pending"], asked["jobs_reported"]) == (0, 6)
        # A search for the instance, a token each for that and for the instance, and one page of the list.
        assert sum(emulator.truth()["calls"]["by_route"].values()) - before <= 5
        instances = emulator.truth()["instances"]
        charged = {str(job["id"]): job["usage_seconds"] for job in emulator.jobs()}
        assert said(capsys, "recover") == {"jobs": [], "held": 0, "sessions": [], "usage": []}
    assert {job.provider_id: job.usage for job in jobs_of(tmp_path)} == {
        job_id: report_usage(device_seconds=float(str(seconds))) for job_id, seconds in charged.items()
    }
    assert list(charged.values()) == [3, 3, 3, 4, 1, 0]
    assert sum(instances.values()) == 14
    sums = {"quantities": {"device_seconds": 14}, "jobs_reported": 6, "jobs_pending": 0, "jobs_unreported": 0}
    assert said(capsys, "report", "wire")["usage"] == said(capsys, "show", "wire")["usage"] == sums
    assert asked == {"backend": f"ibm:{options}", **sums, "problem": None}
    for command in ("report", "show"):
        assert run_command([command, "wire"]) == 0
        assert "charged for: 14 s of the device, reported of 6 jobs" in capsys.readouterr().out
    assert run_command(["jobs"]) == 0
    assert "3 s of the device" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "rows", "quantities", "micros"),
    [("garnet,settle=0.05,rows=2", 6, {"tasks": 3, "shots": 6 * FEW}, 3 * 300_000 + 6 * FEW * 1450),
     ("sv1,settle=0.05", 2, {"simulator_seconds": 6}, 2 * 3750)],
)  # fmt: skip
def test_braket_tells_it_with_the_result(
    options: str, rows: int, quantities: dict[str, int], micros: int, tmp_path: Path
) -> None:
    """So that the run's own report has it, and nothing is asked for."""
    with BRAKET.start(BRAKET.quick) as emulator, watched_run(BRAKET, emulator, tmp_path, options=options) as watched:
        watched.run.execute(work_of(rows, shots=FEW))
        totals = make_report(watched.store, watched.run.run_id).usage
        assert watched.run.report().usage == totals
        assert (totals.n_reported, totals.n_pending) == (len(emulator.jobs()), 0)
        assert {quantity.unit.value: quantity.amount for quantity in totals.quantities} == quantities
        assert emulator.bill()["total"]["micros"] == micros


def test_ionq_is_asked_for_it_by_the_end_of_the_run(tmp_path: Path) -> None:
    """Once for each job, in the background; until then it is pending."""
    settings = replace(IONQ.quick, price="0.01")
    with IONQ.start(settings) as emulator:
        with watched_run(IONQ, emulator, tmp_path, options="qpu.forte-1,settle=0.05,rows=2") as watched:
            watched.run.execute(work_of(6, shots=FEW))
            assert make_report(watched.store, watched.run.run_id).usage.n_pending == 3
        assert emulator.truth()["calls"]["by_route"]["GET /v0.4/jobs/{id}/cost"] == 3
        assert emulator.bill()["total"]["micros"] == 6 * FEW * 10_000
    usages = [job.usage for job in jobs_of(tmp_path)]
    assert all(usage is not None and usage.is_final and usage.quantities for usage in usages)


def test_a_backend_that_cannot_be_asked_keeps_no_other_from_being_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each says what is wrong with it, and its jobs stay as they are."""
    with start(QUICK) as emulator:
        with watched_run(IBM, emulator, tmp_path, options=f"{DEVICE},settle=0.05,rows=2") as watched:
            watched.run.execute(work_of(2, shots=FEW))
            [known] = watched.store.jobs()
            lost = replace(known, job_id=f"{watched.run.run_id}/9.0.0", usage=None)
            gone = [RunRecord(name, name, backend, 1, "resume", NOW, charges=True)
                    for name, backend in (("gone", "acme:device"), ("keyless", "ionq:qpu.forte-1"))]  # fmt: skip
            watched.store.write([*gone, lost, over("gone/0.0.0"), over("keyless/0.0.0")]).result()
        use(tmp_path, monkeypatch, environment(emulator.root))
        monkeypatch.delenv("IONQ_API_KEY", raising=False)
        assert run_command(["recover"]) == 0
    printed = capsys.readouterr()
    assert f"ibm:{DEVICE},settle=0.05,rows=2 charged for: 3 s of the device, reported of 1 job" in printed.out
    assert "nothing is open" in printed.out
    assert "acme:device cannot be asked what jobs were charged for: there is no backend" in printed.err
    assert "IONQ_API_KEY" in printed.err
    assert sum_usage(job.usage for job in jobs_of(tmp_path)) == UsageTotals(
        report_usage(device_seconds=6).quantities, n_reported=2, n_pending=2
    )
