"""Sessions and batches: opened, active while their jobs run, inactive where none came for a while, closed.

A session is charged for all the time that it is active, a batch for its jobs. Both are closed once they accept no jobs
any longer and all of theirs are over, or when their time is over; jobs that still wait then fail.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.instances import Instance
from qorch_providers.emulators.ibm.jobs import make_id
from qorch_providers.emulators.ibm.refusals import (
    NO_SESSIONS_ON_PLAN,
    NOT_FOUND_SESSION,
    SESSION_CLOSED,
    IbmRefusedError,
)
from qorch_providers.emulators.kit.clock import ScaledClock

MODES = ("dedicated", "batch")


@dataclass(eq=False)
class IbmSession:
    """One session or batch. Times are real seconds since 1970.

    ``active_seconds``: how long it was active before it became so the last time, which was at ``active_since`` by the
    protocol's clock; None if it is not active.
    """

    id: str
    instance: Instance
    backend: str
    mode: str
    max_ttl: int
    created_unix: float
    state: str = "open"
    accepting_jobs: bool = True
    activated_unix: float | None = None
    closed_unix: float | None = None
    last_started_unix: float | None = None
    last_completed_unix: float | None = None
    active_seconds: float = 0.0
    active_since: float | None = None
    n_unfinished: int = 0
    history: list[tuple[str, float]] = field(default_factory=list)
    timers: dict[str, asyncio.Task[None]] = field(default_factory=dict, repr=False)

    @property
    def is_dedicated(self) -> bool:
        """Whether it has a device for itself."""
        return self.mode == "dedicated"

    def used_seconds(self, now_seconds: float) -> float:
        """How long it was active so far."""
        return self.active_seconds + (0.0 if self.active_since is None else now_seconds - self.active_since)


class SessionEvents(Protocol):
    """What is told about sessions."""

    def on_rest(self, session: IbmSession) -> None:
        """A session is inactive or closed: others may use its device."""

    def on_expiry(self, session: IbmSession) -> None:
        """The time of a session is over: its jobs that wait must fail."""


class SessionBook:
    """All sessions and batches of a server."""

    def __init__(self, events: SessionEvents, *, clock: ScaledClock, max_ttl: int, interactive_seconds: float) -> None:
        """``interactive_seconds``: how long one stays active without a job."""
        self.sessions: list[IbmSession] = []
        self.interactive_seconds = interactive_seconds
        self._by_id: dict[str, IbmSession] = {}
        self._events = events
        self._clock = clock
        self._max_ttl = max_ttl

    def open(self, instance: Instance, backend: str, mode: str, max_ttl: int | None) -> IbmSession:
        """A new one. Raises UsageError, IbmRefusedError (400)."""
        if mode not in MODES:
            raise UsageError(f"mode must be one of {', '.join(MODES)}, not '{mode}'")
        if mode == "dedicated" and not instance.plan.has_sessions:
            raise IbmRefusedError(
                400, NO_SESSIONS_ON_PLAN, "You are not authorized to run a session when using the open plan.",
                solution="Create an instance of a different plan type or use a different execution mode.",
            )  # fmt: skip
        ttl = min(max_ttl or self._max_ttl, self._max_ttl)
        session = IbmSession(make_id(), instance, backend, mode, ttl, self._clock.unix())
        self._move(session, "open")
        self.sessions.append(session)
        self._by_id[session.id] = session
        return session

    def find(self, session_id: str, instance: Instance) -> IbmSession:
        """The session of that id. Raises IbmRefusedError (404)."""
        session = self._by_id.get(session_id)
        if session is None or session.instance is not instance:
            raise IbmRefusedError(404, NOT_FOUND_SESSION, f"Session not found. Session ID: {session_id}")
        return session

    def enter(self, session_id: str | None, instance: Instance, backend: str) -> IbmSession | None:
        """Count a job in its session. Raises IbmRefusedError if it takes no jobs."""
        if session_id is None:
            return None
        session = self.find(session_id, instance)
        if session.backend != backend:
            raise UsageError(f"the session is on {session.backend}, not on {backend}")
        if not session.accepting_jobs or session.state == "closed":
            raise IbmRefusedError(400, SESSION_CLOSED, "Session has been closed.", solution="Create a new session.")
        session.n_unfinished += 1
        self._stop(session, "idle")
        return session

    def start_job(self, session: IbmSession | None) -> None:
        """A job of a session begins to run."""
        if session is None:
            return
        session.last_started_unix = self._clock.unix()
        if session.active_since is None:
            session.active_since = self._clock.protocol_seconds()
            self._move(session, "active")
        if session.activated_unix is None:
            session.activated_unix = session.last_started_unix
            self._time(session, "expiry", session.max_ttl, self._expire)

    def end_job(self, session: IbmSession | None, *, has_run: bool) -> None:
        """A job of a session is over."""
        if session is None:
            return
        session.n_unfinished -= 1
        if has_run:
            session.last_completed_unix = self._clock.unix()
        if session.n_unfinished:
            return
        if not session.accepting_jobs:
            self._close(session)
        elif session.active_since is not None:
            self._time(session, "idle", self.interactive_seconds, self._rest)

    def accept(self, session: IbmSession, *, is_accepting: bool) -> None:
        """Take jobs or no more jobs. Raises IbmRefusedError (409) if it is closed and should take jobs again."""
        if session.state == "closed":
            if is_accepting:
                raise IbmRefusedError(409, SESSION_CLOSED, "Session has been closed.")
            return
        session.accepting_jobs = is_accepting
        if not is_accepting and session.n_unfinished == 0:
            self._close(session)

    def timers(self) -> Iterator[asyncio.Task[None]]:
        """What still waits in the background."""
        return (timer for session in self.sessions for timer in session.timers.values())

    def _expire(self, session: IbmSession) -> None:
        session.accepting_jobs = False
        self._events.on_expiry(session)
        if session.n_unfinished == 0:
            self._close(session)

    def _rest(self, session: IbmSession) -> None:
        self._add_up(session)
        self._move(session, "inactive")
        self._events.on_rest(session)

    def _close(self, session: IbmSession) -> None:
        if session.state == "closed":
            return
        self._add_up(session)
        for name in tuple(session.timers):
            self._stop(session, name)
        session.closed_unix = self._clock.unix()
        self._move(session, "closed")
        self._events.on_rest(session)

    def _add_up(self, session: IbmSession) -> None:
        session.active_seconds = session.used_seconds(self._clock.protocol_seconds())
        session.active_since = None

    def _move(self, session: IbmSession, state: str) -> None:
        session.state = state
        session.history.append((state, self._clock.unix()))

    def _time(self, session: IbmSession, name: str, seconds: float, act: Callable[[IbmSession], None]) -> None:
        async def wait() -> None:
            await self._clock.sleep(seconds)
            session.timers.pop(name, None)
            act(session)

        self._stop(session, name)
        session.timers[name] = asyncio.create_task(wait())

    def _stop(self, session: IbmSession, name: str) -> None:
        timer = session.timers.pop(name, None)
        if timer is not None:
            timer.cancel()
