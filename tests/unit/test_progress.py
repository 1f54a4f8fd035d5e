"""Progress is shown if a person can see it; if not, training goes on."""

import errno
import io
import logging
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pyte
import pytest
import rich
from rich.cells import cell_len
from simulation.harness import pub_of

import qorch
from qorch.engine.recorder import Totals
from qorch.model.job import Interval, QueuePlace
from qorch.model.money import Money
from qorch.ports.clock import WallClock
from qorch.ports.progress import MoneyInterval
from qorch.progress.display import QueueDisplay, make_progress
from qorch.progress.line import fit
from qorch.run.resources import Progress
from qorch.testing.fakes.provider import FakeProvider
from qorch.testing.fakes.remote import FakeRemote


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
    show.close()
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


def many(step: int, total: int | None = 100, *, seconds: float = 0.0, **metrics: float) -> Progress:
    """A step of a run with these metrics."""
    return Progress(step, total, 1.0, seconds, metrics, Totals(executions=5_000, executions_from_cache=12), None)


LONG = {f"validation_accuracy_of_class_{number}": 0.123456 for number in range(12)} | {"loss": 0.5}


@pytest.mark.parametrize("width", [10, 20, 40, 79, 120, 1000])
@pytest.mark.parametrize("metrics", [{}, {"loss": 0.5}, LONG, {"精度" * 20: 1.0}])
def test_a_line_fits_its_width(width: int, metrics: dict[str, float]) -> None:
    """The step stays, and then the time that is left; metrics that do not fit are counted."""
    line = fit(many(6, seconds=3.0, **metrics), width=width, name="cats-vs-dogs")
    assert cell_len(line) <= width
    assert "step 7/" in line
    if width >= 40:
        assert "1:33 left" in line
        assert "cats-vs-dogs" in line
    if width == 79 and len(metrics) > 1:
        assert " metrics" in line
    if width == 1000:
        assert "metrics" not in line
        assert "12 from the cache" in line


USD = "USD"


@pytest.mark.parametrize(
    ("spend", "reserved", "budget", "said"),
    [
        (None, None, Money(USD, 5_000_000), "spend unknown"),
        (Money(USD, 0), Money(USD, 0), None, "spend 0.00 USD"),
        (Money(USD, 12_420_000), Money(USD, 0), Money(USD, 25_000_000), "spend 12.42 USD of 25.00 USD"),
        (Money(USD, 0), Money(USD, 6_000_000), Money("EUR", 1), "spend 0.00 USD + 6.00 USD reserved"),
    ],
)
def test_the_line_tells_the_money(spend: Money, reserved: Money, budget: Money, said: str) -> None:
    """What is spent, what is reserved beside it, and the budget of the run; what is not known is not shown as 0."""
    shown = replace(many(6), spend=spend, reserved=reserved, budget=budget)
    assert said in fit(shown, width=1000).split(" · ")


@pytest.mark.parametrize("total", [None, 100])
def test_in_a_pipe_the_last_step_is_written_once(total: int | None) -> None:
    """Also if the loader has no length, or the run ends before its last step; the first step is written at once."""
    stream = io.StringIO()
    show = make_progress(stream)
    for step in range(7):
        show(many(step, total, seconds=0.5 * step))
    show.close()
    lines = stream.getvalue().splitlines()
    assert [line.split("/")[0] for line in lines] == ["step 1", "step 7"]
    stream = io.StringIO()
    show = make_progress(stream)
    show(many(99, 100))
    show.close()
    assert len(stream.getvalue().splitlines()) == 1


def test_in_a_pipe_runs_at_once_are_named() -> None:
    """A run that is alone is not."""
    stream = io.StringIO()
    one, other = make_progress(stream, name="one"), make_progress(stream, name="other")
    one(many(0))
    other(many(0))
    one.close()
    other(many(99))
    other.close()
    assert [line.split(" · ")[0] for line in stream.getvalue().splitlines()] == ["step 1/100", "other", "step 100/100"]


