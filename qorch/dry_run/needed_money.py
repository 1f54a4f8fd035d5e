"""What a budget must have for a run to go on: at each call, what was spent before, and the most that is in progress."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from qorch.model.job import OVER_STATES
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.ports.records import JobRecord


@dataclass(frozen=True)
class Need:
    """At the step of one call, what is reserved and spent in its run once its jobs are reserved, in micro-units."""

    step: int
    micros: int


def add_up_needs(
    ledger: Sequence[LedgerRecord], jobs: Sequence[JobRecord], charged: Mapping[str, int]
) -> tuple[Need, ...]:
    """The needs of one run's reservations, each larger than all before: a budget stops at the first that exceeds it.

    By the rule of ``RunBudgets.grant``: every job is reserved at the most that it can cost, and counts with what it was
    ``charged`` once it is over. Where time is billed, that is told later than a job's end; a call that a budget refuses
    waits for it (``UsageWatch.settle``), and here it counts as told.
    """
    reserved = [entry for entry in ledger if entry.kind is EntryKind.RESERVED]
    at_most = {entry.job_id: entry.micros for entry in reserved}
    over = sorted((job for job in jobs if job.state in OVER_STATES), key=lambda job: job.changed_at, reverse=True)
    total, needs = 0, []
    for (at, step), call in groupby(reserved, key=lambda entry: (entry.recorded_at, entry.step)):
        total += sum(entry.micros for entry in call)
        while over and over[-1].changed_at <= at:
            job_id = over.pop().job_id
            total += charged.get(job_id, 0) - at_most.get(job_id, 0)
        needs.append(Need(step, total))
    return rising(needs)


def rising(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Those that are larger than all before."""
    kept: list[Need] = []
    for need in needs:
        if not kept or need.micros > kept[-1].micros:
            kept.append(need)
    return tuple(kept)
