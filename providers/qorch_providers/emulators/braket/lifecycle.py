"""The lifecycle of a task: created, queued, running, over. Its simulation runs in another thread.

A task is `CREATED` for the first tenth of its time in the queue, then `QUEUED`. With a limit on workers it waits on
until one is free. It is `RUNNING` for the drawn time of execution, or for as long as simulating it takes if that is
longer.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from qorch.errors import CircuitError
from qorch.model.latency import Latency
from qorch_providers.emulators.braket.objects import ObjectStore, StoredObject
from qorch_providers.emulators.braket.outcomes import ProgramOutcome, run_exactly, run_rows, run_sampled
from qorch_providers.emulators.braket.results import RESULTS, BrokenExecutables, result_files
from qorch_providers.emulators.braket.submission import TaskSubmission
from qorch_providers.emulators.braket.tasks import FINAL, EmulatedTask, TaskRegistry
from qorch_providers.emulators.kit.answers import RefusedError
from qorch_providers.emulators.kit.clock import ScaledClock
from qorch_providers.emulators.statevector.noise import NoiseRates

_CREATED_SHARE = 0.1
_HUGE_BYTES = 512 * 1024 * 1024
# If it were loaded, it would only print a word.
_PICKLE = b"cbuiltins\nprint\n(S'unpickled'\ntR."
_TOLD = "the emulator was told to let this fail"
_INVALID = "Validation failed: the emulator was told that this program is invalid"

Simulation = asyncio.Future[list[list[ProgramOutcome]]]


class TaskLifecycle:
    """Moves tasks through their states."""

    def __init__(
        self,
        registry: TaskRegistry,
        store: ObjectStore,
        *,
        clock: ScaledClock,
        queue: Latency,
        execute: Latency,
        workers: int | None,
        in_parts: bool,
        charge: Callable[[EmulatedTask], None],
        rates: Callable[[EmulatedTask], NoiseRates | None],
        rng: np.random.Generator,
    ) -> None:
        """``workers``: tasks that run side by side, None for any number. ``charge``: a task that completed."""
        self._registry = registry
        self._store = store
        self._clock = clock
        self._queue = queue
        self._execute = execute
        self._workers: contextlib.AbstractAsyncContextManager[object]
        self._workers = contextlib.nullcontext() if workers is None else asyncio.Semaphore(workers)
        self._in_parts = in_parts
        self._charge = charge
        self._rates = rates
        self._rng = rng
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="qorch-simulator")
        self._lifecycles: set[asyncio.Task[None]] = set()

    def begin(self, task: EmulatedTask, submission: TaskSubmission, *, faults: Sequence[str]) -> None:
        """Start a task's lifecycle. It is simulated at once, while the task is still in the queue."""
        simulation = None if submission.failure else self._start_simulation(task, submission)
        task.background = asyncio.create_task(self._live(task, submission, simulation, frozenset(faults)))
        self._lifecycles.add(task.background)
        task.background.add_done_callback(self._lifecycles.discard)

    def cancel(self, task: EmulatedTask) -> str:
        """Cancel a task, and say how far that is. Raises RefusedError (409) if it is over already."""
        if task.status in ("COMPLETED", "FAILED"):
            raise RefusedError(409, f"The task is in {task.status} status and cannot be cancelled")
        if task.status not in FINAL:
            if task.background is not None:
                task.background.cancel()
            self._registry.move(task, "CANCELLED", now_unix=self._clock.unix())
            return "CANCELLING"
        return "CANCELLED"

    async def close(self) -> None:
        """End all lifecycles."""
        for lifecycle in tuple(self._lifecycles):
            lifecycle.cancel()
        await asyncio.gather(*self._lifecycles, return_exceptions=True)
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def _live(
        self, task: EmulatedTask, submission: TaskSubmission, simulation: Simulation | None, faults: frozenset[str]
    ) -> None:
        queue_seconds = self._queue.draw_seconds(self._rng)
        await self._clock.sleep(_CREATED_SHARE * queue_seconds)
        self._registry.move(task, "QUEUED", now_unix=self._clock.unix())
        if "stuck" in faults:
            return
        await self._clock.sleep((1.0 - _CREATED_SHARE) * queue_seconds)
        async with self._workers:
            self._registry.move(task, "RUNNING", now_unix=self._clock.unix())
            if simulation is None:
                self._fail(task, submission.failure or _TOLD)
                return
            await self._clock.sleep(self._execute.draw_seconds(self._rng))
            await self._collect(task, submission, simulation, faults)

    def _start_simulation(self, task: EmulatedTask, submission: TaskSubmission) -> Simulation:
        rates, rng = self._rates(task), self._rng.spawn(1)[0]

        def simulate() -> list[list[ProgramOutcome]]:
            return _simulate(submission, rates, rng)

        return asyncio.get_running_loop().run_in_executor(self._pool, simulate)

    async def _collect(
        self, task: EmulatedTask, submission: TaskSubmission, simulation: Simulation, faults: frozenset[str]
    ) -> None:
        try:
            executed = await simulation
        except (ArithmeticError, CircuitError, MemoryError, ValueError) as error:
            self._fail(task, f"the program could not be simulated: {error}")
            return
        if "invalid" in faults:
            self._fail(task, _INVALID)
            return
        if "failure" in faults or (faults & {"child-failure", "child-broken"} and not task.order.is_set):
            self._fail(task, _TOLD)
            return
        started_unix = task.started_unix or self._clock.unix()
        task.execution_ms = round(1000 * (self._clock.unix() - started_unix) * self._clock.scale)
        broken = self._break(task, faults)
        files = await asyncio.to_thread(self._encode, task, submission, executed, broken)
        self._complete(task, files, broken, faults)

    def _encode(
        self,
        task: EmulatedTask,
        submission: TaskSubmission,
        executed: list[list[ProgramOutcome]],
        broken: BrokenExecutables,
    ) -> list[tuple[str, bytes]]:
        parts = result_files(
            task, submission.programs, executed, broken=broken, clock=self._clock, in_parts=self._in_parts
        )
        return list(parts)

    def _break(self, task: EmulatedTask, faults: frozenset[str]) -> BrokenExecutables:
        if not task.order.is_set or not faults & {"child-failure", "child-broken", "child-missing"}:
            return BrokenExecutables()
        one = frozenset({int(self._rng.integers(task.order.n_executables))})
        if "child-missing" in faults:
            return BrokenExecutables(missing=one)
        return BrokenExecutables(failed=one, is_retryable="child-broken" not in faults)

    def _complete(
        self, task: EmulatedTask, files: list[tuple[str, bytes]], broken: BrokenExecutables, faults: frozenset[str]
    ) -> None:
        now_unix = self._clock.unix()
        for name, body in files:
            if name == RESULTS and "object-missing" in faults:
                continue
            is_huge = name == RESULTS and "object-huge" in faults
            content = _PICKLE if name == RESULTS and "object-pickle" in faults else body
            stored = StoredObject(content, now_unix, padding_bytes=_HUGE_BYTES if is_huge else 0)
            self._store.put(task.order.bucket, f"{task.directory}/{name}", stored)
        task.failed_executables = broken.failed
        self._registry.move(task, "COMPLETED", now_unix=now_unix)
        self._charge(task)

    def _fail(self, task: EmulatedTask, reason: str) -> None:
        task.failure_reason = reason
        self._registry.move(task, "FAILED", now_unix=self._clock.unix())


def _simulate(
    submission: TaskSubmission, rates: NoiseRates | None, rng: np.random.Generator
) -> list[list[ProgramOutcome]]:
    """The outcomes of a task, by program and row."""
    order = submission.order
    if not order.is_set:
        (only,) = submission.programs
        if not order.shots:
            return [[run_exactly(only.program, only.lowered)]]
        return [[run_sampled(only.program, only.lowered, shots=order.shots, rates=rates, rng=rng)]]
    shots = order.shots // order.n_executables
    return [run_rows(each.program, each.lowered, shots=shots, rates=rates, rng=rng) for each in submission.programs]
