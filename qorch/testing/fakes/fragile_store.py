"""A Store in memory that loses in a crash what was not yet synced: for simulations on a virtual clock."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

import numpy as np

from qorch.model.arrays import ByteArray
from qorch.model.ledger import LedgerBalance
from qorch.ports.books import Granted
from qorch.ports.clock import Clock
from qorch.ports.records import BlockRecord, Change, Write
from qorch.ports.statistics import Trimmed
from qorch.testing.fakes.store import MemoryStore

_T = TypeVar("_T")
_Replay = Callable[[MemoryStore], object]
_STORE_ID = "f" * 32


class Sync(Protocol):
    """When writes become durable, for instance by the scheduler of a virtual clock."""

    def delay(self) -> float:
        """Seconds from now until a call that is made now is synced, and with it all calls before it."""
        ...

    def call_later(self, seconds: float, function: Callable[[], None]) -> object:
        """Call the function after so many seconds, or at once."""
        ...


class SyncAtOnce:
    """Every call is durable when it returns."""

    def delay(self) -> float:
        """See Sync."""
        return 0.0

    def call_later(self, _seconds: float, function: Callable[[], None]) -> None:
        """See Sync."""
        function()


@dataclass(frozen=True)
class _Call:
    """A call that waits for its sync: ``resolve`` ends its future, ``replay`` is what it did to the tables."""

    resolve: Callable[[], None]
    replay: _Replay


class FragileStore(MemoryStore):
    """A MemoryStore whose calls take effect at once, and become durable in their order when ``sync`` says so.

    Only then their futures are done. No threads and no randomness of its own: the same calls give the same store.
    """

    def __init__(self, clock: Clock, sync: Sync, *, store_id: str = _STORE_ID) -> None:
        """An empty store; ``clock`` is the store's own, see MemoryStore."""
        super().__init__(clock, store_id=store_id)
        self._sync = sync
        self._journal: list[_Replay] = []
        self._waiting: deque[_Call] = deque()
        self._is_crashed = False
        self._n_calls = 0
        self._n_synced = 0

    @property
    def unsynced(self) -> int:
        """How many calls a crash could lose now."""
        return len(self._waiting)

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """See Store."""
        with self._lock:
            # A replay must not date a block anew.
            dated = [_date(record, self._clock.now) for record in writes]
            return self._queue(super().write(dated), lambda store: MemoryStore.write(store, dated))

    def update_shared_state(self, name: str, change: Callable[[bytes | None, int], Change[_T]]) -> "Future[_T]":
        """See Store."""
        made: list[Change[_T]] = []

        def change_once(state: bytes | None, now_ns: int) -> Change[_T]:
            found = change(state, now_ns)
            made.append(replace(found, writes=[_date(record, self._clock.now) for record in found.writes]))
            return made[0]

        with self._lock:
            done = super().update_shared_state(name, change_once)
            return self._queue(done, lambda store: MemoryStore.update_shared_state(store, name, lambda *_: made[0]))

    def reserve(
        self, check: Callable[[Sequence[LedgerBalance]], Granted[_T]], *, since: date = date.min
    ) -> "Future[_T]":
        """See Store."""
        made: list[Granted[_T]] = []

        def check_once(balances: Sequence[LedgerBalance]) -> Granted[_T]:
            granted = check(balances)
            made.append(replace(granted, writes=[_date(record, self._clock.now) for record in granted.writes]))
            return made[0]

        with self._lock:
            done = super().reserve(check_once, since=since)
            return self._queue(done, lambda store: MemoryStore.reserve(store, lambda _: made[0], since=since))

    def claim_rows(self, run_id: str, claims: ByteArray) -> "Future[list[str]]":
        """See Store."""
        with self._lock:
            return self._queue(
                super().claim_rows(run_id, claims), lambda store: MemoryStore.claim_rows(store, run_id, claims)
            )

    def prune(self, *, run_id: str | None = None, before: datetime | None = None) -> int:
        """See Store; like a real one it waits for all writes, and is durable when it returns."""
        self._sync_calls(self._n_calls)
        with self._lock:
            self._journal.append(lambda store: MemoryStore.prune(store, run_id=run_id, before=before))
            return super().prune(run_id=run_id, before=before)

    def trim_free(self, keep_bytes: int) -> "Future[Trimmed]":
        """See Store."""
        with self._lock:
            return self._queue(super().trim_free(keep_bytes), lambda store: MemoryStore.trim_free(store, keep_bytes))

    def delete_run(self, run_id: str, *, keep_books: bool) -> None:
        """See Store; like a real one it waits for all writes, and is durable when it returns."""
        self._sync_calls(self._n_calls)
        with self._lock:
            super().delete_run(run_id, keep_books=keep_books)
            self._journal.append(lambda store: MemoryStore.delete_run(store, run_id, keep_books=keep_books))

    def close(self) -> None:
        """See Store."""
        self._sync_calls(self._n_calls)
        super().close()

    def crash(
        self, random: np.random.Generator, *, clock: Clock | None = None, sync: Sync | None = None
    ) -> "FragileStore":
        """The store as the next process finds it; this one is dead: it takes no more calls, and ends no future.

        Of the calls that were not synced the first few may have reached the disk all the same: ``random`` draws how
        many. Claims of runs are free, as their processes are gone. The next process may bring its own clock and sync.
        """
        with self._lock:
            survivors = list(self._waiting)[: random.integers(0, len(self._waiting), endpoint=True)]
            self._is_crashed = self._is_closed = True
            self._waiting.clear()
        found = FragileStore(clock or self._clock, sync or self._sync, store_id=self.store_id)
        found._journal = self._journal + [call.replay for call in survivors]
        for replay in found._journal:
            replay(found)
        return found

    def backup(self, *, clock: Clock | None = None) -> "FragileStore":
        """A copy of what is durable now, which may replace this store after a crash."""
        with self._lock:
            kept = FragileStore(clock or self._clock, self._sync, store_id=self.store_id)
            kept._journal = list(self._journal)
        for replay in kept._journal:
            replay(kept)
        return kept

    def _queue(self, done: "Future[_T]", replay: _Replay) -> "Future[_T]":
        """Let what was done count once it is synced; what failed has changed nothing."""
        future: Future[_T] = Future()
        # As in a real store, cancelling is too late.
        future.set_running_or_notify_cancel()
        error = done.exception()
        resolve: Callable[[], Any] = (
            (lambda: future.set_result(done.result())) if error is None else lambda: future.set_exception(error)
        )
        self._waiting.append(_Call(resolve, replay if error is None else _nothing))
        self._n_calls += 1
        number = self._n_calls
        self._sync.call_later(self._sync.delay(), lambda: self._sync_calls(number))
        return future

    def _sync_calls(self, number: int) -> None:
        """Make the first so many calls durable."""
        with self._lock:
            if self._is_crashed:
                return
            due = [self._waiting.popleft() for _ in range(number - self._n_synced)]
            self._n_synced += len(due)
            self._journal += [call.replay for call in due]
        for call in due:
            call.resolve()


def _nothing(_store: MemoryStore) -> None:
    """What a call did that failed."""


def _date(record: Write, now: Callable[[], datetime]) -> Write:
    if isinstance(record, BlockRecord) and record.created_at is None:
        return replace(record, created_at=now())
    return record
