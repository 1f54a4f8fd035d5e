"""The database of a dry run: whatever is written is stored when the call returns, so that no time passes meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from datetime import date
from typing import Any, TypeVar, cast

from qorch.model.arrays import ByteArray
from qorch.model.ledger import LedgerBalance, LedgerRecord
from qorch.ports.books import Granted
from qorch.ports.records import Change, Write
from qorch.ports.store import Store

T = TypeVar("T")


def write_at_once(store: Store) -> Store:
    """The store, each of whose writes is over, or has failed, when its future is returned.

    A loop on virtual time cannot see that a write is in progress, and would pass on to its next timer; and the order in
    which writes end would not be the same in every run.
    """
    return cast("Store", _PatientStore(store))


class _PatientStore:
    """Waits for what is written; everything else is the store's own."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        return _ended(self._store.write(writes))

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


def _ended(future: "Future[T]") -> "Future[T]":
    wait([future])
    return future
