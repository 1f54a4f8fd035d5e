"""A database is restored from a backup, and its run goes on: what the lost part bought is taken over, not bought again.

The truth is what an emulator of IonQ's service accepted.
"""

import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest
from campaign import (
    Nursery,
    assert_none_lost,
    assert_paid_once,
    kill_at_step,
    open_nursery,
    said,
    stage,
    wait_for,
)
from gate_timer import GateTimer
from ionq_training import TRAINING, command, disturb, emulate
from ionq_vendor import IONQ, QUICK
from life_driver import HELD, Death, Life
from small_server import ThreeRoutes
from vendors import completed_rows

from qorch.cli.main import run_command

SIMULATOR, QPU = "simulator,settle=0.3,rows=2", "qpu.forte-1,settle=0.3"
TARGETS = (SIMULATOR, QPU)
"""On the machine a step is one job, so that its jobs are accepted, and its noise is drawn, in one order."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process in which lives begin within milliseconds."""
    with open_nursery(IONQ) as opened:
        yield opened


@pytest.fixture(scope="module")
def undisturbed(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What a run comes to that is left alone, by target."""
    found = {}
    for number, options in enumerate(TARGETS):
        with stage(IONQ, tmp_path_factory.mktemp(f"undisturbed{number}"), options=options) as (_, life):
            death = nursery.bear(life)
            assert death.code == 0, death.said
            found[options] = said(death, "done")
    return found


def copy(source: str, target: str) -> None:
    """Copy a database, as a backup or in the place of another one."""
    for suffix in ("", "-wal", "-shm"):
        Path(target + suffix).unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as before, closing(sqlite3.connect(target)) as after:
        before.backup(after)


def finish(nursery: Nursery, life: Life, whole: str) -> Death:
    """Let the run come to its end: the same values, and every row paid once."""
    death = nursery.bear(life)
    assert death.code == 0, death.said
    assert said(death, "done") == whole, death.said
    return death


@pytest.mark.parametrize("options", TARGETS)
@pytest.mark.parametrize("step", ["after write done", "after write submitted", "after submit"])
def test_what_the_lost_part_bought_is_taken_over(
    nursery: Nursery, tmp_path: Path, undisturbed: dict[str, str], options: str, step: str
) -> None:
    """Backed up after some jobs, killed after more, restored twice: nothing is bought again, the values are equal."""
    first, later = (3, 7) if options == SIMULATOR else (1, 2)
    with stage(IONQ, tmp_path, options=options) as (emulator, life):
        backup = f"{tmp_path}/backup.db"
        kill_at_step(nursery, life, step, first)
        copy(life.db, backup)
        kill_at_step(nursery, life, step, later)
        bought = sum(job["rows"] for job in emulator.jobs())
        copy(backup, life.db)
        # Killed again among what it takes over, and restored once more.
        nursery.bear(msgspec.structs.replace(life, die_at="after fetch", die_number=2))
        again = sum(job["rows"] for job in emulator.jobs())
        copy(backup, life.db)
        death = finish(nursery, life, undisturbed[options])
        assert "does not know, as after it was restored from a backup" in death.said
        assert said(death, "executed") == life.steps * life.rows - again
        assert again >= bought
        assert_paid_once(emulator, rows=life.steps * life.rows)
        assert_none_lost(life.db, emulator)


@pytest.mark.parametrize("options", TARGETS)
def test_jobs_that_still_run_are_waited_for(nursery: Nursery, tmp_path: Path, options: str) -> None:
    """The backup is of before the first job; at the time of the resume the provider is still at work on it."""
    timer = GateTimer(60.0)
    with stage(IONQ, tmp_path, settings=replace(QUICK, execute="60"), timer=timer, options=options, steps=2) as (
        emulator,
        life,
    ):
        kill_at_step(nursery, life, "before write intent", 1)
        copy(life.db, f"{tmp_path}/backup.db")
        kill_at_step(nursery, life, "after write submitted", 1)
        wait_for(emulator, lambda jobs: len(jobs) >= 1)
        copy(f"{tmp_path}/backup.db", life.db)
        assert {job["status"] for job in emulator.jobs()} <= {"submitted", "ready", "started"}
        ending = threading.Timer(0.3, timer.release)
        ending.start()
        death = nursery.bear(life)
        ending.join()
        assert death.code == 0, death.said
        assert_paid_once(emulator, rows=life.steps * life.rows)
        assert_none_lost(life.db, emulator)


@pytest.mark.parametrize("options", TARGETS)
def test_a_program_with_other_rows_does_not_take_them(nursery: Nursery, tmp_path: Path, options: str) -> None:
    """Of a machine the run stops with a sentence, before it buys anything; what is free runs again."""
    with stage(IONQ, tmp_path, options=options) as (emulator, life):
        kill_at_step(nursery, life, "before write intent", 1)
        copy(life.db, f"{tmp_path}/backup.db")
        kill_at_step(nursery, life, "after write submitted", 2)
        copy(f"{tmp_path}/backup.db", life.db)
        before = [job["id"] for job in emulator.jobs()]
        death = nursery.bear(msgspec.structs.replace(life, rows=life.rows - 1))
        if options == QPU:
            assert (death.code, said(death, "kind")) == (1, "RunChangedError"), death.said
            assert [job["id"] for job in emulator.jobs()] == before
        else:
            assert death.code == 0, death.said
            keys = [job["key"] for job in emulator.jobs()]
            assert len(set(keys)) == len(keys) > len(before)


def test_what_the_program_does_not_reach_is_shown(
    nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A resumed run that ends earlier leaves the rest held, which `qorch recover` shows until it is released."""
    with stage(IONQ, tmp_path, options=QPU) as (emulator, life):
        monkeypatch.setenv("IONQ_API_URL", emulator.url)
        monkeypatch.setenv("IONQ_API_KEY", "dummy")
        monkeypatch.setenv("QORCH_DB", life.db)
        kill_at_step(nursery, life, "after write done", 1)
        copy(life.db, f"{tmp_path}/backup.db")
        kill_at_step(nursery, life, "after write submitted", 2)
        copy(f"{tmp_path}/backup.db", life.db)
        assert nursery.bear(msgspec.structs.replace(life, steps=2)).code == 0
        capfd.readouterr()
        assert run_command(["recover", "--json"]) == HELD
        [job] = msgspec.json.decode(capfd.readouterr().out)["jobs"]
        assert (job["ending"], job["rows"]) == ("kept for the run", life.rows)
        assert "does not know" in job["reason"]
        assert run_command(["recover", "--release", job["job"]]) == 0
        assert_paid_once(emulator, rows=3 * life.rows)


# With one job a step, no other one is on its way when the program is killed: it would be held.
@pytest.mark.parametrize("options", ["simulator,settle=0.3", QPU])
def test_a_server_without_a_list(nursery: Nursery, tmp_path: Path, options: str) -> None:
    """What a lost part bought there cannot be known: one warning says so, and the run goes on."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), ThreeRoutes)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        life = Life(
            vendor="ionq", db=f"{tmp_path}/q.db", root=f"http://127.0.0.1:{server.server_port}", options=options
        )
        kill_at_step(nursery, life, "after write done", 1)
        death = nursery.bear(life)
    finally:
        server.shutdown()
        server.server_close()
    assert death.code == 0, death.said
    assert death.said.count("has no list of jobs: if this database was restored from a backup") == 1, death.said


@pytest.mark.parametrize(
    "target", ["simulator,settle=0.2,rows=100", pytest.param("qpu.forte-1,settle=0.2", marks=pytest.mark.soak)]
)
def test_a_training_is_restored_from_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], target: str
) -> None:
    """`qorch train`, killed, backed up, resumed, killed, restored, resumed: the weights of one left alone."""
    words = tuple(f"ionq:{target}" if word.startswith("ionq:") else word for word in (*TRAINING, "--epochs", "2"))
    monkeypatch.setattr("ionq_training.TRAINING", words)
    documents = []
    for name in ("whole", "restored"):
        db = tmp_path / f"{name}.db"
        monkeypatch.setenv("QORCH_DB", str(db))
        with emulate() as emulator:
            if name == "restored":
                disturb(db, emulator, number=signal.SIGKILL, jobs=4)
                copy(str(db), f"{tmp_path}/backup.db")
                n_before = len(emulator.jobs())
                disturb(db, emulator, number=signal.SIGKILL, jobs=9)
                assert len(emulator.jobs()) > n_before
                copy(f"{tmp_path}/backup.db", str(db))
            capfd.readouterr()
            assert run_command([*command(emulator), "--json"]) == 0
            documents.append(msgspec.json.decode(capfd.readouterr().out))
            assert_paid_once(emulator, rows=sum(map(completed_rows, emulator.jobs())))
            assert_none_lost(str(db), emulator)
    whole, restored = documents
    assert restored["weights_sha256"] == whole["weights_sha256"]
    assert restored["metrics"] == whole["metrics"]
    assert (restored["rows_executed"], restored["rows_from_cache"]) == (whole["rows_executed"], 0)
