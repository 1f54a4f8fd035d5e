"""Writes what the engine records: before the next byte leaves if money is at stake, else by the end of the step."""

import asyncio
import datetime
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from typing import Protocol, TypeVar

from qorch.engine.accounts import Accounts
from qorch.engine.trimmer import Trimmer
from qorch.model.ledger import LedgerBalance
from qorch.ports.books import Books, Granted
from qorch.ports.clock import Clock
from qorch.ports.records import BlockRecord, Write
from qorch.ports.store import RecordLog

T = TypeVar("T")

BUFFER_NS = 250_000_000
BUFFER_WRITES = 64
"""Results of free jobs are handed to the store together, after so long or so many: what a crash can cost."""
MAX_PENDING = 8


class JournalStore(RecordLog, Books, Protocol):
    """Writes records, also if what all processes have reserved and spent allows it."""


class Journal:
    """All writes of one engine to its store, in their order."""

    def __init__(
        self,
        store: JournalStore,
        *,
        clock: Clock,
        is_durable: bool,
        keeps_results: bool = True,
        trimmer: Trimmer | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        """``is_durable``: a write is on disk before the next byte leaves, as jobs cost money or outlive this process.

        ``keeps_results``: whether results are stored, or only that their jobs are done. ``trimmer``: counts what is
        stored, and deletes old results. ``accounts``: makes the ledger entries that are written with the records.
        """
        self._accounts = accounts
        self._store = store
        self._keeps_results = keeps_results
        self._trimmer = trimmer
        self._clock = clock
        self._is_durable = is_durable
        self._buffer: list[Write] = []
        self._handed_over_ns = clock.monotonic_ns()
        self._pending: list[Future[None]] = []
        self._lock = threading.Lock()

    @property
    def store_id(self) -> str:
        """The store's random name."""
        return self._store.store_id

    async def reserve(
        self, check: Callable[[Sequence[LedgerBalance]], Granted[T]], *, since: datetime.date = datetime.date.min
    ) -> T:
        """Write what ``check`` grants when it sees all balances (see ``Books.reserve``); durable on return.

        Raises what ``check`` raises, and then nothing is written.
        """
        return await asyncio.wrap_future(self._store.reserve(check, since=since))

    def write_ahead(self, writes: Sequence[Write]) -> Awaitable[None]:
        """Record an intent: durable when it is over if jobs cost money or outlive the process, else left out.

        The store has it before anything is waited for: what is handed over next can go into the same transaction.
        """
        if not self._is_durable:
            return _nothing()
        return asyncio.wrap_future(self._store.write(self._with_entries(writes)))

    def record(self, writes: Sequence[Write]) -> Awaitable[None]:
        """Record a result: durable when it is over, as ``write_ahead``, else by the next ``flush``."""
        if not self._keeps_results:
            writes = [record for record in writes if not isinstance(record, BlockRecord)]
        if self._is_durable:
            return asyncio.wrap_future(self._write(writes))
        self.record_soon(writes)
        return self._bound_buffer()

    async def _bound_buffer(self) -> None:
        """Hand over what waits if it is much, or late."""
        is_late = self._clock.monotonic_ns() - self._handed_over_ns > BUFFER_NS
        if is_late or len(self._buffer) > BUFFER_WRITES:
            pending = self._hand_over()
            if len(pending) > MAX_PENDING:
                # The store is slower than the backend: wait, so that memory stays bounded.
                await self._wait_for(pending[0])

    def record_soon(self, writes: Sequence[Write]) -> None:
        """Record something that nothing waits for before the next ``flush``."""
        with self._lock:
            self._buffer += writes

    async def flush(self) -> None:
        """Wait until everything recorded is durable. Raises StoreError if it cannot be."""
        for future in self._hand_over():
            await self._wait_for(future)

    def flush_blocking(self, writes: Sequence[Write] = ()) -> None:
        """The same, and these writes, for a thread that is not the event loop's; it saves the way through the loop."""
        self.record_soon(writes)
        for future in self._hand_over():
            try:
                future.result()
            finally:
                self._forget(future)

    def _hand_over(self) -> "list[Future[None]]":
        """Give the store what was recorded; all that it has not done yet, and failures that no caller was told of."""
        with self._lock:
            self._handed_over_ns = self._clock.monotonic_ns()
            if self._buffer:
                self._pending.append(self._write(self._buffer))
                self._buffer = []
            return list(self._pending)

    def _write(self, writes: Sequence[Write]) -> "Future[None]":
        future = self._store.write(self._with_entries(writes))
        if self._trimmer is not None:
            self._trimmer.note(writes)
        return future

    def _with_entries(self, writes: Sequence[Write]) -> Sequence[Write]:
        entries = [] if self._accounts is None else self._accounts.close(writes)
        return [*writes, *entries] if entries else writes

    async def _wait_for(self, future: "Future[None]") -> None:
        try:
            await asyncio.wrap_future(future)
        finally:
            self._forget(future)

    def _forget(self, future: "Future[None]") -> None:
        """Drop a finished write from the pending ones, once a caller has seen its result."""
        with self._lock:
            if future.done() and future in self._pending:
                self._pending.remove(future)


async def _nothing() -> None:
    """Nothing to wait for."""
