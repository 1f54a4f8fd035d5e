"""Really simulates the results of a mock: `local` inside, driven from a thread so that a virtual clock stands still."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from qorch.model.circuit import GateList
from qorch.model.job import JobRequest, JobResult, JobShape, Payload
from qorch.model.made_up import make_up
from qorch.model.measurement import Measurement
from qorch.ports.backend import Capabilities, InProcessBackend
from qorch.ports.clock import Clock, MeasuringClock
from qorch_providers.answers import read_answer
from qorch_providers.mock.planning import find_entry_point

T = TypeVar("T")
LOCAL = "local"


def open_simulation(
    noise: str, *, clock: Clock, workers: int | None, environment: Mapping[str, str] | None
) -> "Simulation":
    """`local` with this noise. Raises UsageError for a noise that it does not take."""
    factory = find_entry_point(LOCAL).load()
    return Simulation(factory(noise, clock=clock, workers=workers, environment=environment), clock)


@dataclass(eq=False)
class Simulation:
    """A backend in this process, each of whose jobs is awaited by a loop of its own, in one thread."""

    backend: InProcessBackend
    clock: Clock
    _thread: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="qorch-mock"), repr=False
    )
    _is_closed: bool = False

    @property
    def capabilities(self) -> Capabilities:
        """What can be simulated here."""
        return self.backend.capabilities

    def check(self, gates: GateList, measurement: Measurement) -> None:
        """Raise CircuitError for what cannot be simulated here."""
        self.backend.check(gates, measurement)

    def context(self, gates: GateList) -> bytes:
        """See Backend."""
        return self.backend.context(gates)

    async def open(self) -> None:
        """See Backend."""
        await self._drive(self.backend.open)

    async def run(self, request: JobRequest) -> bytes:
        """The answer to a job."""
        raw = await self._drive(lambda: self.backend.run(Payload(request)))
        return raw.content

    def read(self, shape: JobShape, answer: bytes) -> JobResult:
        """The results in an answer; see Backend."""
        return read_answer(shape, answer)

    async def close(self) -> None:
        """See Backend."""
        if not self._is_closed:
            self._is_closed = True
            await self._drive(self.backend.close)
            self._thread.shutdown(wait=False)

    async def _drive(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Await it in a loop of its own: no timer runs out meanwhile to which a virtual clock could jump."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._finish, work)

    def _finish(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The same without a loop. A virtual loop calls this at once in its own thread, where no other can run."""
        if asyncio._get_running_loop() is None:
            return asyncio.run(work())
        with self.clock.stand_still() if isinstance(self.clock, MeasuringClock) else nullcontext():
            return self._thread.submit(lambda: asyncio.run(work())).result()


class MadeUpSimulation(Simulation):
    """Has the limits of the backend, and computes nothing: its results, the same for equal shapes, are made up."""

    async def open(self) -> None:
        """See Backend; nothing is started."""

    async def run(self, request: JobRequest) -> bytes:
        """Nothing."""
        del request
        return b""

    def read(self, shape: JobShape, answer: bytes) -> JobResult:
        """Made-up results of this shape."""
        del answer
        random = np.random.default_rng(0)
        return JobResult(tuple(make_up(block, random) for block in shape.blocks))

    async def close(self) -> None:
        """See Backend; nothing was started."""