class Screen(io.StringIO):
    """A terminal of 80 columns and 24 lines."""

    def __init__(self) -> None:
        """Empty."""
        super().__init__()
        self.screen = pyte.Screen(80, 24)
        self.reader = pyte.Stream(self.screen)
        self.n_writes = 0

    def isatty(self) -> bool:
        """Yes."""
        return True

    def write(self, text: str) -> int:
        """Show it, as a terminal does after the kernel has made line ends of newlines."""
        self.n_writes += 1
        assert "\x1b[?25l" not in text
        self.reader.feed(text.replace("\n", "\r\n"))
        return len(text)

    @property
    def lines(self) -> list[str]:
        """What a person sees."""
        return [line.rstrip() for line in self.screen.display if line.strip()]


def sit_at_terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    """A terminal that is standard output and standard error of this process; called in the test: pytest sets them."""
    screen = Screen()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("TTY_INTERACTIVE", raising=False)
    return screen


def test_prints_and_log_lines_appear_above_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of handlers that were made before; afterwards everything is as it was."""
    screen = sit_at_terminal(monkeypatch)
    handler = logging.StreamHandler(sys.stderr)
    log = logging.getLogger("test_progress")
    log.addHandler(handler)
    try:
        show = make_progress(name="run")
        for step in range(5):
            show(many(step, seconds=float(step), **LONG))
            print("printed after", step)
            log.warning("logged after %d", step)
            rich.print(f"[bold]rich[/bold] after {step}")
            assert screen.lines[-1].startswith(f"step {step + 1}/100 · ")
            assert len(screen.lines) == 3 * step + 4
        show.close()
    finally:
        log.removeHandler(handler)
    print("the end")
    assert screen.lines[:3] == ["printed after 0", "logged after 0", "rich after 0"]
    assert [line[:9] for line in screen.lines[-2:]] == ["step 5/10", "the end"]
    assert sys.stdout is screen
    assert handler.stream is screen


def place(position: int, *, is_least: bool = False) -> QueuePlace:
    """As a provider tells it."""
    return QueuePlace(position, WallClock().now(), is_least)


def test_the_line_shows_the_queue_until_something_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first step it stands alone; behind a step it replaces what is less important; it never stays."""
    screen = sit_at_terminal(monkeypatch)
    show = make_progress(name="run")
    assert isinstance(show, QueueDisplay)
    show.show_queue(place(2001, is_least=True))
    assert screen.lines == ["2,001st or later in the queue"]
    writes = screen.n_writes
    show.show_queue(place(2001, is_least=True))
    assert screen.n_writes == writes
    print("printed")
    show.show_queue(place(12))
    assert screen.lines == ["printed", "12th in the queue"]
    show(many(0, seconds=1.0, **LONG))
    assert screen.lines[1].startswith("step 1/100 · ")
    assert "queue" not in screen.lines[1]
    show.show_queue(place(3))
    assert screen.lines[1].startswith("step 1/100 · 3rd in the queue · ")
    assert screen.lines[1].endswith(" left")
    show.show_queue(None)
    assert "queue" not in screen.lines[1]
    show.show_queue(place(1))
    show.close()
    assert "queue" not in "".join(screen.lines)
    assert sys.stdout is screen


def test_a_run_at_a_terminal_shows_its_queue_while_it_waits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Before the first step has ended; the provider finishes the jobs once their place is on the screen."""
    screen, seen = sit_at_terminal(monkeypatch), []
    provider = FakeProvider(WallClock(), run_seconds=lambda: 3600.0, queue_length=5)
    write = screen.write

    def watch(text: str) -> int:
        written = write(text)
        if "in the queue" in "".join(screen.lines):
            seen.append(screen.lines)
            for job in provider.jobs.values():
                job.done_at = provider.now()
        return written

    monkeypatch.setattr(screen, "write", watch)
    remote = FakeRemote(provider, provider.clock)
    with qorch.start_run("q", backend=remote, db=tmp_path / "x.db", seed=1) as run, run.step(0):
        run.execute(pub_of(3))
    assert seen[0][-1] == "1st in the queue"
    assert screen.lines[-1].startswith("step 1/? · ")


def test_a_run_that_ends_in_the_queue_leaves_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with Ctrl-C before the first job was over."""
    screen = sit_at_terminal(monkeypatch)
    show = make_progress(name="run")
    assert isinstance(show, QueueDisplay)
    show.show_queue(place(7))
    show.close()
    print("the end")
    assert screen.lines == ["the end"]


