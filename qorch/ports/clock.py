"""The only source of time: the protocol, and the real clock."""

import datetime
from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable


class Clock(Protocol):
    """The only source of time. ``monotonic_ns`` never goes back and is what durations are made of."""

    def monotonic_ns(self) -> int:
        """Nanoseconds on the monotonic clock, comparable between processes of one machine."""
        ...

    def now(self) -> datetime.datetime:
        """Wall-clock time, with the UTC time zone."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait; a virtual clock returns when its time has come, without waiting."""
        ...


@runtime_checkable
class MeasuringClock(Protocol):
    """A virtual clock that passes by itself while something computes in its event loop."""

    def stand_still(self) -> AbstractContextManager[None]:
        """Inside of this block, in the loop, it does not: what is computed stands for what is done elsewhere."""
        ...


class WallClock:
    """The real clock."""

    def monotonic_ns(self) -> int:
        """See Clock."""
        import time

        return time.monotonic_ns()

    def now(self) -> datetime.datetime:
        """See Clock."""
        return datetime.datetime.now(datetime.UTC)

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        import asyncio

        await asyncio.sleep(seconds)
