"""How adapters tell the engine the times of their exchanges with a server: those of one task, and of what it starts."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from qorch.model.exchange_times import ExchangeTimes

_LOG: ContextVar[list[ExchangeTimes] | None] = ContextVar("qorch_exchange_log", default=None)


@contextmanager
def log_exchanges() -> Iterator[list[ExchangeTimes]]:
    """A list to which ``note_exchange`` adds what is exchanged within the block, and in tasks that it starts."""
    log: list[ExchangeTimes] = []
    token = _LOG.set(log)
    try:
        yield log
    finally:
        _LOG.reset(token)


def note_exchange(times: ExchangeTimes) -> None:
    """Tell the times of an exchange whose answer came; nothing happens if nobody asked."""
    log = _LOG.get()
    if log is not None:
        log.append(times)
