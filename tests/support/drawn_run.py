"""Writes a run of many jobs at a provider into a store, as a training of hours would have left it."""

import datetime
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from qorch.model.identity import Position
from qorch.model.job import AttemptOutcome, JobState
from qorch.model.ledger import EntryKind, LedgerRecord
from qorch.model.timing import Phase, Span, TimeSource
from qorch.ports.records import (
    AttemptRecord,
    JobRecord,
    MetricRecord,
    RunRecord,
    SessionRecord,
    SpanRecord,
    StepRecord,
    Write,
)
from qorch.ports.store import RecordLog

NOON = datetime.datetime(2026, 11, 20, 12, tzinfo=datetime.UTC)
_PHASES = (
    (Phase.PACE, 1.0, None), (Phase.ENCODE, 0.01, None), (Phase.CONNECT, 0.03, None), (Phase.SERVER, 0.2, None),
    (Phase.QUEUE, 4.0, TimeSource.PROVIDER), (Phase.EXECUTE, 2.0, TimeSource.PROVIDER),
    (Phase.POLL, 0.4, TimeSource.POLLS), (Phase.TRANSFER, 0.1, None), (Phase.DECODE, 0.004, None),
    (Phase.STORE, 0.02, None),
)  # fmt: skip


def write_run(store: RecordLog, run_id: str, *, steps: int, jobs_per_step: int, name: str = "", text: str = "") -> None:
    """A paid run in two sessions; ``text`` stands wherever a user, program or provider can put one."""
    run = RunRecord(
        run_id, name or "cats-vs-dogs", f"ionq:qpu.forte-1{text}", 7, "resume", NOON, "cats-vs-dogs",
        budget_micros=steps * jobs_per_step * 60_000, currency="USD", charges=True,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    writes: list[Write] = [run, *_sessions(run_id, steps)]
    for step in range(steps):
        writes += _step(run_id, step, steps=steps, jobs=jobs_per_step, rng=rng, text=text)
        if len(writes) > 20_000:
            store.write(writes)
            writes = []
    writes.append(replace(run, state="done"))
    store.write(writes).result()


def _sessions(run_id: str, steps: int) -> list[SessionRecord]:
    length = 10 * 10**9
    first = steps * 2 // 3
    later = NOON + datetime.timedelta(seconds=first * 10 + 3_600)
    return [
        SessionRecord(run_id, 0, 1, "host", NOON, first * length),
        SessionRecord(run_id, 1, 2, "host", later, (steps - first) * length),
    ]


def _step(run_id: str, step: int, *, steps: int, jobs: int, rng: np.random.Generator, text: str) -> Iterator[Write]:
    first = steps * 2 // 3
    session = int(step >= first)
    own_step = step - first * session
    started_at = NOON + datetime.timedelta(seconds=(first * 10 + 3_600) * session + own_step * 10)
    ended_at = started_at + datetime.timedelta(seconds=9.8)
    begin_ns = own_step * 10 * 10**9
    for index in range(jobs):
        yield from _job(run_id, step, index, session=session, begin_ns=begin_ns, at=started_at, rng=rng, text=text)
    yield SpanRecord(run_id, session, Span(Phase.MODEL, begin_ns + 9 * 10**9, begin_ns + 98 * 10**8, step))
    yield StepRecord(run_id, step, session, ended_at, jobs * 64, jobs * 16 * (step % 3 == 0), started_at, step // 10)
    loss = 0.7 * math.exp(-3.0 * step / steps) + 0.05 + 0.03 * float(rng.standard_normal())
    yield MetricRecord(run_id, step, 0, f"loss{text}", loss, ended_at)
    if step % 10 == 9:
        accuracy = 1 - 0.5 * math.exp(-2.5 * step / steps)
        yield MetricRecord(run_id, step, 1, "test_accuracy", accuracy, ended_at)


def _job(
    run_id: str, step: int, index: int, *, session: int, begin_ns: int, at: datetime.datetime,
    rng: np.random.Generator, text: str,
) -> Iterator[Write]:  # fmt: skip
    job_id = f"{run_id}/{step}.0.{index}"
    state = JobState.FAILED if (step * 31 + index) % 97 == 3 else JobState.DONE
    is_refused = (step * 17 + index) % 23 == 5
    job = JobRecord(
        job_id, run_id, Position(step, 0), state, 64, 1024, at, provider_id=f"p-{step}-{index}{text}",
        attempts=1 + is_refused, error=f"the device was recalibrated{text}" if state is JobState.FAILED else None,
    )  # fmt: skip
    yield job
    if is_refused:
        error = f"429: too many requests{text}"
        yield AttemptRecord(job_id, 1, f"{job_id}-1", at, AttemptOutcome.REFUSED, error)
    yield AttemptRecord(job_id, 1 + is_refused, f"{job_id}-2", at, AttemptOutcome.ACCEPTED)
    moment = begin_ns + int(rng.exponential(0.3) * 1e9)
    for phase, mean, source in _PHASES:
        length = int(min(rng.lognormal(math.log(mean * 0.5), 0.5), mean) * 1e9)
        resolution = None if source is None else 500_000_000
        yield SpanRecord(run_id, session, Span(phase, moment, moment + length, step, 0, job_id, resolution, source))
        moment += length
    settled_at = at + datetime.timedelta(seconds=9)
    yield LedgerRecord(run_id, job_id, EntryKind.RESERVED, "USD", 60_000, at, "acc", at.date(), step, 0, 64, text)
    if state is JobState.FAILED:
        yield LedgerRecord(run_id, job_id, EntryKind.RELEASED, "USD", 60_000, settled_at, "acc", at.date(), step, 1, 64)
    else:
        yield LedgerRecord(run_id, job_id, EntryKind.SPENT, "USD", 50_000, settled_at, "acc", at.date(), step, 1, 64)
        yield LedgerRecord(run_id, job_id, EntryKind.RELEASED, "USD", 10_000, settled_at, "acc", at.date(), step, 1, 64)
