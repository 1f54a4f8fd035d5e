"""Permits to submit: given one at a time, as fast as the account's shared throttle allows."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

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
"""How long nothing is submitted to a backend that says that it is closed, and not until when."""
AVAILABILITY_SECONDS = 60.0
"""How long a backend that said that it is open counts as open. A job that is sent to a closed one is in doubt."""
RAREST_LOOK_SECONDS = 60.0
"""The longest time between two looks at the shared state while another process's jobs take all places."""


class Permit:
    """The right to submit one job, and its place among the jobs in progress until it is over.

    Use it as an asynchronous context manager: whatever happens inside of it, leaving it gives back what is held.
    ``obtain`` may be called again once a submission was ``withdrawn``, ``rejected`` or ``refused``. Each outcome is on
    its way to the shared state when its call begins, even if the caller is cancelled while it waits for the disk; an
    outcome of what is not held any more does nothing.
    """

    def __init__(self, pacer: "Pacer") -> None:
        """Nothing is held before ``obtain``."""
        self._pacer = pacer
        self._is_held = False
        self._is_unanswered = False
        self._is_sent = False
        self._admitted_at = 0.0
        self._refusals = 0

    @property
    def is_void(self) -> bool:
        """Whether it must not be used: another submission was refused, or all were stopped, since it was obtained."""
        return self._pacer.is_stopped or self._pacer.refusals != self._refusals

    async def obtain(self) -> None:
        """Wait for the right to submit.

        Raises BusyError if the backend could not be asked whether it is open, UnavailableError if it is not, or the
        error that ``Pacer.stop`` was given; then nothing is held.
        """
        await self._pacer.admit(self)

    def hold(self, *, admitted_at: float, refusals: int) -> None:
        """It was admitted at that time of the store, when this process had met so many refusals."""
        self._is_held = self._is_unanswered = True
        self._is_sent = False
        self._admitted_at, self._refusals = admitted_at, refusals

    def note_sent(self) -> None:
        """The submission leaves now, and the provider may count it."""
        self._is_sent = True

    def accepted(self) -> Awaitable[None]:
        """The submission was accepted: its job is in progress."""
        if not self._answer():
            return _nothing()
        terms = self._pacer.terms
        return self._pacer.move(lambda throttle, holder, now: pacing.accept(throttle, holder, now=now, terms=terms))

    async def rejected(self) -> None:
        """The submission was refused for what it is, or nothing waits for its answer."""
        if self._end():
            await self._pacer.move(lambda throttle, holder, now: pacing.reject(throttle, holder, now=now))

    async def withdrawn(self) -> None:
        """The submission was not sent."""
        if self._end():
            await self._pacer.move(lambda throttle, holder, now: pacing.withdraw(throttle, holder, now=now))

    async def refused(self, error: BusyError) -> None:
        """The submission met a limit or trouble, and its job is provably not in progress."""
        if self._end():
            await self._refuse(error, is_over=True)

    async def unanswered(self) -> None:
        """The submission has no answer: its job may be in progress."""
        if self._answer():
            await self._refuse(None, is_over=False)

    def finished(self) -> Awaitable[None]:
        """The job is over, or provably was never in progress."""
        if not self._end():
            return _nothing()
        return self._pacer.move(lambda throttle, holder, now: pacing.finish(throttle, holder, now=now))

    async def _refuse(self, error: BusyError | None, *, is_over: bool) -> None:
        is_closed = isinstance(error, UnavailableError)
        wait = None if error is None else error.retry_after_seconds
        await self._pacer.refuse(
            admitted_at=self._admitted_at,
            retry_after_seconds=CLOSED_SECONDS if wait is None and is_closed else wait,
            is_limit=not is_closed,
            is_over=is_over,
            is_sent=self._is_sent,
        )

    def _answer(self) -> bool:
        """Note that the submission has an outcome; False if it had one before."""
        was_unanswered, self._is_unanswered = self._is_held and self._is_unanswered, False
        return was_unanswered

    def _end(self) -> bool:
        """Note that nothing is held any more; False if that was so before."""
        was_held, self._is_held = self._is_held, False
        self._is_unanswered = False
        return was_held

    async def __aenter__(self) -> Self:
        """Nothing is held yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give back what is held."""
        if not self._is_unanswered:
            await self.finished()
        elif self._is_sent:
            await self.rejected()
        else:
            await self.withdrawn()


