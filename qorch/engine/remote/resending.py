"""Sends jobs again that an earlier process left in doubt, when their run comes to them while the provider remembers."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import numpy as np

from qorch.engine.remote.payloads import Encoded, Payloads
from qorch.engine.remote.reconcile import Reconciler
from qorch.engine.remote.recovery import LeftJob, Recovery
from qorch.engine.remote.sender import Sender
from qorch.engine.remote.sending import Sending
from qorch.engine.submission import Submission
from qorch.engine.submitter import Wanted
from qorch.engine.worker import Compute, Worker
from qorch.errors import InvalidResultError, JobFailedError, UnknownOutcomeError
from qorch.model.identity import job_ordinal
from qorch.model.job import JobResult
from qorch.planning.packing import choose
from qorch.ports.records import AttemptRecord, JobPlan

Carry = Callable[[Sending, Compute], Awaitable[JobResult]]
"""Gets a job accepted, waits for it, and records its results."""


class Resender:
    """Sends a job again under its key if the same bytes come of the rows that the program has at its position now.

    The answer settles what became of the first submission. Everything else stays held: also if the job cannot be sent
    again, it may be at the provider. No list has shown it after the settle time, so that a second job could be made
    only if the list was wrong and this machine's clock, too, says that the provider still remembers.
    """

    def __init__(
        self, *, recovery: Recovery, reconciler: Reconciler, payloads: Payloads, sender: Sender, worker: Worker
    ) -> None:
        """Nothing is sent before ``settle``."""
        self._recovery = recovery
        self._reconciler = reconciler
        self._payloads = payloads
        self._sender = sender
        self._worker = worker

    async def settle(self, wanted: Wanted, carry: Carry) -> bool:
        """Send what is in doubt of a call again, and wait for the results; False if nothing is.

        The caller looks its results up again. Raises UnknownOutcomeError if a job stays held, and what its answers
        raise, after the end of all others.
        """
        left = self._recovery.take_resendable(wanted.position)
        ended = await asyncio.gather(*(self._settle(wanted, job, carry) for job in left), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error
        return bool(left)

    async def _settle(self, wanted: Wanted, left: LeftJob, carry: Carry) -> None:
        submission = _match(wanted, left)
        if submission is None:
            raise self._held(left, "the program has other rows at its place now")
        compute = self._worker.for_call(submission.job.n_rows)
        try:
            await self._payloads.prepare(submission, compute)
            encoded = self._payloads.find(submission.job_id)
            if not has_sent(encoded, left.attempts):
                raise self._held(left, "its payload would be another one now, of another version or other options")
            await carry(self._sender.begin_again(submission, left.job, left.attempts), compute)
        except UnknownOutcomeError:
            raise
        except (JobFailedError, InvalidResultError):
            self._recovery.settled(left.job)  # its end is recorded; its rows are missing, and run as another job
        else:
            self._recovery.settled(left.job)
        finally:
            self._payloads.forget(submission.job_id)

    def _held(self, left: LeftJob, because: str) -> UnknownOutcomeError:
        return self._reconciler.held(left.job, left.attempts[-1], because=because)


def has_sent(encoded: Encoded, attempts: Sequence[AttemptRecord]) -> bool:
    """Whether all attempts at a job had this key, and these bytes."""
    return {(attempt.key, attempt.payload_digest) for attempt in attempts} == {(encoded.key, encoded.digest)}


def _match(wanted: Wanted, left: LeftJob) -> Submission | None:
    """The job as it was planned, of the rows that the program has now; None if they are others, or not missing."""
    plan = left.plan
    if plan is None or not _has_same_rows(wanted, plan):
        return None
    parts = [(block.rows.group, block.rows.indices.astype(np.int64)) for block in plan.blocks]
    job = choose(wanted.groups, wanted.missing, parts)
    if job is None:
        return None
    bought = {block.rows.group: block.rows.context for block in plan.blocks}
    # The device's contexts of then are a part of the payload, and true of the results.
    contexts = tuple(bought.get(group, context) for group, context in enumerate(wanted.contexts))
    return Submission(wanted.run_id, wanted.position, job_ordinal(left.job.job_id), job, wanted.groups, contexts)


def _has_same_rows(wanted: Wanted, plan: JobPlan) -> bool:
    for block in plan.blocks:
        rows = block.rows
        if rows.group >= len(wanted.groups) or int(rows.indices.max()) >= wanted.groups[rows.group].n_rows:
            return False
        if not np.array_equal(wanted.groups[rows.group].keys[rows.indices.astype(np.int64)], rows.keys):
            return False
    return True
