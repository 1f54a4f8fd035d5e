"""Fetches the results of a job that is over, or says why there are none."""

from qorch.errors import BusyError, InvalidResultError, JobFailedError, JobMissingError
from qorch.model.job import RemoteState
from qorch.ports.clock import Clock
from qorch_providers.ibm.jobs.memory import JobMemory
from qorch_providers.ibm.jobs.status import describe_failure, is_repeatable, state_of
from qorch_providers.ibm.wire.client import IbmClient
from qorch_providers.ibm.wire.documents import IbmJobView


class ResultCollector:
    """Reads results. Those that are not there yet may lag behind the status, for the settle time."""

    def __init__(
        self, client: IbmClient, memory: JobMemory, *, clock: Clock, settle_seconds: float, max_seconds: int
    ) -> None:
        """Nothing is asked before ``collect``. ``memory``: knows which jobs the last polls saw completed."""
        self._client = client
        self._memory = memory
        self._clock = clock
        self._settle_ns = round(settle_seconds * 1e9)
        self._max_seconds = max_seconds

    async def collect(self, job_id: str) -> bytes:
        """The results of a job, verbatim.

        Raises JobMissingError if there is no such job, JobFailedError if it has no result at all, BusyError if it is
        not over or its results cannot be read now, InvalidResultError if they are not there after the settle time.
        """
        if not self._memory.is_completed(job_id):
            self._check(job_id, await self._client.job(job_id, purpose="fetch"))
        try:
            body = await self._client.results(job_id)
        except JobMissingError:
            self._memory.forget_completed(job_id)
            self._check(job_id, await self._client.job(job_id, purpose="fetch"))
            body = None
        if body is None:
            raise self._tell_absent(job_id)
        self._memory.end_waiting(job_id)
        return body

    def _check(self, job_id: str, job: IbmJobView | None) -> None:
        """Raise unless the job is completed."""
        if job is None:
            raise JobMissingError(f"IBM Quantum has no job {job_id}; it may be another instance's, or deleted")
        state = state_of(job)
        if not state.is_over:
            raise BusyError(f"job {job_id} is {job.status} at IBM Quantum; it is fetched when it is over")
        if state is not RemoteState.DONE:
            reason = describe_failure(job, max_seconds=self._max_seconds)
            raise JobFailedError(
                f"job {job_id} is {job.status} at IBM Quantum{f': {reason}' if reason else ''}",
                is_repeatable=is_repeatable(job),
            )

    def _tell_absent(self, job_id: str) -> BusyError | InvalidResultError:
        if self._memory.waited_ns(job_id, now_ns=self._clock.monotonic_ns()) <= self._settle_ns:
            return BusyError(f"job {job_id} is over, but has no results yet; they are asked for again")
        return InvalidResultError(
            f"job {job_id} is over, but IBM Quantum has no results of it; a private job's are given out once only"
        )
