"""The backend over IonQ's REST API: it sends every job once and says what became of it; the engine does the rest."""

import asyncio
import datetime
import hashlib
import secrets
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from qorch.errors import (
    BackendError,
    BusyError,
    CircuitError,
    RejectedError,
    SessionEndedError,
    UnknownNameError,
)
from qorch.model.circuit import GateList
from qorch.model.job import (
    Availability,
    JobRequest,
    JobResult,
    JobShape,
    JobStatus,
    Payload,
    RawResult,
    Usage,
)
from qorch.model.measurement import Measurement
from qorch.model.money import NOTHING, Money
from qorch.model.usage import ReportedUsage
from qorch.ports.backend import Capabilities, Finding, RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import OnUnknown, Terms
from qorch.ports.provider_sessions import SessionPlan
from qorch_providers.http import HttpClient, NotSentError
from qorch_providers.ionq.access import CONSOLE, Access, read_access
from qorch_providers.ionq.circuits.job_body import check_gates, encode_job, measure_usage
from qorch_providers.ionq.circuits.limits import MAX_SHOTS, check_measurement, rows_per_job
from qorch_providers.ionq.diagnosis import diagnose, missing_machine
from qorch_providers.ionq.jobs.inventory import list_keys
from qorch_providers.ionq.jobs.search import Searches, look_up
from qorch_providers.ionq.jobs.sessions import IonqSessions, session_mode
from qorch_providers.ionq.jobs.usage import UsageReader
from qorch_providers.ionq.labels import job_name
from qorch_providers.ionq.options import MAX_CIRCUITS, Options, parse_options
from qorch_providers.ionq.results.collection import collect_answer
from qorch_providers.ionq.results.reading import read_answer
from qorch_providers.ionq.wire.client import IonqClient, NoListError
from qorch_providers.ionq.wire.estimates import estimate_query
from qorch_providers.list_health import ListHealth

REVISION = "1"
"""Of how circuits are encoded and answers read: raise it with any change that changes a distribution."""

SIMULATOR_QUBITS = 29
QPU_QUBITS = 36
"""Until the machine itself says how many it has."""


LIMIT_OPTION = "mode=session,max_cost=25USD"
"""An example of what has IonQ limit the cost of a run's session."""
_MOST_SUBMISSIONS, _OTHER_CALLS = 200, 20


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str]
) -> RemoteBackend:
    """Open ``ionq:<options>``, such as ``ionq:simulator`` or ``ionq:qpu.forte-1,gateset=native``.

    The key comes from IONQ_API_KEY, the URL from IONQ_API_URL if it is set. ``workers`` means nothing here: the
    option ``jobs`` bounds what is in progress. Raises UnknownNameError for an unknown option, UsageError if the
    key is missing or the URL cannot be used. Nothing is sent yet.
    """
    parsed = parse_options(options)
    access = read_access(environment, version=parsed.version)
    http = HttpClient(
        access.base_url,
        headers=access.headers,
        clock=clock,
        deadline_seconds=parsed.deadline_seconds,
        most_connections=min(parsed.jobs, _MOST_SUBMISSIONS) + _OTHER_CALLS,
    )
    client = IonqClient(http, access, version=parsed.version)
    return IonqBackend(f"ionq:{options}", parsed, client=client, access=access, clock=clock)


