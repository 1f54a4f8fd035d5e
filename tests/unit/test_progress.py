"""Progress is shown where somebody can see it; where nobody can, training goes on."""

import errno
import io
import sys

import pytest

from qorch.engine.recorder import Totals
from qorch.progress import make_progress
from qorch.resources import Progress


def progress(step: int) -> Progress:
    """Of ten steps."""
    return Progress(step, 10, 1.0, 10.0 * step, {"loss": 0.5}, Totals(), None)


class BrokenStream(io.StringIO):
    """Takes one line, and then fails as a terminal that was hung up, or a full disk."""

    def __init__(self, error: Exception, *, is_terminal: bool) -> None:
        """``error``: what every write but the first raises."""
        super().__init__()
        self.error, self.is_terminal, self.n_writes = error, is_terminal, 0

    def isatty(self) -> bool:
        """As was said."""
        return self.is_terminal

    def write(self, text: str) -> int:
        """Fail from the second time on."""
        self.n_writes += 1
        if self.n_writes > 1:
            raise self.error
        return super().write(text)


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "gone"), BrokenPipeError(), ValueError("closed"), OSError(errno.ENOSPC, "full")]
)
def test_a_stream_that_breaks_is_left_alone(error: Exception, is_terminal: bool) -> None:
    """The first failure ends the showing, and no error leaves it."""
    stream = BrokenStream(error, is_terminal=is_terminal)
    show = make_progress(stream)
    for step in range(4):
        show(progress(step))
    assert "step 1/10" in stream.getvalue()
    assert stream.n_writes == 2


def test_without_a_standard_error_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under `2>&-`, and in programs without a console."""
    monkeypatch.setattr(sys, "stderr", None)
    make_progress()(progress(0))


def test_a_closed_stream_is_left_alone() -> None:
    """Even asking whether it is a terminal fails."""
    stream = io.StringIO()
    stream.close()
    make_progress(stream)(progress(0))
