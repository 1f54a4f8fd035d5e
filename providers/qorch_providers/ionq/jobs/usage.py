"""What jobs were billed for, of many at once; a list may tell less of a job than the job's own document."""

from collections.abc import Collection

from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage
from qorch_providers.http import ask_each
from qorch_providers.ionq.jobs.search import look_up
from qorch_providers.ionq.wire.client import AT_ONCE, IonqClient
from qorch_providers.ionq.wire.documents import IonqJob


async def fetch_usage(client: IonqClient, job_ids: Collection[str]) -> dict[str, ReportedUsage]:
    """The usage by id; jobs that IonQ does not know are missing. Raises what IonqClient raises."""
    jobs = await look_up(client, list(job_ids), purpose="usage")
    unclear = [
        job_id for job_id, job in jobs.items() if job.status.state.is_over and job.status.usage in (None, PENDING_USAGE)
    ]
    if len(job_ids) > 1:
        for found in await ask_each(
            lambda job_id: look_up(client, [job_id], purpose="usage"), unclear, at_once=AT_ONCE
        ):
            jobs |= found
    return {job_id: _usage_of(job) for job_id, job in jobs.items()}


def _usage_of(job: IonqJob) -> ReportedUsage:
    """A document of a job that is over and says nothing of it, as in version 0.3, never will."""
    return job.status.usage or (NO_USAGE if job.status.state.is_over else PENDING_USAGE)
