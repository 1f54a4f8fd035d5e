"""The accepted jobs of a server, in order; they are found by id or listed page by page."""

import asyncio
import os
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qorch.errors import UsageError
from qorch_providers.emulators.ionq.money import BY_TIME
from qorch_providers.emulators.ionq.outcomes import Outcomes
from qorch_providers.emulators.kit.answers import RefusedError

PAGE = 25
_PLACES = 8192  # above the jobs and children of one job: place in the list = job's number * this + child's number
FINAL = frozenset({"completed", "failed", "canceled"})


@dataclass(frozen=True)
class Failure:
    """Why a job failed, in the service's words."""

    code: str
    message: str


@dataclass(frozen=True)
class Order:
    """A job's content as accepted; it never changes. ``n_one``, ``n_two``, ``widths``: gates and qubits by circuit.

    ``circuit_micros``: the price of each circuit; ``least_micros``: of the job, if anything of it is charged;
    ``cost_model``: what is counted for that, in the service's words.
    """

    version: str
    kind: str
    backend: str
    shots: int
    name: str | None
    metadata: dict[str, str] | None
    noise_model: str
    noise_seed: int | None
    settings: dict[str, object]
    dry_run: bool
    session_id: str | None
    submitter_id: str
    circuit_names: tuple[str | None, ...]
    n_one: npt.NDArray[np.int64]
    n_two: npt.NDArray[np.int64]
    widths: npt.NDArray[np.int64]
    circuit_micros: npt.NDArray[np.int64]
    least_micros: int = 0
    cost_model: str = BY_TIME

    @property
    def is_multi(self) -> bool:
        """Whether the job has children."""
        return self.kind == "ionq.multi-circuit.v1"

    @property
    def is_exact(self) -> bool:
        """Whether its results are exact, and no shots are taken."""
        return self.backend == "simulator" and self.noise_model == "ideal"

    @property
    def n_circuits(self) -> int:
        """The number of circuits."""
        return len(self.circuit_names)


@dataclass(eq=False)
class Job:
    """One accepted job. Times are real seconds since 1970.

    ``cost_due_seconds``: from when on its cost is told, by the protocol's clock.
    """

    id: str
    sequence: int
    order: Order
    child_ids: tuple[str, ...]
    received_unix: float
    accepted_unix: float
    status: str = "submitted"
    started_unix: float | None = None
    completed_unix: float | None = None
    cost_due_seconds: float | None = None
    failure: Failure | None = None
    failed_children: frozenset[int] = frozenset()
    outcomes: Outcomes | None = None
    is_deleted: bool = False
    is_unlisted: bool = False
    has_run: bool = False
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def n_charged(self) -> int:
        """How many circuits are charged: those that ran; all of them until that is known."""
        if self.order.dry_run or (self.status in FINAL and not self.has_run):
            return 0
        return self.order.n_circuits - len(self.failed_children)

    @property
    def price_micros(self) -> int:
        """The price in millionths of a dollar; 0 if the job failed or was cancelled before it ran."""
        if not self.n_charged:
            return 0
        return max(self.order.least_micros, int(self.order.circuit_micros[self.charged_circuits].sum()))

    @property
    def charged_circuits(self) -> list[int]:
        """The circuits that are charged if any is, by number."""
        return [index for index in range(self.order.n_circuits) if index not in self.failed_children]

    def is_cost_told(self, now_seconds: float) -> bool:
        """Whether the service tells what a job cost that is over."""
        return self.cost_due_seconds is not None and now_seconds >= self.cost_due_seconds

    def child_status(self, index: int) -> str:
        """The status of one of its circuits."""
        if self.has_run and self.status != "canceled":
            return "failed" if index in self.failed_children else "completed"
        return self.status


@dataclass(frozen=True)
class Found:
    """A job, or one circuit of it if ``child`` is not None."""

    job: Job
    child: int | None = None

    @property
    def status(self) -> str:
        """The status of the job or child."""
        return self.job.status if self.child is None else self.job.child_status(self.child)

    @property
    def id(self) -> str:
        """The id of the job or child."""
        return self.job.id if self.child is None else self.job.child_ids[self.child]


