"""A hard rate limit over real HTTP, sixty times as fast: obeyed where it is told, learned where it is not."""

from itertools import pairwise
from pathlib import Path

import pytest
from ionq_vendor import IONQ
from watched_runs import Sent, WatchedRun, check_values, watched_run, work_of

from qorch.errors import BusyError
from qorch_providers.emulators.ionq import Settings, start

SCALE = 60
LIMIT = Settings(rate_limit="5/min", time_scale=SCALE)
JOBS = 60


def refused(watched: WatchedRun) -> list[Sent]:
    """The POSTs that were answered with 429, in order."""
    return [sent for sent in watched.sent if isinstance(sent.outcome, BusyError)]


def test_a_limit_that_was_told_is_never_exceeded(tmp_path: Path) -> None:
    """``rate=5/s`` is 5 per protocol minute: 60 jobs take eleven more windows, and not one is refused."""
    options = "simulator,rows=1,rate=5/s"
    with start(LIMIT) as emulator, watched_run(IONQ, emulator, tmp_path, options=options) as watched:
        check_values(watched.run.execute(work_of(JOBS))[0])
        calls = emulator.truth()["calls"]
        arrivals = sorted(float(str(job["received_at_unix"])) for job in emulator.jobs())
    assert "429" not in calls["by_status"]
    assert calls["by_route"]["POST /v0.4/jobs"] == JOBS
    assert all(later - earlier > 1.0 for earlier, later in zip(arrivals, arrivals[5:], strict=False))
    assert arrivals[-1] - arrivals[0] < 1.6 * (JOBS / 5 - 1), "the limit is used"


@pytest.mark.parametrize(("form", "jobs"), [("seconds", JOBS), ("date", 20)])
def test_a_limit_that_was_not_told_costs_few_refusals(form: str, jobs: int, tmp_path: Path) -> None:
    """Every refusal is followed by the pause that the server asked for; the second one teaches the limit."""
    settings = Settings(rate_limit="5/min", time_scale=SCALE, retry_after=form)
    with start(settings) as emulator, watched_run(IONQ, emulator, tmp_path, options="simulator,rows=1") as watched:
        check_values(watched.run.execute(work_of(jobs))[0])
        watched.check_submissions(settle_seconds=30.0)
        assert len(emulator.jobs()) == jobs
    answers = [sent for sent in watched.sent if sent.outcome is None or isinstance(sent.outcome, BusyError)]
    for before, after in pairwise(answers):
        if isinstance(before.outcome, BusyError) and before.outcome.retry_after_seconds:
            assert after.started_at >= before.ended_at + before.outcome.retry_after_seconds - 0.01
    assert len(refused(watched)) <= 3, [sent.started_at for sent in refused(watched)]
    print(f"{len(refused(watched))} refusals in {answers[-1].ended_at - answers[0].started_at:.1f} s")
