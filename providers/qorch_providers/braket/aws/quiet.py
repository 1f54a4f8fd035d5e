"""Keeps botocore from logging keys and tokens while it works for qorch: at DEBUG it shows requests and answers."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_TALKATIVE = ("botocore.auth", "botocore.endpoint", "botocore.parsers")
"""Loggers that show headers with session tokens, and answers with secret keys."""
_is_quiet = ContextVar("_is_quiet", default=False)


@contextmanager
def quiet() -> Iterator[None]:
    """In this block, and in threads that it starts with ``asyncio.to_thread``, these loggers write warnings only."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_passes)  # once, however often
    token = _is_quiet.set(True)
    try:
        yield
    finally:
        _is_quiet.reset(token)


def _passes(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or not _is_quiet.get()