class JobRegistry:
    """The registry of a server's jobs; deleted ones are kept only for the emulator's own record of them (``truth``)."""

    def __init__(self, *, list_children: bool, kept_result_bytes: int) -> None:
        """``list_children``: whether lists without a parent name children too."""
        self.jobs: list[Job] = []
        self._by_id: dict[str, Found] = {}
        self._list_children = list_children
        self._kept_result_bytes = kept_result_bytes
        self._with_results: deque[tuple[Job, int]] = deque()

    def add(self, order: Order, *, received_unix: float, accepted_unix: float) -> Job:
        """Accept a job, which can be found from now on."""
        n_children = order.n_circuits if order.is_multi else 0
        own, *children = _make_ids(1 + n_children)
        job = Job(own, len(self.jobs), order, tuple(children), received_unix, accepted_unix)
        self.jobs.append(job)
        self._by_id[own] = Found(job)
        self._by_id.update({child: Found(job, index) for index, child in enumerate(children)})
        return job

    def find(self, job_id: str) -> Found:
        """The job or child of that id. Raises RefusedError (404)."""
        found = self._by_id.get(job_id)
        if found is None or found.job.is_deleted:
            raise RefusedError(404, f"job '{job_id}' was not found")
        return found

    def delete(self, found: Found) -> None:
        """Delete a job; a child is deleted only with its parent."""
        found.job.is_deleted = True
        found.job.outcomes = None

    def page(
        self, matches: Callable[[Found], bool], *, ids: list[str], parent_id: str, limit: int, cursor: str
    ) -> tuple[list[Found], str | None]:
        """Matching jobs, newest first, and the next page's cursor or None. Raises UsageError, RefusedError."""
        page: list[Found] = []
        for place, found in self._candidates(ids, parent_id, _read_cursor(cursor)):
            if found.job.is_deleted or found.job.is_unlisted or not matches(found):
                continue
            if len(page) == limit:
                return page, f"c{place}"
            page.append(found)
        return page, None

    def _candidates(self, ids: list[str], parent_id: str, start: int | None) -> Iterator[tuple[int, Found]]:
        """Jobs from a place in the list on, each with its place; newer jobs come before all others."""
        if ids:
            known = [self._by_id[job_id] for job_id in ids if job_id in self._by_id]
            yield from list(enumerate(known))[start or 0 :]
        elif parent_id:
            parent = self.find(parent_id).job
            yield from ((index, Found(parent, index)) for index in range(start or 0, len(parent.child_ids)))
        else:
            newest = len(self.jobs) * _PLACES - 1 if start is None else start
            for sequence in range(newest // _PLACES, -1, -1):
                skipped = 0 if start is None or sequence < newest // _PLACES else start % _PLACES
                for offset, found in enumerate(self._listed(sequence)):
                    if offset >= skipped:
                        yield sequence * _PLACES + offset, found

    def _listed(self, sequence: int) -> Iterator[Found]:
        job = self.jobs[sequence]
        yield Found(job)
        if self._list_children:
            yield from (Found(job, index) for index in range(len(job.child_ids)))

    def keep(self, job: Job, outcomes: Outcomes) -> None:
        """Store a result, and drop the oldest results if all together take more memory than may be kept."""
        job.outcomes = outcomes
        self._with_results.append((job, outcomes.n_bytes))
        self._kept_result_bytes -= outcomes.n_bytes
        while self._kept_result_bytes < 0 and len(self._with_results) > 1:
            oldest, n_bytes = self._with_results.popleft()
            oldest.outcomes = None
            self._kept_result_bytes += n_bytes


def _make_ids(count: int) -> list[str]:
    noise = os.urandom(16 * count)
    return [str(uuid.UUID(bytes=noise[start : start + 16], version=4)) for start in range(0, 16 * count, 16)]


def _read_cursor(cursor: str) -> int | None:
    if not cursor:
        return None
    if not (cursor.isascii() and cursor[0] == "c" and cursor[1:].isdecimal() and len(cursor) < 20):
        raise UsageError(f"'{cursor}' is not a cursor; send the `next` of an earlier answer")
    return int(cursor[1:])
