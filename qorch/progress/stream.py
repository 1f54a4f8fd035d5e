"""A stream that becomes silent after a failed write, so that a closed terminal does not end a training."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class SafeStream:
    """Writes to a stream until that fails."""

    def __init__(self, stream: TextIO | None) -> None:
        """None: silent from the start."""
        self._stream = stream
        self.encoding = getattr(stream, "encoding", None) or "utf-8"
        self.is_terminal = False
        with self._silence():
            self.is_terminal = stream is not None and stream.isatty()

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self.is_terminal

    def write(self, text: str) -> int:
        """Write and flush; a character that the stream cannot encode becomes a question mark."""
        if self._stream is not None:
            with self._silence():
                try:
                    self._stream.write(text)
                except UnicodeEncodeError:
                    self._stream.write(text.replace("·", "-").encode("ascii", "replace").decode())
                self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Every write is flushed."""

    @contextmanager
    def _silence(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._stream = None
