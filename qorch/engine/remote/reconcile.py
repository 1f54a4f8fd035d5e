"""Finds out what became of a job whose submission has no answer: by its key in the provider's lists."""

import datetime

from qorch.engine.journal import Journal
from qorch.engine.remote.finder import Finder
from qorch.errors import BackendError, UnknownOutcomeError
from qorch.model.job import JobState
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import OnUnknown
from qorch.ports.records import AttemptRecord, JobRecord

CLOCK_DOUBT = datetime.timedelta(hours=25)
"""How far this machine's wall clock may have been wrong when a job was sent, as with a wrong time zone."""


class Reconciler:
    """Finds out whether the provider has a job, for submissions of this process and for what others left behind."""

    def __init__(self, backend: RemoteBackend, journal: Journal, finder: Finder, *, clock: Clock) -> None:
        """Everything is shared with the engine that owns this."""
        self._backend = backend
        self._journal = journal
        self._finder = finder
        self._clock = clock

    async def reconcile(
        self,
        record: JobRecord,
        *,
        attempt: AttemptRecord,
        since: datetime.datetime,
        reason: str,
        may_resend: bool = True,
    ) -> JobRecord:
        """The job as SUBMITTED, if the provider has it, or as RESERVED, if it may be sent again; it is written down.

        It is written down as UNKNOWN first. ``attempt``: the last; ``since``: when the first began; ``reason``: why
        the outcome is not known. Raises UnknownOutcomeError if no list shows the job after the settle time, and the
        terms say to hold it, or it must not be sent again for another reason (``may_resend`` False): it then stays
        UNKNOWN.
        """
        unknown = record.moved(JobState.UNKNOWN, at=self._clock.now(), error=reason)
        await self._journal.write_ahead([unknown])
        terms = self._backend.terms
        provider_id = await self._find(record, attempt.key, since=since)
        if provider_id is None:
            await self._clock.sleep(terms.settle_seconds)
            provider_id = await self._find(record, attempt.key, since=since)
        now = self._clock.now()
        if provider_id is not None:
            known = unknown.moved(JobState.SUBMITTED, at=now, provider_id=provider_id, error=None)
        elif terms.on_unknown is OnUnknown.HOLD or not may_resend:
            raise UnknownOutcomeError(
                f"job {record.job_id} may have been accepted by {self._backend.name}, and may be billed: {reason}. No"
                f" list shows it after {terms.settle_seconds:g} s. It is held and not sent again; look at the"
                f" provider's own console for a job named '{attempt.name_at_provider}', then run `qorch recover`"
                f" with --adopt or --release"
            )
        else:
            known = unknown.moved(JobState.RESERVED, at=now, error=reason)
        await self._journal.write_ahead([known])
        return known

    async def _find(self, record: JobRecord, key: str, *, since: datetime.datetime) -> str | None:
        """Look for the job; a provider that cannot be asked leaves it UNKNOWN, whatever the reason."""
        try:
            return await self._finder.find(key, since - CLOCK_DOUBT)
        except BackendError as error:
            raise UnknownOutcomeError(
                f"job {record.job_id} may have been accepted by {self._backend.name}, and may be billed; it cannot be"
                f" looked for: {error}. It is held and not sent again; resume the run, or run `qorch recover`"
            ) from error
