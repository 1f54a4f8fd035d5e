"""Waits for a time, or until something changes."""

import asyncio

from qorch.ports.clock import Clock


async def sleep_until_changed(changed: asyncio.Event, *, clock: Clock, seconds: float) -> None:
    """Return after so many seconds, or as soon as the event is set."""
    waiting = [asyncio.ensure_future(clock.sleep(seconds)), asyncio.ensure_future(changed.wait())]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
