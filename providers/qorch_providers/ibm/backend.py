"""The backend over IBM Quantum's REST API: it sends every job once and says what became of it."""

import asyncio
import datetime
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from qorch.errors import BusyError, CircuitError, QorchError, RejectedError, UnknownNameError
from qorch.model.circuit import GateList
from qorch.model.job import Availability, JobRequest, JobResult, JobShape, JobStatus, Payload, RawResult, Usage
from qorch.model.measurement import Measurement
from qorch.model.usage import ReportedUsage
from qorch.ports.backend import Capabilities, Finding
from qorch.ports.clock import Clock
from qorch.ports.policy import Rate, Terms
from qorch.ports.provider_sessions import SessionPlan
from qorch_providers.http import NotSentError
from qorch_providers.ibm.access import CONSOLE, IbmAccess, read_access
from qorch_providers.ibm.circuits.compiler import IsaCompiler, default_folder
from qorch_providers.ibm.circuits.job_body import encode_job, measure_usage
from qorch_providers.ibm.circuits.limits import check_circuit, rows_per_job
from qorch_providers.ibm.circuits.sizes import MAX_QUBITS
from qorch_providers.ibm.compiled_device import CompiledDevice
from qorch_providers.ibm.connection import Connector
from qorch_providers.ibm.device_watch import DeviceWatch
from qorch_providers.ibm.diagnosis import diagnose
from qorch_providers.ibm.jobs.collection import ResultCollector
from qorch_providers.ibm.jobs.memory import JobMemory
from qorch_providers.ibm.jobs.search import JobSearch
from qorch_providers.ibm.jobs.sessions import IbmSessions, ttl_of, wire_mode
from qorch_providers.ibm.jobs.status import JobWatch
from qorch_providers.ibm.jobs.usage import fetch_usage
from qorch_providers.ibm.labels import key_tag
from qorch_providers.ibm.options import MAX_EXECUTIONS, ExecutionMode, Options
from qorch_providers.ibm.results.reading import read_answer
from qorch_providers.ibm.wire.client import IbmClient
from qorch_providers.ibm.wire.session_documents import in_session
from qorch_providers.list_health import ListHealth

REVISION = "1"
"""Of how circuits are encoded and answers read: raise it with any change that changes a distribution."""
POST_RATE = Rate(5, 60.0)
"""As IBM documents it, for each user; over all processes on one database."""
LIMIT_OPTION = "max_time=60"
"""An example of what limits the cost of each job."""
UNSEEN_QUBITS = MAX_QUBITS
"""Until the device itself says."""


def open_remote(options: Options, *, name: str, clock: Clock, environment: Mapping[str, str]) -> "IbmBackend":
    """Open a device of IBM's. Nothing is sent yet.

    Raises CredentialsError if there is no account, UsageError if a variable or the account file cannot be used.
    """
    access = read_access(environment, options)
    return IbmBackend(name, options, access=access, clock=clock, compiler=IsaCompiler(folder=default_folder()))


