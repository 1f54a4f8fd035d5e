"""Computes for the engine: a few executions in the event loop, many in a thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, Protocol, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

INLINE_EXECUTIONS = 256
"""Work on so few takes a millisecond or two: less than it costs to wake another thread and come back."""


class Compute(Protocol):
    """Calls a function and returns its result; one call of a run uses the same for all that it computes."""

    async def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result; raises what it raises."""
        ...


class Worker:
    """One thread, so that what is computed for a call is never changed by two at once."""

    def __init__(self) -> None:
        """The thread starts with its first work."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="qorch-engine")

    def for_call(self, n_executions: int) -> Compute:
        """The ``Compute`` for a call of so many executions."""
        return compute_for(n_executions, self.compute)

    async def compute(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Compute in the thread, while the event loop goes on: also for work that reads the store."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Let the thread go."""
        self._thread.shutdown(wait=True, cancel_futures=True)


def compute_for(n_executions: int, compute: Compute) -> Compute:
    """For work on so many executions, which may be a part of the call that ``compute`` is for."""
    return _compute_here if n_executions <= INLINE_EXECUTIONS else compute


async def _compute_here(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return function(*args, **kwargs)