class IonqBackend:
    """See ``qorch.ports``: RemoteBackend, ProviderSessions, ReportsUsage, EstimatesCost, Metered, Diagnosable.

    Lives in one event loop.
    """

    def __init__(self, name: str, options: Options, *, client: IonqClient, access: Access, clock: Clock) -> None:
        """Nothing is sent before ``open``."""
        self._name = name
        self._options = options
        self._client = client
        self._clock = clock
        self._searches = Searches(client)
        self._sessions = IonqSessions(client, options)
        self._usage = UsageReader(client, tells_costs=not options.is_simulator and options.version != "v0.3")
        self._list_health = ListHealth("IonQ", self._ask_availability, clock=clock)
        self._terms = _terms(options, access.account)
        self._capabilities = capabilities_of(options)
        # Of a machine, as it was last seen: what is sent after a recalibration has another context.
        self._characterization: str | None = None
        self._is_open = options.is_simulator
        self._is_closed = False
        self._refused_ns: dict[str, int] = {}

    @property
    def name(self) -> str:
        """See Backend."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """See Backend; a machine's number of qubits is its own from ``open`` on."""
        return self._capabilities

    @property
    def terms(self) -> Terms:
        """See RemoteBackend."""
        return self._terms

    @property
    def calls(self) -> Counter[str]:
        """How many requests were sent so far, by purpose: submit, poll, usage, find, fetch, and so on."""
        return Counter(self._client.calls)

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """See Backend: compiles circuits to IonQ's gates, of which the latest are kept."""

        def compile_all() -> None:
            for gates in circuits:
                self._check_width(gates)
                check_gates(gates, self._options)

        await asyncio.to_thread(compile_all)

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        self._check_width(gates)
        check_measurement(measurement, self._options)
        check_gates(gates, self._options)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        return rows_per_job(gates, measurement, self._options, shots=shots)

    def context(self, gates: GateList) -> bytes:
        """Target, gate set, noise with its seed, mitigation and, of a machine, its calibration as it was last seen.

        Not the API's version, which changes no distribution, and nothing of the gates. Raises BackendError before a
        machine was opened.
        """
        if not self._is_open:
            raise BackendError(f"{self._name} is not open yet, so its calibration is not known; open it first")
        options = self._options
        parts = (REVISION, options.target, options.gateset, options.two_qubit, options.noise or "ideal",
                 options.noise_seed, bool(options.debiasing), self._characterization)  # fmt: skip
        return hashlib.sha256(f"qorch-ionq/{parts!r}".encode()).digest()

    async def open(self) -> None:
        """Ask a machine for its qubits and its calibration.

        Raises BusyError if it does not answer, UnknownNameError if IonQ has no such machine.
        """
        if self._options.is_simulator:
            return
        availability = await self._ask_availability()
        if availability is None:
            raise UnknownNameError(missing_machine(self._options.target))
        if availability.n_qubits is not None:
            self._capabilities = replace(self._capabilities, max_qubits=availability.n_qubits)
        if self._characterization is None:
            # What cannot be told apart is never taken for the same: no other session has this one.
            self._characterization = f"unknown/{secrets.token_hex(16)}"
        self._is_open = True

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend. Raises CircuitError, ShotsError or ParameterError for a job that IonQ does not take."""
        for block in request.blocks:
            self._check_width(block.gates)
        content = encode_job(request, key=key, options=self._options)
        return Payload(request, key, content, job_name(key), self.measure(request))

    def measure(self, request: JobRequest) -> Usage | None:
        """See Metered."""
        return measure_usage(request, self._options)

    async def estimate_cost(self, request: JobRequest) -> Money | None:
        """See EstimatesCost."""
        usage = self.measure(request)
        if usage is None:
            return NOTHING
        n_qubits = max(block.gates.n_qubits for block in request.blocks)
        return await self._client.estimate(estimate_query(self._options.target, usage, n_qubits=n_qubits))

    async def submit(self, payload: Payload) -> str:
        """See RemoteBackend: one POST, and none if the key was refused before and IonQ has such a job all the same.

        Raises SpendingLimitError if a limit of the job's session is reached.
        """
        if self._is_closed:
            raise RejectedError(f"{self._name} is closed; open it again")
        provider_id = await self._look_again(payload.key)
        if provider_id is None:
            provider_id = await self._post(payload)
        self._refused_ns.pop(payload.key, None)
        return provider_id

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """See RemoteBackend: 25 jobs a request. What they were charged for is told by ``fetch_usage`` alone."""
        return self._usage.note(await look_up(self._client, provider_ids))

    async def fetch_usage(self, provider_ids: Collection[str], *, since: datetime.datetime) -> dict[str, ReportedUsage]:
        """See ReportsUsage: compute time, of 25 jobs a request, and each job's cost; ``since`` is not needed."""
        return await self._usage.fetch(provider_ids)

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """See RemoteBackend.

        Raises BusyError if the list of jobs cannot be read as far back as ``since``, and UnknownOutcomeError if
        that has been so for minutes, the list is too long or grows too fast, or a job cannot be told from its circuits.
        """
        if not keys:
            return {}
        return await self._list_health.read(self._searches, self._searches.find(frozenset(keys), since=since))

    async def list_keys(self, *, since: datetime.datetime, known: Collection[str]) -> dict[str, str | None] | None:
        """See RemoteBackend; raises what ``find`` raises."""
        self._searches.was_moving = False
        return await self._list_health.read(self._searches, list_keys(self._client, since=since, known=known))

    async def fetch(self, provider_id: str) -> RawResult:
        """See RemoteBackend. Raises BusyError too if the job is not over, or its results are not there yet."""
        return RawResult(await collect_answer(self._client, provider_id, version=self._options.version))

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend. Shots of the ideal simulator are drawn here: it answers with exact probabilities."""
        return read_answer(shape, raw, options=self._options)

    async def cancel(self, provider_id: str) -> None:
        """See RemoteBackend. IonQ turns a completed job into a cancelled one when asked to, so it is asked first."""
        found = await self._client.job(provider_id, purpose="cancel")
        if found is not None and not found[1].status.state.is_over:
            await self._client.cancel(provider_id)

    async def availability(self) -> Availability:
        """See RemoteBackend. A calibration that it shows changes the context of what follows."""
        found = await self._ask_availability()
        if found is None:
            return Availability(is_open=False, reason=f"IonQ has no backend {self._options.target} any more")
        return found

    @property
    def session_mode(self) -> str:
        """See ProviderSessions."""
        return session_mode(self._options)

    def plan_session(self, *, key: str) -> SessionPlan:
        """See ProviderSessions: the limit on its cost tells it apart."""
        options = self._options
        return SessionPlan(key, options.target, self.session_mode, options.max_ttl_seconds, self._clock.now())

    async def open_session(self, plan: SessionPlan) -> str:
        """See ProviderSessions."""
        return await self._sessions.open(plan)

    async def find_session(self, plan: SessionPlan, *, known: Collection[str]) -> str | None:
        """See ProviderSessions: by what ``jobs.sessions`` says of it."""
        return await self._sessions.find(plan, known=known)

    async def close_session(self, session_id: str) -> None:
        """See ProviderSessions."""
        await self._sessions.close(session_id)

    async def diagnose(self) -> Sequence[Finding]:
        """See Diagnosable."""
        return await diagnose(self._client, self._options)

    async def _ask_availability(self) -> Availability | None:
        """Of the target, None if IonQ does not have it; its calibration is noted."""
        answer = await self._client.availability(self._options.target)
        if answer is None:
            return None
        availability, characterization = answer
        self._characterization = characterization or self._characterization
        return availability

    async def close(self) -> None:
        """Close the connections. Jobs go on at IonQ, and are found there by the next run."""
        self._is_closed = True
        await self._client.aclose()

    async def _post(self, payload: Payload) -> str:
        sent_ns = self._clock.monotonic_ns()
        try:
            return await self._client.submit(payload.content, session_id=payload.session_id)
        except NotSentError:
            raise
        except SessionEndedError as error:
            raise await self._sessions.explain_end(payload.session_id, error) from None
        except BusyError:
            self._refused_ns.setdefault(payload.key, sent_ns)
            raise

    async def _look_again(self, key: str) -> str | None:
        """The id of a job that was refused for now and taken all the same: gateways write such answers too.

        IonQ makes two jobs of one key, so a look at its list, one page or two, comes before every second POST.
        """
        refused_ns = self._refused_ns.get(key)
        if refused_ns is None:
            return None
        age = datetime.timedelta(microseconds=(self._clock.monotonic_ns() - refused_ns) / 1000)
        try:
            return (await self.find([key], since=self._clock.now() - age)).get(key)
        except NoListError:
            return None  # then the refusal has to be believed

    def _check_width(self, gates: GateList) -> None:
        check_width(gates, self._name, self._capabilities)


def check_width(gates: GateList, name: str, capabilities: Capabilities) -> None:
    """Raise CircuitError if the target has too few qubits."""
    if gates.n_qubits > capabilities.max_qubits:
        raise CircuitError(f"the circuit has {gates.n_qubits} qubits; {name} has {capabilities.max_qubits}: use fewer")


def _terms(options: Options, account: str) -> Terms:
    default = OnUnknown.RESUBMIT if options.is_simulator else OnUnknown.HOLD
    return Terms(
        account=account,
        on_unknown=options.on_unknown or default,
        settle_seconds=options.settle_seconds,
        most_jobs=options.jobs,
        rate=options.rate,
        console=CONSOLE,
        limit_option="" if options.is_simulator or session_mode(options) else LIMIT_OPTION,
    )


def capabilities_of(options: Options) -> Capabilities:
    """The limits before the target was asked."""
    return Capabilities(
        max_qubits=SIMULATOR_QUBITS if options.is_simulator else QPU_QUBITS,
        max_shots=MAX_SHOTS,
        max_rows_per_job=options.rows or MAX_CIRCUITS,
        slots=1,
        charges=not options.is_simulator,
        samples=True,
        exact=options.is_ideal,
        mixes_shots=False,
    )
