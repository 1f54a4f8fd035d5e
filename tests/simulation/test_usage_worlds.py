"""What jobs were charged for in simulated worlds: whatever fails, it is known or pending, and nothing is invented."""

from collections import Counter

import pytest
from simulation.checks import judge
from simulation.world import World

from qorch.model.job import JobState
from qorch.model.usage import UsageState, report_usage
from qorch.ports.policy import OnUnknown

SECONDS = 3
COUNT_SECONDS = 900.0


@pytest.mark.parametrize("seeds", [8, pytest.param(1000, marks=pytest.mark.soak)])
def test_every_job_that_is_done_has_a_usage(seeds: int) -> None:
    """It is written with the end, so that no crash parts the two; it is reported only once the provider counted it."""
    found: Counter[UsageState] = Counter()
    for seed in range(seeds):
        world = World(seed, change={"on_unknown": OnUnknown.HOLD})
        provider = world.provider
        provider.charge_seconds, provider.count_seconds = lambda: SECONDS, lambda: COUNT_SECONDS
        world.run()
        assert judge(world) == []
        for job in world.store.jobs():
            assert job.usage is not None or job.state is not JobState.DONE, (seed, job)
            if job.usage is None:
                continue
            found[job.usage.state] += 1
            at_provider = provider.jobs[job.provider_id or ""]
            if job.usage.state is UsageState.REPORTED:
                assert job.usage == report_usage(device_seconds=SECONDS), seed
                assert at_provider.is_cancelled or at_provider.counted_at <= provider.now(), seed
    assert found[UsageState.REPORTED] > seeds / 2
    assert found[UsageState.PENDING] > seeds / 2
    assert found[UsageState.NONE] == 0