class IbmBackend:
    """See ``qorch.ports``: RemoteBackend, ProviderSessions, ReportsUsage, Metered, Diagnosable. In one event loop."""

    def __init__(self, name: str, options: Options, *, access: IbmAccess, clock: Clock, compiler: IsaCompiler) -> None:
        """Nothing is sent before ``open``."""
        self._name = name
        self._options = options
        self._access = access
        self._clock = clock
        self._compiler = compiler
        self._memory = JobMemory()
        self._connector = Connector(access, options, clock=clock)
        self._watch = DeviceWatch(self._connector.connect, options, clock=clock)
        self._compiled = CompiledDevice(lambda: self._watch.device, compiler, options)
        self._list_health = ListHealth("IBM Quantum", self.availability, clock=clock)
        self._terms = _terms(options, access)
        self._capabilities = _unseen(options)
        self._work: _Work | None = None
        self._refused_ns: dict[str, int] = {}
        self._is_closed = False

    @property
    def name(self) -> str:
        """See Backend."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """See Backend; the limits are the device's own from ``open`` on."""
        return self._capabilities

    @property
    def terms(self) -> Terms:
        """See RemoteBackend."""
        return self._terms

    @property
    def calls(self) -> Counter[str]:
        """How many requests were sent so far, by purpose: submit, poll, usage, find, fetch, and so on."""
        return Counter(self._connector.calls)

    async def open(self) -> None:
        """Find the instance, if its CRN is not given, and the device; ask what it is.

        A device that is retired can be opened if the instance has jobs of it, to fetch what is paid.

        Raises UnknownNameError if the instance has no such device, UsageError for options that it does not have or for
        an instance that is not clear, CredentialsError if the key is refused, BusyError if something does not answer.
        """
        try:
            seen = await self._watch.look()
        except UnknownNameError:
            if not await self._watch.has_jobs():
                raise
            return
        self._capabilities = replace(_unseen(self._options), max_qubits=min(seen.device.n_qubits, MAX_QUBITS))

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """See Backend: compiles for the device, whose calibration is asked for again if it was seen long ago."""
        if self._watch.is_old:
            with suppress(BusyError):  # the calibration that is known stays in use
                await self._watch.look()
        for gates in circuits:
            self._check_width(gates)
        await self._compiled.compile(circuits)

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        self._check_width(gates)
        check_circuit(gates, measurement, device=self._compiled.now, options=self._options, compiler=self._compiler)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        device, options = self._compiled.now, self._options
        return rows_per_job(gates, measurement, device=device, options=options, compiler=self._compiler, shots=shots)

    def context(self, gates: GateList) -> bytes:
        """The device with its calibration as it was last seen, the compiled circuit, and how circuits are run."""
        options, device = self._options, self._compiled.now
        compiled = self._compiler.compile(gates, device=device, options=options)
        parts: tuple[object, ...] = (
                 REVISION, device.name, device.version, device.calibration, compiled.digest, options.program.value,
                 options.decoupling.value, options.twirling.value, options.rep_delay_seconds)  # fmt: skip
        if options.mitigation is not None:
            parts = (*parts, options.mitigation.identity)
        context = hashlib.sha256(f"qorch-ibm/{parts!r}".encode()).digest()
        self._compiled.note_context(context)
        return context

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend. Raises CircuitError, ShotsError or ParameterError for a job that IBM does not take."""
        device, options, compiler = self._compiled.planned(request), self._options, self._compiler
        for block in request.blocks:
            self._check_width(block.gates)
        content = encode_job(request, key=key, device=device, options=options, compiler=compiler)
        return Payload(request, key, content, key_tag(key), self.measure(request))

    def measure(self, request: JobRequest) -> Usage:
        """See Metered."""
        device = self._compiled.planned(request)
        return measure_usage(request, device=device, options=self._options, compiler=self._compiler)

    async def submit(self, payload: Payload) -> str:
        """See RemoteBackend: one POST, and none if the job was refused before and IBM has it all the same."""
        if self._is_closed:
            raise RejectedError(f"{self._name} is closed; open it again")
        if self._watch.is_old:
            with suppress(QorchError):  # if IBM does not answer, the submission says so
                await self._watch.look()
                await self._compiled.refresh()
        job_id = await self._look_again(payload.key)
        if job_id is None:
            job_id = await self._post(payload)
        self._refused_ns.pop(payload.key, None)
        return job_id

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """See RemoteBackend: one by one, or up to 200 a request."""
        return await (await self._connected()).watch.poll(provider_ids)

    async def fetch_usage(self, provider_ids: Collection[str], *, since: datetime.datetime) -> dict[str, ReportedUsage]:
        """See ReportsUsage: seconds of the device, of up to 200 jobs a request."""
        work = await self._connected()
        return await fetch_usage(work.client, self._memory, provider_ids, since=since)

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """See RemoteBackend.

        Raises BusyError if the list of jobs cannot be read now, and UnknownOutcomeError if that has been so for
        minutes, the list is too long, or two jobs have one key.
        """
        if not keys:
            return {}
        search = (await self._connected()).search
        return await self._list_health.read(search, search.find(keys, since=since))

    async def list_keys(self, *, since: datetime.datetime, known: Collection[str]) -> dict[str, str | None] | None:
        """See RemoteBackend; raises what ``find`` raises."""
        search = (await self._connected()).search
        return await self._list_health.read(search, search.list_keys(since=since, known=known))

    async def fetch(self, provider_id: str) -> RawResult:
        """See RemoteBackend. Raises BusyError too if the job is not over, or its results are not there yet."""
        return RawResult(await (await self._connected()).collector.collect(provider_id))

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend."""
        return read_answer(shape, raw)

    async def cancel(self, provider_id: str) -> None:
        """See RemoteBackend."""
        await (await self._connected()).client.cancel(provider_id)

    async def availability(self) -> Availability:
        """See RemoteBackend. A calibration that it shows changes the context of what follows."""
        try:
            seen = await self._watch.look()
        except UnknownNameError as error:
            return Availability(is_open=False, reason=str(error))
        await self._compiled.refresh()
        state, device = seen.state, seen.device
        queue = "" if state.waiting is None else f"{state.waiting} jobs wait"
        reason = queue if state.is_active else f"{device.name} is in '{state.status or 'an unknown state'}'"
        return Availability(is_open=state.is_active, reason=reason, n_qubits=device.n_qubits)

    @property
    def session_mode(self) -> str:
        """See ProviderSessions."""
        return wire_mode(self._options)

    def plan_session(self, *, key: str) -> SessionPlan:
        """See ProviderSessions: its longest time tells it apart."""
        planned_at = self._clock.now() + (datetime.timedelta() if self._work is None else self._work.client.clock_lead)
        ttl = ttl_of(key, most_seconds=self._options.max_ttl_seconds)
        return SessionPlan(key, self._watch.device.name, self.session_mode, ttl, planned_at)

    async def open_session(self, plan: SessionPlan) -> str:
        """See ProviderSessions."""
        return await (await self._connected()).sessions.open(plan)

    async def find_session(self, plan: SessionPlan, *, known: Collection[str]) -> str | None:
        """See ProviderSessions: by what ``sessions`` says of it."""
        return await (await self._connected()).sessions.find(plan, known=known)

    async def close_session(self, session_id: str) -> None:
        """See ProviderSessions."""
        await (await self._connected()).sessions.close(session_id)

    async def diagnose(self) -> Sequence[Finding]:
        """See Diagnosable."""
        return await diagnose(self._access, self._options, connect=self._connector.connect, see_device=self._watch.look)

    async def close(self) -> None:
        """Close the connections. Jobs go on at IBM, and are found there by the next run."""
        self._is_closed = True
        await self._connector.close()
        await asyncio.to_thread(self._compiler.close)

    async def _post(self, payload: Payload) -> str:
        sent_ns, session_id = self._clock.monotonic_ns(), payload.session_id
        content = in_session(payload.content, session_id) if session_id else payload.content
        try:
            accepted = await (await self._connected()).client.submit(content)
        except NotSentError:
            raise
        except BusyError:
            self._refused_ns.setdefault(payload.key, sent_ns)
            raise
        self._memory.note_accepted(accepted.job_id, accepted.created_from)
        return accepted.job_id

    async def _look_again(self, key: str) -> str | None:
        """The id of a job that was refused for now and taken all the same: gateways write such answers too.

        IBM makes two jobs of one key, so one look at its list comes before every second POST.
        """
        refused_ns = self._refused_ns.get(key)
        if refused_ns is None:
            return None
        age = datetime.timedelta(microseconds=(self._clock.monotonic_ns() - refused_ns) / 1000)
        return (await self.find([key], since=self._clock.now() - age)).get(key)

    async def _connected(self) -> "_Work":
        """What works with the client, once the instance is known."""
        client = await self._connector.connect()
        if self._work is None:
            self._work = _Work(client, self._memory, self._options, clock=self._clock)
        return self._work

    def _check_width(self, gates: GateList) -> None:
        most = self._capabilities.max_qubits
        if gates.n_qubits > most:
            raise CircuitError(
                f"the circuit has {gates.n_qubits} qubits; {self._watch.name or self._name} has {most}:"
                " use fewer, or a device with more"
            )


