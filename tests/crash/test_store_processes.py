"""Several processes, forks and kill -9 on one database."""

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from qorch.errors import RunBusyError
from qorch.ports.clock import WallClock
from qorch.testing.conformance.store_records import make_job, make_run, start_python
from qorch_jobs_db import open_store

sys.path.insert(0, str(Path(__file__).parents[1]))
from forked import Started
from forked import start_python as start_script

PATIENCE_SECONDS = 240
OPEN = """
import json, os, sys, time
from qorch.errors import StoreError
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord
from qorch_jobs_db import open_store
clock = WallClock()
store = open_store(sys.stdin.readline().strip(), clock=clock)
def job(name):
    return JobRecord(f"r/{name}", "r", Position(0, 0), JobState.PLANNED, 1, None, clock.now())
"""
WRITE_UNTIL_KILLED = """
number = int(sys.stdin.readline())
while True:
    store.write([job(number)]).result()
    print(number, flush=True)
    number += 1
"""
WRITE_MANY = """
me, count = json.loads(sys.stdin.readline())
milliseconds = []
for number in range(count):
    started = time.perf_counter()
    store.write([job(f"{me}.{number}")]).result()
    milliseconds.append(1e3 * (time.perf_counter() - started))
store.close()
print(json.dumps(milliseconds))
"""
LOOK_AND_WRITE = """
import sqlite3
path = sys.stdin.readline().strip()
store.write([job("1")]).result()
link = sqlite3.connect(path)
print(link.execute("SELECT COUNT(*) FROM jobs").fetchone()[0], flush=True)
link.close()
store.write([job("2")]).result()
print("written", flush=True)
time.sleep(600)
"""
READ_BYTES_AND_WRITE = """
path = sys.stdin.readline().strip()
store.write([job("1")]).result()
open(path, "rb").read()
print("read", flush=True)
sys.stdin.readline()
try:
    store.write([job("2")]).result()
except StoreError as error:
    print(error, flush=True)
"""
FORK = """
with store.claim_run("r"):
    child = os.fork()
    if child == 0:
        refused = 0
        for use in (lambda: store.write([]), store.runs, lambda: store.claim_run("s").__enter__()):
            try:
                use()
            except StoreError as error:
                refused += "fork" in str(error)
        store.close()
        os.write(1, f"refused {refused}\\n".encode())
        time.sleep(600)
    os.write(1, f"child {child}\\n".encode())  # one write each: two processes share this pipe
    sys.stdin.readline()
print("released", flush=True)
sys.stdin.readline()
os.kill(child, 9)
"""


def _database(folder: Path) -> str:
    """The path of a database with the run r."""
    path = str(folder / "x.db")
    with closing(open_store(path, clock=WallClock())) as store:
        store.write([make_run("r")]).result()
    return path


def _start(code: str, path: str, *lines: str) -> Started:
    """A program on the database of this path, in a fork that need not load what it uses, and its input."""
    folder = next(parent for parent in Path(path).parents if parent.exists())
    script = folder / "program.py"
    if not script.exists():  # no process may read it while it is written again
        script.write_text(OPEN + code)
    process = start_script(str(script), cwd=folder, environment=os.environ, stdin=subprocess.PIPE)
    return _tell(process, path, *lines)


def _tell(process: Started, *lines: str) -> Started:
    assert process.stdin is not None
    process.stdin.write("".join(f"{line}\n" for line in lines))
    process.stdin.flush()
    return process


def _read_line(process: Started) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_look_with_python_s_own_sqlite_costs_nothing(tmp_path: Path) -> None:
    """Reading the database within the process that writes it loses nothing, even if that process is killed."""
    path = _database(tmp_path)
    process = _start(LOOK_AND_WRITE, path, path)
    assert [_read_line(process), _read_line(process)] == ["1", "written"]
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    with closing(open_store(path, clock=WallClock())) as store:
        assert [job.job_id for job in store.jobs("r")] == ["r/1", "r/2"]


