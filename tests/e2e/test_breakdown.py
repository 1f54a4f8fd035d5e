"""Where the time of `cats-vs-dogs` goes at its published latencies, and what packing, workers and the cache change.

The published breakdown was assumed. Here it is measured as a user would: an emulator with their latencies, the
training, and its report. `make soak` prints the table of qorch/bench/README.md, and draws its picture if
QORCH_BREAKDOWN names a file.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from forked import start_python
from made_photographs import make_photographs

pytestmark = [pytest.mark.soak, pytest.mark.serial, pytest.mark.timeout(5400)]

LATENCIES = {"network": "0.2..0.4", "queue": "0.5..1.0", "execute": "1.0..1.8"}
"""A circuit alone takes 2.7 to 4.2 s from its submission to its result, as published."""
TRAINING = ("--limit", "20", "--batch-size", "2", "--epochs", "3", "--seed", "1")
"""24 steps of 2 photographs with 80 shifts each, and 3 validations: 3,900 circuits; 3,840 were published."""
CIRCUITS = 3900
ASSUMED = {"network": 0.55, "queue": 0.20, "serialisation": 0.15, "execution": 0.10}
GROUPS: Mapping[str, tuple[str, ...]] = {
    "network": ("transfer", "connect", "server_answer", "submit"),
    "queue": ("provider_queue",),
    "serialisation": ("serialise", "decode"),
    "execution": ("execute",),
    "not yet seen": ("done_unseen",),
    "its turn": ("wait_for_turn",),
}
"""Of the report's phases; all others are the training loop and qorch's own."""
OWN = "all else"


@dataclass(frozen=True)
class Way:
    """One way to run the training: its name, options of the backend, and options of the command."""

    name: str
    backend: str
    options: tuple[str, ...] = ()


WAYS = (
    Way("as published: 10 workers, one circuit a request", "rows=1,jobs=10"),
    Way("40 workers", "rows=1,jobs=40"),
    Way("64 circuits a request, 10 workers", "rows=64,jobs=10"),
    Way("as many circuits a request as IonQ takes", "jobs=10"),
    Way("… in native gates", "jobs=10,gateset=native"),
    Way("… again, from the cache", "jobs=10", ("--cache", "reuse")),
)


def test_the_breakdown_is_measured(tmp_path: Path) -> None:
    """Each way adds up to all of its time, hardly any of it unattributed; packing is faster, the cache fastest."""
    make_photographs(tmp_path / "data")
    reports = {}
    with emulator() as url:
        for number, way in enumerate(WAYS):
            reports[way.name] = train(way, number, tmp_path, url)
            print(row_of(way.name, reports[way.name]), flush=True)
    print({name: round(part, 3) for name, part in job_shares(reports[WAYS[0].name]).items()})
    draw(reports)
    for name, report in reports.items():
        assert sum(phase["share"] for phase in report["phases"]) == pytest.approx(1.0)
        assert share(report, "unattributed") <= 0.02, name
        assert share(report, "serialise") + share(report, "decode") < ASSUMED["serialisation"], name
    published, *_, packed, native, cached = (reports[way.name] for way in WAYS)
    assert published["jobs"] == published["executions"] == CIRCUITS
    assert packed["wall_seconds"] < published["wall_seconds"] / 5
    assert native["executions"] == CIRCUITS
    assert (cached["jobs"], cached["executions_from_cache"]) == (0, CIRCUITS)


@contextmanager
def emulator() -> Iterator[str]:
    """IonQ's emulator in a process of its own; its URL."""
    options = [text for name, value in LATENCIES.items() for text in (f"--{name}", value)]
    process = start_python(
        "qorch.cli.main", ["emulate", "ionq", "--json", *options], cwd=Path.cwd(), environment=os.environ
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.communicate(timeout=30)


def train(way: Way, number: int, folder: Path, url: str) -> dict[str, Any]:
    """The report of a training, which is run as a user runs it."""
    environment = os.environ | {
        "IONQ_API_URL": url, "IONQ_API_KEY": "dummy", "QORCH_DB": str(folder / "breakdown.db"),
        "QORCH_DATA_DIR": str(folder / "data"),
    }  # fmt: skip

    def qorch(*arguments: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "qorch.cli.main", *arguments, "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3600)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    backend = f"ionq:simulator,{way.backend}"
    trained = qorch("train", "cats-vs-dogs", *TRAINING, "--backend", backend, "--name", f"way-{number}", *way.options)
    return qorch("report", trained["run"])


def share(report: Mapping[str, Any], phase_id: str) -> float:
    """Of the wall time."""
    return sum(float(phase["share"]) for phase in report["phases"] if phase["phase_id"] == phase_id)


def shares(report: Mapping[str, Any]) -> dict[str, float]:
    """Of the wall time, by group."""
    found = {name: sum(share(report, phase) for phase in phases) for name, phases in GROUPS.items()}
    return found | {OWN: 1.0 - sum(found.values())}


def job_shares(report: Mapping[str, Any]) -> dict[str, float]:
    """Of a job's own time, in which others run beside it: the medians by group, as parts of their sum."""
    medians = {item["phase_id"]: float(item["p50_seconds"]) for item in report["latency"]}
    # The phases of a submission are parts of it.
    sums = {
        name: sum(medians.get(phase, 0.0) for phase in phases if phase not in ("connect", "server_answer"))
        for name, phases in GROUPS.items()
    }
    return {name: seconds / sum(sums.values()) for name, seconds in sums.items()}


def row_of(name: str, report: Mapping[str, Any]) -> str:
    """A line of the table."""
    parts = " | ".join(f"{100 * value:.1f} %" for value in shares(report).values())
    return f"| {name} | {report['jobs']:,} | {report['wall_seconds']:,.0f} s | {parts} |"


def draw(reports: Mapping[str, Mapping[str, Any]]) -> None:
    """A bar for what was assumed and for each way, to the file that the environment names."""
    file = os.environ.get("QORCH_BREAKDOWN")
    if not file:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    published = reports[WAYS[0].name]
    bars = {"assumed by the authors": ASSUMED, "measured, a circuit's own time": job_shares(published)} | {
        f"{name}\n{report['wall_seconds']:,.0f} s": shares(report) for name, report in reports.items()
    }
    figure = Figure(figsize=(9.0, 0.8 + 0.62 * len(bars)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    ends = [0.0] * len(bars)
    for group in (*GROUPS, OWN):
        widths = [100 * bar.get(group, 0.0) for bar in bars.values()]
        axes.barh(range(len(bars)), widths, left=ends, label=group)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.set_yticks(range(len(bars)), list(bars))
    axes.invert_yaxis()
    axes.set_xlabel("% of the wall time, or of a circuit's own")
    axes.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.35, 1.0), frameon=False)
    figure.savefig(file, dpi=110)
