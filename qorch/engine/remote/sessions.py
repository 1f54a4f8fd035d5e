"""The provider's sessions for the jobs of a run: opened for the first, replaced where they end, closed at the end."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from qorch.engine.journal import Journal
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.session_recovery import SessionRecovery, SessionStore
from qorch.errors import BackendError, RejectedError, UnknownOutcomeError
from qorch.model.identity import idempotency_key
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.provider_sessions import MAYBE_OPEN, ProviderSessionRecord, ProviderSessions, ProviderSessionState

MOST_OPENINGS = 3
"""So often in a row an opening may come to nothing, or a session end at once."""
YOUNG_SECONDS = 60.0
"""A session that ended so soon, and has taken no job, ended at once; an older one may have waited for its turn."""

_log = logging.getLogger("qorch.sessions")


class RemoteSessions:
    """One session at a time, for all jobs of a run; nothing where every job runs by itself.

    Each is written down before it is opened, so that whatever happens to this process, the next start or ``qorch
    recover`` finds and closes it.
    """

    def __init__(
        self,
        backend: RemoteBackend,
        run_id: str,
        store: SessionStore,
        journal: Journal,
        *,
        recovery: SessionRecovery,
        retrier: Retrier,
        clock: Clock,
    ) -> None:
        """Nothing is opened before ``enter``, and nothing closed before ``start``."""
        self._name = backend.name
        self._account = backend.terms.account
        self._provider = backend if isinstance(backend, ProviderSessions) else None
        self._run_id = run_id
        self._store = store
        self._journal = journal
        self._recovery = recovery
        self._retrier = retrier
        self._clock = clock
        self._own: dict[str, ProviderSessionRecord] = {}
        self._current: ProviderSessionRecord | None = None
        self._opening: asyncio.Task[None] | None = None
        self._left: list[asyncio.Task[ProviderSessionRecord]] = []
        self._has_taken = False
        self._opened_ns = 0
        self._fruitless = 0

    async def start(self) -> None:
        """Begin to close, in the background, what ended processes left open."""
        for record in await self._recovery.find_left(self._run_id):
            self._left.append(asyncio.create_task(self._end_left(record)))

    async def ended(self) -> Sequence[ProviderSessionRecord]:
        """What became of each session that an earlier process left open of this run."""
        found = await asyncio.gather(*self._left)
        return [record for record in found if record.run_id == self._run_id]

    async def enter(self) -> str:
        """The id of the session for the next job, opened if there is none; empty where jobs run by themselves.

        Raises RejectedError if the provider opens none, or an opening has no answer again and again.
        """
        provider = self._provider
        if provider is None or not provider.session_mode:
            return ""
        while self._current is None:
            if self._opening is None:
                self._opening = asyncio.create_task(self._open(provider))
                self._opening.add_done_callback(_retrieve)
            # It belongs to all jobs that wait for it: one that is cancelled does not end it.
            await asyncio.shield(self._opening)
        return self._current.provider_id or ""

    def note_taken(self, session_id: str) -> None:
        """A session has taken a job."""
        if self._is_current(session_id):
            self._has_taken, self._fruitless = True, 0

    def note_ended(self, session_id: str, reason: str) -> None:
        """A session takes no jobs any more, as its time is over: the next job goes into a new one.

        Raises RejectedError if several sessions in a row ended at once, before they had taken a job.
        """
        if not self._is_current(session_id):
            return
        self._current = None
        age_seconds = (self._clock.monotonic_ns() - self._opened_ns) / 1e9
        self._fruitless += not self._has_taken and age_seconds < YOUNG_SECONDS
        if self._fruitless >= MOST_OPENINGS:
            raise RejectedError(
                f"{MOST_OPENINGS} sessions of {self._name} ended before they took a job ({reason}); look at the limits"
                " of the account, or let every job run by itself (mode=job)"
            )

    async def close(self, *, patience_seconds: float) -> None:
        """Close all that this process has opened, or give that up after so long and leave it to the next start.

        May be called twice: what is left is then not this process's any more.
        """
        try:
            async with asyncio.timeout(patience_seconds):
                await self._end_opening(patience_seconds / 2)
                own = [self._end_own(record) for record in self._own.values() if record.state in MAYBE_OPEN]
                await asyncio.gather(*own, *self._left, return_exceptions=True)
        except TimeoutError:
            pass
        finally:
            await self._cancel()
        still_open = [record for record in self._own.values() if record.state in MAYBE_OPEN]
        self._own, self._current = {}, None
        if still_open:
            _log.warning(
                "%d sessions of %s may still be open: `qorch recover`, or the next run there, closes them",
                len(still_open),
                self._name,
            )

    async def _cancel(self) -> None:
        tasks = [*self._left, *([] if self._opening is None else [self._opening])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _end_opening(self, patience_seconds: float) -> None:
        """Wait a moment for the answer to an opening that is on its way."""
        opening = self._opening
        if opening is not None:
            await asyncio.wait([opening], timeout=patience_seconds)
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)

    async def _end_own(self, record: ProviderSessionRecord) -> None:
        self._own[record.plan.key] = await self._recovery.end_soon(record)

    async def _end_left(self, record: ProviderSessionRecord) -> ProviderSessionRecord:
        try:
            return await self._recovery.end(record)
        except BackendError as error:
            return await self._write(record.moved(record.state, at=self._clock.now(), error=str(error)))

    async def _open(self, provider: ProviderSessions) -> None:
        """Make a new session the current one."""
        try:
            await self._close_ended()
            for _ in range(MOST_OPENINGS):
                record = await self._open_once(provider)
                if record.state is ProviderSessionState.OPEN:
                    self._current, self._has_taken = record, False
                    self._opened_ns = self._clock.monotonic_ns()
                    return
            raise RejectedError(
                f"{self._name} was asked for a session {MOST_OPENINGS} times, and no answer came that can be used"
                f" ({record.error}); resume the run later, or let every job run by itself (mode=job)"
            )
        finally:
            self._opening = None

    async def _close_ended(self) -> None:
        """Close what ended by itself, so that it is certain; where that fails it is tried again at the end."""
        for record in list(self._own.values()):
            if record.state is ProviderSessionState.OPEN:
                with suppress(BackendError):
                    self._own[record.plan.key] = await self._recovery.close(record)

    async def _open_once(self, provider: ProviderSessions) -> ProviderSessionRecord:
        """A session as OPEN, or as ABSENT or UNKNOWN if no answer came and it was not found either."""
        count = len(await asyncio.to_thread(self._store.provider_sessions, self._run_id))
        key = idempotency_key(self._journal.store_id, f"{self._run_id}/session", epoch=count)
        try:
            session_id = await self._retrier.repeat(lambda: self._try(provider, key))
        except RejectedError as error:
            await self._move(key, ProviderSessionState.ABSENT, error=str(error))
            raise
        except UnknownOutcomeError as error:
            await self._move(key, ProviderSessionState.OPENING, error=str(error))
            self._own[key] = await self._recovery.find(self._own[key])
            return self._own[key]
        return await self._move(key, ProviderSessionState.OPEN, provider_id=session_id)

    async def _try(self, provider: ProviderSessions, key: str) -> str:
        """Open a session once, written down before. A try after a refusal is planned anew: its time is another."""
        plan = provider.plan_session(key=key)
        opening = ProviderSessionRecord(
            plan, self._run_id, self._account, ProviderSessionState.OPENING, self._clock.now()
        )
        self._own[key] = await self._write(opening)
        return await provider.open_session(plan)

    async def _move(
        self, key: str, state: ProviderSessionState, *, provider_id: str | None = None, error: str | None = None
    ) -> ProviderSessionRecord:
        # Kept before it is durable: whoever closes must know of it.
        self._own[key] = self._own[key].moved(state, at=self._clock.now(), provider_id=provider_id, error=error)
        return await self._write(self._own[key])

    async def _write(self, record: ProviderSessionRecord) -> ProviderSessionRecord:
        await self._journal.write_ahead([record])
        return record

    def _is_current(self, session_id: str) -> bool:
        return self._current is not None and self._current.provider_id == session_id


def _retrieve(task: "asyncio.Task[None]") -> None:
    """Nobody may wait for an opening any more when it fails."""
    if not task.cancelled():
        task.exception()
