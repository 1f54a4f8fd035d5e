"""The door through which submissions leave: one at a time, as fast as the account's shared pace allows."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from qorch.engine.remote import pacing
from qorch.engine.remote.pacing import Admission, Throttle
from qorch.errors import BusyError, CredentialsError, UnavailableError, UnreachableError
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.records import Change
from qorch.ports.store import SharedState

T = TypeVar("T")

CLOSED_SECONDS = 60.0
"""How long the door stays shut where a backend says that it is closed, and not until when."""
AVAILABILITY_SECONDS = 60.0
"""How long a backend that said that it is open counts as open. A job that is sent to a closed one is in doubt."""
RAREST_LOOK_SECONDS = 60.0
"""How seldom the shared state is looked at, at last, where another process's jobs stand in the way."""


@dataclass(frozen=True)
class Ticket:
    """The right to one submission, given at ``admitted_at`` by the store's time.

    ``refusals``: how many this process had met before.
    """

    admitted_at: float
    refusals: int = 0


class Pacer:
    """Shared by all submissions of one engine; the state behind it by all processes on one database.

    The times in that state are the store's, which need not agree with the clock of this process.

    While an account refuses submissions, and if the last question is more than a minute old, the backend is first
    asked whether it is open: a question is cheaper than a job, and its outcome is never in doubt. Every ticket is given
    back by one of ``accepted``, ``rejected``, ``withdrawn`` and ``refused``, and every job that was
    not over then by ``finished``.
    """

    def __init__(
        self, backend: RemoteBackend, store: SharedState, *, clock: Clock, holder: str, random: np.random.Generator
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
        self._stopped = asyncio.Event()
        self._failure: Exception | None = None
        self._refusals = 0
        self._has_entered = False
        self._asking = asyncio.Lock()
        self._open_ns: int | None = None

    async def admit(self) -> Ticket:
        """Wait for the right to submit.

        Raises BusyError if the backend could not be asked whether it is open, UnavailableError if it is not, or the
        error that ``stop`` was given.
        """
        async with self._door:
            admission, ticket = await self._wait()
        if admission.is_probe or self._is_doubtful():
            await self._ask_whether_open(ticket, is_probe=admission.is_probe)
        return ticket

    def saw_open(self) -> None:
        """The backend has just said that it takes jobs."""
        self._open_ns = self._clock.monotonic_ns()

    def _is_doubtful(self) -> bool:
        """Whether it was too long ago that the backend was seen to be open."""
        return self._open_ns is None or self._clock.monotonic_ns() - self._open_ns > AVAILABILITY_SECONDS * 1e9

    def is_shut(self, ticket: Ticket) -> bool:
        """Whether a ticket came to nothing: another submission was refused, or all were stopped, since it was given."""
        return self._failure is not None or self._refusals != ticket.refusals

    def shut(self) -> None:
        """Void all tickets: a submission was refused, and ``refused`` is to follow."""
        self._refusals += 1

    async def _wait(self) -> tuple[Admission, Ticket]:
        looks = 0
        while True:
            if self._failure is not None:
                raise self._failure
            self._freed.clear()
            refusals = self._refusals
            admission, asked_at = await self._ask()
            if admission.wait_seconds == 0:
                return admission, Ticket(asked_at, refusals)
            seconds = admission.wait_seconds
            if seconds == pacing.LOOK_AGAIN_SECONDS:
                if await self._dismiss_dead():
                    continue
                seconds = min(RAREST_LOOK_SECONDS, seconds * 1.5 ** min(looks, 20))
                looks += 1
            await self._pause(seconds, self._freed if admission.until_freed else self._stopped)

    async def _dismiss_dead(self) -> bool:
        """Take out the runs whose process was killed; whether there were any.

        Nobody waits for what they have in progress. What they may have sent still counts where a rate is kept.
        """
        holders = await asyncio.wrap_future(self._update(lambda pace, _: (pace, tuple(pace.holders))))
        dead = [holder for holder in holders if holder != self._holder and self._store.holder_of(holder) is None]

        def dismiss(pace: Throttle, now: float) -> Throttle:
            for holder in dead:
                pace = pacing.leave(pace, holder, now=now)
            return pace

        if dead:
            await self._move(dismiss)
        return bool(dead)

    async def _ask(self) -> tuple[Admission, float]:
        """The answer of the shared state, and its time. A caller that goes away meanwhile gives back what it got."""

        def change(pace: Throttle, now: float) -> tuple[Throttle, tuple[Admission, float]]:
            if not self._has_entered:
                pace = pacing.enter(pace, self._holder, now=now)
            pace, admission = pacing.admit(pace, self._holder, now=now, terms=self._terms)
            return pace, (admission, now)

        asking = asyncio.wrap_future(self._update(change))
        try:
            answer = await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(lambda _: self._give_back(asking))
            raise
        self._has_entered = True
        return answer

    def _give_back(self, asking: "asyncio.Future[tuple[Admission, float]]") -> None:
        if not asking.cancelled() and asking.exception() is None and asking.result()[0].wait_seconds == 0:
            self._update(lambda pace, now: (pacing.withdraw(pace, self._holder, now=now), None))
            self._freed.set()

    async def _pause(self, seconds: float, event: asyncio.Event) -> None:
        """Wait so long, or until the event."""
        waiting = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(event.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _ask_whether_open(self, ticket: Ticket, *, is_probe: bool) -> None:
        """Give the ticket back and raise unless the backend is open. Of several tickets that want to know, one asks.

        If jobs are free and nothing was refused, a server that can be reached and does not answer this question counts
        as open.
        """
        try:
            async with self._asking:
                if self.is_shut(ticket) or not (is_probe or self._is_doubtful()):
                    return
                availability = await self._backend.availability()
                if availability.is_open:
                    self.saw_open()
        except BusyError as error:
            if not (is_probe or self._backend.capabilities.charges or isinstance(error, UnreachableError)):
                self.saw_open()
                return
            await self.refused(ticket, retry_after_seconds=error.retry_after_seconds)
            raise
        except BaseException as error:
            if isinstance(error, CredentialsError):
                self.stop(error)
            await asyncio.shield(self.withdrawn())
            raise
        if not availability.is_open:
            await self.refused(ticket, retry_after_seconds=CLOSED_SECONDS, is_limit=False)
            raise UnavailableError(f"{self._backend.name} takes no jobs now: {availability.reason or 'unavailable'}")

    async def accepted(self) -> None:
        """The submission was accepted."""
        await self._move(lambda pace, now: pacing.accept(pace, self._holder, now=now, terms=self._terms))

    async def rejected(self) -> None:
        """The submission was refused for what it is, or nobody waits for its answer."""
        await self._move(lambda pace, now: pacing.reject(pace, self._holder, now=now))

    async def withdrawn(self) -> None:
        """The submission was not sent."""
        await self._move(lambda pace, now: pacing.withdraw(pace, self._holder, now=now))

    async def refused(
        self,
        ticket: Ticket,
        *,
        retry_after_seconds: float | None = None,
        is_limit: bool = True,
        is_over: bool = True,
    ) -> None:
        """The submission met a limit or trouble; ``is_over``: its job is provably not in progress."""
        self.shut()
        jitter = float(self._random.uniform())
        await self._move(
            lambda pace, now: pacing.refuse(
                pace,
                self._holder,
                now=now,
                terms=self._terms,
                admitted_at=ticket.admitted_at,
                jitter=jitter,
                retry_after_seconds=retry_after_seconds,
                is_limit=is_limit,
                is_over=is_over,
            )
        )

    async def finished(self) -> None:
        """A job in progress is over."""
        await self._move(lambda pace, now: pacing.finish(pace, self._holder, now=now))

    async def leave(self) -> None:
        """This process submits nothing more."""
        await self._move(lambda pace, now: pacing.leave(pace, self._holder, now=now))

    def stop(self, error: Exception) -> None:
        """Let nothing through any more: whoever waits, or comes, gets this error."""
        self._failure = self._failure or error
        self._freed.set()
        self._stopped.set()

    async def _move(self, move: Callable[[Throttle, float], Throttle]) -> None:
        await asyncio.wrap_future(self._update(lambda pace, now: (move(pace, now), None)))
        self._freed.set()

    def _update(self, change: "Callable[[Throttle, float], tuple[Throttle, T]]") -> "Future[T]":
        """Change the shared state; ``change`` gets it, and the store's time in seconds."""

        def change_state(state: bytes | None, now_ns: int) -> Change[T]:
            pace, value = change(pacing.decode_pace(state), now_ns / 1e9)
            return Change(pacing.encode_pace(pace), value)

        return self._store.update_shared_state(self._terms.account, change_state)
