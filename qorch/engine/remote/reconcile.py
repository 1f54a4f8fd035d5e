"""What became of a job whose submission has no answer: looked up by its key, after a time held or given back."""

import datetime
from dataclasses import replace

from qorch.engine.journal import Journal
from qorch.engine.remote.finder import Finder
from qorch.errors import BackendError, UnknownOutcomeError
from qorch.model.job import JobState
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import OnUnknown
from qorch.ports.records import JobRecord

CLOCK_DOUBT = datetime.timedelta(hours=25)
"""How far this machine's wall clock may have been wrong when a job was sent, or the time zone of whoever set it."""


class Settlement:
    """Shared by the submissions of this process and by the recovery of those of others."""

    def __init__(self, backend: RemoteBackend, journal: Journal, finder: Finder, *, clock: Clock) -> None:
        """Everything is shared with the engine that owns this."""
        self._backend = backend
        self._journal = journal
        self._finder = finder
        self._clock = clock

    async def settle(
        self, record: JobRecord, *, key: str, since: datetime.datetime, reason: str, may_resend: bool = True
    ) -> str | None:
        """The provider's id of a job that may have been accepted; None where it may be sent again.

        Written down as UNKNOWN first, and as SUBMITTED or (None) RESERVED afterwards. Raises UnknownOutcomeError where
        no list shows it after the settle time, and the terms say to hold it, or it must not be sent again for another
        reason (``may_resend`` False): it then stays UNKNOWN.
        """
        unknown = replace(record, state=JobState.UNKNOWN, error=reason, changed_at=self._clock.now())
        await self._journal.write_ahead([unknown])
        terms = self._backend.terms
        provider_id = await self._find(record, key, since=since)
        if provider_id is None:
            await self._clock.sleep(terms.settle_seconds)
            provider_id = await self._find(record, key, since=since)
        now = self._clock.now()
        if provider_id is not None:
            found = replace(record, state=JobState.SUBMITTED, provider_id=provider_id, error=None, changed_at=now)
            await self._journal.write_ahead([found])
        elif terms.on_unknown is OnUnknown.HOLD or not may_resend:
            raise UnknownOutcomeError(
                f"job {record.job_id} may have been accepted by {self._backend.name}, and may be billed: {reason}. No"
                f" list shows it after {terms.settle_seconds:g} s. It is held and not sent again; look at the"
                f" provider's own console for a job named 'qorch {key[:16]}', then run `qorch recover`"
                f" with --adopt or --release"
            )
        else:
            await self._journal.write_ahead([replace(record, state=JobState.RESERVED, error=reason, changed_at=now)])
        return provider_id

    async def _find(self, record: JobRecord, key: str, *, since: datetime.datetime) -> str | None:
        """Look for the job; a provider that cannot be asked leaves it UNKNOWN, whatever the reason."""
        try:
            return await self._finder.find(key, since - CLOCK_DOUBT)
        except BackendError as error:
            raise UnknownOutcomeError(
                f"job {record.job_id} may have been accepted by {self._backend.name}, and may be billed; it cannot be"
                f" looked for: {error}. It is held and not sent again; resume the run, or run `qorch recover`"
            ) from error
