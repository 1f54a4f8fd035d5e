"""When a training loop waits for qorch, and when it computes by itself."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qorch.model.identity import Position
from qorch.model.timing import Phase
from qorch.run.resources import Resources
from qorch.run.stopping import Lifetime


class Waiting:
    """Spans of a session: its start, what comes before the first step, and the model's time between calls."""

    def __init__(self, resources: Resources, life: Lifetime, position: Callable[[], Position]) -> None:
        """``life`` counts the calls; ``position``: where the run is."""
        self._use = resources
        self._life = life
        self._position = position
        self._idle_since_ns = 0
        self._has_stepped = False

    def begin(self) -> None:
        """The run is open; until now it was started."""
        self._idle_since_ns = self._use.recorder.origin_ns
        self._end_idleness(Phase.START)

    def begin_step(self) -> None:
        """A step begins. What the program did before the first one, such as loading its data, is not time of a step."""
        if not self._has_stepped:
            self._has_stepped = True
            self._end_idleness(Phase.PREPARE)

    def end(self) -> None:
        """The run is closed."""
        self._end_idleness(Phase.MODEL)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """While this is open, the caller waits for qorch; what lies between is the training loop's own time.

        Raises what ``Lifetime.check`` raises.
        """
        with self._life.lock:
            if self._life.begin_call():
                self._end_idleness(Phase.MODEL)
        try:
            yield
        finally:
            with self._life.lock:
                self._idle_since_ns = self._use.clock.monotonic_ns()
                self._life.end_call()

    def _end_idleness(self, phase: Phase) -> None:
        """The time since the last call was of this phase."""
        now_ns = self._use.clock.monotonic_ns()
        self._use.recorder.add(phase, self._idle_since_ns, now_ns, self._position())
        self._idle_since_ns = now_ns