class Pacer:
    """Shared by all submissions of one engine; the state behind it by all processes on one database.

    The times in that state are the store's, which need not agree with the clock of this process.

    While an account refuses submissions, and if the last question is more than a minute old, the backend is first
    asked whether it is open: a question is cheaper than a job, and its outcome is never in doubt.
    """

    def __init__(
        self, backend: RemoteBackend, store: SharedState, *, clock: Clock, holder: str, random: np.random.Generator
    ) -> None:
        """``holder``: the run whose jobs these are."""
        self._backend = backend
        self.terms = backend.terms
        self._store = store
        self._clock = clock
        self._holder = holder
        self._random = random
        self._door = asyncio.Lock()
        self._freed = asyncio.Event()
        self._stopped = asyncio.Event()
        self._failure: Exception | None = None
        self.refusals = 0
        self._has_entered = False
        self._asking = asyncio.Lock()
        self._open_ns: int | None = None

    def permit(self) -> Permit:
        """A permit for one job; nothing is held yet."""
        return Permit(self)

    async def admit(self, permit: Permit) -> None:
        """See ``Permit.obtain``."""
        async with self._door:
            admission, admitted_at, refusals = await self._wait()
            permit.hold(admitted_at=admitted_at, refusals=refusals)
        if admission.is_probe or self._is_doubtful():
            await self._ask_whether_open(permit, is_probe=admission.is_probe)

    def saw_open(self) -> None:
        """The backend has just said that it takes jobs."""
        self._open_ns = self._clock.monotonic_ns()

    def _is_doubtful(self) -> bool:
        """Whether it was too long ago that the backend was seen to be open."""
        return self._open_ns is None or self._clock.monotonic_ns() - self._open_ns > AVAILABILITY_SECONDS * 1e9

    @property
    def is_stopped(self) -> bool:
        """Whether ``stop`` was called."""
        return self._failure is not None

    def shut(self) -> None:
        """Void all permits: a submission was refused, and ``Permit.refused`` is to follow."""
        self.refusals += 1

    async def _wait(self) -> tuple[Admission, float, int]:
        """Wait for admission; with its time, and the refusals that were known when it was asked for."""
        looks = 0
        while True:
            if self._failure is not None:
                raise self._failure
            self._freed.clear()
            refusals = self.refusals
            admission, asked_at = await self._ask()
            if admission.wait_seconds == 0:
                return admission, asked_at, refusals
            seconds = admission.wait_seconds
            if seconds == pacing.LOOK_AGAIN_SECONDS:
                if await self._dismiss_dead():
                    continue
                seconds = min(RAREST_LOOK_SECONDS, seconds * 1.5 ** min(looks, 20))
                looks += 1
            await self._pause(seconds, self._freed if admission.until_freed else self._stopped)

    async def _dismiss_dead(self) -> bool:
        """Take out the runs whose process was killed; whether there were any.

        No process waits for what they have in progress. What they may have sent still counts if a rate is kept.
        """
        holders = await asyncio.wrap_future(self._update(lambda throttle, _: (throttle, tuple(throttle.holders))))
        dead = await asyncio.to_thread(self._find_dead, holders)

        def dismiss(throttle: Throttle, _holder: str, now: float) -> Throttle:
            for holder in dead:
                throttle = pacing.leave(throttle, holder, now=now)
            return throttle

        if dead:
            await self.move(dismiss)
        return bool(dead)

    def _find_dead(self, holders: Sequence[str]) -> list[str]:
        return [holder for holder in holders if holder != self._holder and self._store.holder_of(holder) is None]

    async def _ask(self) -> tuple[Admission, float]:
        """The answer of the shared state, and its time. A caller that goes away meanwhile gives back what it got."""

        def change(throttle: Throttle, now: float) -> tuple[Throttle, tuple[Admission, float]]:
            if not self._has_entered:
                throttle = pacing.enter(throttle, self._holder, now=now)
            throttle, admission = pacing.admit(throttle, self._holder, now=now, terms=self.terms)
            return throttle, (admission, now)

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
            self._update(lambda throttle, now: (pacing.withdraw(throttle, self._holder, now=now), None))
            self._freed.set()

    async def _pause(self, seconds: float, event: asyncio.Event) -> None:
        """Wait so long, or until the event."""
        waiting = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(event.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    async def _ask_whether_open(self, permit: Permit, *, is_probe: bool) -> None:
        """Give the permit back and raise unless the backend is open. Of several permits that want to know, one asks.

        If jobs are free and nothing was refused, a server that can be reached and does not answer this question counts
        as open.
        """
        try:
            async with self._asking:
                if permit.is_void or not (is_probe or self._is_doubtful()):
                    return
                availability = await self._backend.availability()
                if availability.is_open:
                    self.saw_open()
        except BusyError as error:
            if not (is_probe or self._backend.capabilities.charges or isinstance(error, UnreachableError)):
                self.saw_open()
                return
            await permit.refused(error)
            raise
        except BaseException as error:
            if isinstance(error, CredentialsError):
                self.stop(error)
            await permit.withdrawn()
            raise
        if not availability.is_open:
            reason = availability.reason or "unavailable"
            closed = UnavailableError(f"{self._backend.name} takes no jobs now: {reason}")
            await permit.refused(closed)
            raise closed

    async def refuse(
        self, *, admitted_at: float, retry_after_seconds: float | None, is_limit: bool, is_over: bool, is_sent: bool
    ) -> None:
        """Write down that a submission was refused or has no answer; see ``pacing.refuse``."""
        self.shut()
        jitter = float(self._random.uniform())
        await self.move(
            lambda throttle, holder, now: pacing.refuse(
                throttle,
                holder,
                now=now,
                terms=self.terms,
                admitted_at=admitted_at,
                jitter=jitter,
                retry_after_seconds=retry_after_seconds,
                is_limit=is_limit,
                is_over=is_over,
                is_sent=is_sent,
            )
        )

    async def leave(self) -> None:
        """This process submits nothing more."""
        await self.move(lambda throttle, holder, now: pacing.leave(throttle, holder, now=now))

    def stop(self, error: Exception) -> None:
        """Let nothing through any more: all that wait, or come, get this error."""
        self._failure = self._failure or error
        self._freed.set()
        self._stopped.set()

    def move(self, move: Callable[[Throttle, str, float], Throttle]) -> Awaitable[None]:
        """Change the shared state by one of the moves of ``pacing``: ``move(throttle, holder, now)``.

        The change is handed over before anything is waited for; a caller that is cancelled does not take it back.
        """
        return self._see_moved(self._update(lambda throttle, now: (move(throttle, self._holder, now), None)))

    async def _see_moved(self, change: "Future[None]") -> None:
        moved = asyncio.wrap_future(change)
        try:
            await asyncio.shield(moved)
        finally:
            self._freed.set()

    def _update(self, change: "Callable[[Throttle, float], tuple[Throttle, T]]") -> "Future[T]":
        """Change the shared state; ``change`` gets it, and the store's time in seconds."""

        def change_state(state: bytes | None, now_ns: int) -> Change[T]:
            throttle, value = change(pacing.decode_throttle(state), now_ns / 1e9)
            return Change(pacing.encode_throttle(throttle), value)

        return self._store.update_shared_state(self.terms.paced_with or self.terms.account, change_state)


async def _nothing() -> None:
    """Nothing to wait for."""
