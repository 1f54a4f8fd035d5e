"""The shipped conformance suite over Amazon's simulators in worker processes."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeVar

from qorch.ports.backend import Backend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.in_process import InProcessConformance
from qorch_providers.braket import open_backend

T = TypeVar("T")


def open_local() -> Backend:
    """One worker."""
    return open_backend("local", clock=WallClock(), workers=1)


class TestBraketLocal(InProcessConformance):
    """The state-vector simulator; all tests share one backend, since a worker takes seconds to import the SDK."""

    runner: ClassVar[asyncio.Runner]
    shared: ClassVar[Backend]

    @classmethod
    def setup_class(cls) -> None:
        """Open the backend."""
        cls.runner = asyncio.Runner()
        cls.shared = open_local()
        cls.runner.run(cls.shared.open())

    @classmethod
    def teardown_class(cls) -> None:
        """Close it."""
        cls.runner.run(cls.shared.close())
        cls.runner.close()

    def make_backend(self) -> Backend:
        """Another one, which is not run."""
        return open_local()

    def drive(self, work: Callable[[Backend], Awaitable[T]]) -> T:
        """Run ``work`` on the shared backend."""

        async def main() -> T:
            return await work(self.shared)

        return self.runner.run(main())

    def test_closing_twice_is_harmless(self) -> None:
        """The second close does nothing; on a backend of its own."""
        super().drive(close_twice)


async def close_twice(backend: Backend) -> None:
    """What the suite's own test does."""
    await backend.close()
    await backend.close()