def test_a_log_that_was_taken_away_is_noticed(tmp_path: Path) -> None:
    """Reading the file's bytes drops SQLite's locks; where another process then takes the log, the next write fails."""
    path = _database(tmp_path)
    process = _start(READ_BYTES_AND_WRITE, path, path)
    assert _read_line(process) == "read"
    with closing(open_store(path, clock=WallClock())) as store:
        store.write([make_job("r/other")]).result()
    out, _ = process.communicate("go\n", timeout=PATIENCE_SECONDS)
    assert "its write-ahead log was taken away" in out


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """Ten kills at random moments: every acknowledged write is there, without gaps, and the file is sound."""
    path = _database(tmp_path)
    random = np.random.default_rng(5)
    stored = 0
    for _ in range(10):
        process = _start(WRITE_UNTIL_KILLED, path, str(stored))
        acknowledged = [int(_read_line(process)) for _ in range(random.integers(1, 60))][-1]
        process.kill()
        rest = process.communicate(timeout=PATIENCE_SECONDS)[0].split()
        # A kill may cut the last line, or come between the commit and its line.
        acknowledged = max([acknowledged, *(int(line) for line in rest[:-1])])
        with closing(open_store(path, clock=WallClock())) as store:
            names = [job.job_id for job in store.jobs("r")]
            assert names == [f"r/{number}" for number in range(len(names))]
            assert len(names) > acknowledged
            assert store.check() == []
        stored = len(names)


def test_eight_processes_write_at_once(tmp_path: Path) -> None:
    """500 awaited writes each: none is refused for a lock, lost, or waits for ten seconds."""
    path = _database(tmp_path)
    processes = [_start(WRITE_MANY, path, json.dumps([me, 500])) for me in range(8)]
    outputs = [process.communicate(timeout=PATIENCE_SECONDS)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    latencies = np.concatenate([json.loads(output) for output in outputs])
    with closing(open_store(path, clock=WallClock())) as store:
        assert len(store.jobs("r")) == 8 * 500
        assert store.check() == []
    print(f"p50 {np.percentile(latencies, 50):.1f} ms, p99 {np.percentile(latencies, 99):.1f} ms")
    assert latencies.max() < 10_000


def test_processes_that_open_a_new_database_at_once_agree(tmp_path: Path) -> None:
    """One makes it, and all see one store id."""
    path = str(tmp_path / "new" / "x.db")
    processes = [_start("print(store.store_id)", path) for _ in range(6)]
    ids = {process.communicate(timeout=PATIENCE_SECONDS)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    assert len(ids) == 1


def test_a_forked_child_neither_uses_the_store_nor_keeps_the_claim(tmp_path: Path) -> None:
    """In the child every use is refused; while it lives on, its parent's claim is held, and then free."""
    path = str(tmp_path / "x.db")
    parent = _start(FORK, path)
    assert parent.stdin is not None
    said = {_read_line(parent).split()[0], _read_line(parent).split()[0]}
    assert said == {"child", "refused"}
    with closing(open_store(path, clock=WallClock())) as store:
        with pytest.raises(RunBusyError, match=str(parent.pid)), store.claim_run("r"):
            pass
        parent.stdin.write("\n")
        parent.stdin.flush()
        assert _read_line(parent) == "released"
        with store.claim_run("r"):
            store.write([make_run("r"), make_job("r/0.0.0")]).result()
        parent.communicate("\n", timeout=PATIENCE_SECONDS)
    assert parent.returncode == 0


def test_a_program_that_forgets_to_close_still_writes_all(tmp_path: Path) -> None:
    """What was queued when the interpreter ends is applied."""
    path = _database(tmp_path)
    process = _tell(start_python(OPEN + "for number in range(400): store.write([job(number)])"), path)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    with closing(open_store(path, clock=WallClock())) as store:
        assert len(store.jobs("r")) == 400
