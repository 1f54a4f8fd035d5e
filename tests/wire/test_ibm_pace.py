"""Five submissions a minute: what IBM allows is kept, used, and not learned by refusals."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ibm_vendor import DEVICE, IBM, QUICK
from watched_runs import check_values, watched_run, work_of

from qorch_providers.emulators.ibm import start
from qorch_providers.ibm import open_backend

SCALE = 30.0
MINUTE = 60.0
JOBS = 12


def test_no_minute_has_more_than_five_submissions(tmp_path: Path) -> None:
    """Twelve jobs at once go in three bursts, a minute apart; the server refuses none of them."""
    settings = replace(QUICK, accept_delay="0", execute="0", posts_per_minute=5, time_scale=SCALE)
    vendor = replace(IBM, open_backend=open_backend)
    options = f"{DEVICE},settle=10,rows=1"
    with (
        start(settings) as emulator,
        watched_run(vendor, emulator, tmp_path, options=options, scale=SCALE) as watched,
    ):
        check_values(watched.run.execute(work_of(JOBS))[0])
        posts: Any = emulator.truth()["posts"]  # type: ignore[typeddict-item]
    assert len(posts) == JOBS
    assert all(post["is_admitted"] for post in posts)
    times = sorted(post["at_seconds"] for post in posts)
    assert all(later - earlier >= MINUTE for earlier, later in zip(times, times[5:], strict=False))
    # Two waits of a minute, and not much more than that.
    assert times[-1] - times[0] < 2 * MINUTE + 30.0
