"""What a run came to over all its sessions: every execution counted once, however often it was replayed."""

import datetime
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from qorch.engine.recorder import Recorder, Totals
from qorch.model.identity import Position
from qorch.model.job import OPEN_STATES, JobState
from qorch.model.ledger import LedgerBalance
from qorch.model.money import NOTHING, Money
from qorch.model.prices.card import PriceCard
from qorch.model.usage import UsageTotals, sum_usage
from qorch.ports.records import JobRecord, MetricRecord, RunRecord, RunState, SessionRecord, StepRecord
from qorch.ports.store import Holders, Jobs, RunHistory, Runs

INTERRUPTED = "interrupted"
"""What is said of a run that is stored as running, and that no process works on: it was killed."""


@dataclass(frozen=True)
class ExecutionCount:
    """Executions of a run: in finished jobs, taken from the cache, and in jobs that are still open.

    ``from_cache`` is a lower bound after several sessions with calls outside of steps.
    """

    executed: int
    from_cache: int
    open: int


def count_executions(store: RunHistory, run_id: str) -> ExecutionCount:
    """The executions of a run."""
    by_state = store.executions_by_state(run_id)
    sessions = store.sessions(run_id)
    executed = by_state.get(JobState.DONE, 0)
    return ExecutionCount(
        executed=executed,
        from_cache=_from_cache(store, sessions, executed=executed),
        open=sum(by_state.get(state, 0) for state in OPEN_STATES),
    )


def _from_cache(store: Runs, sessions: list[SessionRecord], *, executed: int) -> int:
    """The best of three lower bounds, of which one is exact in every usual case. The view run_overview says the same.

    The first session replays nothing. All that a session asked for, and the run never bought, was from the cache,
    which is everything if each session began anew. Steps are stored without what the run had bought before.
    """
    if not sessions:
        return 0
    asked = max(session.executions + session.executions_from_cache for session in sessions)
    bounds = [sessions[0].executions_from_cache, asked - executed]
    if len(sessions) > 1:
        bounds.append(sum(step.executions_from_cache for step in store.steps(sessions[0].run_id)))
    return max(bounds)


@dataclass(frozen=True)
class MoneyTotals:
    """What a run's jobs have spent so far, and what is reserved for those that are not settled; None: not known."""

    spent: Money | None = None
    reserved: Money | None = None


def total_money(run: RunRecord, balances: Iterable[LedgerBalance], *, card: PriceCard | None = None) -> MoneyTotals:
    """The money of a run. It is not known if the backend charges and nothing is booked, or in several currencies.

    ``card``: the prices by which the run books, if it is at work; then nothing booked is nothing spent.
    """
    own = [balance for balance in balances if balance.run_id == run.run_id]
    currencies = {balance.currency for balance in own}
    if not currencies and card is not None and card.is_known:
        return MoneyTotals(Money(card.currency, 0), Money(card.currency, 0))
    if len(currencies) != 1:
        return MoneyTotals() if currencies or run.may_charge else MoneyTotals(NOTHING, NOTHING)
    [currency] = currencies
    spent, reserved = (sum(getattr(balance, f"{name}_micros") for balance in own) for name in ("spent", "reserved"))
    return MoneyTotals(Money(currency, spent), Money(currency, reserved))


def total_usage(run: RunRecord, jobs: Iterable[JobRecord]) -> UsageTotals:
    """What a run's jobs were charged for, as the provider reports it; nothing if its backend is free."""
    return sum_usage(job.usage for job in jobs if run.may_charge and job.provider_id is not None)


def session_so_far(session: SessionRecord, recorder: Recorder, *, used_settings: str) -> SessionRecord:
    """The session as it is now."""
    return replace(
        session,
        wall_ns=recorder.elapsed_ns(),
        executions=recorder.totals.executions,
        executions_from_cache=recorder.totals.executions_from_cache,
        used_settings=used_settings,
    )


def finished_step(
    session: SessionRecord, step: int, *, begun_at: datetime.datetime, ended_at: datetime.datetime, done: Totals
) -> StepRecord:
    """The record of a step that a session has just finished."""
    return StepRecord(
        run_id=session.run_id,
        step=step,
        session=session.ordinal,
        ended_at=ended_at,
        executions=done.executions,
        executions_from_cache=done.executions_from_cache,
        begun_at=begun_at,
    )


def newest_metrics(metrics: Sequence[MetricRecord]) -> dict[str, float]:
    """The newest value of every name."""
    return {metric.name: metric.value for metric in metrics}


def credit_bought(record: StepRecord, store: Jobs, *, calls: int) -> StepRecord:
    """A replayed step of some calls: what an earlier session of the run bought for it does not count as from the cache.

    Everything of the step must be durable.
    """
    asked = record.executions + record.executions_from_cache
    executed = min(asked, executions_bought(store, record.run_id, step=record.step, calls=calls))
    return replace(record, executions=executed, executions_from_cache=asked - executed)


def executions_bought(store: Jobs, run_id: str, *, step: int, calls: int) -> int:
    """The executions of all jobs that were done for the first calls of a step, in whatever session."""
    jobs = [job for call in range(calls) for job in store.jobs_at(run_id, Position(step, call))]
    return sum(job.n_executions for job in jobs if job.state is JobState.DONE)


def add_session(summary: str, *, own: str | None, calls: Mapping[str, int] | None) -> str:
    """A run's summary after one more session: its figures replace the earlier ones, its calls are added.

    ``calls``: how many requests the session sent, by purpose; None on a backend of this machine.
    """
    before = json.loads(summary)
    after = before | json.loads(own or "{}")
    if calls is not None:
        after["calls"] = dict(Counter(before.get("calls") or {}) + Counter(calls))
        after["calls_sessions"] = before.get("calls_sessions", 0) + 1
    return json.dumps(after)


def state_now(store: Holders, run: RunRecord) -> str:
    """The state of a run: as stored, but INTERRUPTED if it is stored as running and its process has died."""
    if run.state != RunState.RUNNING or store.holder_of(run.run_id):
        return run.state
    return INTERRUPTED


def may_have_paid(store: RunHistory, run: RunRecord) -> bool:
    """Whether a run has ledger entries, or jobs that may have been accepted by a backend not known to be free."""
    if store.ledger(run.run_id):
        return True
    return run.may_charge and any(job.may_be_billed for job in store.jobs(run.run_id))