class _Work:
    """All that asks a client about jobs."""

    def __init__(self, client: IbmClient, memory: JobMemory, options: Options, *, clock: Clock) -> None:
        seconds, most = options.settle_seconds, options.max_seconds
        self.client = client
        self.search = JobSearch(client, clock=clock)
        self.sessions = IbmSessions(client, clock=clock)
        self.watch = JobWatch(client, memory, clock=clock, settle_seconds=seconds, max_seconds=most)
        self.collector = ResultCollector(client, memory, clock=clock, settle_seconds=seconds, max_seconds=most)


def _terms(options: Options, access: IbmAccess) -> Terms:
    return Terms(
        account=access.account,
        paced_with=access.paced_with,
        on_unknown=options.on_unknown,
        settle_seconds=options.settle_seconds,
        most_jobs=options.jobs,
        rate=POST_RATE,
        console=CONSOLE,
        limit_option=LIMIT_OPTION,
        bills_sessions=options.mode is ExecutionMode.SESSION,
    )


def _unseen(options: Options) -> Capabilities:
    return Capabilities(
        max_qubits=UNSEEN_QUBITS,
        max_shots=MAX_EXECUTIONS,
        max_rows_per_job=options.rows or MAX_EXECUTIONS,
        slots=1,
        charges=True,
        samples=options.mitigation is None,
        estimates=options.mitigation is not None,
        mixes_shots=False,
    )
