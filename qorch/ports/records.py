"""What is recorded: one frozen value per kind of row, the same for every store."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, TypedDict, TypeVar, Unpack

from qorch.model.arrays import ByteArray, IntArray, UIntArray
from qorch.model.executions import CountsExecutions
from qorch.model.identity import Position
from qorch.model.job import MOVES, OPEN_STATES, AttemptOutcome, JobState, QueuePlace
from qorch.model.ledger import LedgerRecord
from qorch.model.measurement import BlockResult, BlockShape, Measurement
from qorch.model.money import Money
from qorch.model.samples import Samples, take_samples
from qorch.model.timing import Span
from qorch.model.usage import ReportedUsage
from qorch.ports.provider_sessions import ProviderSessionRecord


class RunState:
    """The states of a run, as stored. Of a deleted run, jobs, attempts and ledger are kept."""

    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DELETED = "deleted"


@dataclass(frozen=True)
class RunRecord:
    """One training run. ``settings`` is JSON text: what the command line needs to continue it.

    ``summary`` is JSON text, too: the results of the sessions, and whether the backend charges. ``charges`` is that as
    a column; None in a database that did not record it. ``environment`` is JSON text: versions, arguments and commit
    with which the run was started. ``stop_asked_at``: when the process that works on the run was asked to stop; writing
    the run again leaves it as it is, and only a StopRequest moves it.
    """

    run_id: str
    name: str
    backend: str
    seed: int
    cache: str
    created_at: datetime.datetime
    workload: str | None = None
    settings: str = "{}"
    budget_micros: int | None = None
    currency: str | None = None
    state: str = RunState.RUNNING
    summary: str = "{}"
    charges: bool | None = None
    environment: str = "{}"
    stop_asked_at: datetime.datetime | None = None

    @property
    def budget(self) -> Money | None:
        """The most that the run may cost, if it was given a budget."""
        return None if self.budget_micros is None else Money(self.currency or "USD", self.budget_micros)

    @property
    def may_charge(self) -> bool:
        """Whether the backend charges, or may, as nobody recorded that it does not."""
        return self.charges is not False


@dataclass(frozen=True)
class SessionRecord:
    """One process that worked on a run. ``wall_ns`` is its duration when it was last written.

    ``is_command``: the process is the command ``qorch``, which `qorch cancel` may end; any other belongs to its user.
    ``used_settings`` is JSON text: the shots, epochs and so on that the program used (``qorch.run.used_settings``).
    """

    run_id: str
    ordinal: int
    pid: int
    host: str
    started_at: datetime.datetime
    wall_ns: int = 0
    executions: int = 0
    executions_from_cache: int = 0
    is_command: bool = False
    used_settings: str = "{}"


@dataclass(frozen=True)
class StepRecord(CountsExecutions):
    """One finished step of a run. ``epoch`` is None in a loop that has no epochs; what it logged is in MetricRecord."""

    run_id: str
    step: int
    session: int
    ended_at: datetime.datetime
    executions: int
    executions_from_cache: int
    begun_at: datetime.datetime | None = None
    epoch: int | None = None


@dataclass(frozen=True)
class MetricRecord:
    """One number that was logged in or after a step (-1: before the first); ``ordinal`` counts those of the step.

    ``value`` may be NaN or infinite. Writing an ordinal again replaces it, as a resumed run does.
    """

    run_id: str
    step: int
    ordinal: int
    name: str
    value: float
    logged_at: datetime.datetime
    epoch: int | None = None


class JobChanges(TypedDict, total=False):
    """What may change of a job when it moves."""

    provider_id: str | None
    attempts: int
    error: str | None
    n_executions: int
    shots: int | None


@dataclass(frozen=True)
class JobRecord:
    """One job, in the state it has moved to; writing it again moves it.

    ``shots`` of every execution: 0 for exact values, which take none. None if they differ, or if it is not known: of a
    job that was found at its provider, and of exact jobs that an earlier version wrote. ``queue_place``: where it was
    last seen in its provider's queue; writing the job again leaves it as it is, and only a QueueMove changes it.
    ``usage``: what the provider reports that it was charged for, None if it was not asked; as with the place, only a
    UsageRecord changes it.
    """

    job_id: str
    run_id: str
    position: Position
    state: JobState
    n_executions: int
    shots: int | None
    changed_at: datetime.datetime
    provider_id: str | None = None
    attempts: int = 0
    error: str | None = None
    queue_place: QueuePlace | None = None
    usage: ReportedUsage | None = None

    @property
    def is_exact(self) -> bool | None:
        """Whether all values of the job are exact; None if its rows differ, or if it is not known."""
        return None if self.shots is None else self.shots == 0

    @property
    def is_unsent(self) -> bool:
        """Whether the job was planned, and provably never sent: nothing ran, and nothing is billed."""
        return self.provider_id is None and self.state in (JobState.PLANNED, JobState.RESERVED, JobState.CANCELLED)

    @property
    def may_be_billed(self) -> bool:
        """Whether a backend that charges may bill the job: it ran, or it was, or may have been, accepted."""
        return self.provider_id is not None or self.state is JobState.DONE or self.state in OPEN_STATES

    def moved(self, state: JobState, *, at: datetime.datetime, **changes: Unpack[JobChanges]) -> "JobRecord":
        """The job in another state, or in the same. Raises RuntimeError for a move that ``MOVES`` does not allow."""
        if state is not self.state and state not in MOVES[self.state]:
            raise RuntimeError(
                f"job {self.job_id} cannot move from {self.state} to {state}; this is an error in qorch: please report"
                " it, with this text"
            )
        return replace(self, state=state, changed_at=at, **changes)


@dataclass(frozen=True)
class QueueMove:
    """A stored job's new place in its provider's queue; None if it is not queued any more, or nothing is known."""

    job_id: str
    run_id: str
    place: QueuePlace | None


@dataclass(frozen=True)
class UsageRecord:
    """What the provider reports that a stored job was charged for."""

    job_id: str
    run_id: str
    usage: ReportedUsage


@dataclass(frozen=True)
class AttemptRecord:
    """One try at submitting a job, with its idempotency key; writing it again records how it ended.

    ``payload_digest``: the digest of the bytes that were sent, in hexadecimal. ``search_text``: the text by which a
    person finds the job at its provider. None if it was not recorded.
    """

    job_id: str
    ordinal: int
    key: str
    started_at: datetime.datetime
    outcome: AttemptOutcome = AttemptOutcome.INTENT
    error: str | None = None
    payload_digest: str | None = None
    search_text: str | None = None

    @property
    def name_at_provider(self) -> str:
        """What a person looks for in the provider's console; earlier versions named all jobs by their keys."""
        return self.search_text or f"qorch {self.key[:16]}"


