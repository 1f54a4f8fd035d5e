"""How durable a write must be: before the next byte leaves where money is at stake, else by the end of the step."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from qorch.ports import Store
from qorch.records import Write

P = ParamSpec("P")
T = TypeVar("T")

MAX_PENDING_WRITES = 64


class Journal:
    """The engine's door to its store, and the one thread in which the engine computes."""

    def __init__(self, store: Store, *, charges: bool) -> None:
        """``charges``: whether the backend's jobs cost money."""
        self._store = store
        self._charges = charges
        self._pending: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qorch-engine")

    @property
    def store_id(self) -> str:
        """The store's random name."""
        return self._store.store_id

    async def write_ahead(self, writes: Sequence[Write]) -> None:
        """Record an intent: durable on return where money is at stake, and left out where a repeat is free."""
        if self._charges:
            await asyncio.wrap_future(self._store.write(writes))

    async def record(self, writes: Sequence[Write]) -> None:
        """Record a result: durable on return where money is at stake, else by the next ``settle``."""
        future = self._store.write(writes)
        if self._charges:
            await asyncio.wrap_future(future)
            return
        self._pending.append(future)
        if len(self._pending) > MAX_PENDING_WRITES:
            # The store is slower than the backend: wait, so that memory stays bounded.
            await asyncio.wrap_future(self._pending.pop(0))

    def record_soon(self, writes: Sequence[Write]) -> None:
        """Record something that nothing waits for before the next ``settle``."""
        self._pending.append(self._store.write(writes))

    async def settle(self) -> None:
        """Wait until everything recorded is durable. Raises StoreError where it could not be."""
        pending, self._pending = self._pending, []
        for future in pending:
            await asyncio.wrap_future(future)

    async def in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Compute something in the engine's thread, one thing after the other, while the event loop goes on."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=True, cancel_futures=True)
