"""Makes a latency profile from the history of runs: what was measured there, and how often something went wrong."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from qorch.errors import UsageError
from qorch.model.arrays import FloatArray
from qorch.model.backend_name import stem_of
from qorch.model.job import AttemptOutcome, JobState
from qorch.model.latency import Latency
from qorch.model.profiles.profile import FaultFigures, Profile, ShareFigure, TimeFigure
from qorch.model.text import format_count
from qorch.model.timing import Phase
from qorch.ports.records import AttemptRecord, JobRecord, RunRecord, SpanRecord

_SHORTEST_SECONDS = 1e-4
"""What is measured as less counts as this: a logarithm needs a number above 0."""
_ONE_SIGMA = 0.841345
"""The share of a normal distribution up to one standard deviation above its mean."""
_DIGITS = 4
"""Significant digits of a learned figure: its last ones are noise."""


class MeasuredHistory(Protocol):
    """What is read of a store."""

    def spans(self, run_id: str) -> list[SpanRecord]:
        """See Runs."""
        ...

    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """See Jobs."""
        ...

    def attempts(self, job_id: str) -> list[AttemptRecord]:
        """See Jobs."""
        ...


@dataclass(frozen=True)
class Measurements:
    """Seconds by phase and job, of jobs that a provider accepted, and what became of these and of all submissions.

    ``fetch_calls``: requests that fetched results, of the runs that counted them.
    """

    seconds: Mapping[Phase, Mapping[str, float]]
    executions: Mapping[str, int]
    states: Counter[JobState]
    attempts: Counter[AttemptOutcome]
    fetch_calls: int

    @property
    def calls_per_fetch(self) -> float:
        """At least 1."""
        return max(1.0, self.fetch_calls / max(1, len(self.seconds[Phase.TRANSFER])))


def learn_profile(store: MeasuredHistory, runs: Sequence[RunRecord], base: Profile) -> Profile:
    """The profile of the backend that these runs were on; what was not measured there is taken from ``base``.

    Raises UsageError for runs on different backends, or without a job at a provider.
    """
    stems = list(dict.fromkeys(stem_of(run.backend) for run in runs))
    if len(stems) != 1:
        raise UsageError(f"the runs were on {' and '.join(stems)}; give runs of one backend")
    found = read_measurements(store, runs)
    if not found.states:
        names = ", ".join(run.run_id for run in runs)
        raise UsageError(f"no job of {names} was at a provider, so that there is nothing to learn: give other runs")
    return replace(
        base,
        name="learned",
        description=f"learned from {format_count(len(runs), 'run')} on {stems[0]}",
        backends=tuple(stems),
        latencies=replace(base.latencies, **_learn_latencies(found)),
        faults=_learn_faults(found, base.faults),
        origin="",
    )


def read_measurements(store: MeasuredHistory, runs: Iterable[RunRecord]) -> Measurements:
    """What was measured of these runs' jobs."""
    seconds: dict[Phase, dict[str, float]] = {phase: {} for phase in Phase}
    executions: dict[str, int] = {}
    states, outcomes, fetch_calls = Counter[JobState](), Counter[AttemptOutcome](), 0
    for run in runs:
        fetch_calls += (json.loads(run.summary).get("calls") or {}).get("fetch", 0)
        for job in store.jobs(run.run_id):
            outcomes.update(attempt.outcome for attempt in store.attempts(job.job_id))
            if job.provider_id is not None:
                states[job.state] += 1
                executions[job.job_id] = job.n_executions
        for record in store.spans(run.run_id):
            span = record.span
            if span.job_id in executions:
                seconds[span.phase][span.job_id] = span.seconds
    return Measurements(seconds, executions, states, outcomes, fetch_calls)


def _learn_latencies(found: Measurements) -> dict[str, TimeFigure]:
    """The figures that were measured. A call alone is not: each submission takes at least one, each fetch some."""
    figures: dict[str, TimeFigure] = {}
    submits, fetches = (np.array([*found.seconds[phase].values()]) for phase in (Phase.SUBMIT, Phase.TRANSFER))
    trips = np.concatenate([submits, fetches / found.calls_per_fetch])
    if len(trips):
        network = float(trips.min())
        figures["network"] = TimeFigure(
            Latency("constant", _rounded(network)),
            "measured: the shortest submission, or request of a fetch",
            len(trips),
        )
        figures["acceptance"] = _fit(submits - network, "submissions, less that call")
        figures["result"] = _fit(fetches - network, "fetches, less that call")
    figures["queue"] = _fit(np.array([*found.seconds[Phase.QUEUE].values()]), "from acceptance to begin")
    figures |= _learn_execution(found)
    return {name: figure for name, figure in figures.items() if figure.observations}


def _learn_execution(found: Measurements) -> dict[str, TimeFigure]:
    """What a job takes, and what each of its executions adds, if the jobs are of different sizes.

    Shots are not told apart from executions, which mostly have the same number of them.
    """
    measured = found.seconds[Phase.EXECUTE]
    seconds = np.array([*measured.values()])
    if not len(seconds):
        return {}
    sizes = np.array([found.executions[job_id] for job_id in measured], dtype=float)
    each = _slope(sizes, seconds)
    source = "least squares of execution over executions" if each else "jobs of one size: not told apart"
    zero = Latency()
    return {
        "execution": _fit(seconds - each * sizes, "execution" + (", less that of its executions" if each else "")),
        "per_execution": TimeFigure(Latency("constant", _rounded(each)) if each else zero, source, len(seconds)),
        "per_shot": TimeFigure(zero, "in per_execution" if each else "in execution", len(seconds)),
    }


def _slope(sizes: FloatArray, seconds: FloatArray) -> float:
    """Seconds that each execution adds; 0 if that cannot be told. Never so much that a job would take less than 0."""
    spread = sizes - sizes.mean()
    if len(sizes) < 3 or not spread.any():
        return 0.0
    slope = float(spread @ (seconds - seconds.mean()) / (spread @ spread))
    return min(max(0.0, slope), float((seconds / np.maximum(sizes, 1.0)).min()))


def _fit(seconds: FloatArray, source: str) -> TimeFigure:
    """A lognormal distribution with the median of what was measured, and its spread above; of equal values, a constant.

    Below the median, what is left of a call may be next to nothing, which would make the spread of the logarithms huge.
    """
    if not len(seconds):
        return TimeFigure()
    positive = np.maximum(seconds, _SHORTEST_SECONDS)
    middle, above = np.quantile(positive, (0.5, _ONE_SIGMA))
    median, sigma = _rounded(float(middle)), _rounded(float(np.log(above / middle)))
    latency = Latency("lognormal", median, sigma) if sigma else Latency("constant", median)
    return TimeFigure(latency, f"measured: {source}", len(seconds))


def _learn_faults(found: Measurements, base: FaultFigures) -> FaultFigures:
    n_attempts, n_jobs = sum(found.attempts.values()), sum(found.states.values())
    if not n_attempts:
        return base
    return replace(
        base,
        busy=_share(found.attempts[AttemptOutcome.REFUSED], n_attempts, "submissions that were refused"),
        lost_before=_share(found.attempts[AttemptOutcome.UNANSWERED], n_attempts, "submissions that were sent again"),
        failed=_share(found.states[JobState.FAILED], n_jobs, "jobs that failed"),
    )


def _share(count: int, total: int, what: str) -> ShareFigure:
    return ShareFigure(_rounded(count / total), f"measured: {what}", total)


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")
