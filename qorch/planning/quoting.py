"""Quotes: the jobs, executions, shots and money of what a plan would buy. Nothing is sent for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qorch.limits import check_shots
from qorch.model.job import JobRequest, Usage
from qorch.model.prices.card import PriceCard
from qorch.model.pub import Batch
from qorch.model.text import format_count
from qorch.planning.lowering import LoweredBatch, RowGroup, lower
from qorch.planning.packing import PlannedJob, Selection, pack, unexecuted
from qorch.planning.pricing import Cost, price_all
from qorch.ports.backend import OfflinePlanner

_QUOTED = "quote"
"""The id of a job that is only measured, which does not change what is billed."""


@dataclass(frozen=True)
class Quote:
    """What jobs buy. ``executions``: rows in one basis; ``shots``: of all of them together, 0 if they are exact.

    ``cost``: exact, or an interval; None if it is not known. ``from_cache``: executions that stored results stand in
    for, and that are not bought. ``card``: the prices.
    """

    jobs: int
    executions: int
    shots: int
    cost: Cost | None
    card: PriceCard
    from_cache: int = 0

    def times(self, count: int) -> "Quote":
        """So many times this."""
        cost = None if self.cost is None else self.cost.times(count)
        return Quote(
            count * self.jobs,
            count * self.executions,
            count * self.shots,
            cost,
            self.card,
            count * self.from_cache,
        )

    def __add__(self, other: "Quote") -> "Quote":
        """Both, by the prices of this one."""
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return Quote(
            self.jobs + other.jobs,
            self.executions + other.executions,
            self.shots + other.shots,
            cost,
            self.card,
            self.from_cache + other.from_cache,
        )

    def __str__(self) -> str:
        """Such as ``2,592 executions (2,654,208 shots) in 26 jobs: 3,856.40 USD``."""
        money = "an unknown price" if self.cost is None else str(self.cost)
        return (
            f"{format_count(self.executions, 'execution')} ({format_count(self.shots, 'shot')}) in"
            f" {format_count(self.jobs, 'job')}: {money}"
        )


def no_quote(card: PriceCard) -> Quote:
    """Of nothing, which costs nothing whatever the price."""
    return Quote(0, 0, 0, Cost(card.currency), card)


def quote_jobs(jobs: Sequence[PlannedJob], card: PriceCard, *, measure: Callable[[JobRequest], Usage | None]) -> Quote:
    """What these jobs buy. ``measure``: the usage of a job; it is not asked if the price is known to be nothing."""
    return quote_requests([_as_request(job.selections) for job in jobs], card, measure=measure)


def quote_requests(
    requests: Sequence[JobRequest], card: PriceCard, *, measure: Callable[[JobRequest], Usage | None]
) -> Quote:
    """The same, of the contents of jobs."""
    blocks = [block for request in requests for block in request.blocks]
    executions = sum(block.n_rows for block in blocks)
    shots = sum(block.n_rows * (block.shots or 0) for block in blocks)
    if card.is_free:
        cost: Cost | None = Cost(card.currency)
    elif not card.is_known:
        cost = None if requests else Cost(card.currency)
    else:
        cost = price_all(map(measure, requests), card)
    return Quote(len(requests), executions, shots, cost, card)


def plan_jobs(batch: Batch, planner: OfflinePlanner, *, default_shots: int | None) -> list[JobRequest]:
    """The jobs of a batch of which nothing is stored. Raises UsageError for what the backend does not take."""
    lowered = _lower(batch, planner, default_shots=default_shots)
    missing = [unexecuted(index, group, stream=0) for index, group in enumerate(lowered.groups)]

    def rows_per_job(group: RowGroup, shots: int | None) -> int:
        return planner.rows_per_job(group.gates, group.measurement, shots=shots)

    jobs = pack(lowered.groups, missing, capabilities=planner.capabilities, rows_per_job=rows_per_job)
    return [_as_request(job.selections) for job in jobs]


def quote_offline(batch: Batch, planner: OfflinePlanner, card: PriceCard, *, default_shots: int | None) -> Quote:
    """What a batch buys of which nothing is stored. Raises UsageError for what the backend does not take."""
    return quote_requests(plan_jobs(batch, planner, default_shots=default_shots), card, measure=planner.measure)


def quote_unpacked(batch: Batch, planner: OfflinePlanner, card: PriceCard, *, default_shots: int | None) -> Quote:
    """The same with one execution per job, as other clients send them.

    One row of each circuit and basis is priced, and counts for all of them.
    """
    lowered = _lower(batch, planner, default_shots=default_shots)
    total = no_quote(card)
    for index, group in enumerate(lowered.groups):
        if not group.n_rows:
            continue
        missing = unexecuted(index, group, stream=0)
        jobs = pack(
            lowered.groups,
            [missing.take(np.zeros(1, dtype=np.int64))],
            capabilities=planner.capabilities,
            rows_per_job=_one_row,
        )
        total += quote_jobs(jobs, card, measure=planner.measure).times(group.n_rows)
    return total


def quote_apart(request: JobRequest, card: PriceCard, *, measure: Callable[[JobRequest], Usage | None]) -> Quote:
    """What the executions of a job buy if each is a job; one row of each block is priced, and counts for all."""
    total = no_quote(card)
    for block in request.blocks:
        alone = JobRequest(_QUOTED, (block.take(slice(0, 1)),))
        total += quote_requests([alone], card, measure=measure).times(block.n_rows)
    return total


def _one_row(_group: RowGroup, _shots: int | None) -> int:
    return 1


def _lower(batch: Batch, planner: OfflinePlanner, *, default_shots: int | None) -> LoweredBatch:
    lowered = lower(batch, default_shots=default_shots, estimates=planner.capabilities.estimates)
    for group in lowered.groups:
        planner.check(group.gates, group.measurement)
        check_shots(planner, group.shots)
    return lowered


def _as_request(selections: Sequence[Selection]) -> JobRequest:
    return JobRequest(_QUOTED, tuple(selection.block for selection in selections))
