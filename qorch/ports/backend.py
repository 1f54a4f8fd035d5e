"""The protocols of the places where rows execute."""

import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch.model.job import Availability, JobRequest, JobResult, JobShape, JobStatus, RawResult
from qorch.model.measurement import Measurement
from qorch.model.pub import Pub
from qorch.model.timing import Phase
from qorch.ports.policy import Terms

T = TypeVar("T")


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do and wants. The planner reads nothing else of it.

    ``slots``: jobs that really run side by side; a call is split into at least that many where it can be.
    ``max_rows_per_job``: hard limit. ``charges``: whether money is at stake, which decides how durable every
    step must be. ``mixes_shots``: whether the rows of one job may have different numbers of shots.
    """

    max_qubits: int
    max_shots: int
    max_rows_per_job: int
    slots: int
    charges: bool
    samples: bool = True
    exact: bool = False
    exact_gradients: bool = False
    mixes_shots: bool = True


class Backend(Protocol):
    """Where rows execute.

    An adapter translates and classifies; it never retries, sleeps or stores. All coroutines are called from one
    event loop and must not block it for more than a few milliseconds.
    """

    @property
    def name(self) -> str:
        """The full name under which it was opened, such as ``aer:noise=fake_fez``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Its limits; constant while it is open."""
        ...

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """Raise CircuitError, before anything is stored or sent, where it could not run these gates."""
        ...

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """How many rows make a job of a good size (some tenths of a second, or the largest allowed)."""
        ...

    def context(self, gates: GateList) -> bytes:
        """32 bytes that change with anything but the row that could change its distribution.

        Backend and device revision, calibration, compiled circuit, noise, mitigation, precision, engine version.
        """
        ...

    async def open(self) -> None:
        """Get ready in the background; the first submit waits for what is needed."""
        ...

    async def submit(self, request: JobRequest, *, key: str) -> str:
        """Hand over a job and return the provider's id of it.

        Raises RejectedError where the job was provably not accepted, UnknownOutcomeError where it may have been.
        """
        ...

    async def fetch(self, provider_id: str) -> RawResult:
        """Wait until the job is done and return the answer verbatim.

        Raises WorkerLostError where the job is lost but free to repeat, BackendError where it failed for good.
        """
        ...

    def decode(self, request: JobRequest, raw: RawResult) -> JobResult:
        """Turn the answer into verified results; pure. Raises InvalidResultError where anything is amiss."""
        ...

    async def cancel(self, provider_id: str) -> None:
        """Stop a job where that is possible; never raises for one that is already over."""
        ...

    def exact_vjp(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        """``(N, P)``: cotangents ``(N, K)`` times the exact Jacobian; only with ``exact_gradients``."""
        ...

    async def close(self) -> None:
        """Release everything; jobs still running are cancelled. May be called twice."""
        ...


@runtime_checkable
class RemoteBackend(Backend, Protocol):
    """A backend behind a network, whose jobs outlive the process that sent them.

    ``submit`` sends once. It raises BusyError, UnavailableError, CredentialsError or another RejectedError where the
    provider provably did not take the job, and UnknownOutcomeError in every other case but a clear acceptance.
    ``fetch`` is called once the job is over, and gets what there is of its results; it raises JobMissingError where the
    provider does not know the job. ``poll``, ``find``, ``fetch`` and ``availability`` are safe to repeat: where an
    answer does not come they raise BusyError, and the engine, which alone retries and waits, calls again. ``find``
    raises UnknownOutcomeError where nobody can tell: its lists stay unreadable, or show several jobs with one key.
    """

    @property
    def terms(self) -> Terms:
        """How the account may be used; constant while it is open."""
        ...

    @property
    def calls(self) -> Mapping[str, int]:
        """How many requests were sent so far, by what for: ``submit``, ``poll``, ``find``, ``fetch``, …."""
        ...

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Where these jobs are, in as few requests as the provider allows; those that it does not know are missing."""
        ...

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """The provider's ids of the jobs submitted after ``since`` with one of these keys, by key."""
        ...

    async def list_keys(self, *, since: datetime.datetime, known: Collection[str]) -> dict[str, str | None] | None:
        """The idempotency keys in the provider's list of jobs, each with the job id in the job's label (None without).

        From the newest job back to ``since``, or to one of the provider's ids ``known``. None if the provider has no
        list. Raises BusyError if the list cannot be read that far, UnknownOutcomeError if that has lasted long.
        """
        ...

    async def availability(self) -> Availability:
        """Whether it takes jobs now."""
        ...

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """Like ``decode``, from the shape of the job alone: after a restart its gates and angles are gone."""
        ...


@runtime_checkable
class SlowStarter(Protocol):
    """A backend that compiles or starts processes at its first use; reports show that time apart from execution."""

    def take_slow_starts(self) -> list[tuple[Phase, int, int]]:
        """The preparations since the last call: phase, begin and end in clock nanoseconds. From any thread."""
        ...
