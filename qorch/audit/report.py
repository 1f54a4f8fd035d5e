"""The report of a run: totals, phases that sum to the wall time, jobs by state, latencies."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from qorch.audit.advice import advise
from qorch.audit.money.report import MoneyReport, MoneySource, make_money
from qorch.audit.money.text import money_lines
from qorch.audit.phases import label_of
from qorch.audit.resolution import PERCENTS, describe, percentile_resolution, sources_of, wall_resolution
from qorch.audit.verification import anchor_json, anchor_lines, read_anchor
from qorch.errors import UnknownNameError
from qorch.model.backend_name import describe_mock, is_mock
from qorch.model.executions import CountsExecutions
from qorch.model.ledger import LedgerAnchor
from qorch.model.money import Money
from qorch.model.prices.card import PriceCard
from qorch.model.text import format_count, printable
from qorch.model.timing import ONCE, UNATTRIBUTED, Phase, Span, attribute
from qorch.model.usage import UsageTotals
from qorch.ports.records import RunRecord, SessionRecord, SpanRecord
from qorch.ports.store import Holders
from qorch.run.totals import count_executions, newest_metrics, state_now, total_usage

ASK_AGAIN = " (`qorch recover` asks again)"
"""What is said of usage that is pending."""


class ReportSource(MoneySource, Holders, Protocol):
    """What a report is read from."""


@dataclass(frozen=True)
class PhaseShare:
    """The part of the run's wall time that was spent on one thing: ``phase`` is its label, ``phase_id`` its id.

    ``resolution_seconds``: the true part differs by at most this; None if that was not estimated. ``sources``: whose
    observations its spans rest on beside this computer's clock (TimeSource).
    """

    phase_id: str
    phase: str
    seconds: float
    share: float
    resolution_seconds: float | None = None
    sources: tuple[str, ...] = ()

    @property
    def speedup_without(self) -> float | None:
        """How many times faster the run would be if this took no time; None if it takes all of it."""
        return 1.0 / (1.0 - self.share) if self.share < 1.0 else None


@dataclass(frozen=True)
class Percentiles:
    """How long something took, in seconds: in the median, in nine of ten cases, in 99 of 100."""

    p50: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Latency:
    """How long one phase took per job: ``phase`` is its label, ``phase_id`` its id.

    ``resolution_seconds`` and ``sources``: see PhaseShare; each of the three differs by at most this.
    """

    phase_id: str
    phase: str
    p50_seconds: float
    p90_seconds: float
    p99_seconds: float
    resolution_seconds: float | None = None
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report(CountsExecutions):
    """What a run came to; ``str()`` is the text, ``to_json()`` the document with stable keys.

    ``spend`` is what was spent so far, None if a price is unknown; ``money`` has all about it. The phases sum to
    ``wall_seconds``. ``executions``: of jobs that were done; ``executions_open``: of jobs that may be at a provider,
    and may be billed. ``jobs``: those that were sent or ran; ``jobs_unsent``: those that provably were not, or that a
    person released as such. ``usage``: what the provider reports that they were charged for. ``anchor``: of the
    database's whole ledger; None if it cannot be read. ``advice``: what would make it faster, as sentences.
    """

    run: RunRecord
    steps: int
    metrics: dict[str, float]
    executions: int
    executions_from_cache: int
    executions_open: int
    jobs: int
    jobs_unsent: int
    wall_seconds: float
    sessions: int
    money: MoneyReport
    phases: tuple[PhaseShare, ...]
    jobs_by_state: dict[str, int]
    latency: tuple[Latency, ...]
    step_seconds: Percentiles | None
    summary: dict[str, Any]
    usage: UsageTotals
    anchor: LedgerAnchor | None = None
    advice: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """The run's id, its state and its size; ``str()`` is the whole text."""
        return f"Report({self.run.run_id!r}, {self.run.state}, {self.steps} steps, {self.executions} executions)"

    @property
    def spend(self) -> Money | None:
        """What was spent so far; None if the price of a job is unknown."""
        return self.money.spend

    @property
    def rows_open(self) -> int:
        """The older name of ``executions_open``."""
        return self.executions_open

    def to_json(self) -> dict[str, Any]:
        """The document that ``qorch report --json`` prints; ``rows_executed`` and so on are older names."""
        return {
            "run": self.run.run_id,
            "name": self.run.name,
            "state": self.run.state,
            "workload": self.run.workload,
            "backend": self.run.backend,
            "is_mock": is_mock(self.run.backend),
            "seed": self.run.seed,
            "cache": self.run.cache,
            "steps": self.steps,
            "metrics": self.metrics,
            "weights_sha256": self.summary.get("weights_sha256"),
            "executions": self.executions,
            "executions_from_cache": self.executions_from_cache,
            "executions_open": self.executions_open,
            "rows_executed": self.rows_executed,
            "rows_from_cache": self.rows_from_cache,
            "rows_open": self.rows_open,
            "jobs": self.jobs,
            "jobs_unsent": self.jobs_unsent,
            "calls": self.summary.get("calls"),
            "calls_sessions": self.summary.get("calls_sessions"),
            "sessions": self.sessions,
            "wall_seconds": self.wall_seconds,
            "spend": None if self.spend is None else self.spend.to_json(),
            "reserved": None if self.money.is_mixed else self.money.reserved.to_json(),
            "money": self.money.to_json(),
            "usage": self.usage.to_json(),
            "ledger": anchor_json(self.anchor),
            "phases": [vars(part) | {"speedup_without": part.speedup_without} for part in self.phases],
            "jobs_by_state": self.jobs_by_state,
            "latency": [vars(part) for part in self.latency],
            "advice": list(self.advice),
            "step_seconds": None if self.step_seconds is None else vars(self.step_seconds),
        }

    def __str__(self) -> str:
        """The report as text for a terminal."""
        advice = ["What would help", *(f"  {line}" for line in self.advice)] if self.advice else []
        parts = (_head(self), money_lines(self.money), _phase_lines(self), _latency_lines(self), advice)
        return "\n\n".join("\n".join(part) for part in parts if part)

    def _repr_html_(self) -> str:
        """Pictures, for notebooks."""
        from qorch.audit.page.notebook import show_report

        return show_report(self)


