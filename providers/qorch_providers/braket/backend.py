"""The backend over Amazon Braket's API: it sends every task once and says what became of it."""

import asyncio
import datetime
import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from qorch.errors import BackendError, BusyError, InvalidResultError, RejectedError, UnknownNameError
from qorch.model.circuit import GateList
from qorch.model.job import Availability, JobRequest, JobResult, JobShape, JobStatus, Payload, RawResult, Usage
from qorch.model.measurement import Measurement
from qorch.model.usage import ReportedUsage
from qorch.ports.backend import Capabilities, Finding
from qorch.ports.clock import Clock
from qorch.ports.policy import Rate, Terms
from qorch_providers.braket.access import AwsAccess, read_access
from qorch_providers.braket.aws.credentials import AwsCredentials
from qorch_providers.braket.aws.endpoints import resolve_bucket
from qorch_providers.braket.aws.session import open_session
from qorch_providers.braket.aws.signing import AwsSignature
from qorch_providers.braket.circuits.limits import check_circuit, check_device, max_rows, rows_per_job
from qorch_providers.braket.circuits.task_body import Destination, encode_task, locate_row, measure_usage
from qorch_providers.braket.device import BraketDevice
from qorch_providers.braket.device_reading import RETIRED, SeenDevice, read_device
from qorch_providers.braket.diagnosis import diagnose
from qorch_providers.braket.labels import task_name
from qorch_providers.braket.options import Options
from qorch_providers.braket.results.reading import read_answer
from qorch_providers.braket.spending import LIMIT_OPTION, DeviceSpending
from qorch_providers.braket.tasks.collection import AnswerCollector
from qorch_providers.braket.tasks.memory import TaskMemory
from qorch_providers.braket.tasks.search import TaskSearch
from qorch_providers.braket.tasks.status import look_up, read_status
from qorch_providers.braket.tasks.usage import fetch_usage, read_usage
from qorch_providers.braket.wire.client import BraketClient
from qorch_providers.braket.wire.objects import MOST_OBJECT_BYTES, ResultObjects
from qorch_providers.braket.wire.quotas import BraketQuotas
from qorch_providers.http import HttpClient, Origin
from qorch_providers.list_health import ListHealth

REVISION = "1"
"""Of how circuits are encoded and answers read: raise it with any change that changes a distribution."""
CREATE_RATE = Rate(40, 2.0)
"""CreateQuantumTask: 20 a second with a burst of 40, over all processes of the account."""
UNSEEN_QUBITS, UNSEEN_SHOTS = 34, 100_000
"""Until the device itself says."""
_MOST_SUBMISSIONS, _OTHER_CALLS = 200, 40


def open_remote(options: Options, *, name: str, clock: Clock, environment: Mapping[str, str]) -> "BraketBackend":
    """Open a device of Amazon Braket. Nothing is sent yet.

    Raises UsageError if there is no region, or a variable or a file of AWS's tools cannot be used.
    """
    access = read_access(environment, options)

    def load() -> object:
        # A session keeps what it has read, so each look at the chain gets a new one.
        return open_session(environment).get_component("credential_provider").load_credentials()

    credentials = AwsCredentials(load, clock=clock)
    most = min(options.jobs, _MOST_SUBMISSIONS) + _OTHER_CALLS

    def connect(url: str, service: str, *, most_bytes: int) -> HttpClient:
        signature = AwsSignature(credentials, service, region=access.region, clock=clock)
        return HttpClient(
            Origin(url, auth=signature),
            clock=clock,
            deadline_seconds=options.deadline_seconds,
            most_bytes=most_bytes,
            most_connections=most,
        )

    def connect_bucket(bucket: str) -> HttpClient:
        url = resolve_bucket(access.session, bucket, region=access.region, environment=environment)
        return connect(url, "s3", most_bytes=MOST_OBJECT_BYTES)

    client = BraketClient(
        connect(access.endpoint, "braket", most_bytes=MOST_OBJECT_BYTES),
        endpoint=access.endpoint,
        quotas=BraketQuotas(clock=clock),
    )
    objects = ResultObjects(connect_bucket, calls=client.calls, region=access.region)
    return BraketBackend(
        name, options, access=access, credentials=credentials, client=client, objects=objects, clock=clock,
        environment=environment,
    )  # fmt: skip


