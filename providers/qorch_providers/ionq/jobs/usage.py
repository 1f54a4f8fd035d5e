"""What jobs were billed for: quantities out of their documents, of many at once, and of each its cost.

A list may tell less of a job than the job's own document, and no document tells money: that is one more question of
each job that is over.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace

from qorch.model.job import JobStatus
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage
from qorch_providers.http import ask_each
from qorch_providers.ionq.jobs.search import look_up
from qorch_providers.ionq.wire.client import AT_ONCE, IonqClient
from qorch_providers.ionq.wire.cost import IonqCost
from qorch_providers.ionq.wire.documents import IonqJob

_MOST_NOTED = 10_000
_UNCLEAR = (None, PENDING_USAGE)


class UsageReader:
    """Asks what jobs were billed for, and remembers what polls told of it, so that only the cost has to be asked."""

    def __init__(self, client: IonqClient, *, tells_costs: bool) -> None:
        """``tells_costs``: whether jobs cost something, and the server has an endpoint that says how much."""
        self._client = client
        self._tells_costs = tells_costs
        self._noted: OrderedDict[str, ReportedUsage] = OrderedDict()

    def note(self, jobs: Mapping[str, IonqJob]) -> dict[str, JobStatus]:
        """The statuses of jobs that were polled; usage is PENDING of those that are over, until their cost is told."""
        return {job_id: self._note(job) for job_id, job in jobs.items()}

    async def fetch(self, job_ids: Collection[str]) -> dict[str, ReportedUsage]:
        """The usage by id; jobs that IonQ does not know are missing. Raises what IonqClient raises."""
        # Taken out: a job that IonQ has lost is looked for the next time.
        noted = {job_id: self._noted.pop(job_id) for job_id in job_ids if job_id in self._noted}
        jobs = await self._look_up([job_id for job_id in job_ids if job_id not in noted])
        found = noted | {job_id: _usage_of(job) for job_id, job in jobs.items()}
        wanted = [*noted, *(job_id for job_id, job in jobs.items() if self._has_cost(job))]
        costs = await ask_each(self._client.cost, wanted, at_once=AT_ONCE)
        return found | {job_id: _settle(found[job_id], cost) for job_id, cost in zip(wanted, costs, strict=True)}

    def _note(self, job: IonqJob) -> JobStatus:
        if not self._has_cost(job):
            return job.status
        if job.status.usage not in _UNCLEAR:
            self._noted[job.job_id] = _usage_of(job)
            if len(self._noted) > _MOST_NOTED:
                self._noted.popitem(last=False)
        return replace(job.status, usage=PENDING_USAGE)

    def _has_cost(self, job: IonqJob) -> bool:
        return self._tells_costs and job.status.state.is_over and not job.is_free

    async def _look_up(self, job_ids: list[str]) -> dict[str, IonqJob]:
        if not job_ids:
            return {}
        jobs = await look_up(self._client, job_ids, purpose="usage")
        unclear = [job_id for job_id, job in jobs.items() if job.status.state.is_over and job.status.usage in _UNCLEAR]
        if len(job_ids) > 1:
            for found in await ask_each(
                lambda job_id: look_up(self._client, [job_id], purpose="usage"), unclear, at_once=AT_ONCE
            ):
                jobs |= found
        return jobs


def _usage_of(job: IonqJob) -> ReportedUsage:
    """A document of a job that is over and says nothing of it, as in version 0.3, never will."""
    return job.status.usage or (NO_USAGE if job.status.state.is_over else PENDING_USAGE)


def _settle(usage: ReportedUsage, cost: IonqCost) -> ReportedUsage:
    """Final once the cost is told, or cannot be; what the document says is enough only then."""
    if cost.charge is not None:
        return usage.with_charge(cost.charge)
    return usage if cost.is_final else PENDING_USAGE
