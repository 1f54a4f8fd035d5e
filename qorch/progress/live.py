"""The lines at the bottom of a terminal, one per run, with everything that is printed meanwhile above them."""

import atexit
import logging
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, TextIO, cast

from rich.console import Console, ConsoleOptions, Group
from rich.file_proxy import FileProxy
from rich.live import Live
from rich.text import Text

from qorch.model.job import QueuePlace
from qorch.ports.progress import Progress
from qorch.progress.line import fit
from qorch.progress.stream import SafeStream

REFRESH_SECONDS = 0.1
"""Shortest time between two updates of a line."""
_STREAMS = ("stdout", "stderr")


class RunLine:
    """The line of one run on a terminal."""

    def __init__(self, terminal: "Terminal", name: str) -> None:
        """Nothing is shown before the first step. ``name``: shown if several runs are shown at once."""
        self._terminal = terminal
        self._due_seconds = 0.0
        self.name = name
        self.progress: Progress | None = None
        self.queue = ""

    def __call__(self, progress: Progress) -> None:
        """Show the progress of the run, unless its line was drawn a moment ago."""
        is_new = self.progress is None or self.queue != ""
        self.progress, self.queue = progress, ""
        if is_new or progress.elapsed_seconds >= self._due_seconds or progress.is_last:
            self._due_seconds = progress.elapsed_seconds + REFRESH_SECONDS
            self._terminal.draw(self)
        if progress.is_last and hasattr(sys, "ps1"):
            # The prompt of an interactive interpreter needs a line of its own.
            self._terminal.finish(self)

    def show_queue(self, place: QueuePlace | None) -> None:
        """Show the best place of the run's jobs in their provider's queue, if it is another than is shown."""
        queue = "" if place is None else str(place)
        if queue != self.queue:
            self.queue = queue
            self._terminal.draw(self)

    def close(self) -> None:
        """Leave the last line on the terminal."""
        self.queue = ""
        self._terminal.finish(self)


