"""The virtual time of each thread that makes calls, and whether any of them computes: then no time may pass."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qorch.ports.clock import Clock

GRACE_SECONDS = 0.03
"""Real time for which a thread sleeps that waits for something which qorch does not see."""
BLIND_GRACE_SECONDS = 1.0
"""The same where the system does not tell whether a thread sleeps (all but Linux): so long it makes no call."""
AWAITING = object()
"""What a thread waits for whose own event loop has nothing left to do."""


class Stopwatch:
    """Virtual seconds, which go on with the real ones while something is measured. Read by any thread."""

    def __init__(self, seconds: float, clock: Clock | None) -> None:
        """Stand at these seconds. ``clock``: the real one; None for a stopwatch that only moves when it is set."""
        self._clock = clock
        self._mark: tuple[float, int | None] = (seconds, None)

    @property
    def seconds(self) -> float:
        """What it shows."""
        seconds, since_ns = self._mark
        if since_ns is None or self._clock is None:
            return seconds
        return seconds + (self._clock.monotonic_ns() - since_ns) / 1e9

    def start(self) -> None:
        """Measure from now on."""
        self._mark = (self.seconds, None if self._clock is None else self._clock.monotonic_ns())

    def stop(self) -> None:
        """Stand still."""
        self._mark = (self.seconds, None)

    def set(self, seconds: float) -> None:
        """Stand at these seconds, which are not before what it shows."""
        self._mark = (seconds, None)


class CallingThread:
    """A thread that has made calls. ``waits_for``: the call that it is blocked in, AWAITING, or None: it computes.

    ``looks_in``: its own event loop, if it is about to see whether that has anything left to do.
    """

    def __init__(self, seconds: float, clock: Clock | None) -> None:
        """The calling thread, whose time begins here."""
        self.thread = threading.current_thread()
        self.watch = Stopwatch(seconds, clock)
        self.watch.start()
        self.waits_for: object | None = None
        self.looks_in: object | None = None
        self._is_idle = False
        self._used: str | None = None
        self._seen_ns = 0

    def wait_for(self, what: object | None) -> None:
        """Begin to wait, with the time standing still; None: go on computing."""
        self.waits_for = what
        self._is_idle, self._used = False, None
        if what is None:
            self.watch.start()
        else:
            self.watch.stop()

    def patience_seconds(self, now_ns: int) -> float:
        """For how long it must still be seen doing nothing until it counts as waiting; 0 if it waits or has ended."""
        if self.waits_for is not None or self._is_idle or not self.thread.is_alive():
            return 0.0
        used = _time_used(self.thread.native_id)
        if used is None or self._used is None or used != self._used:
            self._used, self._seen_ns = used, now_ns
        grace = BLIND_GRACE_SECONDS if used == "" else GRACE_SECONDS
        left = grace - (now_ns - self._seen_ns) / 1e9
        self._is_idle = left <= 0
        return max(0.0, left)


def _time_used(native_id: int | None) -> str | None:
    """How long a thread that sleeps has run so far, as Linux counts it; None: it runs or wants to, empty: not known."""
    folder = Path(f"/proc/self/task/{native_id}")
    try:
        state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        return (folder / "schedstat").read_text() if state == "S" else None
    except (OSError, IndexError):
        return ""


class Callers:
    """All threads that have made calls, each with a virtual time of its own; ``loop_seconds`` is that of the loop.

    The loop may pass on to its next timer only if a call is pending and every thread waits: in a call, or for one in
    an event loop of its own, which are seen at once. For other waits, such as ``Thread.join``, a queue or a pool, there
    is a grace: a thread that sleeps for GRACE_SECONDS of real time counts as waiting. With several threads
    the order in which the system runs them can thus decide what happens first, in a real run as in this one.
    """

    def __init__(self, loop_seconds: Callable[[], float], *, real: Clock, is_frozen: bool) -> None:
        """The calling thread is the first; ``is_frozen``: what threads compute takes no time. ``real``: measures it."""
        self._loop_seconds = loop_seconds
        self._real = real
        self._measured = None if is_frozen else real
        self._own = threading.local()
        self._lock = threading.Lock()
        self._callers: list[CallingThread] = []
        self._pending = 0
        self._first = self.here()

    def find(self) -> CallingThread | None:
        """The calling thread, if it has made a call."""
        caller: CallingThread | None = getattr(self._own, "caller", None)
        return caller

    def here(self) -> CallingThread:
        """The calling thread. If it is new its time is that of the first one, which may have started it."""
        caller = self.find()
        if caller is None:
            first = self._loop_seconds() if not self._callers else self.seconds_of(self._first)
            caller = CallingThread(max(first, self._loop_seconds()), self._measured)
            self._own.caller = caller
            with self._lock:
                self._callers.append(caller)
        return caller

    def seconds_of(self, caller: CallingThread) -> float:
        """The time of a thread: while it waits, that of the loop, if it has come so far."""
        own = caller.watch.seconds
        return own if caller.waits_for is None else max(own, self._loop_seconds())

    def catch_up(self) -> CallingThread:
        """The calling thread, which begins a call or waits: not before what has happened in the loop already."""
        caller = self.here()
        seconds = max(caller.watch.seconds, self._loop_seconds())
        with self._lock:
            caller.watch.set(seconds)
            caller.wait_for(None)
        return caller

    def spend(self, seconds: float) -> None:
        """Let the calling thread's time pass."""
        watch = self.here().watch
        watch.set(watch.seconds + seconds)
        watch.start()

    def begin(self) -> None:
        """A call begins."""
        with self._lock:
            self._pending += 1

    def end(self) -> None:
        """A call is over."""
        with self._lock:
            self._pending -= 1

    @contextmanager
    def waiting(self, what: object) -> Iterator[None]:
        """Around a wait of the calling thread for a call; ``release`` may end it before the thread wakes."""
        caller = self.catch_up()
        with self._lock:
            caller.wait_for(what)
        try:
            yield
        finally:
            self.catch_up()

    def wait_in_loop(self, caller: CallingThread) -> None:
        """A thread's own event loop has nothing left to do."""
        with self._lock:
            if caller.waits_for is None:
                caller.wait_for(AWAITING)

    def release(self, caller: CallingThread, what: object) -> None:
        """In the loop, at the end of a call: the thread goes on now, if this is what it waits for."""
        seconds = self._loop_seconds()
        with self._lock:
            if caller.waits_for is what:
                caller.watch.set(max(caller.watch.seconds, seconds))
                caller.wait_for(None)

    def patience_seconds(self) -> float | None:
        """For how long the loop must wait until it may pass on: 0: not at all; None: until it is woken."""
        with self._lock:
            if not self._pending:
                return None
            self._callers = [caller for caller in self._callers if caller.thread.is_alive()]
            now_ns = self._real.monotonic_ns()
            return max((caller.patience_seconds(now_ns) for caller in self._callers), default=0.0)
