"""Live progress of a run: one line that stays on a terminal, plain lines now and then elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from qorch.resources import Progress

PLAIN_LINE_SECONDS = 5.0


def make_progress(stream: TextIO | None = None) -> Callable[[Progress], None]:
    """A function that shows progress on a stream (standard error by default), and nothing where there is none."""
    target = _Lines(sys.stderr if stream is None else stream)
    return _LiveLine(target) if target.is_terminal else _PlainLines(target)


class _Lines:
    """A stream that falls silent where it cannot be written: no training ends because nobody looks any more."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.is_terminal = False
        with self._silence():
            self.is_terminal = stream is not None and stream.isatty()

    def write(self, text: str) -> None:
        if self._stream is not None:
            with self._silence():
                self._stream.write(text)
                self._stream.flush()

    @contextmanager
    def _silence(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # ValueError: the stream is closed, or its encoding lacks a letter
            self._stream = None


class _LiveLine:
    """Rewrites one line after every step."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines

    def __call__(self, progress: Progress) -> None:
        is_last = progress.total_steps is not None and progress.step + 1 >= progress.total_steps
        self._lines.write("\r\x1b[2K" + describe(progress) + ("\n" if is_last else ""))


class _PlainLines:
    """Writes the first step, the last one, and one every few seconds."""

    def __init__(self, lines: _Lines) -> None:
        self._lines = lines
        self._due_seconds = 0.0

    def __call__(self, progress: Progress) -> None:
        is_last = progress.total_steps is not None and progress.step + 1 >= progress.total_steps
        if progress.elapsed_seconds >= self._due_seconds or is_last:
            self._due_seconds = progress.elapsed_seconds + PLAIN_LINE_SECONDS
            self._lines.write(describe(progress) + "\n")


def describe(progress: Progress) -> str:
    """One line: step, figures, circuits per second, rows from the cache, spend, time left."""
    total = "?" if progress.total_steps is None else str(progress.total_steps)
    rate = progress.totals.rows_executed / max(progress.elapsed_seconds, 1e-9)
    parts = [f"step {progress.step + 1}/{total}"]
    parts += [f"{name} {value:.4g}" for name, value in progress.metrics.items()]
    parts += [f"{rate:,.0f} circuits/s", f"{progress.totals.rows_from_cache:,} rows from cache"]
    parts.append(f"spend {progress.spend or 'unknown'}")
    remaining = progress.remaining_seconds
    if remaining is not None:
        parts.append(f"{_minutes(remaining)} left")
    return " · ".join(parts)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
