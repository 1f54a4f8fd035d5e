"""Chooses how the progress of a run is shown: one live line on a terminal or in a notebook, else plain lines."""

import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any, Literal, Protocol, TextIO, runtime_checkable
from weakref import WeakSet

from qorch.engine.recorder import Recorder
from qorch.errors import UsageError
from qorch.model.job import QueuePlace
from qorch.ports.progress import Progress
from qorch.progress.line import describe, fit
from qorch.progress.stream import SafeStream

PLAIN_LINE_SECONDS = 5.0
NOTEBOOK_SECONDS = 0.25
"""Shortest time between two updates in a notebook: each goes through the kernel to the browser."""


class Display(Protocol):
    """What shows the progress of one run."""

    def __call__(self, progress: Progress) -> None:
        """Show the progress of the run; called after every step."""
        ...

    def close(self) -> None:
        """Show the last step, unless it is shown already; called once, however the run ends."""
        ...


@runtime_checkable
class QueueDisplay(Display, Protocol):
    """A display that also shows where a run's jobs stand in their provider's queue, while nothing else moves."""

    def show_queue(self, place: QueuePlace | None) -> None:
        """Show the best place; None takes it away. Called every half second while a call is waited for."""
        ...


def make_progress(stream: TextIO | None = None, *, name: str = "") -> Display:
    """The display of a run on a stream, standard error by default; without any stream it shows nothing.

    A line that is updated in place on a terminal, or below the cell of a notebook; in a pipe, a file, or on a terminal
    that cannot move its cursor (``TERM=dumb``): a plain line for the first step, every few seconds, and for the last.
    ``name``: shown if several runs are shown at once, and in notebooks.
    """
    if stream is None:
        if _in_notebook():
            return _NotebookLine(name)
        stream = sys.stderr
    # While other runs are shown, standard error is replaced by a stream that writes above their lines.
    stream = getattr(stream, "beneath", stream)
    target = SafeStream(stream)
    if stream is None or not target.is_terminal:
        return _PlainLines(target, name)
    from rich.console import Console

    console = Console(file=stream, force_terminal=True, force_jupyter=False)
    if not console.is_interactive:
        return _PlainLines(target, name, width=console.width - 1)
    from qorch.progress.live import RunLine, terminal_of

    return RunLine(terminal_of(stream), name)


def choose_display(
    progress: Callable[[Progress], None] | Literal["off"] | None, name: str, release: ExitStack
) -> Callable[[Progress], None]:
    """The function that shows the run; qorch's own display ends with the run. Raises UsageError for anything else."""
    if progress is None:
        # Made now, so that a stream which cannot be used is found before the run begins.
        display = make_progress(name=name)
        release.callback(display.close)
        return display
    if isinstance(progress, str) and progress == "off":
        return no_progress
    if not callable(progress):
        raise UsageError(f"progress is {progress!r}; give a function that takes a Progress, 'off', or None")
    return progress


def watch_queue(show: Callable[[Progress], None], recorder: Recorder) -> Callable[[], None] | None:
    """What a waiting training loop does meanwhile: show the queue at the provider, if the display can."""
    if not isinstance(show, QueueDisplay):
        return None
    return lambda: show.show_queue(recorder.queue_place)


def no_progress(progress: Progress) -> None:
    """Show nothing."""
    del progress


def _in_notebook() -> bool:
    """Whether this process is the kernel of a notebook; does not load IPython."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


class _NotebookLine:
    """A line below the notebook's cell, rewritten in place."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle: Any = None
        self._shown: Progress | None = None
        self._newest: Progress | None = None
        self._due_seconds = 0.0
        self._queue = ""

    def __call__(self, progress: Progress) -> None:
        self._newest = progress
        if progress.elapsed_seconds >= self._due_seconds or progress.is_last or self._queue:
            self._due_seconds = progress.elapsed_seconds + NOTEBOOK_SECONDS
            self._draw(progress)

    def show_queue(self, place: QueuePlace | None) -> None:
        queue = "" if place is None else str(place)
        if queue != self._queue:
            self._draw(self._newest, queue)

    def close(self) -> None:
        if self._newest is not None and (self._newest is not self._shown or self._queue):
            self._draw(self._newest)

    def _draw(self, progress: Progress | None, queue: str = "") -> None:
        from IPython.display import display

        self._shown, self._queue = progress, queue
        data = {"text/plain": describe(progress, name=self._name, queue=queue)}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(data, raw=True)


class _PlainLines:
    """Writes the first step, the last one, and one every few seconds."""

    def __init__(self, stream: SafeStream, name: str, *, width: int | None = None) -> None:
        self._stream = stream
        self._name = name
        self._width = width
        self._due_seconds = 0.0
        self._shown: Progress | None = None
        self._newest: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        _plain_runs().add(self)
        self._newest = progress
        if self._shown is None or progress.elapsed_seconds >= self._due_seconds or progress.is_last:
            self._write(progress)

    def close(self) -> None:
        if self._newest is not None and self._newest is not self._shown:
            self._write(self._newest)
        _plain_runs().discard(self)

    def _write(self, progress: Progress) -> None:
        self._shown = progress
        self._due_seconds = progress.elapsed_seconds + PLAIN_LINE_SECONDS
        name = self._name if len(_plain_runs()) > 1 else ""
        width = self._width
        line = describe(progress, name=name) if width is None else fit(progress, width=width, name=name)
        self._stream.write(line + "\n")


@cache
def _plain_runs() -> WeakSet[_PlainLines]:
    """The runs that write plain lines now; lines have the run's name if there are several."""
    return WeakSet()
