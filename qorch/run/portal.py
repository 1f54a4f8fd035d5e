"""One event loop in one thread of its own, which runs the calls of scripts, notebooks and threads alike."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

from qorch.errors import RunError

T = TypeVar("T")

INTERRUPT_SECONDS = 3.0
"""How long an interrupted call may take to clean up before its caller goes on without it."""
MEANWHILE_SECONDS = 0.5
"""How often a caller that waits looks for signals, and does something meanwhile."""


class Portal:
    """Starts its loop at once. Safe to call from any thread of the process that made it, never after a fork."""

    def __init__(self) -> None:
        """Start the thread and its loop."""
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="qorch-portal", daemon=True)
        self._thread.start()

    def submit(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Start work in the loop; cancelling the future cancels the work.

        Raises RunError in a forked child and after ``close``.
        """
        if os.getpid() != self._pid or self._loop.is_closed():
            work.close()
            reason = "is closed" if os.getpid() == self._pid else "belongs to the process that started it"
            raise RunError(f"this run {reason}; start one here with qorch.start_run")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T], meanwhile: Callable[[], None] | None = None) -> T:
        """Do work in the loop and wait for it. Ctrl-C cancels the work, waits briefly and is raised again.

        ``meanwhile``: called every half second, in the thread of the caller, until the work is done.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RunError("a blocking call inside qorch's own event loop would never end; await instead")
        try:
            future = self.submit(work)
            # A signal that comes right before a wait begins is not noticed until the wait ends, so that none is long.
            while not future.done():
                # A TimeoutError of the work itself is raised below.
                with suppress(TimeoutError):
                    return future.result(timeout=MEANWHILE_SECONDS)
                if meanwhile is not None and not future.done():
                    meanwhile()
            return future.result()
        except KeyboardInterrupt:
            # It may come before there is a future to cancel, so the work is known by its coroutine.
            concurrent.futures.wait([self.submit(_cancel(work))], timeout=INTERRUPT_SECONDS)
            raise

    def close(self) -> None:
        """End the loop and its thread; may be called twice, and does nothing in a forked child."""
        if os.getpid() != self._pid or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _live(self) -> None:
        """Run the loop from its start to its end, in its thread: the caller's thread may have a loop of its own."""
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


async def _cancel(work: Coroutine[Any, Any, Any]) -> None:
    """Cancel the task that does this work, and wait until it is over; without one, it never starts."""
    tasks = [task for task in asyncio.all_tasks() if task.get_coro() is work]
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
    else:
        work.close()


class PendingCall(Generic[T]):
    """A call that was submitted: wait for it with ``result()`` or ``await``, or cancel it."""

    def __init__(self, future: "concurrent.futures.Future[T]") -> None:
        """Wrap the future of the portal."""
        self._future = future

    def result(self, timeout_seconds: float | None = None) -> T:
        """Wait for the results. Raises TimeoutError, or what `Run.execute` raises."""
        return self._future.result(timeout_seconds)

    def cancel(self) -> bool:
        """Take back what has not been executed; False if it was over already."""
        return self._future.cancel()

    def done(self) -> bool:
        """Whether it is over."""
        return self._future.done()

    def __await__(self) -> Any:
        """Wait without blocking the event loop."""
        return asyncio.wrap_future(self._future).__await__()
