"""Sessions at the fake provider: opened, listed late, ended by the provider after a while, and closed."""

import asyncio
import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from qorch.errors import BusyError, CredentialsError, RejectedError, SessionEndedError, UnknownOutcomeError
from qorch.model.job import Payload
from qorch.ports.provider_sessions import SessionPlan
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import FakeRemote

FOREVER = float("inf")


@dataclass(eq=False)
class FakeSession:
    """One session as the provider knows it; times by its clock. ``seen_at``: from when its list shows it."""

    session_id: str
    plan: SessionPlan
    opened_at: float
    seen_at: float
    ends_at: float
    is_closed: bool = False
    n_jobs: int = 0


@dataclass(eq=False)
class FakeSessionDesk:
    """The provider's side, which outlives all clients.

    ``list_seconds``: until its list shows a session; ``live_seconds``: after which it takes no jobs any more, by
    itself. ``is_vague``: whether its list does not tell sessions of one device apart.
    """

    list_seconds: Callable[[], float] = lambda: 0.0
    live_seconds: Callable[[], float] = lambda: FOREVER
    is_vague: bool = False
    sessions: dict[str, FakeSession] = field(default_factory=dict)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def open(self, plan: SessionPlan, *, at: float) -> FakeSession:
        """A new one."""
        name = f"session-{next(self._numbers)}"
        session = FakeSession(name, plan, at, at + self.list_seconds(), at + self.live_seconds())
        self.sessions[name] = session
        return session

    def open_ids(self) -> list[str]:
        """Of those that nobody closed; one that has ended by itself is among them."""
        return [name for name, session in self.sessions.items() if not session.is_closed]


@dataclass(eq=False)
class FakeSessionRemote(FakeRemote):
    """`qorch.ports.provider_sessions.ProviderSessions` for a FakeProvider; calls are named as its methods are."""

    desk: FakeSessionDesk = field(default_factory=FakeSessionDesk)
    session_mode: str = "dedicated"

    def plan_session(self, *, key: str) -> SessionPlan:
        """See ProviderSessions."""
        return SessionPlan(key, "fake", self.session_mode, 600 + int(key[:8], 16) % 3000, self.clock.now())

    async def open_session(self, plan: SessionPlan) -> str:
        """See ProviderSessions."""
        self.provider.calls["open_session"] += 1
        fault = self.faults("open_session")
        await asyncio.sleep(self.round_trip_seconds / 2)
        if not self.provider.has_key(self.provider.now()):
            raise CredentialsError(f"{self.name} refused the key; check FAKE_API_KEY")
        if fault in (Fault.BUSY, Fault.LIMITED):
            raise BusyError("the provider is busy")
        if fault is Fault.REJECTED:
            raise RejectedError("the provider has no sessions for this account")
        session = None if fault is Fault.LOST_BEFORE else self.desk.open(plan, at=self.provider.now())
        await asyncio.sleep(self.round_trip_seconds / 2)
        if session is None or fault is Fault.LOST_AFTER:
            await asyncio.sleep(self.hang_seconds)
            raise UnknownOutcomeError("the connection broke")
        return session.session_id

    async def find_session(self, plan: SessionPlan, *, known: Collection[str]) -> str | None:
        """See ProviderSessions."""
        await self._ask("find_session")
        listed = [each for each in self.desk.sessions.values() if each.seen_at <= self.provider.now()]
        unknown = [each for each in listed if each.session_id not in known and not each.n_jobs]
        if self.desk.is_vague and unknown:
            raise UnknownOutcomeError(f"it may be {unknown[0].session_id}, or somebody else's")
        return next((each.session_id for each in unknown if each.plan.key == plan.key), None)

    async def close_session(self, session_id: str) -> None:
        """See ProviderSessions."""
        await self._ask("close_session")
        if session_id in self.desk.sessions:
            self.desk.sessions[session_id].is_closed = True

    async def submit(self, payload: Payload) -> str:
        """See RemoteBackend."""
        if payload.session_id:
            session = self.desk.sessions[payload.session_id]
            if session.is_closed or session.ends_at <= self.provider.now():
                await asyncio.sleep(self.round_trip_seconds)
                raise SessionEndedError(f"{payload.session_id} takes no jobs")
            session.n_jobs += 1
        return await super().submit(payload)
