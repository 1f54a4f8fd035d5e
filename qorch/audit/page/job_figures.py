"""The jobs of a run over time: when each waited, ran and came back; how many at once; how many executions came back."""

from dataclasses import replace

import numpy as np

from qorch.audit.page.gantt import MOST_HEIGHT, draw_gantt
from qorch.audit.page.job_times import ACTIVITY_LABELS, JobActivity, PlacedJobs, seconds_by_job
from qorch.audit.page.pictures import WIDTHS, Figure, FigureTable
from qorch.audit.page.reduction import mean_open, sample
from qorch.audit.page.run_time import RunTime
from qorch.audit.page.scales import format_clock, format_number, format_seconds
from qorch.audit.page.strips import Strip, StripAxis, StripLine, draw_strips
from qorch.model.arrays import FloatArray
from qorch.model.job import JobState

MOST_LANES = 120
_BINS = 160
_COARSE_BINS = 80
_MOST_ROWS = 40
_IN_A_ROW = 40
_SAMPLED_HEIGHT = 200
_LONG_BEFORE = 0.1
"""Of the run: so much of it without a job is left out at its begin."""


def gantt_figures(times: PlacedJobs, axis: RunTime) -> tuple[Figure, ...]:
    """Jobs, one lane each, in the order of their begin: evenly taken of all, and of very many some in a row."""
    count = len(times.jobs)
    if not count:
        return ()
    chosen = sample(count, MOST_LANES)
    height = MOST_HEIGHT if len(chosen) == count else _SAMPLED_HEIGHT
    shared = _job_axis(times, axis)
    lengths = times.ends - times.begins
    whole = Figure(
        name="gantt",
        title="Jobs, from their begin to their end",
        summary=f"{count:,} jobs in {format_seconds(axis.seconds)}; the longest took"
        f" {format_seconds(float(lengths.max()))}, half of them less than {format_seconds(float(np.median(lengths)))}.",
        pictures=tuple(draw_gantt(times, chosen, shared, width=width, most_height=height) for width in WIDTHS),
        table=_gantt_table(times, chosen.tolist()),
        note="" if len(chosen) == count else f"Shown are {len(chosen)} of {count:,} jobs, evenly taken in the order of"
        " their begin; throughput and jobs at once, below, count all of them.",
        axis="y",
    )  # fmt: skip
    return (whole,) if len(chosen) == count else (whole, _closer_look(times, axis))


def _job_axis(times: PlacedJobs, axis: RunTime) -> StripAxis:
    """Of the whole run, but for a long time before its first job, such as that of imports."""
    first = float(times.begins[0])
    whole = _whole_axis(axis)
    if first < _LONG_BEFORE * axis.seconds:
        return whole
    last = float(times.ends.max())
    borders = tuple(border for border in whole.borders if border > first)
    return replace(whole, low=first, high=last, format=format_clock, borders=borders)


def _closer_look(times: PlacedJobs, axis: RunTime) -> Figure:
    """Jobs in a row from the middle of the run."""
    first = (len(times.jobs) - _IN_A_ROW) // 2
    chosen = np.arange(first, first + _IN_A_ROW)
    low, high = float(times.begins[chosen].min()), float(times.ends[chosen].max())
    borders = tuple(border for border in axis.borders.tolist() if low < border < high)
    shared = StripAxis(low, high, "", format_clock, is_time=True, borders=borders)
    return Figure(
        name="gantt-closer",
        title=f"A closer look: {_IN_A_ROW} jobs in a row, from the middle of the run",
        summary=f"Jobs {first + 1:,} to {first + _IN_A_ROW:,} of {len(times.jobs):,}, in {format_seconds(high - low)}.",
        pictures=tuple(draw_gantt(times, chosen, shared, width=width) for width in WIDTHS),
        table=_gantt_table(times, chosen.tolist()),
        axis="y",
    )


def _whole_axis(axis: RunTime) -> StripAxis:
    return StripAxis(
        0.0, axis.seconds, "seconds of the run's sessions", format_seconds, is_time=True,
        borders=tuple(axis.borders.tolist()),
    )  # fmt: skip


