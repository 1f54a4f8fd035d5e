"""The `aer` backend: checks and sizes jobs, hands them to the pool, and verifies the answers."""

import hashlib
import importlib.metadata
import importlib.util
import logging
from collections.abc import Mapping

from qorch import machine
from qorch.errors import CircuitError, MissingPackageError, RejectedError, UsageError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, JobResult, RawResult
from qorch.model.measurement import Measurement, RowBlock
from qorch.model.pub import Pub
from qorch.model.timing import Phase
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch_providers.aer import limits
from qorch_providers.aer.answers import decode_answer
from qorch_providers.aer.kept_noise import kept_file
from qorch_providers.aer.options import FAKE_PREFIX, Options, parse_options
from qorch_providers.aer.pool import Pool

_log = logging.getLogger("qorch")
PRECISION = "double"
# Rises with any change of ours that changes what a seed gives.
SAMPLER_VERSION = 1


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str] | None = None
) -> "AerBackend":
    """The backend ``aer`` or ``aer:<options>``; ``workers`` None is one per core. Starts nothing yet.

    Raises MissingPackageError where an extra is not installed, UnknownNameError for unknown options.
    """
    if importlib.util.find_spec("qiskit_aer") is None:
        raise MissingPackageError("the aer backend needs qiskit-aer: pip install 'qorch[aer]'")
    if workers is not None and workers < 1:
        raise UsageError(f"aer was asked for {workers} workers; give at least 1")
    del environment
    name = f"aer:{options}" if options else "aer"
    return AerBackend(name, parse_options(options), workers=workers or machine.available_cores(), clock=clock)


class AerBackend:
    """See qorch.ports.Backend. Aer runs in worker processes; nothing of it is imported here."""

    def __init__(self, name: str, options: Options, *, workers: int, clock: Clock) -> None:
        """Use ``open_backend``."""
        self._name = name
        self._options = options
        self._pool = Pool(size=workers, worker_arguments=options.worker_arguments, now_ns=clock.monotonic_ns)
        held = limits.max_qubits(workers=workers, memory=machine.memory_bytes())
        self._capabilities = Capabilities(
            max_qubits=min(held, options.n_device_qubits or held),
            max_shots=limits.MAX_SHOTS,
            max_rows_per_job=limits.MAX_ROWS_PER_JOB,
            slots=workers,
            charges=False,
            samples=True,
            exact=True,
        )
        self._context = _context(options)

    @property
    def name(self) -> str:
        """The full name under which it was opened."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """Its limits on this machine."""
        return self._capabilities

    @property
    def worker_pids(self) -> list[int]:
        """Process ids of the living workers, for `qorch doctor` and tests."""
        return self._pool.pids

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """Raise CircuitError where the state does not fit into a worker's memory or onto the device."""
        held = self._capabilities.max_qubits
        if gates.n_qubits > held:
            place = self._options.noise if self._options.n_device_qubits == held else "this machine"
            raise CircuitError(
                f"circuit has {gates.n_qubits} qubits; aer on {place} holds at most {held}: use fewer"
                " or another backend"
            )
        limit = limits.MAX_EXACT_NOISY_QUBITS
        if self._options.noise is not None and measurement.is_exact and gates.n_qubits > limit:
            raise CircuitError(
                f"circuit has {gates.n_qubits} qubits; exact values with noise are possible up to {limit}:"
                " ask for shots"
            )

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """Rows that take about a tenth of a second."""
        is_noisy = self._options.noise is not None
        return limits.rows_per_job(gates, measurement, shots=shots, is_noisy=is_noisy)

    def context(self, gates: GateList) -> bytes:
        """SHA-256 of versions, noise and precision; all of it is the same for every circuit."""
        del gates
        return self._context

    async def open(self) -> None:
        """Start the workers in the background."""
        self._announce_noise()
        self._pool.open()

    def _announce_noise(self) -> None:
        """Warn that a device's noise model must be built first, which can take a minute."""
        device = self._options.noise
        if device is None or not device.startswith(FAKE_PREFIX):
            return
        file = kept_file(device, digest=self._options.digest)
        if file is None or not file.exists():
            kept = "in every process" if file is None else "once"
            _log.warning("building the noise model of %s %s; this can take a minute", device, kept)

    def take_slow_starts(self) -> list[tuple[Phase, int, int]]:
        """See ``qorch.ports.SlowStarter``: the workers, which also get the noise model ready."""
        return [(Phase.WORKERS, start_ns, end_ns) for start_ns, end_ns in self._pool.take_start_intervals()]

    async def submit(self, request: JobRequest, *, key: str) -> str:
        """Queue the job. Raises RejectedError where it does not fit; local jobs need no idempotency key."""
        del key
        for block in request.blocks:
            self._check_block(request, block)
        return self._pool.put(request)

    def _check_block(self, request: JobRequest, block: RowBlock) -> None:
        try:
            self.check(block.gates, block.measurement)
        except CircuitError as error:
            raise RejectedError(f"job {request.job_id}: {error}") from error
        if block.shots is not None and block.shots > limits.MAX_SHOTS:
            raise RejectedError(f"job {request.job_id} asks for {block.shots} shots; aer takes 1 to {limits.MAX_SHOTS}")

    async def fetch(self, provider_id: str) -> RawResult:
        """Wait for the answer. Raises WorkerLostError where its worker died, BackendError where it failed."""
        return await self._pool.wait(provider_id)

    def decode(self, request: JobRequest, raw: RawResult) -> JobResult:
        """Verified results. Raises InvalidResultError."""
        return decode_answer(request, raw.content)

    async def cancel(self, provider_id: str) -> None:
        """Drop a queued job, or end the worker of a running one."""
        self._pool.cancel(provider_id)

    def exact_vjp(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        """Aer has no batched derivatives. Raises CircuitError."""
        raise CircuitError("aer offers no exact gradients of its own; use gradient='parameter-shift'")

    async def close(self) -> None:
        """End the workers and all jobs."""
        await self._pool.close()


def _context(options: Options) -> bytes:
    parts = ["aer", importlib.metadata.version("qiskit-aer"), PRECISION, str(SAMPLER_VERSION)]
    if options.noise is not None:
        # The transpiler decides which noisy gates a circuit is made of.
        parts += ["noise", options.digest.hex(), importlib.metadata.version("qiskit")]
    return hashlib.sha256("/".join(parts).encode()).digest()