class Terminal:
    """One terminal; its lines are those of the runs that are in progress. Thread-safe.

    It starts no thread, and never hides the cursor, so that a process that is killed leaves the terminal as it was.
    """

    def __init__(self, stream: TextIO) -> None:
        """Draw nothing yet."""
        self._console = _SteadyConsole(
            file=cast("Any", SafeStream(stream)), force_terminal=True, force_jupyter=False, highlight=False,
            markup=False, emoji=False, soft_wrap=True,
        )  # fmt: skip
        self._redirection = Redirection(self._console, stream)
        self._lines: list[RunLine] = []
        self._are_named = False
        self._live: Live | None = None
        self._lock = threading.RLock()
        _let_go_in_children(self)

    def draw(self, line: RunLine) -> None:
        """Draw all lines, this one among them."""
        with self._lock:
            if line not in self._lines:
                self._lines.append(line)
                self._are_named = self._are_named or len(self._lines) > 1
            if self._live is None:
                self._live = self._begin()
            else:
                self._live.update(self._lines_now(), refresh=True)

    def finish(self, line: RunLine) -> None:
        """Draw the line a last time, above those of the runs that go on."""
        with self._lock:
            if line not in self._lines or self._live is None:
                return
            if len(self._lines) == 1:
                self.end()
                return
            self._lines.remove(line)
            self._live.update(self._lines_now())
            self._console.print(_Line(line, is_named=True))

    def end(self) -> None:
        """Leave the lines as they are and restore the standard streams."""
        with self._lock:
            live, self._live = self._live, None
            if live is not None:
                live.update(self._lines_now())
                live.stop()
                self._redirection.flush()
                self._redirection.end()
                atexit.unregister(self.end)
            self._lines, self._are_named = [], False

    def let_go(self) -> None:
        """In a forked child: restore the standard streams and draw nothing."""
        self._redirection.end()
        self._lock = threading.RLock()
        self._lines, self._live = [], None

    def _begin(self) -> Live:
        live = Live(
            self._lines_now(), console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._redirection.begin()
        atexit.register(self.end)
        live.start(refresh=True)
        return live

    def _lines_now(self) -> Group:
        """Copies of the lines as they are now: a thread that prints draws them again, without this terminal's lock."""
        return Group(*(_Line(line, is_named=self._are_named) for line in self._lines))


class _Line:
    """A copy of one run's line, fitted to the width that the terminal has when it is drawn."""

    def __init__(self, line: RunLine, *, is_named: bool) -> None:
        self._name = line.name if is_named else ""
        self._progress = line.progress
        self._queue = line.queue

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        del console
        if self._progress is not None or self._queue:
            # Some terminals begin a new line as soon as the last column is written.
            line = fit(self._progress, width=options.max_width - 1, name=self._name, queue=self._queue)
            yield Text(line, no_wrap=True, overflow="crop")


class _SteadyConsole(Console):
    """A console that never hides the cursor."""

    def show_cursor(self, show: bool = True) -> bool:
        """Do nothing."""
        del show
        return False


class _Above(FileProxy):
    """Stands in for standard output or standard error while lines are shown, and writes above them."""

    def __init__(self, console: Console, stream: TextIO) -> None:
        super().__init__(console, stream)
        self.beneath = stream

    def write(self, text: str) -> int:
        super().write(text)
        return len(text)

    @property
    def rich_proxied_file(self) -> Any:
        """Itself, so that a user's own rich console also writes above the lines."""
        return self


class Redirection:
    """Redirects the standard streams on a terminal, and the logging handlers that write to them, above its lines."""

    def __init__(self, console: Console, stream: TextIO) -> None:
        """Change nothing yet."""
        self._console = console
        self._stream = stream
        self._replaced: dict[str, tuple[TextIO, TextIO]] = {}
        self._handlers: list[tuple[logging.StreamHandler[Any], TextIO]] = []

    def begin(self) -> None:
        """Replace the streams that write to the terminal; a stream to a file, say, stays as it is."""
        for name in _STREAMS:
            stream = getattr(sys, name)
            if not isinstance(stream, _Above) and _leads_to_same(stream, self._stream):
                above = cast("TextIO", _Above(self._console, stream))
                self._replaced[name] = (stream, above)
                setattr(sys, name, above)
        above_of = {id(old): new for old, new in self._replaced.values()}
        for handler in _stream_handlers():
            if id(handler.stream) in above_of:
                self._handlers.append((handler, handler.stream))
                handler.stream = above_of[id(handler.stream)]

    def flush(self) -> None:
        """Print what was written without the end of its line yet: it would be lost."""
        for _, above in self._replaced.values():
            above.flush()

    def end(self) -> None:
        """Restore the streams, except those that the program has replaced meanwhile."""
        for handler, stream in self._handlers:
            if isinstance(handler.stream, _Above):
                handler.stream = stream
        for name, (stream, above) in self._replaced.items():
            if getattr(sys, name) is above:
                setattr(sys, name, stream)
        self._replaced, self._handlers = {}, []


def _stream_handlers() -> Iterator[logging.StreamHandler[Any]]:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in loggers:
        if isinstance(logger, logging.Logger):
            for handler in logger.handlers:
                if isinstance(handler, logging.StreamHandler) and hasattr(handler, "stream"):
                    yield handler


def _leads_to_same(one: TextIO | None, other: TextIO) -> bool:
    """Whether both are the same terminal."""
    if one is None or one is other:
        return one is other
    try:
        return os.ttyname(one.fileno()) == os.ttyname(other.fileno())
    except (OSError, ValueError, AttributeError):
        return False


def _let_go_in_children(terminal: Terminal) -> None:
    """Forked children (of a DataLoader, say) draw nothing; the callback does not keep the terminal alive."""
    reference = weakref.ref(terminal)

    def let_go() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.let_go()

    os.register_at_fork(after_in_child=let_go)


@lru_cache(maxsize=4)
def terminal_of(stream: TextIO) -> Terminal:
    """The one terminal behind a stream, which all runs of the process share."""
    return Terminal(stream)