def load_figure(times: PlacedJobs, axis: RunTime) -> Figure | None:
    """Executions that came back in a second, and jobs at once by what they were doing; None without jobs."""
    if not times.jobs or not axis.seconds:
        return None
    edges = np.linspace(0.0, axis.seconds, _BINS + 1)
    rate_edges = edges[:: _BINS // _COARSE_BINS]
    rate = _throughput(times, rate_edges)
    strips = [_stairs("executions per second", rate_edges, rate, "executions")]
    at_once = {each.activity: mean_open(each.starts, each.ends, edges) for each in times.activities}
    for activity, means in at_once.items():
        heading = f"jobs {ACTIVITY_LABELS[activity]}"
        strips.append(_stairs(heading, edges, means, activity.value))
    shared = _whole_axis(axis)
    busiest = at_once.get(JobActivity.EXECUTION, at_once.get(JobActivity.AWAY, np.zeros(1)))
    return Figure(
        name="load",
        title="Throughput, and jobs at once",
        summary=f"Executions that came back in a second: at most {_rounded(rate)};"
        f" jobs that were executed at once: at most {_rounded(busiest)}.",
        pictures=tuple(draw_strips(strips, shared, width=width) for width in WIDTHS),
        table=_load_table(rate_edges, rate, {key: value.reshape(-1, 2).mean(axis=1) for key, value in at_once.items()}),
        note=f"All {len(times.jobs):,} jobs; executions per second are means over {_width(rate_edges)},"
        f" jobs at once over {_width(edges)}.",
        axis="x",
    )


def _throughput(times: PlacedJobs, edges: FloatArray) -> FloatArray:
    """Executions of finished jobs per second, by the time at which the job's last phase ended: ``(B,)``."""
    amounts = [job.n_executions if job.state is JobState.DONE else 0 for job in times.jobs]
    sums, _ = np.histogram(times.ends, bins=edges, weights=amounts)
    rate: FloatArray = sums / np.diff(edges)
    return rate


def _stairs(heading: str, edges: FloatArray, values: FloatArray, style: str) -> Strip:
    line = StripLine(np.repeat(edges, 2)[1:-1], np.repeat(values, 2), style, is_filled=True)
    return Strip(heading, (line,), style, height=56, figure=f"at most {_rounded(values)}", begins_at_zero=True)


def _rounded(values: FloatArray) -> str:
    most = float(values.max())
    return f"{most:,.0f}" if most >= 100 else f"{most:.3g}"


def _width(edges: FloatArray) -> str:
    return format_seconds(float(edges[1] - edges[0]))


def _gantt_table(times: PlacedJobs, chosen: list[int]) -> FigureTable:
    seconds = [(each.activity, seconds_by_job(each, len(times.jobs))) for each in times.activities]
    rows = [
        (
            times.jobs[place].job_id, times.jobs[place].state.value, f"{times.jobs[place].n_executions:,}",
            format_seconds(float(times.begins[place])), format_seconds(float(times.ends[place] - times.begins[place])),
            *(format_seconds(float(each[place])) if each[place] else "–" for _, each in seconds),
        )
        for place in chosen
    ]  # fmt: skip
    columns = (
        "job",
        "state",
        "executions",
        "began at",
        "took",
        *(ACTIVITY_LABELS[activity] for activity, _ in seconds),
    )
    places = (np.arange(len(chosen)) + 0.5) / max(1, len(chosen))
    return FigureTable(columns, tuple(rows), tuple(places.tolist()))


def _load_table(edges: FloatArray, rate: FloatArray, at_once: dict[JobActivity, FloatArray]) -> FigureTable:
    rows = [
        (
            format_seconds(float(edges[index])), format_number(float(rate[index])),
            *(format_number(round(float(means[index]), 2)) for means in at_once.values()),
        )
        for index in sample(len(rate), _MOST_ROWS).tolist()
    ]  # fmt: skip
    columns = ("from", "executions per second", *(f"jobs {ACTIVITY_LABELS[activity]}" for activity in at_once))
    places = (sample(len(rate), _MOST_ROWS) + 0.5) / len(rate)
    return FigureTable(columns, tuple(rows), tuple(places.tolist()))
