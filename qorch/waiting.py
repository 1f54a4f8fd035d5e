"""When a training loop waits for qorch, and when it computes by itself."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qorch.model.identity import Position
from qorch.model.timing import Phase
from qorch.resources import Resources


class Waiting:
    """Spans of a session: its start, and the model's time between calls of the run."""

    def __init__(self, resources: Resources, position: Callable[[], Position]) -> None:
        """``position``: where the run is."""
        self._use = resources
        self._position = position
        self._lock = threading.Lock()
        self._calls_open = 0
        self._idle_since_ns = 0

    def begin(self) -> None:
        """The run is open; until now it was started."""
        now_ns = self._use.clock.monotonic_ns()
        self._use.recorder.add(Phase.START, self._use.recorder.origin_ns, now_ns, self._position())
        self._idle_since_ns = now_ns

    def end(self) -> None:
        """The run is closed."""
        self._use.recorder.add(Phase.MODEL, self._idle_since_ns, self._use.clock.monotonic_ns(), self._position())

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While this is open, the caller waits for qorch; what lies between is the training loop's own time."""
        with self._lock:
            if self._calls_open == 0:
                now_ns = self._use.clock.monotonic_ns()
                self._use.recorder.add(Phase.MODEL, self._idle_since_ns, now_ns, self._position())
            self._calls_open += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls_open -= 1
                self._idle_since_ns = self._use.clock.monotonic_ns()
