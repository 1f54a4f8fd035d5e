"""The backend over the port: jobs and exact gradients on an engine that uses all cores."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np

from qorch import machine
from qorch.errors import BackendError, CircuitError, ParameterError, RejectedError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, JobResult, JobShape, Payload, RawResult
from qorch.model.measurement import BlockResult, Measurement, RowBlock
from qorch.model.observable import Distribution
from qorch.model.pub import Pub
from qorch.model.timing import Phase
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch_providers.answers import encode_answer, read_answer
from qorch_providers.local import limits
from qorch_providers.local.engines import make_engine, make_noisy_sampler
from qorch_providers.local.gradients import chain
from qorch_providers.local.job_thread import JobThread, Stop
from qorch_providers.local.observables import weigh
from qorch_providers.local.options import TORCH, Options, parse_options
from qorch_providers.local.program.cache import gradient_program, measured_program

REVISION = "2"
"""Of what the engines compute: raise it with any change that changes a bit of a result."""


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str] | None = None
) -> "LocalBackend":
    """Open ``local`` or ``local:<options>``; ``workers`` is the number of threads, by default one per core.

    The ``environment`` holds nothing for it.

    Raises UnknownNameError for an unknown option, MissingPackageError if the engine asked for is not installed,
    UsageError if there is no CUDA device, or for values that cannot be.
    """
    del environment
    name = f"local:{options}" if options else "local"
    return LocalBackend(name, parse_options(options), clock=clock, threads=workers or machine.available_cores())


class LocalBackend:
    """See ``qorch.ports.backend.InProcessBackend`` and ``ExactGradients``."""

    def __init__(self, name: str, options: Options, *, clock: Clock, threads: int) -> None:
        """Nothing is started yet."""
        self._name = name
        self._options = options
        self._clock = clock
        self._threads = threads
        self._engine_name, self._engine = make_engine(options, threads=threads, now_ns=clock.monotonic_ns)
        self._memory = machine.memory_bytes()
        self._noisy = make_noisy_sampler(self._engine, options.noise)
        self._jobs = JobThread(clock)
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

    async def prepare(self, circuits: Sequence[GateList]) -> None:
        """Nothing: a program depends on the basis, too, and the first job that needs it compiles it in its thread."""

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See Backend."""
        return Payload(request, key)

    async def run(self, payload: Payload) -> RawResult:
        """See InProcessBackend. A job that has begun stops after the block of rows that it is at."""
        request = payload.request
        self._check_open()
        for block in request.blocks:
            self._check_block(request, block)
        return await self._jobs.run(request, partial(self._execute, request))

    def _check_open(self) -> None:
        if self._is_closed:
            raise RejectedError(f"{self._name} is closed; open it again")

    def _check_block(self, request: JobRequest, block: RowBlock) -> None:
        try:
            self.check(block.gates, block.measurement)
        except CircuitError as error:
            raise RejectedError(f"job {request.job_id}: {error}") from error
        if block.shots is not None and block.shots > limits.MAX_SHOTS:
            raise RejectedError(
                f"job {request.job_id} asks for {block.shots} shots; local takes 1 to {limits.MAX_SHOTS}"
            )

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See Backend."""
        return read_answer(shape, raw.content)

    def vjp(self, pub: Pub, cotangents: FloatArray, *, check: Callable[[], None]) -> FloatArray:
        """See ExactGradients. One that has begun stops after the slice of rows that it is at.

        Raises ParameterError for cotangents of another shape, CircuitError or BackendError if memory is short.
        """
        self._check_gradient(pub, cotangents)

        def check_both() -> None:
            check()
            self._check_open()

        return self._differentiate(pub, cotangents, check_both)

    def _check_gradient(self, pub: Pub, cotangents: FloatArray) -> None:
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

    def _differentiate(self, pub: Pub, cotangents: FloatArray, check: Callable[[], None]) -> FloatArray:
        circuit, precision = pub.circuit, self._options.exact_precision
        with _naming_memory(pub.n_rows, circuit.n_qubits):
            angles = np.ascontiguousarray(circuit.angle_map.angles(pub.parameter_values))
            program = gradient_program(circuit.gates)
            strings = weigh(pub.observables, np.asarray(cotangents, dtype=np.float64))
            slopes = []
            for rows in limits.gradient_slices(circuit.gates, n_rows=pub.n_rows, cores=self._threads):
                check()
                slopes.append(self._engine.differentiate(program, angles[rows], strings.take(rows), scalar=precision))
            return chain(circuit.angle_map, np.concatenate(slopes), pub.parameter_values)

    def take_slow_starts(self) -> list[tuple[Phase, int, int]]:
        """See ``qorch.ports.SlowStarter``: kernels are compiled, or read from disk, at their first use."""
        return [(Phase.COMPILE, start_ns, end_ns) for start_ns, end_ns in self._engine.take_compile_intervals()]

    async def close(self) -> None:
        """See Backend."""
        self._is_closed = True
        await self._jobs.close()
        self._engine.close()

    def _execute(self, request: JobRequest, stop: Stop) -> RawResult:
        started_ns = self._clock.monotonic_ns()
        results = []
        for block in request.blocks:
            stop.check()
            results.append(self._run_block(block))
        content = b"".join(encode_answer(request.job_id, results))
        return RawResult(content, started_ns, self._clock.monotonic_ns())

    def _run_block(self, block: RowBlock) -> BlockResult:
        with _naming_memory(block.n_rows, block.gates.n_qubits):
            return self._run(block)

    def _run(self, block: RowBlock) -> BlockResult:
        angles = np.ascontiguousarray(block.angles)
        measurement, options = block.measurement, self._options
        if block.samples is None:
            program = measured_program(block.gates, measurement.basis)
            values = self._engine.evaluate(program, angles, measurement.masks, scalar=options.exact_precision)
            return BlockResult(values=values)
        if self._noisy is None:
            program = measured_program(block.gates, measurement.basis)
            return BlockResult(
                counts=self._engine.sample(program, angles, block.samples, scalar=options.sample_precision)
            )
        noisy = self._noisy.program(block.gates, measurement.basis)
        counts = self._noisy.sample(noisy, angles, block.samples, scalar=options.sample_precision)
        return BlockResult(counts=counts)


@contextmanager
def _naming_memory(n_rows: int, n_qubits: int) -> Iterator[None]:
    """One sentence if memory is short."""
    try:
        yield
    except MemoryError as error:
        raise BackendError(f"{n_rows} rows of {n_qubits} qubits do not fit into memory; send fewer rows") from error
