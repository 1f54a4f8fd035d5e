"""Where jobs are: each by its own document, or many at a time from the list."""

import datetime
from collections.abc import Sequence
from types import MappingProxyType

from qorch.errors import BusyError, CredentialsError
from qorch.model.job import JobStatus, RemoteState
from qorch.model.usage import report_usage
from qorch.ports.clock import Clock
from qorch_providers.http import ask_each, clean
from qorch_providers.ibm.jobs.memory import JobMemory
from qorch_providers.ibm.jobs.times import as_query
from qorch_providers.ibm.labels import read_tags
from qorch_providers.ibm.wire.client import PAGE_JOBS, IbmClient
from qorch_providers.ibm.wire.documents import IbmJobView, IbmTimes

MOST_GETS = 4
"""Up to so many jobs are asked after one by one."""
AT_ONCE = 8
"""How many calls are made at the same time if one question needs several."""
RAN_TOO_LONG = 1305
"""The code of a job that used more time of the device than it was given; it is Cancelled, by IBM."""
_STATES = MappingProxyType(
    {
        "queued": RemoteState.QUEUED,
        "running": RemoteState.RUNNING,
        "completed": RemoteState.DONE,
        "failed": RemoteState.FAILED,
        "cancelled": RemoteState.CANCELLED,
    }
)
_REPEATABLE = frozenset({1000, 1006, 1008, 1010, 1011, 1217, 9999})
"""Codes of IBM's own errors, which it advises to try again; 1217: its session ended while the job waited."""
_WITHOUT_RESULT = frozenset({RemoteState.FAILED, RemoteState.CANCELLED})
_TOO_LONG = "cancelled - ran too long"
_NO_TIMES = IbmTimes()


class JobWatch:
    """Tells where jobs are, for as long as their backend is open."""

    def __init__(
        self, client: IbmClient, memory: JobMemory, *, clock: Clock, settle_seconds: float, max_seconds: int
    ) -> None:
        """Nothing is asked yet. ``max_seconds``: what a job was given, for messages."""
        self._client = client
        self._memory = memory
        self._clock = clock
        self._settle_ns = round(settle_seconds * 1e9)
        self._max_seconds = max_seconds

    async def poll(self, job_ids: Sequence[str]) -> dict[str, JobStatus]:
        """The statuses by id; those that IBM does not know are missing. Raises what IbmClient raises."""
        jobs = await look_up(self._client, self._memory, job_ids)
        statuses = await ask_each(
            self._read, [job for job_id, job in jobs.items() if job_id in job_ids], at_once=AT_ONCE
        )
        return dict(statuses)

    async def _read(self, job: IbmJobView) -> tuple[str, JobStatus]:
        state = state_of(job)
        if state is RemoteState.DONE:
            self._memory.note_completed(job.job_id)
        if state is RemoteState.FAILED and self._is_uncounted(job):
            # Whether the job may be repeated depends on whether it was charged.
            return job.job_id, _status_of(job, RemoteState.RUNNING)
        times = await self._find_times(job) if state.is_over else _NO_TIMES
        return job.job_id, _status_of(job, state, times, error=describe_failure(job, max_seconds=self._max_seconds))

    def _is_uncounted(self, job: IbmJobView) -> bool:
        """Whether what a failed job is charged for is not known yet, but may be soon."""
        if job.code not in _REPEATABLE or job.charged_seconds is not None:
            self._memory.end_waiting(job.job_id)
            return False
        return self._memory.waited_ns(job.job_id, now_ns=self._clock.monotonic_ns()) <= self._settle_ns

    async def _find_times(self, job: IbmJobView) -> IbmTimes:
        """When it ran; a question whose answer is lost or refused is not asked again, as only reports need it."""
        try:
            return await self._client.times(job.job_id)
        except (BusyError, CredentialsError):
            return IbmTimes(ended_at=job.ended_at)