def make_report(store: ReportSource, name_or_id: str, *, card: PriceCard | None = None) -> Report:
    """The report of a run. ``card``: the prices of its backend, if they are known; they tell what packing saved.

    Raises UnknownNameError if there is no such run.
    """
    run = store.find_run(name_or_id)
    if run is None:
        raise UnknownNameError(f"there is no run '{name_or_id}' in {store.location}; see `qorch runs`")
    steps = store.steps(run.run_id)
    jobs = store.jobs(run.run_id)
    spans = store.spans(run.run_id)
    sessions = store.sessions(run.run_id)
    wall_seconds, phases = _phases(sessions, spans)
    summary = json.loads(run.summary)
    count = count_executions(store, run.run_id)
    n_unsent = sum(job.is_unsent for job in jobs)
    return Report(
        run=replace(run, state=state_now(store, run)),
        steps=len(steps),
        metrics=newest_metrics(store.metrics(run.run_id)) | summary.get("metrics", {}),
        executions=count.executed,
        executions_from_cache=count.from_cache,
        executions_open=count.open,
        jobs=len(jobs) - n_unsent,
        jobs_unsent=n_unsent,
        wall_seconds=wall_seconds,
        sessions=len(sessions),
        money=make_money(store, run, jobs, from_cache=count.from_cache, card=card),
        phases=phases,
        jobs_by_state=dict(Counter(job.state.value for job in jobs)),
        latency=_latency(spans),
        step_seconds=_step_seconds(spans),
        summary=summary,
        usage=total_usage(run, jobs),
        anchor=read_anchor(store),
        advice=advise({part.phase_id: part.seconds for part in phases}, [job for job in jobs if not job.is_unsent]),
    )


