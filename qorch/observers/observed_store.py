"""A store whose writes observers are told of: the one place through which everything that a run records goes."""

import datetime
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar, cast

from qorch.errors import BudgetError
from qorch.model.ledger import LedgerBalance, LedgerRecord
from qorch.observers.feed import Feed
from qorch.ports.books import Granted
from qorch.ports.records import Change, Write
from qorch.ports.store import Store

T = TypeVar("T")


def observe_store(store: Store, feed: Feed) -> Store:
    """The store, whose writes the feed tells in their order: each once it was handed to the store.

    Without observers it is the store itself, so that they cost nothing.
    """
    return cast("Store", _ObservedStore(store, feed)) if feed.has_observers else store


class _ObservedStore:
    """Tells what is written; everything else is the store's own.

    What is written in one transaction with a decision, as reservations are, is told once that is made: ``check`` and
    ``change`` may be called again, and what they returned first is never written.
    """

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed
        self._order = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        with self._order:
            future = self._store.write(writes)
            self._feed.tell_written(writes)
        return future

    def reserve(
        self, check: Callable[[Sequence[LedgerBalance]], Granted[T]], *, since: datetime.date = datetime.date.min
    ) -> "Future[T]":
        newest: Sequence[Write] = ()

        def keep(balances: Sequence[LedgerBalance]) -> Granted[T]:
            nonlocal newest
            granted = check(balances)
            newest = granted.writes
            return granted

        future = self._store.reserve(keep, since=since)
        future.add_done_callback(lambda done: self._tell(done, newest))
        return future

    def settle(
        self, job_ids: Sequence[str], close: Callable[[Mapping[str, Sequence[LedgerRecord]]], Sequence[Write]]
    ) -> "Future[None]":
        newest: Sequence[Write] = ()

        def keep(stored: Mapping[str, Sequence[LedgerRecord]]) -> Sequence[Write]:
            nonlocal newest
            newest = close(stored)
            return newest

        future = self._store.settle(job_ids, keep)
        future.add_done_callback(lambda done: self._tell(done, newest))
        return future

    def update_shared_state(self, name: str, change: Callable[[bytes | None, int], Change[T]]) -> "Future[T]":
        newest: Sequence[Write] = ()

        def keep(state: bytes | None, now_ns: int) -> Change[T]:
            nonlocal newest
            changed = change(state, now_ns)
            newest = changed.writes
            return changed

        future = self._store.update_shared_state(name, keep)
        future.add_done_callback(lambda done: self._tell(done, newest))
        return future

    def _tell(self, done: "Future[T]", writes: Sequence[Write]) -> None:
        if done.cancelled():
            return
        error = done.exception()
        if error is None:
            self._feed.tell_written(writes)
        elif isinstance(error, BudgetError):
            self._feed.tell_refusal(error)