def state_of(job: IbmJobView) -> RemoteState:
    """A job's state. A status that is not known counts as running: the job is asked after again."""
    if _ran_too_long(job):
        return RemoteState.FAILED
    return _STATES.get(job.status.lower(), RemoteState.RUNNING)


def is_repeatable(job: IbmJobView) -> bool:
    """Whether another try may not meet the failure of this job, and IBM says that it charges nothing for it."""
    return state_of(job) is RemoteState.FAILED and job.code in _REPEATABLE and job.charged_seconds == 0.0


def describe_failure(job: IbmJobView, *, max_seconds: int) -> str | None:
    """Why a job failed, and what to do about it if that is known; None if it did not fail."""
    if state_of(job) is not RemoteState.FAILED:
        return None
    if _ran_too_long(job):
        return (
            f"it needed more time of the device than max_time={max_seconds} s allows, and IBM cancelled it (code"
            f" {RAN_TOO_LONG}); the time that it took is charged: start a new run with a larger max_time=, or with"
            " fewer rows in a job (rows=N)"
        )
    numbered = f" (code {job.code})" if job.code is not None else ""
    return f"{clean(job.reason) or 'IBM gives no reason'}{numbered}"


def _ran_too_long(job: IbmJobView) -> bool:
    status = job.status.lower()
    return status == _TOO_LONG or (job.code == RAN_TOO_LONG and _STATES.get(status) in _WITHOUT_RESULT)


async def look_up(
    client: IbmClient,
    memory: JobMemory,
    job_ids: Sequence[str],
    *,
    purpose: str = "poll",
    since: datetime.datetime | None = None,
) -> dict[str, IbmJobView]:
    """The jobs by id; those that IBM does not know are missing. Raises what IbmClient raises.

    ``since``: none of the jobs was made before; None: it is as ``memory`` knows.
    """
    unique = list(dict.fromkeys(job_ids))
    listed = [job_id for job_id in unique if since is not None or memory.knows(job_id)]
    oldest = since or memory.oldest(listed)
    found: dict[str, IbmJobView] = {}
    if oldest is not None and len(listed) > MOST_GETS:
        found = await _list_jobs(client, memory, listed, since=oldest, purpose=purpose)

    async def ask(job_id: str) -> None:
        job = await client.job(job_id, purpose=purpose)
        if job is not None:
            found[job_id] = job
            # At once: if a later answer is lost, the next poll finds this job in the list.
            memory.note_seen(job)

    await ask_each(ask, [job_id for job_id in unique if job_id not in found], at_once=AT_ONCE)
    return found


async def _list_jobs(
    client: IbmClient, memory: JobMemory, job_ids: Sequence[str], *, since: datetime.datetime, purpose: str
) -> dict[str, IbmJobView]:
    """Those of the jobs that a few pages of the list show, as far as that takes fewer requests than asking each."""
    wanted = set(job_ids)
    found: dict[str, IbmJobView] = {}
    for number in range(-(-len(wanted) // MOST_GETS)):
        page = await client.jobs([("created_after", as_query(since))], offset=number * PAGE_JOBS, purpose=purpose)
        for job in page.jobs:
            memory.note_seen(job)
            if job.job_id in wanted:
                found[job.job_id] = job
        if len(page.jobs) < PAGE_JOBS or len(wanted) - len(found) <= MOST_GETS:
            break
    return found


def _status_of(
    job: IbmJobView, state: RemoteState, times: IbmTimes = _NO_TIMES, *, error: str | None = None
) -> JobStatus:
    key, label = read_tags(job.tags)
    charged = times.charged_seconds if job.charged_seconds is None else job.charged_seconds
    return JobStatus(
        state,
        error=error,
        is_repeatable=is_repeatable(job) and state is RemoteState.FAILED,
        submitted_at=job.created_at,
        started_at=times.started_at,
        ended_at=times.ended_at or job.ended_at,
        key=key,
        label=label,
        # No job of IBM's has no usage: one that never ran is charged for 0 seconds.
        usage=report_usage(device_seconds=charged) if state.is_over else None,
    )