def _phases(sessions: list[SessionRecord], spans: list[SpanRecord]) -> tuple[float, tuple[PhaseShare, ...]]:
    """Every session's wall time split up, and added over the sessions."""
    seconds: dict[str, float] = defaultdict(float)
    doubts: dict[str, float] = defaultdict(float)
    for session in sessions:
        own = [record.span for record in spans if record.session == session.ordinal]
        lengths = attribute(own, started_ns=0, ended_ns=session.wall_ns)
        for phase, length in lengths.items():
            seconds[phase] += length
        for phase, doubt in wall_resolution(own, lengths, started_ns=0, ended_ns=session.wall_ns).items():
            doubts[phase] += doubt
    wall = sum(session.wall_ns for session in sessions) / 1e9
    sources = sources_of(record.span for record in spans)
    return wall, tuple(
        PhaseShare(
            phase, label_of(phase), length, length / wall if wall else 0.0, doubts.get(phase), sources.get(phase, ())
        )
        for phase, length in seconds.items()
    )


def _step_seconds(spans: list[SpanRecord]) -> Percentiles | None:
    """From the first span of a step to its last: the loop's own time, the calls, and making it durable."""
    extents: dict[tuple[int, int], tuple[int, int]] = {}
    for record in spans:
        span, key = record.span, (record.session, record.span.step)
        if span.step >= 0:
            first, last = extents.get(key, (span.started_ns, span.ended_ns))
            extents[key] = (min(first, span.started_ns), max(last, span.ended_ns))
    if not extents:
        return None
    seconds = [(last - first) / 1e9 for first, last in extents.values()]
    return Percentiles(*(float(value) for value in np.percentile(seconds, PERCENTS)))


def _latency(spans: list[SpanRecord]) -> tuple[Latency, ...]:
    lengths: dict[Phase, list[float]] = defaultdict(list)
    doubts: dict[Phase, list[float | None]] = defaultdict(list)
    compiling: dict[int, list[Span]] = defaultdict(list)
    for record in spans:
        if record.span.phase is Phase.COMPILE:
            compiling[record.session].append(record.span)
    for record in spans:
        if record.span.job_id is not None:
            lengths[record.span.phase].append(_own_seconds(record.span, compiling[record.session]))
            doubts[record.span.phase].append(record.span.resolution_seconds)
    sources = sources_of(record.span for record in spans if record.span.job_id is not None)
    return tuple(
        _latency_of(phase, lengths[phase], doubts[phase], sources=sources.get(phase.value, ()))
        for phase in Phase
        if phase in lengths
    )


def _latency_of(
    phase: Phase, lengths: Sequence[float], doubts: Sequence[float | None], *, sources: tuple[str, ...]
) -> Latency:
    p50, p90, p99 = (float(value) for value in np.percentile(lengths, PERCENTS))
    return Latency(phase.value, label_of(phase), p50, p90, p99, percentile_resolution(lengths, doubts), sources)


def _own_seconds(span: Span, compiling: list[Span]) -> float:
    """The seconds of a job's span, without those in which kernels were compiled."""
    if span.phase is not Phase.EXECUTE or not compiling:
        return span.seconds
    return attribute([span, *compiling], started_ns=span.started_ns, ended_ns=span.ended_ns)[Phase.EXECUTE]


