"""The lifecycle of a job after its acceptance: queued, started, completed; simulation runs in a thread of its own.

A job is `submitted` for the first tenth of its time in the queue, then `ready`. With a limit on workers it waits
until one is free. It is `started` for the drawn time of execution, or for as long as simulating it takes if that is
longer.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from qorch.model.latency import Latency
from qorch_providers.emulators.ionq.backends import MACHINES, NOISE_MODELS
from qorch_providers.emulators.ionq.circuits import Workload
from qorch_providers.emulators.ionq.jobs import FINAL, Failure, Job, JobRegistry, Order
from qorch_providers.emulators.ionq.outcomes import Outcomes, simulate
from qorch_providers.emulators.kit.clock import ScaledClock

_SUBMITTED_SHARE = 0.1
_FAULT_FAILURE = Failure("QuantumComputerError", "the emulator was told to let this fail")
_FAULT_REFUSAL = Failure("UnsupportedGate", "the emulator was told that this circuit cannot run")


class Lifecycle:
    """Moves jobs through their states, each in a task of its own."""

    def __init__(
        self,
        registry: JobRegistry,
        *,
        clock: ScaledClock,
        queue: Latency,
        execute: Latency,
        cost_delay: Latency,
        workers: int | None,
        rng: np.random.Generator,
    ) -> None:
        """``workers``: jobs that execute side by side, None for any number. ``cost_delay``: until a cost is told."""
        self._registry = registry
        self._clock = clock
        self._queue = queue
        self._execute = execute
        self._cost_delay = cost_delay
        self._workers: contextlib.AbstractAsyncContextManager[object]
        self._workers = contextlib.nullcontext() if workers is None else asyncio.Semaphore(workers)
        self._rng = rng
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="qorch-simulator")
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, job: Job, workload: Workload | None, *, faults: Sequence[str]) -> None:
        """Start a job's lifecycle; without a workload the job fails with its `failure`.

        It is simulated at once, even while it is queued, so that its circuits need not be kept.
        """
        simulation = self._start_simulation(job.order, workload)
        job.task = asyncio.create_task(self._live(job, simulation, frozenset(faults)))
        self._tasks.add(job.task)
        job.task.add_done_callback(self._tasks.discard)

    def cancel(self, job: Job) -> None:
        """Cancel a job; a completed one becomes `canceled` too, as at the real service, and keeps its price."""
        if job.task is not None:
            job.task.cancel()
        if job.status in FINAL - {"completed"}:
            return
        job.status = "canceled"
        if job.completed_unix is None:
            self._end(job)

    async def close(self) -> None:
        """Cancel the tasks of all jobs, and end the simulation thread."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _live(self, job: Job, simulation: asyncio.Future[Outcomes] | None, faults: frozenset[str]) -> None:
        queue_seconds = self._queue.draw_seconds(self._rng)
        await self._clock.sleep(_SUBMITTED_SHARE * queue_seconds)
        job.status = "ready"
        if "stuck" in faults:
            return
        await self._clock.sleep((1.0 - _SUBMITTED_SHARE) * queue_seconds)
        async with self._workers:
            if simulation is None:
                self._finish(job)
                return
            job.status, job.started_unix = "started", self._clock.unix()
            await self._clock.sleep(self._execute.draw_seconds(self._rng))
            await self._collect(job, simulation, faults)

    def _start_simulation(self, order: Order, workload: Workload | None) -> asyncio.Future[Outcomes] | None:
        if workload is None:
            return None
        machine = MACHINES[order.backend]
        rates = NOISE_MODELS[order.noise_model if machine.is_simulator else machine.noise_model]
        shots = None if order.is_exact else order.shots
        rng = self._rng.spawn(1)[0] if order.noise_seed is None else np.random.default_rng(order.noise_seed)
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._pool, lambda: simulate(workload, rates=rates, shots=shots, rng=rng))

    async def _collect(self, job: Job, simulation: asyncio.Future[Outcomes], faults: frozenset[str]) -> None:
        try:
            outcomes = await simulation
        except (ArithmeticError, MemoryError, ValueError) as error:
            job.failure = Failure("SimulationError", f"the circuits could not be simulated: {error}")
            self._finish(job)
            return
        self._fail_as_told(job, faults)
        job.has_run = not faults & {"failure", "invalid"}
        if job.has_run and not job.order.dry_run:
            self._registry.keep(job, outcomes)
        self._finish(job)

    def _fail_as_told(self, job: Job, faults: frozenset[str]) -> None:
        """With ``child-missing`` the job completes without one child's result; with the others it fails.

        ``failure`` and ``child-failure``: on IonQ's side; ``invalid`` and ``child-invalid``: the circuit cannot run.
        """
        if faults & {"child-failure", "child-invalid", "child-missing"}:
            job.failed_children = frozenset({int(self._rng.integers(job.order.n_circuits))})
        if faults & {"child-invalid", "invalid"}:
            job.failure = _FAULT_REFUSAL
        elif faults & {"child-failure", "failure"} or (job.failed_children and not job.order.is_multi):
            job.failure = _FAULT_FAILURE

    def _finish(self, job: Job) -> None:
        self._end(job)
        job.status = "completed" if job.failure is None else "failed"

    def _end(self, job: Job) -> None:
        job.completed_unix = self._clock.unix()
        job.cost_due_seconds = self._clock.protocol_seconds() + self._cost_delay.draw_seconds(self._rng)
