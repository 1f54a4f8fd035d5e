"""The asyncio queue in front of a backend: bounded concurrency, first in first out, safe to cancel."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, cast

Work = Callable[[], Awaitable[None]]


class JobQueue:
    """Runs work with at most ``width`` pieces in progress, in the order in which it was put.

    Use it as an asynchronous context manager; leaving it cancels what is still queued or in progress.
    """

    def __init__(self, width: int) -> None:
        """Make a queue; it belongs to the event loop that first waits in it."""
        self._slots = asyncio.Semaphore(width)
        self._callers: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> "JobQueue":
        """Nothing is to be started: work runs in the task that put it."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel everything and wait until it is gone."""
        callers = tuple(self._callers)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)

    async def run(self, work: Work) -> None:
        """Queue work and wait until it is done; raises what it raises.

        Cancelling this call takes the work out of the queue, or cancels it and waits until it has stopped.
        """
        # A coroutine always runs in a task.
        caller = cast("asyncio.Task[Any]", asyncio.current_task())
        self._callers.add(caller)
        try:
            async with self._slots:
                await work()
        finally:
            self._callers.discard(caller)
