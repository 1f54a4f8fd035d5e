"""Stop a training by Ctrl-C or SIGTERM: in good order the first time, at once the second."""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

GRACE_SECONDS = 4.0
"""How long stopping in good order may take before the process ends without it."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_OVER = b"\0"


class Stopped(KeyboardInterrupt):
    """The training was asked to stop by a signal; ``exit_code`` is the shell's for it."""

    def __init__(self, number: int) -> None:
        """Remember which signal it was."""
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Stopper:
    """Turns the first signal into `Stopped` in the main thread; ``hint`` returns what to print if it does not end."""

    def __init__(self) -> None:
        """Nothing has been started yet, so there is nothing to resume."""
        self.hint: Callable[[], str] = str

    @contextmanager
    def listen(self) -> Iterator[None]:
        """Handle the signals while this is open; only in the main thread, and once per process."""
        reader, writer = os.pipe()
        # A signal that finds the pipe full must not block.
        os.set_blocking(writer, False)
        previous = {number: signal.signal(number, _raise_once) for number in _SIGNALS}
        woken = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        watcher = threading.Thread(target=self._watch, args=(reader,), name="qorch-signals", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            # After a stop the process is ending; a second signal must still end it at once.
            if signal.getsignal(signal.SIGINT) is _raise_once:
                for number, handler in previous.items():
                    signal.signal(number, handler)
            os.write(writer, _OVER)
            watcher.join()
            os.close(writer)
            os.close(reader)

    def _watch(self, reader: int) -> None:
        # In a thread of its own, so that the second Ctrl-C works while the main thread is deep in C code.
        first = _next_signal(reader)
        if first is None:
            return
        _say("\nstopping; press Ctrl-C again to quit at once\n")
        if not select.select([reader], [], [], GRACE_SECONDS)[0]:
            _say(self.hint())
            os._exit(128 + first)
        second = _next_signal(reader)
        if second is not None:
            os._exit(128 + second)


def _raise_once(number: int, _frame: FrameType | None) -> NoReturn:
    for item in _SIGNALS:
        signal.signal(item, _quit)
    raise Stopped(number)


def _quit(number: int, _frame: FrameType | None) -> NoReturn:
    os._exit(128 + number)


def _next_signal(reader: int) -> int | None:
    """Wait for one of the signals; None if listening is over."""
    while True:
        byte = os.read(reader, 1)
        if byte == _OVER:
            return None
        if byte[0] in _SIGNALS:
            return byte[0]


def _say(text: str) -> None:
    # Not through sys.stderr: the main thread may hold its lock.
    try:
        os.write(2, text.encode())
    except OSError:
        return
