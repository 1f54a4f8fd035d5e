"""The one thread that writes: what waits goes into one transaction, so that one fsync serves many calls."""

import datetime as dt
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass

from sqlalchemy import Engine

from qorch.errors import QorchError, StoreError
from qorch.records import Write
from qorch_jobs_db.encoding import Changes, encode, time_text
from qorch_jobs_db.faults import Fault, fault_of, store_error
from qorch_jobs_db.statements import apply_changes

MAX_CALLS = 256
_SURVIVABLE = (Fault.REFUSED, Fault.BUSY)


@dataclass(frozen=True)
class _Call:
    writes: Sequence[Write]
    future: "Future[None]"
    changes: Changes


class Writer:
    """Applies calls in their order.

    A call that the database refuses fails alone. After a full disk, an I/O error or corruption, that call and
    all later ones fail with the same error: what was written before a write must be stored before it.
    ``lock`` is entered around every transaction.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        location: str,
        lock: Callable[[], AbstractContextManager[None]],
        now: Callable[[], dt.datetime],
    ) -> None:
        """Start the thread."""
        self.commits = 0
        self._engine = engine
        self._location = location
        self._lock = lock
        self._now = now
        self._failure: StoreError | None = None
        self._is_closed = False
        self._gate = threading.Lock()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="qorch-store", daemon=True)
        self._thread.start()

    def submit(self, writes: Sequence[Write]) -> "Future[None]":
        """Queue a call. Raises StoreError once closed."""
        call = _Call(tuple(writes), Future(), Changes())
        # A waiter that is cancelled must not take the write with it: later calls build on it.
        call.future.set_running_or_notify_cancel()
        with self._gate:
            if self._is_closed:
                raise StoreError(f"the store at {self._location} is closed; open it again")
            self._calls.put(call)
        return call.future

    def close(self) -> None:
        """Apply what waits, and end the thread."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        is_open = True
        while is_open:
            calls, is_open = self._take()
            self._settle(self._encode(calls))

    def _take(self) -> tuple[list[_Call], bool]:
        calls: list[_Call] = []
        item = self._calls.get()
        while item is not None:
            calls.append(item)
            if len(calls) == MAX_CALLS:
                return calls, True
            try:
                item = self._calls.get_nowait()
            except queue.Empty:
                return calls, True
        return calls, False

    def _encode(self, calls: list[_Call]) -> list[_Call]:
        ready = []
        stamp = ""
        for call in calls:
            try:
                stamp = stamp or time_text(self._now())
                call.changes.add(encode(call.writes, stamp=stamp))
            except Exception as error:  # whatever a malformed record raises belongs to its caller
                call.future.set_exception(_as_store_error(error))
            else:
                ready.append(call)
        return ready

    def _settle(self, calls: list[_Call]) -> None:
        if not calls:
            return
        error = self._failure or self._try_apply(calls)
        if error is None:
            for call in calls:
                call.future.set_result(None)
        elif self._failure is not None or len(calls) == 1 or fault_of(error) is Fault.BUSY:
            for call in calls:
                call.future.set_exception(_copy(error))
        else:
            for call in calls:
                self._settle([call])

    def _try_apply(self, calls: list[_Call]) -> StoreError | None:
        merged = Changes()
        for call in calls:
            merged.add(call.changes)
        try:
            with self._lock(), self._engine.begin() as connection:
                apply_changes(connection, merged)
        except Exception as error:  # the thread must live: whoever waits would wait for ever
            return self._note(error)
        self.commits += 1
        return None

    def _note(self, error: Exception) -> StoreError:
        failure = store_error(error, location=self._location)
        failure.__cause__ = None if failure is error else error
        if not isinstance(error, QorchError) and fault_of(error) not in _SURVIVABLE:
            self._failure = failure
        return failure


def _as_store_error(error: Exception) -> QorchError:
    if isinstance(error, QorchError):
        return error
    failure = StoreError(f"a record cannot be stored: {error}")
    failure.__cause__ = error
    return failure


def _copy(error: StoreError) -> StoreError:
    # Each waiter raises its own: one exception raised by many threads would mix their tracebacks.
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy
