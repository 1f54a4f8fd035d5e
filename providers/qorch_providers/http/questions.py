"""Several questions at a time, if one of an adapter's needs more than one call."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


async def ask_each(ask: Callable[[Item], Awaitable[Answer]], items: Sequence[Item], *, at_once: int) -> list[Answer]:
    """The answers in order of the items, with at most ``at_once`` calls at a time; the first failure ends all."""
    gate = asyncio.Semaphore(at_once)

    async def ask_one(item: Item) -> Answer:
        async with gate:
            return await ask(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask_one(item)) for item in items]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
