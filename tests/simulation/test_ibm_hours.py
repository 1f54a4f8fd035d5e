"""An hour of training by eight processes on one account of IBM Quantum, at five new jobs a minute, in a second or two.

The processes are engines with clocks of their own on one virtual loop, which share a store in memory; the terms are the
adapter's own.
"""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pytest
from ibm_vendor import DEVICE, environment
from simulation.harness import Sandbox, most_within

from qorch.model.job import JobState
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.ports.policy import Terms
from qorch.testing.fakes.provider import FakeProvider
from qorch.testing.fakes.remote import PAID, FakeRemote
from qorch.testing.virtual_time import VirtualClock
from qorch_providers.ibm import open_backend

PROCESSES, HOUR, MINUTE = 8, 3600.0, 60.0
ROUND_TRIP = 0.3
APART_SECONDS = 1.5 * HOUR
"""Between the starts of two processes' monotonic clocks."""
STEP_SECONDS = 0.5
"""What a process computes between two steps."""
SLACK_SECONDS = 3 * ROUND_TRIP
"""A window counts from the answer to a submission, and the next one takes half a round trip to arrive."""


class Use(NamedTuple):
    """One job on the device: when it came, and from when to when it ran."""

    arrived_at: float
    begun_at: float
    ended_at: float


@dataclass
class Device:
    """Runs one job at a time, in the order in which they came; each takes between ``least`` and ``most`` seconds."""

    provider: FakeProvider
    least: float
    most: float
    uses: list[Use] = field(default_factory=list)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def run_seconds(self) -> float:
        """From the acceptance of a job to its end, drawn when it is accepted."""
        now = self.provider.now()
        begun_at = max(now, self.uses[-1].ended_at if self.uses else 0.0)
        self.uses.append(Use(now, begun_at, begun_at + self.random.uniform(self.least, self.most)))
        return self.uses[-1].ended_at - now


def ibm_terms() -> Terms:
    """Those of a device of IBM's."""
    backend = open_backend(DEVICE, clock=WallClock(), environment=environment("http://127.0.0.1:9"))
    assert isinstance(backend, RemoteBackend)
    return backend.terms


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def train_together(sandbox: Sandbox) -> None:
    """Let every process take a step after the other, each of one job, until the hour is over."""
    terms = ibm_terms()
    sandbox.provider.rate = terms.rate

    async def train(number: int) -> None:
        clock = VirtualClock(sandbox.loop, monotonic_seconds=number * APART_SECONDS)
        remote = FakeRemote(
            sandbox.provider, clock, terms=terms, capabilities=PAID, rows_in_job=100, round_trip_seconds=ROUND_TRIP
        )
        engine = sandbox.engine(remote, run_id=f"run-{number}", clock=clock)
        await engine.open()
        for step in itertools.count():
            await sandbox.execute(engine, 2, step=step, run_id=f"run-{number}")
            await asyncio.sleep(STEP_SECONDS)
            if sandbox.loop.time() > HOUR:
                return

    async def work() -> None:
        await asyncio.gather(*(train(number) for number in range(PROCESSES)))

    sandbox.run(work())


def idle_seconds(device: Device) -> list[tuple[float, float]]:
    """Of every time in which the device had nothing to do: how long, and how long after the fifth POST before it ended.

    The first five POSTs, before which there were no five, are left out.
    """
    return [
        (use.begun_at - before.ended_at, use.arrived_at - fifth.arrived_at)
        for fifth, before, use in zip(device.uses, device.uses[4:], device.uses[5:], strict=False)
        if use.begun_at > before.ended_at
    ]


@pytest.mark.parametrize(
    ("least", "most", "jobs"),
    [
        pytest.param(2.5, 6.0, 290, id="short"),
        pytest.param(15.0, 25.0, 170, marks=pytest.mark.soak, id="long"),
    ],
)
def test_an_hour_of_training_on_one_account(sandbox: Sandbox, least: float, most: float, jobs: int) -> None:
    """No minute has more than five POSTs, and none is refused; the device is idle only until the limit allows a job.

    Short jobs leave it idle between the bursts that are allowed, long ones never.
    """
    device = Device(sandbox.provider, least, most)
    sandbox.provider.run_seconds = device.run_seconds
    train_together(sandbox)
    idle = idle_seconds(device)
    arrivals = [use.arrived_at for use in device.uses]
    busiest = most_within(arrivals, seconds=MINUTE)
    total = sum(seconds for seconds, _ in idle)
    longest = max((seconds for seconds, _ in idle), default=0.0)
    print(
        f"{len(arrivals)} POSTs, {busiest} in the busiest minute, {len(sandbox.provider.refused_at)} refused; the"
        f" device was idle for {total:.0f} s in {len(idle)} parts, the longest {longest:.1f} s"
    )
    assert busiest <= 5
    assert len(sandbox.provider.refused_at) <= 1
    assert all(since_fifth <= MINUTE + SLACK_SECONDS for _, since_fifth in idle)
    assert len([at for at in arrivals if at < HOUR]) >= jobs
    assert {job.state for job in sandbox.store.jobs()} == {JobState.DONE}
    assert sandbox.provider.accepted_twice() == {}
