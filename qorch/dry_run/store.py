"""The database of a dry run: nobody waits for what is written, so that no virtual time passes meanwhile."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from datetime import date
from functools import wraps
from typing import Any, TypeVar, cast

from qorch.model.arrays import ByteArray
from qorch.model.ledger import LedgerBalance, LedgerRecord
from qorch.ports.books import Granted
from qorch.ports.records import Change, Write
from qorch.ports.store import Store

T = TypeVar("T")

MOST_WAITING = 1_000
"""Writes that may be on their way to the disk; each keeps its records in memory."""


def write_behind(store: Store) -> Store:
    """The store, all of whose futures are done when they are returned; plain writes end later, before any read.

    A loop on virtual time cannot see that a write is in progress, and would pass on to its next timer; and the order in
    which writes end would not be the same in every run. A write that fails makes a later one, or a read, fail.
    """
    return cast("Store", _WriteBehind(store))


class _WriteBehind:
    """Hands writes over; all that reads, or decides by what is stored, waits for those before. For any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: deque[Future[None]] = deque()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not callable(found):
            return found

        @wraps(found)
        def read(*args: Any, **kwargs: Any) -> Any:
            self._catch_up(0)
            return found(*args, **kwargs)

        return read

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        self._catch_up(MOST_WAITING)
        self._waiting.append(self._store.write(writes))
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def reserve(self, check: Callable[[Sequence[LedgerBalance]], Granted[T]], *, since: date = date.min) -> "Future[T]":
        return _ended(self._store.reserve(check, since=since))

    def settle(
        self, job_ids: Sequence[str], close: Callable[[Mapping[str, Sequence[LedgerRecord]]], Sequence[Write]]
    ) -> "Future[None]":
        return _ended(self._store.settle(job_ids, close))

    def update_shared_state(self, name: str, change: Callable[[bytes | None, int], Change[T]]) -> "Future[T]":
        return _ended(self._store.update_shared_state(name, change))

    def claim_rows(self, run_id: str, claims: ByteArray) -> "Future[list[str]]":
        return _ended(self._store.claim_rows(run_id, claims))

    def _catch_up(self, most: int) -> None:
        """Wait until at most so many writes are on their way, and raise the error of one that has failed."""
        while self._waiting:
            try:
                first = self._waiting[0]
            except IndexError:
                return  # another thread has waited for it
            if len(self._waiting) <= most and not first.done():
                return
            try:
                first.result()
            finally:
                # Only now: another thread that reads must wait for it, too.
                with suppress(ValueError):
                    self._waiting.remove(first)


def _ended(future: "Future[T]") -> "Future[T]":
    wait([future])
    return future
