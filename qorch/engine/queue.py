"""The asyncio queue in front of a backend: bounded concurrency, first in first out, safe to cancel."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

Work = Callable[[], Awaitable[None]]


class JobQueue:
    """Runs work with at most ``width`` pieces in progress, in the order in which it was put.

    Use it as an asynchronous context manager; leaving it cancels what is still queued or in progress.
    """

    def __init__(self, width: int) -> None:
        """Make a queue; nothing runs before it is entered."""
        self._width = width
        self._waiting: asyncio.Queue[tuple[Work, asyncio.Future[None]]] = asyncio.Queue(maxsize=4 * width)
        self._consumers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "JobQueue":
        """Start the consumers."""
        self._consumers = [asyncio.create_task(self._consume()) for _ in range(self._width)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel everything and wait until it is gone."""
        for consumer in self._consumers:
            consumer.cancel()
        await asyncio.gather(*self._consumers, return_exceptions=True)
        while not self._waiting.empty():
            self._waiting.get_nowait()[1].cancel()

    async def run(self, work: Work) -> None:
        """Queue work and wait until it is done; raises what it raises.

        Cancelling this call takes the work out of the queue, or cancels it and waits until it has stopped.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._waiting.put((work, done))
        try:
            await asyncio.shield(done)
        except asyncio.CancelledError:
            done.cancel()
            raise

    async def _consume(self) -> None:
        while True:
            work, done = await self._waiting.get()
            if not done.cancelled():
                await self._carry_out(work, done)

    async def _carry_out(self, work: Work, done: "asyncio.Future[None]") -> None:
        task = asyncio.ensure_future(work())
        done.add_done_callback(lambda future: task.cancel() if future.cancelled() else None)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            if not done.cancelled():  # else it is ending already, and must not be disturbed in that
                task.cancel()
            await asyncio.wait([task])
            raise
        finally:
            _pass_on(task, done)


def _pass_on(task: "asyncio.Future[None]", done: "asyncio.Future[None]") -> None:
    error = None if task.cancelled() or not task.done() else task.exception()
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
        done.exception()  # a caller that was cancelled meanwhile never asks for it
    elif task.cancelled():
        done.cancel()
    else:
        done.set_result(None)
