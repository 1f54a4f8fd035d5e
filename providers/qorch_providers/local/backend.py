"""The backend over the port: jobs run one after the other, long ones in a thread, on an engine that uses all cores."""

import asyncio
import hashlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from qorch import machine
from qorch.errors import BackendError, CircuitError, ParameterError, RejectedError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, JobResult, RawResult
from qorch.model.measurement import BlockResult, Measurement, RowBlock
from qorch.model.observable import Distribution
from qorch.model.pub import Pub
from qorch.model.timing import Phase
from qorch.ports.backend import Backend, Capabilities
from qorch.ports.clock import Clock
from qorch_providers.local import limits
from qorch_providers.local.answers import decode_answer, encode_answer
from qorch_providers.local.durations import Durations
from qorch_providers.local.engines import make_engine, make_noisy_sampler
from qorch_providers.local.gradients import chain
from qorch_providers.local.observables import weigh
from qorch_providers.local.options import TORCH, Options, parse_options
from qorch_providers.local.program.cache import Programs

REVISION = "2"
"""Of what the engines compute: raise it with any change that changes a bit of a result."""


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str] | None = None
) -> Backend:
    """Open ``local`` or ``local:<options>``; ``workers`` is the number of threads, by default one per core.

    The ``environment`` holds nothing for it.

    Raises UnknownNameError for an unknown option, MissingPackageError where the engine asked for is not installed,
    UsageError where there is no CUDA device, or for values that cannot be.
    """
    del environment
    name = f"local:{options}" if options else "local"
    return LocalBackend(name, parse_options(options), clock=clock, threads=workers or machine.available_cores())


