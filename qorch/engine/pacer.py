"""The door through which submissions leave: one at a time, as fast as the account's shared pace allows."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from qorch import pacing
from qorch.errors import BusyError, UnavailableError
from qorch.pacing import Admission, Pace
from qorch.ports import Clock, RemoteBackend, Store

T = TypeVar("T")

CLOSED_SECONDS = 60.0
"""How long the door stays shut where a backend says that it is closed, and not until when."""


@dataclass(frozen=True)
class Ticket:
    """The right to one submission."""

    admitted_at: float


class Pacer:
    """Shared by all submissions of one engine; the state behind it by all processes on one database.

    While an account refuses, each probe first asks whether the backend is open: a question is cheaper than a job, and
    what becomes of it is never in doubt.
    """

    def __init__(
        self, backend: RemoteBackend, store: Store, *, clock: Clock, holder: str, random: np.random.Generator
    ) -> None:
        """``holder``: the run whose jobs these are."""
        self._backend = backend
        self._terms = backend.terms
        self._store = store
        self._clock = clock
        self._holder = holder
        self._random = random
        self._door = asyncio.Lock()
        self._freed = asyncio.Event()
        self._failure: Exception | None = None

    async def admit(self) -> Ticket:
        """Wait for the right to submit. Raises BusyError where a probe met trouble, or what ``stop`` was given."""
        async with self._door:
            while True:
                self._check()
                self._freed.clear()
                ticket = Ticket(self._now())
                admission = await self._ask(ticket)
                if admission.wait_seconds == 0:
                    break
                await self._pause(admission.wait_seconds)
        if admission.is_probe:
            await self._probe(ticket)
        return ticket

    async def _ask(self, ticket: Ticket) -> Admission:
        return await self._update(
            lambda pace: pacing.admit(pace, self._holder, now=ticket.admitted_at, terms=self._terms)
        )

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or until a job of this process is over where that is what stands in the way."""
        if seconds > pacing.LOOK_AGAIN_SECONDS:
            await self._clock.sleep(seconds)
            return
        waiting = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(self._freed.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _probe(self, ticket: Ticket) -> None:
        try:
            availability = await self._backend.availability()
        except BusyError as error:
            await self.refused(ticket, retry_after_seconds=error.retry_after_seconds)
            raise
        if not availability.is_open:
            await self.refused(ticket, retry_after_seconds=CLOSED_SECONDS)
            raise UnavailableError(f"{self._backend.name} takes no jobs now: {availability.reason or 'unavailable'}")

    async def accepted(self) -> None:
        """The submission was accepted."""
        now = self._now()
        await self._move(lambda pace: pacing.accept(pace, self._holder, now=now, terms=self._terms))

    async def rejected(self) -> None:
        """The submission was refused for what it is."""
        now = self._now()
        await self._move(lambda pace: pacing.reject(pace, self._holder, now=now, terms=self._terms))

    async def refused(self, ticket: Ticket, *, retry_after_seconds: float | None = None, is_over: bool = True) -> None:
        """The submission met a limit or trouble; ``is_over``: its job is provably not in progress."""
        now, jitter = self._now(), float(self._random.uniform())
        await self._move(
            lambda pace: pacing.refuse(
                pace,
                self._holder,
                now=now,
                terms=self._terms,
                admitted_at=ticket.admitted_at,
                jitter=jitter,
                retry_after_seconds=retry_after_seconds,
                is_over=is_over,
            )
        )

    async def finished(self) -> None:
        """A job in progress is over."""
        now = self._now()
        await self._move(lambda pace: pacing.finish(pace, self._holder, now=now))

    async def leave(self) -> None:
        """This process submits nothing more."""
        await self._move(lambda pace: pacing.leave(pace, self._holder))

    def stop(self, error: Exception) -> None:
        """Let nothing through any more: whoever waits, or comes, gets this error."""
        self._failure = self._failure or error
        self._freed.set()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _move(self, move: Callable[[Pace], Pace]) -> None:
        await self._update(lambda pace: (move(pace), None))
        self._freed.set()

    async def _update(self, change: "Callable[[Pace], tuple[Pace, T]]") -> T:
        def change_state(state: bytes | None) -> tuple[bytes | None, T]:
            pace, value = change(pacing.decode_pace(state))
            return pacing.encode_pace(pace), value

        return await asyncio.wrap_future(self._store.update_account(self._terms.account, change_state))

    def _now(self) -> float:
        return self._clock.now().timestamp()
