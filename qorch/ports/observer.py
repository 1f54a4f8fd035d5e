"""What happens in a run, one frozen value an event, and the contract of what is told of it."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qorch.model.ledger import LedgerRecord
from qorch.ports.progress import Progress
from qorch.ports.provider_sessions import ProviderSessionRecord
from qorch.ports.records import (
    AttemptRecord,
    JobRecord,
    MetricRecord,
    QueueMove,
    RunMove,
    RunRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
    UsageRecord,
)


@dataclass(frozen=True)
class RunStart:
    """A session of a run begins; always the first event. A run that cannot be opened then has no other one.

    ``origin_at``: the moment from which the times of the session's spans count (see SpanRecord).
    """

    run: RunRecord
    session: SessionRecord
    origin_at: datetime.datetime
    is_resumed: bool = False

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id


@dataclass(frozen=True)
class Refusal:
    """A call of which nothing was sent, as a budget does not cover it. ``error``: the class of the error that ends it.

    Jobs that a provider refuses have an AttemptRecord with the outcome REFUSED.
    """

    run_id: str
    error: str
    text: str
    refused_at: datetime.datetime


@dataclass(frozen=True)
class Notice:
    """Trouble that the run waits for, such as a server that cannot be reached, or that its observer should know of."""

    run_id: str
    text: str
    noticed_at: datetime.datetime


Event = (
    RunStart
    | SessionRecord
    | StepRecord
    | MetricRecord
    | JobRecord
    | QueueMove
    | AttemptRecord
    | UsageRecord
    | LedgerRecord
    | SpanRecord
    | ProviderSessionRecord
    | RunMove
    | Progress
    | Refusal
    | Notice
)

WRITTEN_EVENTS = frozenset(
    {
        SessionRecord,
        StepRecord,
        MetricRecord,
        JobRecord,
        QueueMove,
        AttemptRecord,
        UsageRecord,
        LedgerRecord,
        SpanRecord,
        ProviderSessionRecord,
        RunMove,
    }
)
"""The records that are events. Results, payloads, checkpoints and claims are not: they hold arrays and users' data."""


class Observer(Protocol):
    """Is told what happens in a run, in the order in which it is written down.

    It is called in a thread of its own, one call after the other, so that it neither holds up the run nor needs locks
    against itself; one that observes several runs has a thread for each. An error ends neither the run nor the
    observer, unless one call after the other fails; KeyboardInterrupt interrupts the program as Ctrl-C does. One that
    is slower than the run for long loses the oldest events, and is told how many in a Notice.
    """

    def observe(self, events: Sequence[Event]) -> None:
        """Take the next events. A record was handed to the store, and may be written again, as a job that moves."""
        ...

    def close(self) -> None:
        """The run is over: nothing more is told. Called once, in the same thread."""
        ...