def test_a_line_without_an_end_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was printed with ``end=""`` before the run ended stands after its line."""
    screen = sit_at_terminal(monkeypatch)
    show = make_progress(name="run")
    show(many(0))
    print("and so", end="")
    show(many(1, seconds=5.0))
    show.close()
    assert screen.lines[-1] == "and so"
    assert sys.stdout is screen


def test_several_runs_have_a_named_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """One inside the other, or side by side in threads; each leaves its last line."""
    screen = sit_at_terminal(monkeypatch)
    names = ["one", "two", "three"]
    shows = [make_progress(name=name) for name in names]
    threads = [
        threading.Thread(target=lambda show=show: [show(many(n, seconds=float(n))) for n in range(9)]) for show in shows
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("said meanwhile")
    assert screen.lines[0] == "said meanwhile"
    assert sorted(line.split(" · ")[0] for line in screen.lines[1:]) == sorted(names)
    shows[1].close()
    shows[0](many(20, seconds=20.0))
    for show in shows:
        show.close()
    steps = {tuple(line.split(" · ")[:2]) for line in screen.lines[1:]}
    assert steps == {("one", "step 21/100"), ("two", "step 9/100"), ("three", "step 9/100")}
    assert len(screen.lines) == 4
    assert sys.stdout is screen


def test_a_line_is_drawn_ten_times_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast the steps are; the last one is drawn when the run ends."""
    screen = sit_at_terminal(monkeypatch)
    show = make_progress()
    for step in range(10_000):
        show(many(step, None, seconds=step / 10_000))
    drawn = screen.n_writes
    show.close()
    assert drawn <= 11
    assert screen.lines[0].startswith("step 10000/? · ")


@pytest.mark.parametrize("name", ["TERM", "TTY_INTERACTIVE"])
def test_a_terminal_that_cannot_move_its_cursor_gets_plain_lines(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Emacs' shell, which says ``TERM=dumb``."""
    screen = sit_at_terminal(monkeypatch)
    monkeypatch.setenv(name, {"TERM": "dumb", "TTY_INTERACTIVE": "0"}[name])
    show = make_progress()
    for step in range(3):
        show(many(step, seconds=float(step)))
    show.close()
    assert [line[:10] for line in screen.lines] == ["step 1/100", "step 3/100"]


def test_a_stream_that_cannot_encode_a_letter_gets_another() -> None:
    """As in a terminal of the C locale."""
    raw = io.BytesIO()
    show = make_progress(io.TextIOWrapper(raw, encoding="ascii", write_through=True))
    show(many(0, güte=1.0))
    assert raw.getvalue().decode().startswith("step 1/100 - g?te 1 - ")


def test_the_line_tells_what_is_left() -> None:
    """Time and money with their intervals, and when the budget will be used up; the last line stays, without them."""
    shown = replace(
        many(6),
        time_left=Interval(602.0, 730.0, 931.4),
        remaining_money=Money(USD, 3_100_000),
        money_left=MoneyInterval(Money(USD, 912_000), Money(USD, 3_100_000), Money(USD, 3_400_000)),
        budget_step=39,
    )
    line = fit(shown, width=1000)
    assert line.endswith("3.10 USD more (0.91–3.40) · budget reached at about step 40 · 12:10 left (10:02–15:31)")
    assert fit(shown, width=50).endswith("12:10 left (10:02–15:31)")
    assert fit(replace(shown, step=99, budget_step=None), width=1000).endswith(" · 0:00 left")
    assert "0.0031 USD more" in fit(replace(shown, remaining_money=Money(USD, 3_100), money_left=None), width=1000)