class LocalBackend:
    """See ``qorch.ports.backend.Backend``."""

    def __init__(self, name: str, options: Options, *, clock: Clock, threads: int) -> None:
        """Nothing is started yet."""
        self._name = name
        self._options = options
        self._clock = clock
        self._threads = threads
        self._engine_name, self._engine = make_engine(options, threads=threads, now_ns=clock.monotonic_ns)
        self._memory = machine.memory_bytes()
        self._programs = Programs()
        self._noisy = make_noisy_sampler(self._engine, options.noise)
        self._jobs: dict[str, _Job] = {}
        self._durations = Durations()
        self._numbers = itertools.count(1)
        self._executor: ThreadPoolExecutor | None = None
        self._owner_pid = os.getpid()
        self._is_closed = False

    @property
    def name(self) -> str:
        """See Backend."""
        return self._name

    @property
    def capabilities(self) -> Capabilities:
        """One job at a time: the engine itself uses all cores."""
        return Capabilities(
            max_qubits=self._most_sampled_qubits(),
            max_shots=limits.MAX_SHOTS,
            max_rows_per_job=limits.MAX_ROWS_PER_JOB,
            slots=1,
            charges=False,
            exact=self._options.noise.is_none,
            exact_gradients=self._options.noise.is_none,
        )

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """See Backend."""
        if measurement.is_exact and not self._options.noise.is_none:
            raise CircuitError(
                f"{self._name} samples noise and has no exact values; give a number of shots, or use aer"
            )
        if not measurement.is_exact:
            self._check_draws(gates.n_qubits)
            self._check_memory(gates.n_qubits, self._sample_bytes)
            return
        per_amplitude = limits.exact_bytes(
            self._options.exact_precision, engine=self._engine_name, is_distribution=measurement.masks is None
        )
        self._check_memory(gates.n_qubits, per_amplitude)

    @property
    def _sample_bytes(self) -> int:
        options = self._options
        return limits.sample_bytes(
            options.sample_precision, engine=self._engine_name, is_noisy=options.noise.depolarizing > 0.0
        )

    def _most_sampled_qubits(self) -> int:
        held = limits.max_qubits(self._sample_bytes, memory=self._memory)
        return min(held, limits.TORCH_SAMPLE_QUBITS) if self._engine_name == TORCH else held

    def _check_draws(self, n_qubits: int) -> None:
        if self._engine_name == TORCH and n_qubits > limits.TORCH_SAMPLE_QUBITS:
            raise CircuitError(
                f"the circuit has {n_qubits} qubits; the torch engine of {self._name} samples up to"
                f" {limits.TORCH_SAMPLE_QUBITS}; pip install 'qorch[fast]' and use local for more"
            )

    def _check_memory(self, n_qubits: int, per_amplitude: int) -> None:
        largest = limits.max_qubits(per_amplitude, memory=self._memory)
        if n_qubits > largest:
            needed, present = per_amplitude * 2.0**n_qubits / 2**30, self._memory / 2**30
            raise CircuitError(
                f"the circuit has {n_qubits} qubits, for which {self._name} needs {needed:,.0f} GiB of memory;"
                f" this machine has {present:,.0f} GiB, enough for {largest} qubits"
            )

    def rows_per_job(self, gates: GateList, measurement: Measurement, *, shots: int | None) -> int:
        """See Backend."""
        return limits.rows_per_job(gates, measurement, shots=shots, cores=self._threads)

    def context(self, gates: GateList) -> bytes:
        """Engine, revision, precision and noise; nothing of it depends on the gates."""
        noise, options = self._options.noise, self._options
        text = (
            f"qorch-local/{REVISION}/{self._engine_name}/{'cuda' if options.is_cuda else 'cpu'}"
            f"/{options.sample_precision}/{options.exact_precision}"
            f"/{noise.depolarizing.hex()}/{noise.readout.hex()}"
        )
        return hashlib.sha256(text.encode()).digest()

    async def open(self) -> None:
        """Nothing has to be waited for: the first job loads its kernels, or compiles them once."""

    async def submit(self, request: JobRequest, *, key: str) -> str:
        """See Backend."""
        if self._is_closed:
            raise RejectedError(f"{self._name} is closed; open it again")
        for block in request.blocks:
            self._check_block(request, block)
        provider_id = f"local-{os.getpid()}-{next(self._numbers)}"
        job = _Job(request)
        if not self._jobs and self._durations.is_short(request):
            job.run(self._execute)
        else:
            job.future = self._worker().submit(self._execute, job)
        self._jobs[provider_id] = job
        return provider_id

    def _check_block(self, request: JobRequest, block: RowBlock) -> None:
        try:
            self.check(block.gates, block.measurement)
        except CircuitError as error:
            raise RejectedError(f"job {request.job_id}: {error}") from error
        if block.shots is not None and block.shots > limits.MAX_SHOTS:
            raise RejectedError(
                f"job {request.job_id} asks for {block.shots} shots; local takes 1 to {limits.MAX_SHOTS}"
            )

    async def fetch(self, provider_id: str) -> RawResult:
        """See Backend."""
        job = self._jobs.get(provider_id)
        if job is None or job.future is None:
            raise BackendError(f"{self._name} has no job {provider_id}; it was fetched before, or never submitted")
        try:
            if job.future.done():
                await asyncio.sleep(0)  # other tasks have their turn between two short jobs
                raw = job.future.result()
            else:
                raw = await asyncio.wrap_future(job.future)
        except (CancelledError, asyncio.CancelledError) as error:
            if job.is_cancelled.is_set():
                raise BackendError(f"job {provider_id} was cancelled") from error
            raise
        else:
            if job.is_cancelled.is_set():
                raise BackendError(f"job {provider_id} was cancelled")
            return raw
        finally:
            if job.future.done():
                self._jobs.pop(provider_id, None)

    def decode(self, request: JobRequest, raw: RawResult) -> JobResult:
        """See Backend."""
        return decode_answer(request, raw)

    async def cancel(self, provider_id: str) -> None:
        """A job that has begun stops after the block of rows that it is at."""
        job = self._jobs.get(provider_id)
        if job is not None:
            job.cancel()

    def exact_vjp(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        """See Backend.

        Raises ParameterError for cotangents of another shape, CircuitError or BackendError where memory is short.
        """
        circuit = pub.circuit
        is_distribution = isinstance(pub.observables, Distribution)
        width = 1 << circuit.n_qubits if isinstance(pub.observables, Distribution) else len(pub.observables)
        if cotangents.shape != (pub.n_rows, width):
            raise ParameterError(f"cotangents have shape {cotangents.shape}; expected ({pub.n_rows}, {width})")
        if not self._options.noise.is_none:
            raise CircuitError(f"{self._name} samples noise and has no exact gradients; use parameter-shift")
        per_amplitude = limits.gradient_bytes(
            self._options.exact_precision, engine=self._engine_name, is_distribution=is_distribution
        )
        self._check_memory(circuit.n_qubits, per_amplitude)
        with _naming_memory(pub.n_rows, circuit.n_qubits):
            return self._differentiate(pub, cotangents)

    def _differentiate(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        circuit, precision = pub.circuit, self._options.exact_precision
        angles = np.ascontiguousarray(circuit.angle_map.angles(pub.parameter_values))
        program = self._programs.for_gradient(circuit.gates)
        strings = weigh(pub.observables, np.asarray(cotangents, dtype=np.float64))
        slopes = [
            self._engine.differentiate(program, angles[rows], strings.take(rows), scalar=precision)
            for rows in limits.gradient_slices(circuit.gates, n_rows=pub.n_rows, cores=self._threads)
        ]
        return chain(circuit.angle_map, np.concatenate(slopes), pub.parameter_values)

    def take_slow_starts(self) -> list[tuple[Phase, int, int]]:
        """See ``qorch.ports.SlowStarter``: kernels are compiled, or read from disk, at their first use."""
        return [(Phase.COMPILE, start_ns, end_ns) for start_ns, end_ns in self._engine.take_compile_intervals()]

    async def close(self) -> None:
        """See Backend."""
        self._is_closed = True
        for job in self._jobs.values():
            job.cancel()
        executor, self._executor = self._executor, None
        if executor is not None and self._owner_pid == os.getpid():
            await asyncio.to_thread(executor.shutdown)
        self._engine.close()

    def _worker(self) -> ThreadPoolExecutor:
        if self._executor is None or self._owner_pid != os.getpid():  # threads do not survive a fork
            self._executor = ThreadPoolExecutor(1, thread_name_prefix="qorch-local-job")
            self._owner_pid = os.getpid()
        return self._executor

    def _execute(self, job: "_Job") -> RawResult:
        started_ns = self._clock.monotonic_ns()
        results = []
        for block in job.request.blocks:
            if job.is_cancelled.is_set():
                raise CancelledError
            results.append(self._run_block(block))
        content = encode_answer(results)
        ended_ns = self._clock.monotonic_ns()
        self._durations.note(job.request, duration_ns=ended_ns - started_ns)
        return RawResult(content, started_ns, ended_ns)

    def _run_block(self, block: RowBlock) -> BlockResult:
        with _naming_memory(block.n_rows, block.gates.n_qubits):
            return self._run(block)

    def _run(self, block: RowBlock) -> BlockResult:
        angles = np.ascontiguousarray(block.angles)
        measurement, options = block.measurement, self._options
        if block.samples is None:
            program = self._programs.of(block.gates, measurement.basis)
            values = self._engine.evaluate(program, angles, measurement.masks, scalar=options.exact_precision)
            return BlockResult(values=values)
        if self._noisy is None:
            program = self._programs.of(block.gates, measurement.basis)
            return BlockResult(
                counts=self._engine.sample(program, angles, block.samples, scalar=options.sample_precision)
            )
        noisy = self._noisy.program(block.gates, measurement.basis, self._programs)
        counts = self._noisy.sample(noisy, angles, block.samples, scalar=options.sample_precision)
        return BlockResult(counts=counts)


@contextmanager
def _naming_memory(n_rows: int, n_qubits: int) -> Iterator[None]:
    """One sentence where memory is short."""
    try:
        yield
    except MemoryError as error:
        raise BackendError(f"{n_rows} rows of {n_qubits} qubits do not fit into memory; send fewer rows") from error


class _Job:
    """A job from submission to fetching."""

    def __init__(self, request: JobRequest) -> None:
        self.request = request
        self.future: Future[RawResult] | None = None
        self.is_cancelled = threading.Event()

    def run(self, execute: Callable[["_Job"], RawResult]) -> None:
        """Execute it here and now."""
        self.future = Future()
        try:
            self.future.set_result(execute(self))
        except Exception as error:
            self.future.set_exception(error)

    def cancel(self) -> None:
        self.is_cancelled.set()
        if self.future is not None:
            self.future.cancel()
