"""What the kill tests share: a nursery of lives, an emulator for each run, and the comparison of database and truth."""

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from forked import Started, start_python
from life_driver import Death, Life
from vendors import Vendor, VendorEmulator, completed_rows

from qorch.model.job import OPEN_STATES, JobState
from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch_providers.emulators.kit.clock import Timer

DRIVER = Path(__file__).parent / "life_driver.py"
KILLED = -9
PATIENCE_SECONDS = 150.0


@dataclass
class Nursery:
    """A process that lives lives."""

    process: "subprocess.Popen[bytes]"

    def bear(self, life: Life) -> Death:
        """Live one life to its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(msgspec.json.encode(life) + b"\n")
        self.process.stdin.flush()
        return msgspec.json.decode(self.process.stdout.readline(), type=Death)


@contextmanager
def open_nursery(vendor: Vendor) -> Iterator[Nursery]:
    """A nursery of lives on this vendor's backends, which is reaped at the end."""
    # Threads that numpy starts for itself would not survive a fork.
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(DRIVER), "nurse", vendor.name]
    process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield Nursery(process)
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)


def said(death: Death, name: str) -> Any:
    """The newest of the fields of that name in what a life said; a line that a kill cut short says nothing."""
    documents = [msgspec.json.decode(line) for line in death.said.splitlines() if line.endswith("}")]
    found = [document[name] for document in documents if name in document]
    assert found, f"no {name!r} in: {death.said}"
    return found[-1]


def states(db: str) -> Counter[str]:
    """How many jobs are in each state, without disturbing the file that a kill has left behind."""
    try:
        with closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as connection:
            return Counter(dict(connection.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state")))
    except sqlite3.OperationalError:
        return Counter()


def moment_of(found: Counter[str]) -> str:
    """The states, but DONE and CANCELLED, in which a kill found jobs."""
    open_states = [*OPEN_STATES, JobState.RESERVED]
    return "+".join(state.value for state in open_states if found[state]) or "nothing open"


def assert_paid_once(emulator: VendorEmulator, *, rows: int) -> None:
    """No key was accepted twice, and no row was paid twice under any key; none is missing."""
    jobs = emulator.jobs()
    keys = Counter(str(job["key"]) for job in jobs)
    assert [key for key, count in keys.items() if count > 1] == []
    assert sum(completed_rows(job) for job in jobs) == rows


def assert_none_lost(db: str, emulator: VendorEmulator) -> None:
    """The database is sound, nothing is open in it, and what was accepted is done there."""
    with closing(sqlite3.connect(db)) as connection:
        assert connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    with closing(open_store(db, clock=WallClock())) as store:
        assert store.open_jobs() == []
        done = {job.provider_id for job in store.jobs(state=JobState.DONE)}
    assert done == {str(job["id"]) for job in emulator.jobs() if completed_rows(job)}


@dataclass
class Tally:
    """What a campaign came to: kills by what they found, runs that were finished, and jobs that were accepted."""

    kills: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    jobs: int = 0
    held: int = 0

    def __str__(self) -> str:
        """For the log."""
        found = ", ".join(f"{moment} {count}" for moment, count in self.kills.most_common())
        return f"{self.kills.total()} kills ({found}); {self.runs} runs, {self.jobs} jobs accepted, {self.held} held"


@contextmanager
def stage(
    vendor: Vendor, folder: Path, *, settings: Any = None, timer: Timer | None = None, **fields: Any
) -> Iterator[tuple[Any, Life]]:
    """An emulator, and a life that works on it with a database of its own; without ``settings`` a quick one."""
    folder.mkdir(parents=True, exist_ok=True)
    with vendor.start(settings or vendor.quick, timer=timer) as emulator:
        given = {"vendor": vendor.name, "db": str(folder / "q.db"), "root": emulator.root, "options": vendor.options}
        yield emulator, Life(**given | fields)


def wait_for(emulator: VendorEmulator, is_enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
    """The accepted jobs, once there is enough of them."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_enough(jobs := emulator.jobs()):
        assert time.monotonic() < deadline, jobs
        time.sleep(0.02)
    return jobs


def kill_at_step(nursery: Nursery, life: Life, step: str, number: int) -> None:
    """Live until a step is reached for the ``number``-th time, and no further."""
    death = nursery.bear(msgspec.structs.replace(life, die_at=step, die_number=number))
    assert death.code == KILLED, death.said


@contextmanager
def start_driver(life: Life) -> Iterator[Started]:
    """A life in a program of its own, which is reaped at the end."""
    arguments = ["live", msgspec.json.encode(life).decode()]
    process = start_python(str(DRIVER), arguments, cwd=Path(life.db).parent, environment=os.environ)
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=PATIENCE_SECONDS)
