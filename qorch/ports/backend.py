"""The protocols of the places where rows execute: what they share, in this process or at a provider, and extras."""

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, runtime_checkable

from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch.model.job import Availability, JobRequest, JobResult, JobShape, JobStatus, Payload, RawResult, Usage
from qorch.model.measurement import Measurement
from qorch.model.money import Money
from qorch.model.profiles.profile import Profile
from qorch.model.pub import Pub
from qorch.model.timing import Phase
from qorch.model.usage import ReportedUsage
from qorch.ports.clock import Clock
from qorch.ports.policy import Terms

_UNSENT_KEY = "quote"
"""In place of an idempotency key, which does not change what is billed."""


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do and wants. The planner reads nothing else of it.

    ``slots``: jobs that really run side by side; a call is split into at least that many if it can be.
    ``max_rows_per_job``: hard limit. ``charges``: whether money is at stake, which decides how durable every
    step must be. ``mixes_shots``: whether the rows of one job may have different numbers of shots.
    ``exact_gradients``: whether it is an ExactGradients as it was opened (noise rules them out). ``estimates``: it
    answers with expectation values and variances that it has estimated itself, and never with counts
    (``Measurement.sums``); a row is then one execution, in however many bases the backend measures it.
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
    estimates: bool = False


class Backend(Protocol):
    """What every place where rows execute has in common; each is an InProcessBackend or a RemoteBackend, too.

    An adapter translates and classifies; it never retries, sleeps or stores. All coroutines are called from one
    event loop and must not block it for more than a few milliseconds.
    """

    @property
    def name(self) -> str:
        """The full name under which it was opened, such as ``aer:noise=fake_fez``."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """Its limits; constant once it is open."""
        ...

    async def open(self) -> None:
        """Get ready: start workers, or ask the provider what the device is. May send nothing."""
        ...

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """Compile or transpile circuits, off the event loop; returns soon if that was done before.

        The engine awaits it before it plans a call with these circuits, so that ``check``, ``rows_per_job``,
        ``context`` and ``encode`` are quick. Raises CircuitError for a circuit that cannot be compiled.
        """
        ...

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """Raise CircuitError, before anything is stored or sent, if it could not run these gates."""
        ...

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """How many executions make a job of a good size (some tenths of a second, or the largest allowed)."""
        ...

    def context(self, gates: GateList) -> bytes:
        """32 bytes that change with anything but the row that could change its distribution.

        Backend and device revision, calibration as it was last seen, compiled circuit, noise, mitigation, precision,
        engine version. The engine asks before it plans a call.
        """
        ...

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """The job as it is sent, once and at every resend; pure, and called in a thread if the job is large.

        The same request and key give the same bytes. ``key``: the idempotency key, which the provider keeps with the
        job. Raises UsageError for a job that the provider would refuse.
        """
        ...

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """The results in an answer; pure. Raises InvalidResultError if it cannot be read.

        It needs the shape of the job alone, because after a restart its gates and angles are gone. The engine verifies
        what it returns (``qorch.model.verification``): number of rows, sums, ranges, finite values.
        """
        ...

    async def close(self) -> None:
        """Release everything; jobs that run in this process are cancelled. May be called twice."""
        ...


@runtime_checkable
class InProcessBackend(Backend, Protocol):
    """A backend whose jobs end with the process, and cost nothing if they are run again."""

    async def run(self, payload: Payload) -> RawResult:
        """Execute ``payload.request`` and return the answer; a cancelled call stops the job.

        Raises WorkerLostError if the job is lost but free to repeat, RejectedError if it cannot be run,
        BackendError if it failed.
        """
        ...


@runtime_checkable
class RemoteBackend(Backend, Protocol):
    """A backend behind a network, whose jobs outlive the process that sent them.

    ``poll``, ``find``, ``list_keys``, ``fetch`` and ``availability`` are safe to repeat: if an answer does not come
    they raise BusyError, and the engine, which alone retries and waits, calls again. ``find`` and ``list_keys`` raise
    UnknownOutcomeError if the provider cannot tell: the lists stay unreadable, or show several jobs with one key.
    """

    @property
    def terms(self) -> Terms:
        """How the account may be used; constant while it is open."""
        ...

    @property
    def calls(self) -> Mapping[str, int]:
        """How many requests were sent so far, by what for: ``submit``, ``poll``, ``find``, ``fetch``, …."""
        ...

    async def submit(self, payload: Payload) -> str:
        """Send ``payload.content`` once and return the provider's id of the job.

        Raises BusyError, UnavailableError, CredentialsError or another RejectedError if the provider provably did not
        take the job, and UnknownOutcomeError in every other case but a clear acceptance.
        """
        ...

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """Where these jobs are, in as few requests as the provider allows; those that it does not know are missing."""
        ...

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """The provider's ids of the jobs submitted after ``since`` with one of these keys, by key."""
        ...

    async def list_keys(self, *, since: datetime.datetime, known: Sequence[str]) -> dict[str, str | None] | None:
        """The idempotency keys in the provider's list of jobs, each with the job id in the job's label (None without).

        From the newest job back to ``since``, or to one of the provider's ids ``known``, the latest of which is last:
        all jobs that are looked for are newer than each of these. None if the provider has no list. Raises BusyError if
        the list cannot be read that far, UnknownOutcomeError if that has lasted long.
        """
        ...

    async def fetch(self, provider_id: str) -> RawResult:
        """The answer to a job that is over, verbatim: all that there is of its results.

        Raises JobMissingError if the provider does not know the job, JobFailedError if there is nothing of a result.
        """
        ...

    async def cancel(self, provider_id: str) -> None:
        """Ask the provider to stop a job; never raises for one that is already over."""
        ...

    async def availability(self) -> Availability:
        """Whether it takes jobs now."""
        ...


