"""`qorch latency`: percentiles of each phase per job over many runs, by backend and hour of the day."""

import csv
import datetime as dt
import io
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from drawn_run import NOON, write_run

from qorch.audit.latency import find_zone, hours_of, measure_latency
from qorch.audit.report import make_report
from qorch.cli.main import run_command
from qorch.model.timing import Phase, Span
from qorch.ports.clock import WallClock
from qorch.ports.records import RunRecord, SessionRecord, SpanRecord
from qorch.testing.fakes.store import MemoryStore
from qorch_jobs_db import SqlStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """Two runs at a provider from noon and four minutes on, and a short one of this machine with compiled kernels."""
    with closing(open_store(str(tmp_path / "runs.db"), clock=WallClock())) as found:
        write_run(found, "run-1", steps=12, jobs_per_step=4)
        write_run(found, "run-2", steps=3, jobs_per_step=2, name="cats")
        spans = [Span(Phase.EXECUTE, 0, 10**9, 0, 0, "own/0.0.0"), Span(Phase.COMPILE, 0, 4 * 10**8),
                 Span(Phase.COMPILE, 10**8, 6 * 10**8)]  # fmt: skip
        later = NOON + dt.timedelta(hours=11)
        found.write(
            [RunRecord("own", "own", "local", 1, "resume", NOON), SessionRecord("own", 0, 1, "h", later, 10**9)]
        ).result()
        found.write([SpanRecord("own", 0, span) for span in spans]).result()
        yield found


def test_one_run_has_the_latencies_of_its_report(store: SqlStore) -> None:
    """The same phases and the same percentiles, with their exactness; compiling is no part of an execution."""
    for run_id in ("run-1", "own"):
        [run] = [each for each in store.runs() if each.run_id == run_id]
        report = make_report(store, run_id).latency
        groups = measure_latency(store, [run])
        assert [group.phase for group in groups] == [line.phase_id for line in report]
        for group, line in zip(groups, report, strict=True):
            stated = (group.p50_seconds, group.p90_seconds, group.p99_seconds)
            assert stated == pytest.approx((line.p50_seconds, line.p90_seconds, line.p99_seconds))
            assert group.resolution_seconds == pytest.approx(line.resolution_seconds)


def test_groups_tell_backends_and_hours_apart(store: SqlStore) -> None:
    """The counts add up, and the hour is that in which a phase began."""
    groups = measure_latency(store, store.runs(), by=["backend", "hour"])
    found = {(group.backend, group.hour): group for group in groups if group.phase is Phase.EXECUTE}
    assert list(found) == [("ionq:qpu.forte-1", 12), ("ionq:qpu.forte-1", 13), ("local", 23)]
    assert found["local", 23].p50_seconds == pytest.approx(0.4)
    together = [group for group in measure_latency(store, store.runs()) if group.phase is Phase.EXECUTE]
    assert [group.count for group in together] == [sum(group.count for group in found.values())] == [12 * 4 + 3 * 2 + 1]
    since = measure_latency(store, store.runs(), since=NOON + dt.timedelta(hours=2))
    assert [(group.phase, group.count) for group in since] == [(Phase.EXECUTE, 1)]
    assert measure_latency(store, []) == []


def test_hours_have_summer_time() -> None:
    """At one in the morning of a day in March, Vienna's clocks go from two to three; India's are half an hour off."""
    begin = dt.datetime(2026, 3, 29, 0, 30, tzinfo=dt.UTC).timestamp()
    moments = np.array([begin, begin + 3_599, begin + 3_600])
    assert hours_of(moments, find_zone("Europe/Vienna")).tolist() == [1, 3, 3]
    assert hours_of(moments, find_zone("Asia/Kolkata")).tolist() == [6, 6, 7]
    assert hours_of(moments, dt.UTC).tolist() == [0, 1, 1]


def test_a_run_without_jobs_has_none() -> None:
    """In a store of another kind, too."""
    memory = MemoryStore(WallClock())
    memory.write([RunRecord("r", "r", "local", 1, "resume", NOON)]).result()
    assert measure_latency(memory, memory.runs(), by=["hour"]) == []


def test_the_command_prints_a_table_csv_and_json(
    store: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same rows in each; of some runs, a backend or a phase."""
    place = ["--db", str(tmp_path / "runs.db")]
    assert run_command(["latency", "--by", "hour", "--phase", "provider queue", *place]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["hour", "(UTC)", "phase", "count"]
    assert [line.split()[0] for line in lines[1:]] == ["12", "13"]
    assert run_command(["latency", "--by", "backend,hour", "--time-zone", "Asia/Kolkata", "--csv", *place]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["hour"] for row in rows if row["backend"] == "local"} == {"4"}
    assert run_command(["latency", "own", "--json", *place]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["by"], document["runs"], document["time_zone"]) == (["phase"], 1, "UTC")
    assert [(each["phase_id"], each["count"]) for each in document["latency"]] == [("execute", 1)]
    assert run_command(["latency", "--backend", "ionq", "--json", *place]) == 0
    assert json.loads(capsys.readouterr().out)["runs"] == 2
    assert run_command(["latency", "--backend", "braket", *place]) == 0
    assert capsys.readouterr().out == (
        "no such jobs; those of mocks count only with --backend mock, or if their runs are named\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "week"], "--by has 'week'"),
        (["--phase", "sleep"], "there is no phase 'sleep'"),
        (["--since", "yesterday"], "--since is 'yesterday'"),
        (["--time-zone", "Vienna"], "--time-zone is 'Vienna'"),
        (["--csv", "--json"], "give --csv or --json"),
        (["nobody"], "nobody"),
    ],
)
def test_wrong_usage_is_said_in_a_sentence(
    arguments: list[str], said: str, store: SqlStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is printed."""
    assert run_command(["latency", *arguments, "--db", str(tmp_path / "runs.db")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


@pytest.mark.soak
@pytest.mark.serial
def test_a_hundred_thousand_jobs_take_less_than_two_seconds(store: SqlStore, tmp_path: Path) -> None:
    """With ten phases each, by backend and hour: of processor time, in the best of three."""
    phases = [Phase.PACE, Phase.ENCODE, Phase.CONNECT, Phase.SERVER, Phase.QUEUE, Phase.EXECUTE, Phase.POLL,
              Phase.TRANSFER, Phase.DECODE, Phase.STORE]  # fmt: skip
    with closing(sqlite3.connect(tmp_path / "runs.db")) as link:
        link.executemany(
            "WITH RECURSIVE job(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM job WHERE n < 99999)"
            " INSERT INTO spans (run_id, session, phase, started_ns, ended_ns, step, call, job_id)"
            " SELECT 'run-1', 0, ?, n * 1000000000, n * 1000000000 + 1000 * (n % 977), n, 0, 'run-1/' || n FROM job",
            [(phase.value,) for phase in phases],
        )
        link.commit()
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        groups = measure_latency(store, store.runs(), by=["backend", "hour"])
        seconds.append(time.process_time() - begun)
    print(f"{sum(group.count for group in groups):,} spans in {len(groups)} groups: {min(seconds):.2f} s")
    assert sum(group.count for group in groups) > 1_000_000
    assert min(seconds) < 2.0