class BraketBackend:
    """See ``qorch.ports.backend``: RemoteBackend, ReportsUsage, Metered and Diagnosable. It lives in one event loop."""

    def __init__(
        self,
        name: str,
        options: Options,
        *,
        access: AwsAccess,
        credentials: AwsCredentials,
        client: BraketClient,
        objects: ResultObjects,
        clock: Clock,
        environment: Mapping[str, str],
    ) -> None:
        """Nothing is sent before ``open``."""
        self._name = name
        self._options = options
        self._access = access
        self._credentials = credentials
        self._client = client
        self._objects = objects
        self._environment = environment
        self._clock = clock
        self._refused_at: dict[str, datetime.datetime] = {}
        self._memory = TaskMemory()
        self._spending = DeviceSpending(client, options)
        self._search = TaskSearch(client, options.device_arn, clock=clock)
        self._list_health = ListHealth("Amazon Braket", self._look, clock=clock)
        self._collector = AnswerCollector(
            client, objects, self._memory, clock=clock, settle_seconds=options.settle_seconds
        )
        self._terms = _terms(options, access)
        self._capabilities = _unseen(options)
        self._device: BraketDevice | None = None
        self._destination: Destination | None = None
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
        return Counter(self._client.calls)

    async def open(self) -> None:
        """Ask for the device, and find the bucket; it is seen whether results there could be read.

        Raises UnknownNameError if there is no such device, UsageError for options that it does not have, UsageError or
        CredentialsError if the bucket or the credentials cannot be used, BusyError if something does not answer.
        """
        seen = await self._see_device()
        check_device(seen.device, self._options)
        if self._destination is None:
            bucket = self._access.bucket or await asyncio.to_thread(self._find_default_bucket)
            await self._objects.check(bucket, self._access.prefix)
            self._destination = Destination(bucket, self._access.prefix, self._access.job_token)
        self._capabilities = _capabilities(self._options, seen.device)

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """See Backend: nothing is compiled here that is not quick; programs are kept as they are first needed."""

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        check_circuit(gates, measurement, device=self._opened, options=self._options)

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        return rows_per_job(gates, measurement, device=self._opened, options=self._options, shots=shots)

    def context(self, gates: GateList) -> bytes:
        """The device with its calibration as it was last seen, and the parameters that change how circuits are run."""
        options, device = self._options, self._opened
        parts = (REVISION, device.arn, device.schema, device.calibration, sorted(device.gates), options.verbatim,
                 options.keeps_qubits, options.debiasing)  # fmt: skip
        return hashlib.sha256(f"qorch-braket/{parts!r}".encode()).digest()

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend. Raises CircuitError, ShotsError or ParameterError for a task that the device does not take."""
        device, destination = self._opened, self._destination
        if destination is None:
            raise BackendError(f"{self._name} is not open yet; open it first")
        content = encode_task(request, key=key, device=device, options=self._options, destination=destination)
        return Payload(request, key, content, task_name(key), self.measure(request))

    def measure(self, request: JobRequest) -> Usage:
        """See Metered."""
        return measure_usage(request, device=self._opened, options=self._options)

    async def submit(self, payload: Payload) -> str:
        """See RemoteBackend: one POST. The same payload is the same task as long as Braket remembers its token.

        If tokens are not trusted, a task that was refused before is first looked for, and not sent if it is there.
        Raises SpendingLimitError if a spending limit of the device is reached, or cannot be set.
        """
        if self._is_closed:
            raise RejectedError(f"{self._name} is closed; open it again")
        device, options = self._opened, self._options
        await self._spending.ensure()

        def locate(program: int, inputs: int) -> tuple[int, int]:
            return locate_row(payload.request, program=program, inputs=inputs, device=device, options=options)

        arn = await self._look_again(payload.key)
        if arn is None:
            begun_at = self._clock.now()
            try:
                accepted = await self._client.submit(payload.content, locate=locate)
            except BusyError:
                if not options.remembered_seconds:
                    self._refused_at.setdefault(payload.key, begun_at)
                raise
            self._memory.note_accepted(accepted.arn, accepted.created_from)
            arn = accepted.arn
        self._refused_at.pop(payload.key, None)
        return arn

    async def _look_again(self, key: str) -> str | None:
        """The task of a key that was refused before, if it is there all the same."""
        refused_at = self._refused_at.get(key)
        return None if refused_at is None else (await self._search.find([key], since=refused_at)).get(key)

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """See RemoteBackend: one by one, or a hundred a request."""
        tasks = await look_up(self._client, self._memory, provider_ids, device_arn=self._options.device_arn)
        is_simulator = self._options.is_simulator
        return {
            arn: replace(read_status(task), usage=read_usage(task, is_simulator=is_simulator))
            for arn, task in tasks.items()
        }

    async def fetch_usage(self, provider_ids: Collection[str], *, since: datetime.datetime) -> dict[str, ReportedUsage]:
        """See ReportsUsage: on QPUs the task and its shots, one task a request; ``since`` is not needed."""
        return await fetch_usage(self._client, provider_ids, is_simulator=self._options.is_simulator)

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """See RemoteBackend.

        Raises BusyError if the list of tasks cannot be read now, and UnknownOutcomeError if that has been so for
        minutes, the list is too long, or two tasks have one key.
        """
        return await self._list_health.read(self._search, self._search.find(keys, since=since)) if keys else {}

    async def list_keys(self, *, since: datetime.datetime, known: Sequence[str]) -> dict[str, str | None] | None:
        """See RemoteBackend; raises what ``find`` raises."""
        return await self._list_health.read(self._search, self._search.list_keys(since=since, known=known))

    async def fetch(self, provider_id: str) -> RawResult:
        """See RemoteBackend. Raises BusyError too if the task is not over, or its results are not there yet."""
        return RawResult(await self._collector.collect(provider_id))

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend."""
        return read_answer(shape, raw)

    async def cancel(self, provider_id: str) -> None:
        """See RemoteBackend."""
        token = hashlib.sha256(f"qorch-cancel/{provider_id}".encode()).hexdigest()
        await self._client.cancel(provider_id, token=token)

    async def availability(self) -> Availability:
        """See RemoteBackend. A calibration that it shows changes the context of what follows.

        Raises RejectedError if the device is retired: waiting would be in vain.
        """
        seen = await self._see_device()
        if seen.status == RETIRED:
            raise RejectedError(f"{seen.device.name} is retired and takes no tasks any more; choose another device")
        return _as_availability(seen)

    async def _look(self) -> Availability:
        return _as_availability(await self._see_device())

    async def diagnose(self) -> Sequence[Finding]:
        """See Diagnosable."""
        return await diagnose(
            self._access,
            self._credentials,
            self._objects,
            self._spending,
            options=self._options,
            see_device=self._see_device,
        )

    async def close(self) -> None:
        """Close the connections. Tasks go on at Braket, and are found there by the next run."""
        self._is_closed = True
        await self._client.aclose()
        await self._objects.aclose()

    @property
    def _opened(self) -> BraketDevice:
        if self._device is None:
            raise BackendError(f"{self._name} is not open yet, so what the device can do is not known; open it first")
        return self._device

    async def _see_device(self) -> SeenDevice:
        """The device as it is now; what it says of itself holds for what follows."""
        document = await self._client.device(self._options.device_arn)
        if document is None:
            raise UnknownNameError(
                f"Amazon Braket has no device {self._options.device_arn} in {self._access.region}; `aws braket"
                " search-devices --filters` lists them, and region= names another region"
            )
        try:
            seen = await asyncio.to_thread(read_device, document)
        except InvalidResultError as error:
            raise BusyError(
                f"what Amazon Braket says of its device cannot be read ({error}); it is asked again"
            ) from error
        self._device = seen.device
        return seen

    def _find_default_bucket(self) -> str:
        # Braket's SDK takes seconds to load, and most who work with a bucket of their own do not need it here.
        from qorch_providers.braket.aws.default_bucket import find_default_bucket

        return find_default_bucket(self._access.session, region=self._access.region, environment=self._environment)