@runtime_checkable
class ReportsUsage(Protocol):
    """A provider that reports what jobs were charged for, with the end of a job or long after it.

    What a poll of a job that is over tells already is in ``JobStatus.usage``, and costs no request.
    """

    async def fetch_usage(self, provider_ids: Collection[str], *, since: datetime.datetime) -> dict[str, ReportedUsage]:
        """By id, what these jobs were charged for, also failed and cancelled ones; it may be asked before ``open``.

        In as few requests as the provider allows. Jobs that it does not know are missing; PENDING is one that is not
        over, or not counted yet. ``since``: about when the first of them was submitted; jobs that are
        older are told all the same. Raises what ``poll`` raises.
        """
        ...


@runtime_checkable
class EstimatesCost(Protocol):
    """A provider that tells what a job would cost before it is sent; asking costs nothing, and sends no job."""

    async def estimate_cost(self, request: JobRequest) -> Money | None:
        """By the job's quantities; None if the provider counts in something that is no money, such as credits.

        It may be asked before ``open``. Raises BackendError if the provider does not tell.
        """
        ...


@runtime_checkable
class ExactGradients(Protocol):
    """A backend that differentiates exact values itself; see ``Capabilities.exact_gradients``."""

    def vjp(self, pub: Pub, cotangents: FloatArray, *, check: Callable[[], None]) -> FloatArray:
        """``(N, P)``: cotangents ``(N, K)`` times the exact Jacobian, computed in the thread that calls; any may.

        ``check`` is called before each piece of the work, and raises if the call is to end.
        """
        ...


@runtime_checkable
class Metered(Protocol):
    """A backend that says what is billed of a job without encoding it."""

    def measure(self, request: JobRequest) -> Usage | None:
        """The ``usage`` of the payload that ``encode`` makes of this request; pure. None: nothing is billed."""
        ...


def measure_job(backend: Backend, request: JobRequest) -> Usage | None:
    """What is billed of a job that is not sent: by the backend's own word, or by the payload that it would send."""
    return backend.measure(request) if isinstance(backend, Metered) else backend.encode(request, key=_UNSENT_KEY).usage


def account_of(backend: Backend) -> str:
    """Who pays for its jobs, as its terms name it; empty if they run in this process."""
    return backend.terms.account if isinstance(backend, RemoteBackend) else ""


class OfflinePlanner(Protocol):
    """How a backend would cut work into jobs, and what is billed of them, told without a key and without a network.

    A backend's package makes one with ``plan_offline(options)``. ``assumptions``: sentences about what only the
    provider knows, and was taken from records instead; empty if the real jobs can be no others.
    """

    @property
    def name(self) -> str:
        """The backend's full name."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """As far as they are known without asking."""
        ...

    @property
    def assumptions(self) -> Sequence[str]:
        """See the class."""
        ...

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        ...

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend; it may compile the circuit first."""
        ...

    def measure(self, request: JobRequest) -> Usage | None:
        """See Metered."""
        ...


@runtime_checkable
class Mocks(Protocol):
    """A backend that stands for another: its name begins with ``mock:``, nothing is sent, and nothing is charged.

    What it charges in capabilities, payloads and usage is what the real backend would.
    """

    @property
    def profile(self) -> Profile:
        """From which its latencies, closures and faults are drawn."""
        ...

    def without_faults(self) -> RemoteBackend:
        """The same mock, but that nothing goes wrong: no call is lost or refused, and no job fails."""
        ...

    def future(self, *, clock: Clock, seed: int) -> RemoteBackend:
        """A mock of the same backend, whose provider has no jobs yet and draws by this seed; it simulates nothing.

        Its results are made up. Opening it starts nothing, so that many can be made.
        """
        ...


class FindingStatus(StrEnum):
    """What a check found: all is well, something is worth knowing, or nothing will run before it is mended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """What one check found: ``name`` of what was looked at, and a ``message`` that says what to do if it failed."""

    name: str
    status: FindingStatus
    message: str


@runtime_checkable
class Diagnosable(Protocol):
    """A backend that can look at its account and its device without paying for anything."""

    async def diagnose(self) -> Sequence[Finding]:
        """One finding each for credentials, device and whatever else jobs need; raises nothing, open or not."""
        ...


@runtime_checkable
class SlowStarter(Protocol):
    """A backend that compiles or starts processes at its first use; reports show that time apart from execution."""

    def take_slow_starts(self) -> list[tuple[Phase, int, int]]:
        """The preparations since the last call: phase, begin and end in clock nanoseconds. From any thread."""
        ...
