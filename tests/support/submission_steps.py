"""The named steps of a submission, and how a process kills itself at one: by wrapping what it hands to the run."""

import asyncio
import json
import os
import signal
import urllib.request
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from qorch.model.job import JobStatus, RemoteState
from qorch.ports.backend import RemoteBackend
from qorch.ports.records import JobRecord, Write
from qorch.ports.store import Store

P = ParamSpec("P")
T = TypeVar("T")

STEPS = (
    "before write intent", "after write intent", "during submit", "after submit", "before write submitted",
    "after write submitted", "after poll", "after fetch", "before write done", "after write done",
)  # fmt: skip
"""The steps of a submission that meets no trouble, in their order; "after write": it is durable."""
LOST_STEPS = (
    "before write unknown", "after write unknown", "during find", "after find", "before write submitted",
    "after write submitted",
)  # fmt: skip
"""Those of one whose answer was lost."""
REFUSED_STEPS = ("before write reserved", "after write reserved")
"""Those of one that was refused."""
ABANDONED_STEPS = ("after write unknown", "after find", "before write cancelled", "after write cancelled")
"""Those of the recovery of one that never left."""

_LOOK_SECONDS = 0.001


def kill_at(step: str, number: int, *, backend: RemoteBackend, store: Store, count: Callable[[str], int]) -> None:
    """Kill this process when it passes the step for the ``number``-th time.

    ``count``: how many calls of a method of the backend have reached the provider.
    """
    moment, verb, state = (*step.split(), "")[:3]
    left = iter(range(number - 1, -1, -1))

    def pass_by() -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    target: object = store if verb == "write" else backend
    original = getattr(target, verb)
    if verb == "write":
        wrapped: object = _around_write(original, state, pass_by, is_before=moment == "before")
    elif moment == "during":
        wrapped = _during_call(original, pass_by, lambda: count(verb))
    else:
        wrapped = _after_call(original, pass_by)
    setattr(target, verb, wrapped)


def _around_write(
    original: "Callable[[Sequence[Write]], Future[None]]", state: str, pass_by: Callable[[], None], *, is_before: bool
) -> "Callable[[Sequence[Write]], Future[None]]":
    def write(writes: Sequence[Write]) -> "Future[None]":
        is_meant = any(isinstance(item, JobRecord) and item.state == state for item in writes)
        if is_meant and is_before:
            pass_by()
        future = original(writes)
        if is_meant and not is_before:
            future.result()
            pass_by()
        return future

    return write


def _after_call(original: Callable[P, Awaitable[T]], pass_by: Callable[[], None]) -> Callable[P, Awaitable[T]]:
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        answer = await original(*args, **kwargs)
        if not isinstance(answer, dict) or _shows_an_end(answer.values()):
            pass_by()
        return answer

    return call


def _shows_an_end(answers: Collection[object]) -> bool:
    """Whether a poll shows a job that is done; the answer of a search is none of a poll."""
    statuses = [answer for answer in answers if isinstance(answer, JobStatus)]
    return not statuses or any(status.state is RemoteState.DONE for status in statuses)


def _during_call(
    original: Callable[P, Awaitable[T]], pass_by: Callable[[], None], count: Callable[[], int]
) -> Callable[P, Awaitable[T]]:
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        before = count()
        task = asyncio.ensure_future(original(*args, **kwargs))
        # Not for a time, which says nothing on a busy machine: until the server has it.
        while count() == before:
            done, _ = await asyncio.wait([task], timeout=_LOOK_SECONDS)
            if done:
                break
        pass_by()
        return await task

    return call


def count_calls(root: str, routes: Mapping[str, str], method: str) -> int:
    """How many calls of a method of the backend have reached the emulator at this address."""
    with urllib.request.urlopen(f"{root}/_emulator/jobs", timeout=10) as answer:  # noqa: S310
        return int(json.load(answer)["calls"]["by_route"].get(routes[method], 0))
