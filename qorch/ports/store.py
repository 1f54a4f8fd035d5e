"""Where everything is recorded: a protocol for each kind of use, and ``Store``, which is all of them.

Code asks for the narrowest protocol that has what it uses. Every method may be called from any thread.
"""

import datetime
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar, runtime_checkable

from qorch.model.arrays import ByteArray
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import LedgerRecord
from qorch.model.measurement import BlockResult
from qorch.ports.books import Books
from qorch.ports.provider_sessions import ProviderSessionRecord
from qorch.ports.records import (
    AttemptRecord,
    BlockKeys,
    BlockRecord,
    Change,
    CheckpointRecord,
    JobPlan,
    JobRecord,
    MetricRecord,
    RawRecord,
    RunHolder,
    RunRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
    Write,
)
from qorch.ports.statistics import CacheStatistics, JobSpans, RunTotals, StoreRoom, Trimmed

T = TypeVar("T")


class NamedStore(Protocol):
    """What a store is called."""

    @property
    def store_id(self) -> str:
        """A random name that this database was given at its creation."""
        ...

    @property
    def location(self) -> str:
        """Where it is, without secrets, as a user would name it."""
        ...


class RecordLog(NamedStore, Protocol):
    """Takes records to be written.

    ``write`` takes effect in the order of the calls, each call whole or not at all; the future is done when the
    writes are durable (they survive a power cut) and fails with a StoreError if they could not be made. After a full
    disk, an input/output error or corruption every later write fails with the same error, and nothing written before is
    lost. Writing a run, session, step, job or attempt a second time replaces it. Reads see every write whose future is
    done. A run must be stored before what belongs to it, and a job before its attempts, blocks and ledger entries.
    """

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """Queue writes; see the class."""
        ...


class Runs(NamedStore, Protocol):
    """Reads runs, and what their sessions recorded."""

    def find_run(self, name_or_id: str) -> RunRecord | None:
        """The run with this id, or else the newest with this name that is not deleted."""
        ...

    def runs(self) -> list[RunRecord]:
        """All runs that are not deleted, newest first."""
        ...

    def run_totals(self) -> dict[str, RunTotals]:
        """The totals of every run, by run id, in a number of queries that does not grow with the runs."""
        ...

    def sessions(self, run_id: str) -> list[SessionRecord]:
        """A run's sessions, in order."""
        ...

    def steps(self, run_id: str) -> list[StepRecord]:
        """A run's finished steps, in order."""
        ...

    def metrics(self, run_id: str) -> list[MetricRecord]:
        """Every number that a run logged, by step and in the order of logging."""
        ...

    def spans(self, run_id: str) -> list[SpanRecord]:
        """A run's spans, in order of writing."""
        ...

    def ledger(self, run_id: str | None = None) -> list[LedgerRecord]:
        """Ledger entries, oldest first."""
        ...

    def last_checkpoint(self, run_id: str) -> CheckpointRecord | None:
        """The newest sound checkpoint of a run."""
        ...


class Jobs(Protocol):
    """Reads jobs, their attempts, and the answers that were kept of them."""

    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """Jobs, oldest first, of one run or all, in one state or any."""
        ...

    def executions_by_state(self, run_id: str) -> dict[JobState, int]:
        """How many executions a run's jobs carry, by the state of the job; states of no job are left out."""
        ...

    def open_jobs(self, run_id: str | None = None) -> list[JobRecord]:
        """Jobs that may be at a provider (see ``OPEN_STATES``), oldest first, of one run or all."""
        ...

    def jobs_without_usage(self, run_id: str | None = None) -> list[JobRecord]:
        """Jobs that a provider had, and may charge for, whose usage is not final: it is pending, or was not asked for.

        Oldest first, of one run or all, deleted ones too; none of a run whose backend charges nothing, and none that
        is on its way or running (see ``OPEN_STATES``), unless it is held with the provider's id.
        """
        ...

    def jobs_at(self, run_id: str, position: Position) -> list[JobRecord]:
        """The jobs of a call of a run, oldest first."""
        ...

    def attempts(self, job_id: str) -> list[AttemptRecord]:
        """The attempts of a job, in order."""
        ...

    def run_attempts(self, run_id: str) -> list[AttemptRecord]:
        """The attempts of all jobs of a run, those of one job in order."""
        ...

    def job_plan(self, job_id: str) -> JobPlan | None:
        """What an open job carries; None if it never was written, or the job is over.

        Raises StoreCorruptError on a bad checksum.
        """
        ...

    def raw_result(self, job_id: str) -> RawRecord | None:
        """The newest answer that was kept of a job. Raises StoreCorruptError on a bad checksum."""
        ...


class SessionHistory(Protocol):
    """Reads the sessions that were opened at providers."""

    def provider_sessions(self, run_id: str | None = None) -> list[ProviderSessionRecord]:
        """Provider sessions, oldest first, of one run or all."""
        ...

    def open_provider_sessions(self, run_id: str | None = None) -> list[ProviderSessionRecord]:
        """Those that may be open at a provider (see ``MAYBE_OPEN``), oldest first, of one run or all."""
        ...


class RunHistory(Runs, Jobs, SessionHistory, Protocol):
    """Reads all that happened in runs."""


