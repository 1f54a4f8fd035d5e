"""Tells the observers of one run what happens, each in a thread of its own, so that none holds up the run."""

import _thread
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import cast

from qorch.ports.clock import Clock
from qorch.ports.observer import WRITTEN_EVENTS, Event, Notice, Observer, Refusal, RunStart
from qorch.ports.progress import Progress
from qorch.ports.records import Write

MOST_WAITING = 100_000
"""Events that wait for one observer (about 50 MB); the oldest are dropped beyond that."""
MOST_FAILURES = 10
"""Calls that may fail one after the other before an observer is dropped."""
GATHER_SECONDS = 0.02
"""How long an observer's thread waits for more events after the first: waking it costs more than telling several."""
CLOSE_SECONDS = 5.0
"""How long the end of a run waits for an observer to take what is left."""

_log = logging.getLogger("qorch.observers")


class Feed:
    """What happens in one run, told to its observers. May be called from any thread, and never waits for them."""

    def __init__(self, observers: Sequence[Observer], *, clock: Clock, close_seconds: float = CLOSE_SECONDS) -> None:
        """Start a thread for each observer. ``clock``: dates what is not a record."""
        self._run_id = ""
        self._clock = clock
        self._close_seconds = close_seconds
        self._listeners = [_Listener(observer, self._make_notice) for observer in observers]

    @property
    def has_observers(self) -> bool:
        """Whether anything is told to anyone."""
        return bool(self._listeners)

    def begin(self, start: RunStart) -> None:
        """Tell the first event."""
        self._run_id = start.run_id
        self.tell(start)

    def with_progress(self, show: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """What shows the progress, and then tells it."""
        if not self._listeners:
            return show

        def show_and_tell(progress: Progress) -> None:
            show(progress)
            self.tell(progress)

        return show_and_tell

    def tell(self, *events: Event) -> None:
        """Tell events."""
        for listener in self._listeners:
            listener.put(events)

    def tell_written(self, writes: Sequence[Write]) -> None:
        """Tell those of the records that are events."""
        events = [cast("Event", record) for record in writes if type(record) in WRITTEN_EVENTS]
        if events:
            self.tell(*events)

    def tell_refusal(self, error: Exception) -> None:
        """Tell that nothing of a call is sent."""
        self.tell(Refusal(self._run_id, type(error).__name__, str(error), self._clock.now()))

    def note(self, text: str) -> None:
        """Tell of trouble that the run waits for."""
        self.tell(self._make_notice(text))

    def close(self) -> None:
        """Let the observers take what is left, for a while each, and close them."""
        for listener in self._listeners:
            listener.end()
        for listener in self._listeners:
            listener.join(self._close_seconds)

    def _make_notice(self, text: str) -> Notice:
        return Notice(self._run_id, text, self._clock.now())


class _Listener:
    """One observer, its thread, and the events that wait for it."""

    def __init__(self, observer: Observer, make_notice: Callable[[str], Notice]) -> None:
        self._observer = observer
        self._make_notice = make_notice
        self._name = type(observer).__name__
        self._waiting: deque[Sequence[Event]] = deque()
        self._n_waiting = 0
        self._dropped = 0
        self._untold = 0
        self._failures = 0
        self._has_failed = False
        self._is_over = False
        self._is_idle = False
        self._changed = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name=f"qorch-observer-{self._name}", daemon=True)
        self._thread.start()

    def put(self, events: Sequence[Event]) -> None:
        """Let events wait for the observer; drop the oldest if too many do."""
        with self._changed:
            if self._is_over:
                return
            self._waiting.append(events)
            self._n_waiting += len(events)
            while self._n_waiting > MOST_WAITING and len(self._waiting) > 1:
                lost = len(self._waiting.popleft())
                self._n_waiting -= lost
                self._dropped += lost
                self._untold += lost
            if self._is_idle:
                self._is_idle = False
                self._changed.notify()

    def end(self) -> None:
        """Take no more events."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        self._ended.set()

    def join(self, seconds: float) -> None:
        """Wait until the observer has taken what is left; what it does not take in time is dropped."""
        if threading.current_thread() is self._thread:  # an observer that closes its run
            return
        self._thread.join(seconds)
        with self._changed:
            if self._thread.is_alive():
                self._dropped += self._take_waiting()
                _log.warning(
                    "observer %s is busy still, %g s after the end of the run: it is not waited for",
                    self._name,
                    seconds,
                )
        if self._dropped:
            _log.warning("observer %s is slower than the run: it was not told %d events", self._name, self._dropped)

    def _live(self) -> None:
        """Tell the observer what comes, until the run is over or it is dropped."""
        try:
            while self._failures < MOST_FAILURES and (events := self._take()) is not None:
                self._tell(events)
            if self._failures >= MOST_FAILURES:
                self._give_up()
            self._observer.close()
        except KeyboardInterrupt:
            self._give_up()
            _thread.interrupt_main()
        except BaseException as error:  # not even sys.exit() in a user's code may end the run
            self._note_failure(error)
            self._give_up()

    def _take(self) -> Sequence[Event] | None:
        """The next events; None once the run is over and all were taken."""
        if not self._waiting:
            self._wait_for_some()
        with self._changed:
            if not self._waiting:
                return None
            events = self._waiting.popleft()
            self._n_waiting -= len(events)
            untold, self._untold = self._untold, 0
        if not untold:
            return events
        text = f"this observer is slower than the run: {untold} events were dropped, the oldest first"
        return [self._make_notice(text), *events]

    def _wait_for_some(self) -> None:
        """Until there are events, and a little longer for those that follow them; or until the run is over."""
        with self._changed:
            while not self._waiting and not self._is_over:
                self._is_idle = True
                self._changed.wait()
        self._ended.wait(GATHER_SECONDS)

    def _tell(self, events: Sequence[Event]) -> None:
        try:
            self._observer.observe(events)
        except Exception as error:
            self._failures += 1
            self._note_failure(error)
        else:
            self._failures = 0

    def _note_failure(self, error: BaseException) -> None:
        """Log the first error of the observer; its text may hold a secret, so only the class is a warning."""
        if not self._has_failed:
            self._has_failed = True
            _log.warning("observer %s raised %s; the run goes on", self._name, type(error).__name__)
        _log.debug("observer %s", self._name, exc_info=error)

    def _give_up(self) -> None:
        """Tell the observer nothing more."""
        with self._changed:
            is_told = self._is_over and not self._waiting
            self._is_over = True
            self._take_waiting()
        if not is_told:
            _log.warning("observer %s is dropped: it is told nothing more of this run", self._name)

    def _take_waiting(self) -> int:
        """Let no event wait any more; how many did."""
        n_waiting, self._n_waiting = self._n_waiting, 0
        self._waiting.clear()
        return n_waiting
