"""One event loop in one thread of its own, which runs the calls of scripts, notebooks and threads alike."""

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from qorch.engine.planner import Call
from qorch.errors import RunError
from qorch.ports.records import RunRecord

T = TypeVar("T")

INTERRUPT_SECONDS = 3.0
"""How long an interrupted call may take to clean up before its caller goes on without it."""
MEANWHILE_SECONDS = 0.5
"""How often a caller that waits looks for signals, and does something meanwhile."""


class LoopThread:
    """Runs an event loop in a thread of its own, from now until it is closed. Not for forks of the process."""

    def __init__(self, make_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop) -> None:
        """Start the thread and its loop."""
        self._pid = os.getpid()
        self.loop = make_loop()
        self.thread = threading.Thread(target=self._live, name="qorch-portal", daemon=True)
        self.thread.start()

    def close(self) -> None:
        """End the loop and its thread; may be called twice, and does nothing in a forked child."""
        if os.getpid() != self._pid or self.loop.is_closed():
            return
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def _live(self) -> None:
        """Run the loop from its start to its end, in its thread: the caller's thread may have a loop of its own."""
        self.loop.run_forever()
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()


class Portal:
    """The way into a loop from any thread of the process that made it, never after a fork.

    ``random``: of the engine's jitter; None for one of its own.
    """

    random: np.random.Generator | None = None

    def __init__(self, host: LoopThread | None = None) -> None:
        """Start a loop in a thread, or use one that others use, too, and that goes on when this is closed."""
        self._pid = os.getpid()
        self._is_shared = host is not None
        self._host = host or LoopThread()
        self._is_closed = False

    def start(self, work: Coroutine[Any, Any, T]) -> "PendingCall[T]":
        """Start work in the loop, and return at once. Raises as ``submit``."""
        return PendingCall(self.submit(work), self)

    def submit(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        """Start work in the loop; cancelling the future cancels the work.

        Raises RunError in a forked child and after ``close``.
        """
        return self._submit(self.carry(work))

    def _submit(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        if os.getpid() != self._pid or self._is_closed:
            work.close()
            reason = "is closed" if os.getpid() == self._pid else "belongs to the process that started it"
            raise RunError(f"this run {reason}; start one here with qorch.start_run")
        return asyncio.run_coroutine_threadsafe(work, self._host.loop)

    def call(self, work: Coroutine[Any, Any, T], meanwhile: Callable[[], None] | None = None) -> T:
        """Do work in the loop and wait for it. Ctrl-C cancels the work, waits briefly and is raised again.

        ``meanwhile``: called every half second, in the thread of the caller, until the work is done.
        """
        if threading.current_thread() is self._host.thread:
            work.close()
            raise RunError("a blocking call inside qorch's own event loop would never end; await instead")
        work = self.carry(work)
        try:
            future = self._submit(work)
            # A signal that comes right before a wait begins is not noticed until the wait ends, so that none is long.
            while not future.done():
                # A TimeoutError of the work itself is raised below.
                with suppress(TimeoutError), self.waiting(future):
                    return future.result(timeout=MEANWHILE_SECONDS)
                if meanwhile is not None and not future.done():
                    meanwhile()
            return future.result()
        except KeyboardInterrupt:
            # It may come before there is a future to cancel, so the work is known by its coroutine.
            cancelling = self._submit(_cancel(work))
            with self.waiting(cancelling):
                concurrent.futures.wait([cancelling], timeout=INTERRUPT_SECONDS)
            raise

    async def acall(self, work: Coroutine[Any, Any, T]) -> T:
        """Do work in the loop while the caller's own event loop goes on; cancelling it cancels the work."""
        return await self.follow(self.submit(work))

    def carry(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """What is done in the loop for work of the calling thread."""
        return work

    def waiting(self, future: "concurrent.futures.Future[Any]") -> AbstractContextManager[None]:
        """Around a wait of the calling thread for work that was submitted."""
        del future
        return nullcontext()

    def wait(self, future: "concurrent.futures.Future[T]", timeout_seconds: float | None) -> T:
        """The result of work that was submitted. Raises TimeoutError, or what the work raises."""
        return future.result(timeout_seconds)

    async def follow(self, future: "concurrent.futures.Future[T]") -> T:
        """The same without blocking the caller's event loop."""
        return await asyncio.wrap_future(future)

    def is_done(self, future: "concurrent.futures.Future[Any]") -> bool:
        """Whether work is over; for a thread that asks again and again until it is."""
        return future.done()

    def watching(self, call: Call) -> AbstractContextManager[None]:
        """Around a call, in the loop: from when it begins until it has ended."""
        del call
        return nullcontext()

    def close(self) -> None:
        """End the loop, unless others use it; may be called twice, and does nothing in a forked child."""
        if os.getpid() != self._pid:
            return
        self._is_closed = True
        if not self._is_shared:
            self._host.close()


@runtime_checkable
class PortalClock(Protocol):
    """A clock whose time passes in an event loop of its own, which all runs on it share."""

    def open_portal(self, record: RunRecord) -> Portal:
        """The way of a run into that loop."""
        ...


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

    def __init__(self, future: "concurrent.futures.Future[T]", portal: Portal) -> None:
        """Wrap the future of a portal."""
        self._future = future
        self._portal = portal

    def result(self, timeout_seconds: float | None = None) -> T:
        """Wait for the results. Raises TimeoutError, or what `Run.execute` raises."""
        return self._portal.wait(self._future, timeout_seconds)

    def cancel(self) -> bool:
        """Take back what has not been executed; False if it was over already."""
        return self._future.cancel()

    def done(self) -> bool:
        """Whether it is over."""
        return self._portal.is_done(self._future)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait without blocking the event loop."""
        return self._portal.follow(self._future).__await__()
