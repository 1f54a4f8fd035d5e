"""Asks providers what jobs were charged for, as far as that is not known: of all runs, also long after their end."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qorch.backends import open_backend
from qorch.config import Config
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.usage_watch import PendingUsage, ask_usage, find_pending, usage_records
from qorch.engine.remote.window import RateWindow
from qorch.errors import QorchError
from qorch.model.usage import ReportedUsage, UsageTotals, sum_usage
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import RetryPolicy
from qorch.ports.records import JobRecord
from qorch.ports.store import Store

MOST_JOBS = 200
"""Asked about together; what came of them is written down before the next."""
BRIEF = RetryPolicy(patience_seconds=20.0, first_patience_seconds=20.0)
"""A question that fails may as well be asked tomorrow."""


@dataclass(frozen=True)
class UsageRecovery:
    """What became of the jobs of one backend: ``totals`` of those whose usage has become known, and of the others.

    ``problem`` says why some of them could not be asked about.
    """

    backend: str
    totals: UsageTotals
    problem: str | None = None


def recover_usage(store: Store, run_id: str | None = None, *, config: Config, clock: Clock) -> list[UsageRecovery]:
    """Ask about the jobs of one run or all whose usage is not known, each backend by itself and all side by side.

    No device needs to be there any more, and nothing waits for what a provider has not counted yet.
    """
    unknown = store.jobs_without_usage(run_id)
    runs = {run_id: store.find_run(run_id) for run_id in {job.run_id for job in unknown}}
    by_backend: dict[str, list[JobRecord]] = defaultdict(list)
    for job in unknown:
        run = runs[job.run_id]
        by_backend["" if run is None else run.backend].append(job)

    async def ask_all() -> list[UsageRecovery]:
        asked = (_ask_backend(store, name, jobs, config=config, clock=clock) for name, jobs in by_backend.items())
        return await asyncio.gather(*asked)

    return asyncio.run(ask_all())


async def _ask_backend(
    store: Store, name: str, jobs: Sequence[JobRecord], *, config: Config, clock: Clock
) -> UsageRecovery:
    known = {job.job_id: job.usage for job in jobs}
    problem = None
    try:
        backend = open_backend(name, config=config, clock=clock)
        if isinstance(backend, RemoteBackend):
            try:
                await _ask(backend, store, find_pending(store, jobs), known, clock=clock)
            finally:
                await backend.close()
    except QorchError as error:
        problem = str(error)
    return UsageRecovery(name, sum_usage(known.values()), problem)


async def _ask(
    backend: RemoteBackend,
    store: Store,
    pending: Sequence[PendingUsage],
    known: dict[str, ReportedUsage | None],
    *,
    clock: Clock,
) -> None:
    """Ask chunk by chunk; what is final is stored, and put into ``known``."""
    polls = RateWindow(backend.terms.poll_rate, clock=clock)
    retrier = Retrier(BRIEF, clock=clock, random=np.random.default_rng())
    for start in range(0, len(pending), MOST_JOBS):
        chunk = pending[start : start + MOST_JOBS]
        found = await retrier.repeat(lambda items=chunk: ask_usage(backend, items, polls=polls))  # type: ignore[misc]
        records = usage_records(chunk, found)
        await asyncio.wrap_future(store.write(records))
        known.update({record.job_id: record.usage for record in records})