@dataclass(frozen=True, eq=False)
class BlockRows:
    """The R rows of a block: where they are in their call, what they are, and which of their samples are meant.

    ``group``: the (pub, basis) of the call that they belong to, ``indices (R,)`` their places in it. ``keys (R, 32)``,
    the device's ``context`` and ``gates_digest`` say what they are. ``samples`` is None for exact values.
    """

    group: int
    indices: UIntArray
    keys: ByteArray
    context: bytes
    gates_digest: bytes
    samples: Samples | None

    def __len__(self) -> int:
        """R."""
        return len(self.indices)

    def take(self, chosen: IntArray) -> "BlockRows":
        """The chosen rows, ``(C,)`` places in the block."""
        return replace(
            self,
            indices=self.indices[chosen],
            keys=self.keys[chosen],
            samples=take_samples(self.samples, chosen),
        )


@dataclass(frozen=True, eq=False)
class BlockPlan:
    """A block that a job carries, before its results: its rows, and how they are measured."""

    rows: BlockRows
    measurement: Measurement

    @property
    def shape(self) -> BlockShape:
        """What is needed to read the block's result. Raises ShotsError if samples and measurement disagree."""
        return BlockShape(len(self.rows), self.measurement, self.rows.samples)


@dataclass(frozen=True, eq=False)
class BlockRecord:
    """A block with its results; of its measurement, the digest is kept."""

    job_id: str
    run_id: str
    position: Position
    rows: BlockRows
    measurement_digest: bytes
    n_qubits: int
    result: BlockResult = field(repr=False)
    created_at: datetime.datetime | None = None


@dataclass(frozen=True, eq=False)
class JobPlan:
    """What a job carries, written with its intent, so that its answer can be read without the program that sent it.

    Dropped once the job is done, failed or cancelled.
    """

    job_id: str
    run_id: str
    blocks: tuple[BlockPlan, ...]


@dataclass(frozen=True)
class RawRecord:
    """A provider's answer to a job, verbatim: of paid jobs, and of those that failed verification."""

    job_id: str
    run_id: str
    content: bytes
    received_at: datetime.datetime
    is_quarantined: bool = False


@dataclass(frozen=True, eq=False)
class ReleasedRows:
    """Claims ``(R, 32)`` on rows that a run releases; None: all that it has."""

    run_id: str
    claims: ByteArray | None = None


@dataclass(frozen=True, eq=False)
class BlockKeys:
    """What a look-up needs of a stored block; ``samples`` is None for exact values."""

    block_id: int
    keys: ByteArray
    samples: Samples | None


@dataclass(frozen=True)
class SpanRecord:
    """A span of a run's session; its times count from the start of the session."""

    run_id: str
    session: int
    span: Span


@dataclass(frozen=True)
class CheckpointRecord:
    """A user's states after ``position``, encoded by ``qorch.run.checkpoint``. The newest two of a run are kept."""

    run_id: str
    position: Position
    content: bytes
    created_at: datetime.datetime


@dataclass(frozen=True)
class RunMove:
    """A run's new state, and its summary (JSON text) if there is one."""

    run_id: str
    state: str
    summary: str | None = None


@dataclass(frozen=True)
class StopRequest:
    """Ask the process that works on a run to stop; ``asked_at`` None takes the request back, as a new session does."""

    run_id: str
    asked_at: datetime.datetime | None


Write = (
    RunRecord
    | SessionRecord
    | StepRecord
    | MetricRecord
    | JobRecord
    | QueueMove
    | UsageRecord
    | AttemptRecord
    | BlockRecord
    | JobPlan
    | RawRecord
    | ReleasedRows
    | SpanRecord
    | CheckpointRecord
    | LedgerRecord
    | ProviderSessionRecord
    | RunMove
    | StopRequest
)


T = TypeVar("T")


@dataclass(frozen=True)
class Change(Generic[T]):
    """The result of a change of shared state: the new ``state`` (None deletes it) and the ``value`` for the caller.

    ``writes``: records that are written in the same transaction.
    """

    state: bytes | None
    value: T
    writes: Sequence[Write] = ()


@dataclass(frozen=True)
class RunHolder:
    """The process that has the right to work on a run. ``pid`` and ``host`` are None if it could not leave them."""

    pid: int | None
    host: str | None
