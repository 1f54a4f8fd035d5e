"""Sessions at a provider, which go on billing until they are closed: what is planned, recorded and asked of it.

A provider session is not the session of a run, which is a process that worked on it.
"""

import datetime
from collections.abc import Collection
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol, runtime_checkable


class ProviderSessionState(StrEnum):
    """The states of a provider session, as stored.

    OPENING: written down before it is opened, so it may be open. UNKNOWN: the same, and the provider's list does not
    tell which session it is. ABSENT: it was refused, or no list shows it after the settle time.
    """

    OPENING = "opening"
    OPEN = "open"
    UNKNOWN = "unknown"
    CLOSED = "closed"
    ABSENT = "absent"


MAYBE_OPEN = (ProviderSessionState.OPENING, ProviderSessionState.OPEN, ProviderSessionState.UNKNOWN)
"""The states of a session that must still be closed."""


@dataclass(frozen=True)
class SessionPlan:
    """A session as it is about to be opened: enough to recognise it in the provider's list, also weeks later.

    ``key``: its name in the database, which the provider need not know. ``device`` and ``mode``: the provider's words.
    ``max_ttl_seconds``: the longest that it may stay open, after which the provider closes it by itself; None if
    nothing was asked for.
    ``planned_at``: when the opening was sent at the earliest, by the provider's clock as far as that is known.
    """

    key: str
    device: str
    mode: str
    max_ttl_seconds: int | None
    planned_at: datetime.datetime


@dataclass(frozen=True)
class ProviderSessionRecord:
    """A provider session of a run, in the state that it has moved to; writing it again moves it.

    ``account``: whose sessions it is among (``Terms.account``). ``provider_id``: None until it is known.
    """

    plan: SessionPlan
    run_id: str
    account: str
    state: ProviderSessionState
    changed_at: datetime.datetime
    provider_id: str | None = None
    error: str | None = None

    def moved(
        self,
        state: ProviderSessionState,
        *,
        at: datetime.datetime,
        provider_id: str | None = None,
        error: str | None = None,
    ) -> "ProviderSessionRecord":
        """The session in another state, or in the same; an id that is known stays."""
        known = provider_id or self.provider_id
        return replace(self, state=state, changed_at=at, provider_id=known, error=error)


@runtime_checkable
class ProviderSessions(Protocol):
    """A RemoteBackend at whose provider jobs may run in sessions that go on billing until they are closed.

    ``submit`` then sends a payload into the session that the payload names. It raises SessionEndedError if that takes
    no jobs any more; the same job may go into another one. It raises SpendingLimitError if the session is at a limit
    that the user has set: another one would have that limit anew.
    """

    @property
    def session_mode(self) -> str:
        """The provider's word for the sessions in which jobs are to run; empty if every job runs by itself."""
        ...

    def plan_session(self, *, key: str) -> SessionPlan:
        """The session that is to be opened now, as different from others as the protocol allows: that is by its key.

        ``key``: 64 hexadecimal digits that no other session has.
        """
        ...

    async def open_session(self, plan: SessionPlan) -> str:
        """Open a session, once, and return its id.

        Raises BusyError, CredentialsError or another RejectedError if the provider provably opened none, and
        UnknownOutcomeError in every other case but a clear success.
        """
        ...

    async def find_session(self, plan: SessionPlan, *, known: Collection[str]) -> str | None:
        """The id of the session that was opened by this plan and whose id never came; None if the lists show none.

        ``known``: the ids of all other sessions of ours, which it cannot be. Safe to repeat: raises BusyError if no
        answer comes, and UnknownOutcomeError, with the ids, if a session may be ours or somebody else's.
        """
        ...

    async def close_session(self, session_id: str) -> None:
        """Let a session take no more jobs, so that it ends with those that it has; no error if it is closed or gone.

        Safe to repeat: raises BusyError if no answer comes.
        """
        ...