class SampleBlocks(Protocol):
    """Reads stored results, in blocks of rows."""

    def blocks_at(self, run_id: str, position: Position) -> list[BlockRecord]:
        """The blocks that a call of a run stored, oldest first. Raises StoreCorruptError on a bad checksum."""
        ...

    def block_keys(
        self, context: bytes, measurement_digest: bytes, gates_digest: bytes, *, after_block_id: int = 0
    ) -> list[BlockKeys]:
        """The keys of the stored blocks of this circuit, measurement and context with larger ids, oldest first."""
        ...

    def block_results(self, block_ids: Sequence[int]) -> dict[int, BlockResult]:
        """The results of blocks by id. Raises StoreCorruptError on a bad checksum."""
        ...


class StoredResults(Jobs, SampleBlocks, Protocol):
    """Reads what the jobs of a call brought."""


class Holders(Protocol):
    """Who works on which run."""

    def holder_of(self, run_id: str) -> RunHolder | None:
        """The process that has claimed a run, or None. Asking never makes another process's claim fail."""
        ...


class SharedState(Holders, Protocol):
    """What the processes that use one store agree on: who works on what, and how fast."""

    def claim_run(self, run_id: str) -> AbstractContextManager[None]:
        """The right to work on a run, kept by the kernel while this process lives.

        Entering raises RunBusyError, with the holder's pid, if another process has it or this one has it already.
        """
        ...

    def stop_asked(self, run_id: str) -> datetime.datetime | None:
        """When the process that works on a run was asked to stop; None if it was not. A cheap read."""
        ...

    def update_shared_state(self, name: str, change: "Callable[[bytes | None, int], Change[T]]") -> "Future[T]":
        """Change what all processes share under a name, one after the other, and write records with it.

        ``change(state, now_ns)`` is pure. It gets the state (None at first) and the time of the store in nanoseconds:
        one clock for all processes that use the store, however far apart their own clocks are, so compare it with no
        other clock. The state and the records of the Change that it returns are written in one transaction, and the
        future gets the value. If ``change`` raises, or a record cannot be stored, the future gets that error, and
        neither state nor records are changed. It may be called again if a transaction has to be repeated.
        """
        ...

    def claim_rows(self, run_id: str, claims: ByteArray) -> "Future[list[str]]":
        """Claim rows for a run, all in one transaction: for each of ``(R, 32)`` the id of the run that has it now.

        That is ``run_id`` if it was free or its own. Claims are given up by writing ReleasedRows.
        """
        ...


class StoredStatistics(NamedStore, Protocol):
    """How much is stored."""

    def cache_statistics(self) -> CacheStatistics:
        """How much is stored."""
        ...


class Room(StoredStatistics, Protocol):
    """The room that stored results take, and how it is made free."""

    def prune(self, *, run_id: str | None = None, before: datetime.datetime | None = None) -> int:
        """Delete stored rows (never runs, jobs or ledger) of a run, or older than a time; how many rows."""
        ...

    def trim_free(self, keep_bytes: int) -> "Future[Trimmed]":
        """Delete the oldest free results that no resume needs, while free results take more than ``keep_bytes``.

        One call deletes a bounded piece (about a megabyte), or gives a piece of unused room back to the disk. Results
        of runs with ``charges`` False are free. The resume of a run that is neither done nor cancelled needs what was
        stored at or after the position of its last checkpoint, and before its first step (step -1). A block counts as
        the bytes of its arrays and BLOCK_OVERHEAD_BYTES.
        """
        ...

    def room(self) -> StoreRoom:
        """How much room the store takes and has."""
        ...

    def shrink(self) -> int:
        """Give unused room back to the disk if that is possible now (see ``room``); how many bytes."""
        ...

    def delete_run(self, run_id: str, *, keep_books: bool) -> None:
        """Delete a run and all that belongs to it; the caller has claimed it.

        With ``keep_books`` its record stays, in state DELETED, with its jobs, their attempts, the plans of open jobs
        and its ledger entries. Killed halfway, it may be called again. Raises StoreError for a run that is not stored,
        and without ``keep_books`` for one that has ledger entries, which are never deleted.
        """
        ...


class Store(RecordLog, RunHistory, Books, SampleBlocks, SharedState, Room, Protocol):
    """Where everything is recorded. Thread-safe."""

    def close(self) -> None:
        """Make everything written durable and let go. May be called twice."""
        ...


@runtime_checkable
class SyncingStore(Protocol):
    """A store that tells when it waited for its disk."""

    def take_syncs(self) -> list[tuple[int, int]]:
        """The waits since the last call, from and to, in nanoseconds of the clock that it was opened with."""
        ...


@runtime_checkable
class PaceSource(Protocol):
    """A store that finds what the steps of earlier runs took; without it, remaining time rests on the run alone."""

    def runs_like(self, run: RunRecord, *, limit: int) -> list[RunRecord]:
        """The newest runs on the backend of a run, of its name or its workload, itself too; none that is deleted."""
        ...

    def last_steps(self, run_id: str, *, limit: int) -> list[StepRecord]:
        """So many of a run's last finished steps, in order."""
        ...


@runtime_checkable
class JobSpanSource(Protocol):
    """A store that reads spans as arrays; of others, `qorch latency` reads all spans of a run one by one."""

    def job_spans(self, run_id: str) -> JobSpans:
        """The spans of a run that belong to jobs, and those of its kernels' compilation, in order of writing."""
        ...
