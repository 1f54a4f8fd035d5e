"""Detects that a list of jobs keeps failing while its provider answers the rest, so that no job can be searched for."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from qorch.errors import BusyError, UnknownOutcomeError
from qorch.model.job import Availability
from qorch.ports.clock import Clock

T = TypeVar("T")

CHECK_SECONDS = 60.0
CHECKS = 5
"""How many checks in a row must find the server reachable and its list unreadable before the search is given up."""


class ListSearch(Protocol):
    """A search of a list. ``was_moving``: whether the last reading that failed had read some pages before."""

    was_moving: bool


class ListHealth:
    """Counts failures to read the list while the server can be reached and is open; an outage is waited out instead."""

    def __init__(self, provider: str, ask: Callable[[], Awaitable[Availability | None]], *, clock: Clock) -> None:
        """``provider``: its name, for messages. ``ask``: its answer shows that the server can be reached."""
        self._provider = provider
        self._ask = ask
        self._clock = clock
        self._checked_ns: int | None = None
        self._n_there = 0

    async def read(self, search: ListSearch, work: Awaitable[T]) -> T:
        """What ``work`` finds in the list, by this search; a failure is noted, unless the search was moving.

        Raises what ``work`` raises, and what ``note`` raises.
        """
        try:
            found = await work
        except BusyError as error:
            if search.was_moving:
                self.end()
            else:
                await self.note(error)
            raise
        self.end()
        return found

    def end(self) -> None:
        """Record that the list was read."""
        self._checked_ns, self._n_there = None, 0

    async def note(self, error: BusyError) -> None:
        """Record that the list could not be read. Raises UnknownOutcomeError after ``CHECKS`` checks in a row."""
        if error.retry_after_seconds is not None:
            return  # the server says when the list can be read again
        now_ns = self._clock.monotonic_ns()
        if self._checked_ns is None:
            self._checked_ns = now_ns
        elif now_ns - self._checked_ns >= CHECK_SECONDS * 1e9:
            self._checked_ns = now_ns
            self._n_there = self._n_there + 1 if await self._is_there() else 0
        if self._n_there >= CHECKS:
            raise UnknownOutcomeError(
                f"{self._provider}'s list of jobs cannot be read for minutes, while it answers other questions"
                f" ({error})"
            ) from error

    async def _is_there(self) -> bool:
        try:
            answer = await self._ask()
        except BusyError:
            return False
        return answer is None or answer.is_open
