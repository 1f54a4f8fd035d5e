"""Finds out what became of a job whose submission has no answer: by its key in the provider's lists."""

import datetime

from qorch.engine.journal import Journal
from qorch.engine.remote.finder import Finder
from qorch.engine.remote.remembering import seconds_left
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
        first_sent_at: datetime.datetime | None = None,
    ) -> JobRecord:
        """The job as SUBMITTED, if the provider has it, or as RESERVED, if it may be sent again; it is written down.

        See ``look_for``, and ``held`` for ``first_sent_at``. Raises UnknownOutcomeError if no list shows the job after
        the settle time, and the terms say to hold it, or it must not be sent again for another reason (``may_resend``
        False): it then stays UNKNOWN.
        """
        known = await self.look_for(record, attempt=attempt, since=since, reason=reason)
        if known.state is JobState.SUBMITTED:
            return known
        if self.holds or not may_resend:
            raise self.held(known, attempt, first_sent_at=first_sent_at)
        unsent = known.moved(JobState.RESERVED, at=self._clock.now(), error=reason)
        await self._journal.write_ahead([unsent])
        return unsent

    @property
    def holds(self) -> bool:
        """Whether a job that no list shows after the settle time is held."""
        return self._backend.terms.on_unknown is OnUnknown.HOLD

    def seconds_left(self, first_sent_at: datetime.datetime | None) -> float:
        """For how long the provider takes what is sent again for the same job; 0 if the first time is not known."""
        if first_sent_at is None:
            return 0.0
        age = (self._clock.now() - first_sent_at).total_seconds()
        return seconds_left(self._backend.terms, age_seconds=age)

    async def look_for(
        self, record: JobRecord, *, attempt: AttemptRecord, since: datetime.datetime, reason: str
    ) -> JobRecord:
        """The job as SUBMITTED, if the provider has it, or as UNKNOWN, if no list shows it after the settle time.

        It is written down as UNKNOWN first. ``attempt``: the last; ``since``: when the first began; ``reason``: why
        the outcome is not known. Raises UnknownOutcomeError if the provider cannot be asked.
        """
        unknown = record.moved(JobState.UNKNOWN, at=self._clock.now(), error=reason)
        await self._journal.write_ahead([unknown])
        provider_id = await self._find(record, attempt.key, since=since)
        if provider_id is None:
            await self._clock.sleep(self._backend.terms.settle_seconds)
            provider_id = await self._find(record, attempt.key, since=since)
        if provider_id is None:
            return unknown
        known = unknown.moved(JobState.SUBMITTED, at=self._clock.now(), provider_id=provider_id, error=None)
        await self._journal.write_ahead([known])
        return known

    def held(
        self,
        unknown: JobRecord,
        attempt: AttemptRecord,
        *,
        first_sent_at: datetime.datetime | None = None,
        because: str = "",
    ) -> UnknownOutcomeError:
        """The error of a job that is held as no list shows it.

        ``first_sent_at``: when the job was first sent, if a resumed run may send it again while the provider remembers
        its key; ``because``: why it is not sent again, as a clause.
        """
        hint = f", as {because}; look" if because else "; look"
        left = self.seconds_left(first_sent_at)
        if left and not because:
            hint = (
                f", unless the run is resumed within {_duration(left)}: {self._backend.name} takes what is sent again"
                " under the same key for the same job. Else look"
            )
        return UnknownOutcomeError(
            f"job {unknown.job_id} may have been accepted by {self._backend.name}, and may be billed: {unknown.error}."
            f" No list shows it after {self._backend.terms.settle_seconds:g} s. It is held and not sent again{hint} at"
            f" the provider's own console for a job named '{attempt.name_at_provider}', then run `qorch recover` with"
            " --adopt or --release"
        )

    async def _find(self, record: JobRecord, key: str, *, since: datetime.datetime) -> str | None:
        """Look for the job; a provider that cannot be asked leaves it UNKNOWN, whatever the reason."""
        try:
            return await self._finder.find(key, since - CLOCK_DOUBT)
        except BackendError as error:
            raise UnknownOutcomeError(
                f"job {record.job_id} may have been accepted by {self._backend.name}, and may be billed; it cannot be"
                f" looked for: {error}. It is held and not sent again; resume the run, or run `qorch recover`"
            ) from error


def _duration(seconds: float) -> str:
    return f"{seconds // 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
