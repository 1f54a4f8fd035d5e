"""What jobs were charged for: seconds of the device, which IBM counts at their end or some time after it."""

import datetime
from collections.abc import Collection

from qorch.model.usage import ReportedUsage, report_usage
from qorch_providers.http import ask_each
from qorch_providers.ibm.jobs.memory import JobMemory
from qorch_providers.ibm.jobs.search import SKEW
from qorch_providers.ibm.jobs.status import AT_ONCE, look_up, state_of
from qorch_providers.ibm.wire.client import IbmClient
from qorch_providers.ibm.wire.documents import IbmJobView


async def fetch_usage(
    client: IbmClient, memory: JobMemory, job_ids: Collection[str], *, since: datetime.datetime
) -> dict[str, ReportedUsage]:
    """What jobs were charged for, by id; those that IBM does not know are missing. Raises what IbmClient raises.

    A document that says nothing of usage leaves it to the job's metrics.
    """
    # The list is dated by IBM's clock, ``since`` by ours.
    oldest = since + min(client.clock_lead, datetime.timedelta()) - SKEW
    jobs = await look_up(client, memory, list(job_ids), purpose="usage", since=oldest)

    async def ask(job: IbmJobView) -> tuple[str, ReportedUsage]:
        if job.tells_usage or job.charged_seconds is not None or not state_of(job).is_over:
            return job.job_id, report_usage(device_seconds=job.charged_seconds)
        metrics = await client.times(job.job_id, purpose="usage")
        return job.job_id, report_usage(device_seconds=metrics.charged_seconds)

    wanted = [job for job_id, job in jobs.items() if job_id in job_ids]
    return dict(await ask_each(ask, wanted, at_once=AT_ONCE))
