"""The conformance suite of backends with workers, whose tests share one backend: a worker takes seconds to start."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest

from qorch.ports.backend import Backend, InProcessBackend
from qorch.testing.conformance.in_process import InProcessConformance

T = TypeVar("T")


class SharedBackend(InProcessConformance):
    """What a subclass says: ``open_one``, which may write into the ``folder`` of the class."""

    runner: ClassVar[asyncio.Runner]
    shared: ClassVar[InProcessBackend]
    folder: ClassVar[Path]
    is_shared = True
    """Whether ``drive`` works on the shared backend."""

    @classmethod
    def open_one(cls) -> Backend:
        """Another backend, of this process's workers."""
        raise NotImplementedError

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _shared(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        cls.folder = tmp_path_factory.mktemp("shared")
        backend = cls.open_one()
        assert isinstance(backend, InProcessBackend)
        cls.runner, cls.shared = asyncio.Runner(), backend
        cls.runner.run(backend.open())
        yield
        cls.runner.run(cls.shared.close())
        cls.runner.close()

    def make_backend(self) -> Backend:
        """See BackendConformance."""
        return self.open_one()

    def drive(self, work: Callable[[Backend], Awaitable[T]]) -> T:
        """Run ``work`` on the shared backend, or on a fresh one."""
        if not self.is_shared:
            return super().drive(work)

        async def main() -> T:
            return await work(self.shared)

        return self.runner.run(main())

    def test_closing_twice_is_harmless(self) -> None:
        """The second close does nothing; on a backend of its own."""
        self.is_shared = False
        super().test_closing_twice_is_harmless()

    def test_limits_and_context_are_sound(self) -> None:
        """Of two backends."""
        self.is_shared = False
        super().test_limits_and_context_are_sound()
