"""The way of a run's calls into a loop on virtual time, in which every thread that makes calls has its own time."""

import asyncio
import concurrent.futures
import inspect
from collections.abc import Coroutine, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, TypeVar

import numpy as np

from qorch.dry_run.callers import AWAITING, Callers, CallingThread
from qorch.dry_run.loop import CallerLoop
from qorch.dry_run.recorder import CallRecorder
from qorch.engine.planner import Call
from qorch.run.portal import LoopThread, Portal

T = TypeVar("T")


class VirtualPortal(Portal):
    """See Portal. Work begins at the time of the thread that asks for it, which goes on at the time of its end."""

    def __init__(self, host: LoopThread, loop: CallerLoop, recorder: CallRecorder) -> None:
        """``recorder``: of the run's calls. The engine's jitter is drawn by the run's seed."""
        super().__init__(host)
        self._loop = loop
        self._callers = loop.callers
        self._recorder = recorder
        self.random = np.random.default_rng(recorder.seed)

    def carry(self, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """See Portal."""
        caller = self._callers.catch_up()
        self._recorder.ask()
        return CarriedWork(work, self._callers, caller)

    def _submit(self, work: Coroutine[Any, Any, T]) -> "concurrent.futures.Future[T]":
        # Before the loop begins with it: it would go to sleep as long as no call is pending.
        self._callers.begin()
        try:
            future = super()._submit(work)
        except BaseException:
            self._callers.end()
            raise
        if isinstance(work, CarriedWork):
            work.future = future
        future.add_done_callback(lambda _: self._callers.end())
        return future

    @contextmanager
    def waiting(self, future: "concurrent.futures.Future[Any]") -> Iterator[None]:
        """See Portal."""
        with self._callers.waiting(future):
            self._loop.wake()
            yield

    def wait(self, future: "concurrent.futures.Future[T]", timeout_seconds: float | None) -> T:
        """See Portal; the timeout is in virtual seconds."""
        if not future.done():
            self.call(_wait_for(future, timeout_seconds))
        return future.result(0)

    async def follow(self, future: "concurrent.futures.Future[T]") -> T:
        """See Portal. The thread waits once its own loop has nothing left to do."""
        caller = self._callers.catch_up()
        # Before the loop of the thread is told: from then on the thread computes.
        future.add_done_callback(lambda _: self._callers.release(caller, AWAITING))
        self._look_for_rest(caller)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._look_for_rest(caller)

    def is_done(self, future: "concurrent.futures.Future[Any]") -> bool:
        """See Portal. Until it is, each question lets time pass to what happens next: one that only asks would wait."""
        if not future.done():
            self.call(self._move_on(future))
        return future.done()

    def watching(self, call: Call) -> AbstractContextManager[None]:
        """See Portal."""
        return self._recorder.watching(call)

    def close(self) -> None:
        """See Portal."""
        super().close()
        self._recorder.end()

    async def _move_on(self, future: "concurrent.futures.Future[Any]") -> None:
        await asyncio.wait([self._loop.next_move(), _end_of(future)], return_when=asyncio.FIRST_COMPLETED)

    def _look_for_rest(self, caller: CallingThread) -> None:
        """Note when nothing is left to do in the event loop of the calling thread, if it tells, as asyncio's does."""
        loop = asyncio.get_running_loop()
        ready = getattr(loop, "_ready", None)
        if ready is None or caller.looks_in is loop:
            return

        def look() -> None:
            if ready:
                loop.call_soon(look)
                return
            caller.looks_in = None
            self._callers.wait_in_loop(caller)
            self._loop.wake()

        caller.looks_in = loop
        loop.call_soon(look)


class CarriedWork(Coroutine[Any, Any, T]):
    """Work for a thread, in the loop: it begins at the time of that thread, which goes on at the time of its end.

    ``future``: of its result.
    """

    def __init__(self, work: Coroutine[Any, Any, T], callers: Callers, caller: CallingThread) -> None:
        """``caller``: the calling thread."""
        self.future: concurrent.futures.Future[T] | None = None
        self._work = work
        self._callers = callers
        self._caller = caller
        self._steps = self._carry(caller.watch.seconds)

    async def _carry(self, begin_seconds: float) -> T:
        try:
            early = begin_seconds - asyncio.get_running_loop().time()
            if early > 0:
                await asyncio.sleep(early)
            return await self._work
        finally:
            if self.future is not None:
                self._callers.release(self._caller, self.future)

    def send(self, value: Any) -> Any:
        """See Coroutine."""
        return self._steps.send(value)

    def throw(self, *error: Any) -> Any:
        """See Coroutine."""
        try:
            return self._steps.throw(*error)
        finally:
            if inspect.getcoroutinestate(self._steps) == inspect.CORO_CLOSED:
                # Where it was cancelled before it began.
                self._work.close()

    def close(self) -> None:
        """See Coroutine."""
        self._steps.close()
        self._work.close()

    def __await__(self) -> Generator[Any, Any, T]:
        """See Coroutine."""
        return self._steps.__await__()


async def _wait_for(future: "concurrent.futures.Future[Any]", timeout_seconds: float | None) -> None:
    await asyncio.wait([_end_of(future)], timeout=timeout_seconds)


def _end_of(future: "concurrent.futures.Future[Any]") -> "asyncio.Future[None]":
    """Is done when the future is, whatever it came to."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    future.add_done_callback(lambda _: loop.call_soon_threadsafe(end))
    return ended
