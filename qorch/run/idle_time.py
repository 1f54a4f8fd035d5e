"""Measures when a training loop computes by itself, and not in a call of qorch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from qorch.model.identity import Position
from qorch.model.timing import Phase
from qorch.run.resources import Resources
from qorch.run.stopping import Lifetime


class IdleTime:
    """Records the time outside of calls: the start of a session, before its first step, and the model's own code."""

    def __init__(self, resources: Resources, life: Lifetime, position: Callable[[], Position]) -> None:
        """``life`` counts the calls; ``position`` gives the run's position now."""
        self._use = resources
        self._life = life
        self._position = position
        self._idle_since_ns = 0
        self._has_stepped = False

    def begin(self) -> None:
        """Record the start of the session, now that the run is open."""
        self._idle_since_ns = self._use.recorder.origin_ns
        self._end_idleness(Phase.START)

    def begin_step(self) -> None:
        """Before the first step, record what the program did until now, such as loading its data, as preparation."""
        if not self._has_stepped:
            self._has_stepped = True
            self._end_idleness(Phase.PREPARE)

    def end(self) -> None:
        """Record the model's time up to the end of the run."""
        self._end_idleness(Phase.MODEL)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Around a call of qorch; the time between two calls is the training loop's own.

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
        """Record the time since the last call as this phase."""
        now_ns = self._use.clock.monotonic_ns()
        self._use.recorder.add(phase, self._idle_since_ns, now_ns, self._position())
        self._idle_since_ns = now_ns