def _as_availability(seen: SeenDevice) -> Availability:
    queue = f"{seen.waiting} tasks wait" if seen.waiting else ""
    reason = queue if seen.is_online else f"{seen.device.name} is {seen.status.lower()}"
    return Availability(is_open=seen.is_online, reason=reason, n_qubits=seen.device.n_qubits)


def _terms(options: Options, access: AwsAccess) -> Terms:
    return Terms(
        account=access.account,
        on_unknown=options.on_unknown,
        settle_seconds=options.settle_seconds,
        most_jobs=options.jobs,
        rate=CREATE_RATE,
        console=access.console,
        remembers_keys_seconds=options.remembered_seconds,
        most_repeats=1,
        limit_option="" if options.is_simulator or options.spending_limit else LIMIT_OPTION,
    )


def _unseen(options: Options) -> Capabilities:
    return Capabilities(
        max_qubits=UNSEEN_QUBITS,
        max_shots=UNSEEN_SHOTS,
        max_rows_per_job=options.rows or 1,
        slots=1,
        charges=True,
        exact=options.is_simulator,
        mixes_shots=False,
    )


def _capabilities(options: Options, device: BraketDevice) -> Capabilities:
    return replace(
        _unseen(options),
        max_qubits=device.n_qubits,
        max_shots=device.max_shots,
        max_rows_per_job=max_rows(device, options),
        exact=device.has_exact_values,
    )
