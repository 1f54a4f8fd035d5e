"""The jobs of a server: found by id, or listed by tags, times and other filters."""

import asyncio
import datetime
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.instances import Instance
from qorch_providers.emulators.ibm.refusals import NOT_FOUND_JOB, IbmRefusedError

FINAL = frozenset({"Completed", "Failed", "Cancelled"})
RAN_TOO_LONG = 1305
MOCK = "mock_"
_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_ID_DIGITS = 20


@dataclass(frozen=True)
class IbmOrder:
    """What a job was accepted with; it never changes, except for its tags."""

    instance: Instance
    program_id: str
    backend: str
    session_id: str | None
    max_seconds: int
    is_private: bool
    calibration_id: str | None
    runtime: str
    digest: str

    @property
    def is_mock(self) -> bool:
        """Whether it is only checked, on the mock of a device."""
        return self.backend.startswith(MOCK)


@dataclass(eq=False)
class IbmJob:
    """One accepted job. Times are real seconds since 1970.

    ``params``: the inputs, JSON as it was sent; they are forgotten together with the result. ``usage_seconds``: QPU
    seconds; they are shown as complete from ``usage_due_seconds`` on, by the protocol's clock. ``is_charged``: not if
    it is of a session, which is charged itself.
    """

    id: str
    sequence: int
    order: IbmOrder
    tags: list[str]
    received_unix: float
    accepted_unix: float
    params: bytes
    status: str = "Queued"
    started_unix: float | None = None
    ended_unix: float | None = None
    reason: str | None = None
    reason_code: int | None = None
    result: bytes | None = None
    rows: int = 0
    executions: int = 0
    usage_seconds: int = 0
    usage_due_seconds: float | None = None
    is_charged: bool = True
    price_micros: int = 0
    is_deleted: bool = False
    is_unlisted: bool = False
    background: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether its status is final."""
        return self.status in FINAL


@dataclass(frozen=True)
class JobFilter:
    """What a list is asked for; None or empty is everything.

    ``is_pending``: whether jobs are not over; ``has_mocks``: whether those on mocks of devices are wanted too.
    """

    backend: str | None = None
    program: str | None = None
    tags: frozenset[str] = frozenset()
    session_id: str | None = None
    is_pending: bool | None = None
    has_mocks: bool = False
    after_unix: float | None = None
    before_unix: float | None = None

    def matches(self, job: IbmJob) -> bool:
        """Whether a job is wanted."""
        order = job.order
        # Times are shown, and so compared, in milliseconds.
        created = int(job.accepted_unix * 1000) / 1000
        return (
            self.backend in (None, order.backend)
            and self.program in (None, order.program_id)
            and self.tags <= set(job.tags)
            and self.session_id in (None, order.session_id)
            and self.is_pending in (None, not job.is_over)
            and (self.has_mocks or not order.is_mock)
            and (self.after_unix is None or created >= self.after_unix)
            and (self.before_unix is None or created <= self.before_unix)
        )


def read_unix(text: str | None) -> float | None:
    """A time as ISO 8601; UTC if it does not say otherwise. Raises UsageError."""
    if not text:
        return None
    try:
        # A plus of a query that was not encoded is a space.
        moment = datetime.datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise UsageError(f"'{text}' is not a time; write it as 2026-01-31T23:59:59.000Z") from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
    return aware.timestamp()


class IbmJobRegistry:
    """All jobs of a server; deleted ones are kept only for the emulator's own record."""

    def __init__(self, *, kept_bytes: int, visible_seconds: float) -> None:
        """``kept_bytes``: of inputs and results; ``visible_seconds``: real seconds until lists know a new job."""
        self.jobs: list[IbmJob] = []
        self._by_id: dict[str, IbmJob] = {}
        self._spare_bytes = kept_bytes
        self._visible_seconds = visible_seconds
        self._kept: deque[tuple[IbmJob, int]] = deque()

    def add(
        self, order: IbmOrder, params: bytes, tags: list[str], *, received_unix: float, accepted_unix: float
    ) -> IbmJob:
        """Accept a job."""
        job = IbmJob(make_id(), len(self.jobs), order, list(tags), received_unix, accepted_unix, params)
        self.jobs.append(job)
        self._by_id[job.id] = job
        self._count(job, len(params))
        return job

    def find(self, job_id: str, instance: Instance) -> IbmJob:
        """The job of that id. Raises IbmRefusedError (404)."""
        job = self._by_id.get(job_id)
        if job is None or job.is_deleted or job.order.instance is not instance:
            raise IbmRefusedError(404, NOT_FOUND_JOB, f"Job not found. Job ID: {job_id}")
        return job

    def delete(self, job_id: str) -> None:
        """Show a job to no client any more, nor its result. Raises KeyError for an id that no job has."""
        job = self._by_id[job_id]
        job.is_deleted, job.result = True, None

    def select(self, wanted: JobFilter, instance: Instance, *, now_unix: float) -> list[IbmJob]:
        """The jobs of an instance that a list shows, oldest first."""
        return [
            job
            for job in self.jobs
            if job.order.instance is instance
            and not job.is_deleted
            and not job.is_unlisted
            and now_unix - job.accepted_unix >= self._visible_seconds
            and wanted.matches(job)
        ]

    def of_session(self, session_id: str) -> Iterator[IbmJob]:
        """The jobs of a session or batch."""
        return (job for job in self.jobs if job.order.session_id == session_id)

    def count_waiting(self, backend: str) -> int:
        """How many jobs are not over on a device."""
        return sum(job.order.backend == backend and not job.is_over for job in self.jobs)

    def keep(self, job: IbmJob, result: bytes) -> None:
        """Store a result."""
        job.result = result
        self._count(job, len(result))

    def _count(self, job: IbmJob, n_bytes: int) -> None:
        """Forget inputs and results of the oldest jobs that are over, if all take more memory than may be kept."""
        self._kept.append((job, n_bytes))
        self._spare_bytes -= n_bytes
        while self._spare_bytes < 0 and self._kept[0][0].is_over:
            oldest, size = self._kept.popleft()
            oldest.params, oldest.result = b"null", None
            self._spare_bytes += size


def make_id() -> str:
    """A new id, as those of the service look."""
    return "d" + "".join(_DIGITS[byte % len(_DIGITS)] for byte in os.urandom(_ID_DIGITS - 1))
