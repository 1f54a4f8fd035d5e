"""The protocol that carries the planned jobs of calls to their ends, for backends in this process and at providers."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from qorch.engine.submission import Submission
from qorch.engine.worker import Compute
from qorch.model.identity import Position
from qorch.model.job import JobResult, JobShape, RawResult
from qorch.model.verification import verify_result
from qorch.planning.lowering import RowGroup
from qorch.planning.packing import Missing, PlannedJob
from qorch.ports.backend import Backend

HURRY_SECONDS, PATIENT_SECONDS = 1.5, 10.0
"""How long sessions at a provider may take to be closed: when a run is interrupted, within its grace, and else."""


@dataclass(frozen=True, eq=False)
class Returned:
    """Verified results, and the job that they are of."""

    job: PlannedJob
    result: JobResult


@dataclass(frozen=True, eq=False)
class Wanted:
    """What a call is about to buy. ``jobs``: its plan; ``whole``: makes the plan it would have with no results."""

    run_id: str
    position: Position
    groups: tuple[RowGroup, ...]
    contexts: tuple[bytes, ...]
    missing: Sequence[Missing]
    jobs: Sequence[PlannedJob]
    whole: Callable[[], Sequence[PlannedJob]]


class Submitter(Protocol):
    """Carries jobs through their states, on one backend."""

    @property
    def most_jobs(self) -> int:
        """How many jobs it should be given at once."""
        ...

    async def open(self) -> None:
        """Open the backend, and begin to adopt the jobs that an earlier session of the run left there."""
        ...

    async def wait_at(self, position: Position) -> None:
        """Wait until no job that an earlier session left at this call is open any more, but what ``adopt`` settles.

        Raises UnknownOutcomeError if one of them is held, and BackendError if the provider cannot be asked.
        """
        ...

    async def adopt(self, wanted: Wanted) -> bool:
        """Take over jobs of a call that the database does not know, and send again what is in doubt and may be.

        Whether there were any: the caller then looks its results up again, and asks again. Raises RunChangedError if a
        paid job carries other rows than the program has now, UnknownOutcomeError if a job stays held, BackendError.
        """
        ...

    def reserved(self, submissions: Sequence[Submission], *, compute: Compute) -> AbstractAsyncContextManager[None]:
        """Around all ``carry_out`` of a call: its jobs are reserved together, or refused with BudgetError.

        Jobs that were not tried when the call ends are cancelled. Raises UsageError if the provider would refuse the
        first of them, before anything is written; for a later one, ``carry_out`` raises it.
        """
        ...

    async def carry_out(
        self, submission: Submission, *, compute: Compute, next_ordinal: Callable[[], int]
    ) -> list[Returned]:
        """Run one reserved job to its end, with jobs that repeat what failed of it; the results, which are recorded.

        ``next_ordinal``: the number of the next job of the call. Raises BackendError, StoreError, BudgetError.
        """
        ...

    async def recover_run(self, run_id: str) -> None:
        """Bring to an end what a run whose process has died left at the provider.

        Raises UnknownOutcomeError if one of its jobs is held, and BackendError if the provider cannot be asked.
        """
        ...

    async def close(self, *, patience_seconds: float = HURRY_SECONDS) -> None:
        """Stop, and release the backend; jobs at a provider stay there, to be adopted.

        Sessions at a provider are closed, as far as that takes no longer than ``patience_seconds``.
        """
        ...


def read_verified(backend: Backend, shape: JobShape, raw: RawResult) -> JobResult:
    """The results in an answer, if they can be those of the job. Raises InvalidResultError."""
    return verify_result(shape, backend.read(shape, raw))
