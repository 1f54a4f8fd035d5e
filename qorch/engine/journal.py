"""How durable a write must be: before the next byte leaves where money is at stake, else by the end of the step."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from qorch.ports import Clock, Store
from qorch.records import Write

P = ParamSpec("P")
T = TypeVar("T")

BUFFER_NS = 250_000_000
BUFFER_WRITES = 64
"""Results of free jobs are handed to the store together, after so long or so many: what a crash can cost."""
MAX_PENDING = 8
INLINE_ROWS = 256
"""Work on so few rows takes a millisecond or two: less than it costs to wake another thread and come back."""


class Journal:
    """The engine's door to its store, and the one thread in which the engine computes."""

    def __init__(self, store: Store, *, clock: Clock, is_durable: bool) -> None:
        """``is_durable``: every write before the next byte leaves, because jobs cost money or outlive this process."""
        self._store = store
        self._clock = clock
        self._is_durable = is_durable
        self._buffer: list[Write] = []
        self._handed_over_ns = clock.monotonic_ns()
        self._pending: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qorch-engine")

    @property
    def store_id(self) -> str:
        """The store's random name."""
        return self._store.store_id

    async def write_ahead(self, writes: Sequence[Write]) -> None:
        """Record an intent: durable on return where jobs outlive the process, else left out: a repeat is free."""
        if self._is_durable:
            await asyncio.wrap_future(self._store.write(writes))

    async def record(self, writes: Sequence[Write]) -> None:
        """Record a result: durable on return where jobs outlive the process, else by the next ``settle``."""
        if self._is_durable:
            await asyncio.wrap_future(self._store.write(writes))
            return
        self.record_soon(writes)
        is_late = self._clock.monotonic_ns() - self._handed_over_ns > BUFFER_NS
        if is_late or len(self._buffer) > BUFFER_WRITES:
            self._hand_over()
        if len(self._pending) > MAX_PENDING:
            # The store is slower than the backend: wait, so that memory stays bounded.
            await asyncio.wrap_future(self._pending.pop(0))

    def record_soon(self, writes: Sequence[Write]) -> None:
        """Record something that nothing waits for before the next ``settle``."""
        self._buffer += writes

    def _hand_over(self) -> None:
        self._handed_over_ns = self._clock.monotonic_ns()
        if self._buffer:
            self._pending.append(self._store.write(self._buffer))
            self._buffer = []

    async def settle(self, writes: Sequence[Write] = ()) -> None:
        """Wait until everything recorded, and these writes, are durable. Raises StoreError where they cannot be."""
        self._buffer += writes
        self._hand_over()
        pending, self._pending = self._pending, []
        for future in pending:
            await asyncio.wrap_future(future)

    async def compute(self, rows: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Compute something for so many rows: few at once, many in the engine's thread while the event loop goes on."""
        if rows <= INLINE_ROWS:
            return function(*args, **kwargs)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=True, cancel_futures=True)
