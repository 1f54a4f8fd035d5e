"""Finds and closes sessions that may be open at the provider, of this process and of those that have ended."""

import asyncio
from typing import Protocol

from qorch.engine.journal import Journal
from qorch.engine.remote.retrying import Retrier
from qorch.errors import BackendError, UnknownOutcomeError
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.provider_sessions import MAYBE_OPEN, ProviderSessionRecord, ProviderSessions, ProviderSessionState
from qorch.ports.store import SessionHistory, SharedState

ABSENT_REASON = "no list of the provider shows it"


class SessionStore(SessionHistory, SharedState, Protocol):
    """Reads provider sessions, and which runs a process works on."""


class SessionRecovery:
    """Brings sessions to their end. A session without an id has no jobs of ours, since none could be sent into it.

    Every move is written down before the next call. All of it may be done twice, by two processes even.
    """

    def __init__(
        self, backend: RemoteBackend, store: SessionStore, journal: Journal, *, retrier: Retrier, clock: Clock
    ) -> None:
        """Nothing is asked yet. A backend without sessions has none to find."""
        self._account = backend.terms.account
        self._settle_seconds = backend.terms.settle_seconds
        self._provider = backend if isinstance(backend, ProviderSessions) else None
        self._store = store
        self._journal = journal
        self._retrier = retrier
        self._clock = clock

    async def find_left(self, run_id: str) -> list[ProviderSessionRecord]:
        """What may be open of this run, whose process this is, and of other runs of the account that have none.

        Those whose process has ended, and that nobody resumes, must not stay open for that.
        """
        if self._provider is None:
            return []
        return await asyncio.to_thread(self._read_left, run_id)

    def _read_left(self, run_id: str) -> list[ProviderSessionRecord]:
        found = self._store.open_provider_sessions()
        others = {record.run_id for record in found if record.account == self._account} - {run_id}
        ended = {other for other in others if self._store.holder_of(other) is None}
        return [
            record
            for record in found
            if record.run_id == run_id or (record.run_id in ended and record.account == self._account)
        ]

    async def end(self, record: ProviderSessionRecord) -> ProviderSessionRecord:
        """The session as CLOSED, as ABSENT, or as UNKNOWN if no list tells which it is.

        Raises BackendError if the provider cannot be asked, or does not show it to this account; the session is then
        as it was.
        """
        if record.account != self._account:
            raise BackendError(
                f"it belongs to {record.account}, and {self._account} is used now: run `qorch recover` with the key and"
                " the instance with which it was opened"
            )
        return await self.close(await self.find(record))

    async def end_soon(self, record: ProviderSessionRecord) -> ProviderSessionRecord:
        """The same without a wait for the settle time: what no list shows yet stays as it is."""
        return await self.close(await self._look(record))

    async def find(self, record: ProviderSessionRecord) -> ProviderSessionRecord:
        """The session as OPEN with its id, or as ABSENT if no list shows it after the settle time, or as UNKNOWN.

        Raises BackendError if the provider cannot be asked.
        """
        known = await self._look(record)
        if known.provider_id is not None or known.state not in MAYBE_OPEN:
            return known
        await self._clock.sleep(self._settle_seconds)
        known = await self._look(known)
        if known.state is not ProviderSessionState.OPENING:
            return known
        return await self._move(known, ProviderSessionState.ABSENT, error=known.error or ABSENT_REASON)

    async def close(self, record: ProviderSessionRecord) -> ProviderSessionRecord:
        """The session as CLOSED if its id is known: it takes no more jobs, and ends with those that it has."""
        session_id = record.provider_id
        if self._provider is None or session_id is None or record.state not in MAYBE_OPEN:
            return record
        provider = self._provider
        await self._retrier.repeat(lambda: provider.close_session(session_id))
        return await self._move(record, ProviderSessionState.CLOSED)

    async def _look(self, record: ProviderSessionRecord) -> ProviderSessionRecord:
        """Look once: OPEN if it is found, UNKNOWN if it may be several, OPENING if no list shows it."""
        if self._provider is None or record.provider_id is not None or record.state not in MAYBE_OPEN:
            return record
        provider = self._provider
        known = await asyncio.to_thread(self._known_ids)
        try:
            found = await self._retrier.repeat(lambda: provider.find_session(record.plan, known=known))
        except UnknownOutcomeError as error:
            return await self._move(record, ProviderSessionState.UNKNOWN, error=str(error))
        if found is not None:
            return await self._move(record, ProviderSessionState.OPEN, provider_id=found)
        if record.state is ProviderSessionState.UNKNOWN:
            return await self._move(record, ProviderSessionState.OPENING)
        return record

    def _known_ids(self) -> frozenset[str]:
        return frozenset(item.provider_id for item in self._store.provider_sessions() if item.provider_id)

    async def _move(
        self,
        record: ProviderSessionRecord,
        state: ProviderSessionState,
        *,
        provider_id: str | None = None,
        error: str | None = None,
    ) -> ProviderSessionRecord:
        moved = record.moved(state, at=self._clock.now(), provider_id=provider_id, error=error)
        await self._journal.write_ahead([moved])
        return moved
