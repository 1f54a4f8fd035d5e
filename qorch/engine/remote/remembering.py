"""Providers that remember keys: for how long a job that is in doubt may be sent again, and since when that counts."""

from collections.abc import Sequence

from qorch.model.job import AttemptOutcome
from qorch.ports.policy import Terms
from qorch.ports.records import AttemptRecord

REMEMBERED_SHARE = 0.8
"""Of the time for which a provider remembers a key: a resend that leaves later may arrive too late."""


def seconds_left(terms: Terms, *, age_seconds: float) -> float:
    """For how long a job may still be sent again that was first sent so long ago; 0 if the age is negative.

    An age is negative if the wall clock was set back, and then tells nothing.
    """
    return 0.0 if age_seconds < 0 else max(0.0, REMEMBERED_SHARE * terms.remembers_keys_seconds - age_seconds)


def first_in_doubt(attempts: Sequence[AttemptRecord]) -> AttemptRecord | None:
    """The first attempt of a job that the provider may have accepted.

    None if an attempt was accepted, or if the bytes that were sent are not known: the job is then not sent again.
    """
    sent = [
        attempt
        for attempt in attempts
        if attempt.outcome not in (AttemptOutcome.REFUSED, AttemptOutcome.WITHDRAWN, AttemptOutcome.FAILED)
    ]
    outcomes = {attempt.outcome for attempt in sent}
    is_certain = bool(outcomes - {AttemptOutcome.INTENT, AttemptOutcome.UNANSWERED})
    if not sent or is_certain or any(attempt.payload_digest is None for attempt in sent):
        return None
    return sent[0]