def _head(report: Report) -> list[str]:
    run = report.run
    asked = report.executions + report.executions_from_cache
    cached = f" ({report.executions_from_cache / asked:.0%} of {asked:,})" if asked else ""
    lines = [
        f"Run {printable(run.run_id)} ({run.state}): {printable(run.workload or run.name)} on"
        f" {printable(run.backend)}, seed {run.seed}",
        f"  {format_count(report.steps, 'step')}{_pace(report)} · {format_count(report.executions, 'execution')} in"
        f" {format_count(report.jobs, 'job')}"
        f" · {report.executions_from_cache:,} from the cache{cached}",
        f"  spend {report.spend or 'unknown'}{describe_mock(run.backend)}{_reserved(report.money)}"
        f" · wall time {report.wall_seconds:.2f} s"
        + (f" in {report.sessions} sessions" if report.sessions > 1 else ""),
    ]
    if str(report.usage):
        lines.append(f"  charged for: {report.usage}{ASK_AGAIN if report.usage.n_pending else ''}")
    lines += anchor_lines(report.anchor)
    if report.executions_open:
        lines.append(f"  {report.executions_open:,} more executions are in jobs that are open; see `qorch jobs`")
    if report.jobs_unsent:
        unsent = format_count(report.jobs_unsent, "more job")
        lines.append(f"  never sent: {unsent}, of which nothing ran, or is billed")
    if report.metrics:
        lines.append("  " + " · ".join(f"{printable(name)} {value:.4g}" for name, value in report.metrics.items()))
    lines += _call_lines(report)
    if not report.executions and report.executions_from_cache:
        lines.append("  Nothing was executed: every result came from the cache.")
    return lines


def _reserved(money: MoneyReport) -> str:
    return f" (and {money.reserved} reserved)" if money.reserved.micros and not money.is_mixed else ""


def _call_lines(report: Report) -> list[str]:
    """A session that was killed takes the number of its calls with it."""
    calls, known = report.summary.get("calls"), report.summary.get("calls_sessions", 0)
    if not calls:
        return []
    where = f" in {known} of {report.sessions} sessions" if known < report.sessions else ""
    return [f"  calls to the provider{where}: " + " · ".join(f"{count:,} {name}" for name, count in calls.items())]


def _pace(report: Report) -> str:
    return "" if report.step_seconds is None else f" ({report.step_seconds.p50 * 1e3:,.0f} ms in the median)"


def _phase_lines(report: Report) -> list[str]:
    lines = ["Where the wall time went"]
    seen = [part for part in report.phases if part.seconds > 0 or part.phase_id == UNATTRIBUTED]
    for part in sorted(seen, key=lambda item: -item.seconds):
        bar = "█" * round(part.share * 30)
        known = describe(part.resolution_seconds, part.sources)
        line = f"  {part.phase:<22}{part.seconds:>9.3f} s {part.share:>7.1%}  {bar}"
        lines.append(f"{line.rstrip()}  {known}" if known else line)
    total = sum(part.seconds for part in report.phases)
    lines.append(f"  {'total':<22}{total:>9.3f} s {sum(part.share for part in report.phases):>7.1%}")
    left = ", ".join(f"{gain:.2f}× from {phase}" for phase, gain in _gains(report.phases)[:3])
    if left:
        lines.append(f"  left to gain once it has started: at most {left}")
    return lines


def _gains(phases: Sequence[PhaseShare]) -> list[tuple[str, float]]:
    """How many times faster the run would be without each phase, largest first; without phases that occur once."""
    lasting = [part for part in phases if part.phase_id not in ONCE and part.seconds > 0]
    total = sum(part.seconds for part in lasting)
    return [
        (part.phase, total / (total - part.seconds))
        for part in sorted(lasting, key=lambda item: -item.seconds)
        if part.seconds < total
    ]


def _latency_lines(report: Report) -> list[str]:
    if not report.latency:
        return ["  no job was executed"]
    return [
        f"  {'per job':<22}{'p50':>10}{'p90':>10}{'p99':>10}",
        *(
            f"  {part.phase:<22}{part.p50_seconds * 1e3:>7.1f} ms"
            f"{part.p90_seconds * 1e3:>7.1f} ms{part.p99_seconds * 1e3:>7.1f} ms"
            f"  {describe(part.resolution_seconds, part.sources)}".rstrip()
            for part in report.latency
        ),
    ]
