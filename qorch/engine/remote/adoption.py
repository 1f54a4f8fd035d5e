"""Adopts orphaned jobs (see ``orphans``) when the run reaches their position, at which their rows are known again."""

import hashlib

from qorch.engine.accounts import Accounts
from qorch.engine.journal import Journal
from qorch.engine.remote.orphans import Orphans
from qorch.engine.remote.recovery import Recovery
from qorch.engine.submission import Submission
from qorch.engine.submitter import Wanted
from qorch.errors import RunChangedError
from qorch.model.identity import job_ordinal
from qorch.model.job import JobState
from qorch.model.label import JobLabel, parse_rows
from qorch.model.ledger import LedgerRecord
from qorch.planning.packing import PlannedJob, choose
from qorch.planning.pricing import price
from qorch.ports.backend import RemoteBackend, measure_job
from qorch.ports.clock import Clock
from qorch.ports.records import JobRecord, Write


class Adoption:
    """Adopts an orphaned job if its rows are those that the program has at its position now, and no other job."""

    def __init__(
        self,
        backend: RemoteBackend,
        journal: Journal,
        *,
        accounts: Accounts,
        orphans: Orphans,
        recovery: Recovery,
        clock: Clock,
        rebuy: bool,
    ) -> None:
        """``rebuy``: paid jobs that carry other rows are given up, instead of stopping the run."""
        self._backend = backend
        self._journal = journal
        self._accounts = accounts
        self._orphans = orphans
        self._recovery = recovery
        self._clock = clock
        self._stops_on_change = backend.capabilities.charges and not rebuy

    async def take(self, wanted: Wanted) -> bool:
        """Adopt orphaned jobs of the call that share no row, and wait for their results; False if the call has none.

        The caller looks its results up again, and asks again. Raises RunChangedError if a paid job carries other rows
        than the program has now, UnknownOutcomeError if a job is held, and what the provider's answers raise.
        """
        if not wanted.jobs:
            return False
        jobs = sorted(await self._orphans.at(wanted.position), key=lambda job: job_ordinal(job.job_id))
        if not jobs:
            return False
        writes: list[Write] = []
        taken: set[tuple[int, int]] = set()
        records = []
        for job in jobs:
            label = await self._orphans.label_of(job) or JobLabel()
            submission = self._match(wanted, job, label)
            if submission is None:
                writes.append(self._give_up(wanted, job, label))
                self._orphans.forget(job)
                continue
            rows = _rows_of(submission.job)
            if rows & taken:
                # It was sent for rows that an earlier job failed to bring: decided once that job is fetched.
                continue
            taken |= rows
            record = job.moved(
                JobState.SUBMITTED,
                at=self._clock.now(),
                n_executions=submission.job.n_rows,
                shots=submission.job.shots,
                error=None,
            )
            records.append(record)
            writes += [record, submission.plan, *self._reserve(record, submission)]
            self._orphans.forget(job)
        await self._journal.write_ahead(writes)
        for record in records:
            self._recovery.adopt(record)
        await self._recovery.wait_at(wanted.position)
        return True

    def _reserve(self, record: JobRecord, submission: Submission) -> list[LedgerRecord]:
        """The entry of what the job costs, which no budget can refuse any more."""
        if not self._accounts.is_kept:
            return []
        cost = price(measure_job(self._backend, submission.request), self._accounts.card)
        return [] if cost is None else [self._accounts.reserve(record, cost)]

    def _match(self, wanted: Wanted, job: JobRecord, label: JobLabel) -> Submission | None:
        """The job as the program would send it now; None if the call misses no such rows."""
        contexts = self._contexts(wanted, job, label)
        ordinal = job_ordinal(job.job_id)
        for planned in _candidates(wanted, ordinal, label):
            submission = Submission(wanted.run_id, wanted.position, ordinal, planned, wanted.groups, contexts)
            if _agree(submission, label):
                return submission
        return None

    def _contexts(self, wanted: Wanted, job: JobRecord, label: JobLabel) -> tuple[bytes, ...]:
        """The device's contexts when the job was bought; if unknown, one of its own, so that no sample is pooled."""
        if label.context is not None and len(label.context) == 64:
            return (bytes.fromhex(label.context),) * len(wanted.groups)
        if self._backend.capabilities.charges:
            return (hashlib.sha256(f"qorch-unknown/{job.provider_id}".encode()).digest(),) * len(wanted.groups)
        return wanted.contexts

    def _give_up(self, wanted: Wanted, job: JobRecord, label: JobLabel) -> JobRecord:
        place = f"step {wanted.position.step}, call {wanted.position.call}"
        is_superseded = _is_superseded(wanted, job_ordinal(job.job_id), label)
        reason = f"it carries other rows than the program has at {place} now"
        if is_superseded:
            reason = "another job has brought its rows"
        elif self._stops_on_change:
            raise RunChangedError(
                f"run {wanted.run_id} has bought job {job.provider_id} for {place}; {reason}: the program, its data"
                " or its seed changed. Restore them, or go on with rebuy=True (--rebuy) and pay for these rows again"
            )
        return job.moved(JobState.FAILED, at=self._clock.now(), error=reason)


def _candidates(wanted: Wanted, ordinal: int, label: JobLabel) -> list[PlannedJob]:
    """What the job may carry: the rows that its label names; without a label, those of the plans then and now."""
    parts = None if label.rows is None else parse_rows(label.rows)
    if parts is not None:
        chosen = choose(wanted.groups, wanted.missing, parts)
        return [] if chosen is None else [chosen]
    whole = wanted.whole()[ordinal : ordinal + 1]
    return [job for job in (*whole, *wanted.jobs) if _rows_of(job) <= _missing_rows(wanted)]


def _is_superseded(wanted: Wanted, ordinal: int, label: JobLabel) -> bool:
    """Whether the call has results for some of the job's rows already."""
    parts = None if label.rows is None else parse_rows(label.rows)
    if parts is None:
        return any(not _rows_of(job) <= _missing_rows(wanted) for job in wanted.whole()[ordinal : ordinal + 1])
    sizes = {number: group.n_rows for number, group in enumerate(wanted.groups)}
    is_there = all(int(rows.max()) < sizes.get(group, 0) for group, rows in parts)
    return is_there and not {(group, int(row)) for group, rows in parts for row in rows} <= _missing_rows(wanted)


def _missing_rows(wanted: Wanted) -> set[tuple[int, int]]:
    return {(part.group, int(row)) for part in wanted.missing for row in part.rows}


def _agree(submission: Submission, label: JobLabel) -> bool:
    """Whether a job's label fits this submission: its digest or, without one, its number of rows and of shots."""
    if label.digest is not None:
        return label.digest == submission.digest
    same_rows = label.n_rows is None or label.n_rows == submission.job.n_rows
    shots = submission.job.shots
    return same_rows and (label.shots is None or not shots or label.shots == shots)


def _rows_of(job: PlannedJob) -> set[tuple[int, int]]:
    return {(selection.group, int(row)) for selection in job.selections for row in selection.rows}
