"""The one thread that writes: what waits goes into one transaction, so that one fsync serves many calls."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sqlalchemy import Engine

from qorch.errors import QorchError, StoreError
from qorch.ports.clock import Clock
from qorch.ports.records import Write
from qorch_jobs_db.encoding import Changes, encode, time_text
from qorch_jobs_db.locks import Turn
from qorch_jobs_db.sql_errors import StoreFault, fault_of, store_error
from qorch_jobs_db.statements import ChangeError, Link, apply_changes, connect

MAX_CALLS = 256
MOST_SYNCS = 100_000
"""Of so many commits it is kept when they waited for the disk, until somebody takes that."""
_SURVIVABLE = (StoreFault.REFUSED, StoreFault.BUSY)
_T = TypeVar("_T")


@dataclass(frozen=True)
class _Call:
    """``work`` is done in the transaction, after the changes of the calls before it; without it, ``writes`` are."""

    future: "Future[Any]"
    writes: Sequence[Write] = ()
    work: Callable[[Link], object] | None = None
    changes: Changes = field(default_factory=Changes)


class Writer:
    """Applies calls in their order.

    A call that the database refuses fails alone. After a full disk, an I/O error or corruption, that call and
    all later ones fail with the same error: what was written before a write must be stored before it.
    ``turn`` is held during every transaction, and ``check`` called after it: what it raises is an I/O error.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        location: str,
        turn: Turn,
        clock: Clock,
        check: Callable[[], None],
    ) -> None:
        """Start the thread."""
        self.commits = 0
        self._syncs: deque[tuple[int, int]] = deque(maxlen=MOST_SYNCS)
        self._check = check
        self._engine = engine
        self._location = location
        self._turn = turn
        self._clock = clock
        self._link: Link | None = None
        self._failure: StoreError | None = None
        self._is_closed = False
        self._gate = threading.Lock()
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="qorch-store", daemon=True)
        self._thread.start()

    def submit(self, writes: Sequence[Write]) -> "Future[None]":
        """Queue records to be written. Raises StoreError once closed."""
        future: Future[None] = Future()
        self._queue(_Call(future, writes=tuple(writes)))
        return future

    def run(self, work: Callable[[Link], _T]) -> "Future[_T]":
        """Queue work within a transaction, which may be done again if it fails. Raises StoreError once closed."""
        future: Future[_T] = Future()
        self._queue(_Call(future, work=work))
        return future

    def take_syncs(self) -> list[tuple[int, int]]:
        """When commits waited for the disk since the last call, in clock nanoseconds."""
        return [self._syncs.popleft() for _ in range(len(self._syncs))]

    def close(self) -> None:
        """Apply what waits, and end the thread."""
        with self._gate:
            if not self._is_closed:
                self._is_closed = True
                self._calls.put(None)
        self._thread.join()

    def _queue(self, call: _Call) -> None:
        # A waiter that is cancelled must not take the write with it: later calls build on it.
        call.future.set_running_or_notify_cancel()
        with self._gate:
            if self._is_closed:
                raise StoreError(f"the store at {self._location} is closed; open it again")
            self._calls.put(call)

    def _work(self) -> None:
        is_open = True
        while is_open:
            calls, is_open = self._take()
            self._settle(self._encode(calls))
        if self._link is not None:
            self._link.connection.close()
        self._turn.close()

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
                if call.work is None:
                    stamp = stamp or time_text(self._clock.now())
                    call.changes.add(encode(call.writes, stamp=stamp))
            except Exception as error:  # whatever a malformed record raises belongs to its caller
                call.future.set_exception(_as_store_error(error))
            else:
                ready.append(call)
        return ready

    def _settle(self, calls: list[_Call]) -> None:
        if not calls:
            return
        found = self._failure or self._try_apply(calls)
        if not isinstance(found, StoreError):
            for call, outcome in zip(calls, found, strict=True):
                _finish(call.future, outcome)
        elif self._failure is not None or len(calls) == 1 or fault_of(found.__cause__ or found) is StoreFault.BUSY:
            for call in calls:
                call.future.set_exception(_copy(found))
        else:
            for call in calls:
                self._settle([call])

    def _try_apply(self, calls: list[_Call]) -> list[object] | StoreError:
        """What each call came to, all of them durable; or why none is."""
        try:
            with self._turn:
                self._link = link = self._link or connect(self._engine, clock=self._clock)
                with link.connection.begin():
                    outcomes = _apply(link, calls)
                    applied_ns = self._clock.monotonic_ns()
                self._syncs.append((applied_ns, self._clock.monotonic_ns()))
                self._check()
        except Exception as error:  # the thread must go on: its callers would wait for ever
            return self._note(error)
        self.commits += 1
        return outcomes

    def _note(self, error: Exception) -> StoreError:
        failure = store_error(error, location=self._location)
        failure.__cause__ = None if failure is error else error
        if not isinstance(error, QorchError) and fault_of(error) not in _SURVIVABLE:
            self._failure = failure
        return failure


def _apply(link: Link, calls: list[_Call]) -> list[object]:
    outcomes: list[object] = []
    merged = Changes()
    for call in calls:
        if call.work is None:
            merged.add(call.changes)
            outcomes.append(None)
            continue
        apply_changes(link, merged)
        merged = Changes()
        outcomes.append(_attempt(call.work, link))
    apply_changes(link, merged)
    return outcomes


def _attempt(work: Callable[[Link], object], link: Link) -> object:
    try:
        return work(link)
    except ChangeError as error:
        return error


def _finish(future: "Future[Any]", outcome: object) -> None:
    if isinstance(outcome, ChangeError):
        future.set_exception(outcome.__cause__)
    else:
        future.set_result(outcome)


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
