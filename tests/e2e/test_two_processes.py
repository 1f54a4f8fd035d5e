"""Two processes on one database: on one run, on the same rows, and under one throttle."""

import fcntl
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from campaign import (
    PATIENCE_SECONDS,
    assert_none_lost,
    assert_paid_once,
    stage,
    start_driver,
    wait_for,
)
from forked import Started
from gate_timer import GateTimer
from ionq_vendor import IONQ, QUICK
from life_driver import STOPPED, Death, Life
from vendors import completed_rows

OPTIONS = "simulator,settle=0.3,rows=2"
EXECUTE_SECONDS = 60.0
HELD_UP = replace(QUICK, execute=str(EXECUTE_SECONDS))
"""With a ``GateTimer``: jobs end when the test says so."""
SLOW = replace(QUICK, execute="0.3..0.5")
"""Jobs that run for long enough to be met on their way."""
SLOWER = replace(QUICK, execute="1.2..1.5")
"""Jobs that are still on their way when a busy machine gets round to looking."""


@pytest.fixture
def lives() -> Iterator[ExitStack]:
    """What holds the processes of a test; all are reaped at its end."""
    with ExitStack() as stack:
        yield stack


def end_of(process: Started) -> Death:
    """How a driver ended that is waited for."""
    started = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    return Death(process.returncode, out + err, time.monotonic() - started)


def answer(death: Death, name: str) -> Any:
    """The newest field of that name that a driver said."""
    documents = [msgspec.json.decode(line) for line in death.said.splitlines() if line.startswith("{")]
    return [document[name] for document in documents if name in document][-1]


def test_a_run_has_one_process_at_a_time(tmp_path: Path, lives: ExitStack) -> None:
    """The second is told at once who has it; the first is not disturbed, and a third finds nothing left to do."""
    timer = GateTimer(EXECUTE_SECONDS)
    with stage(IONQ, tmp_path, settings=HELD_UP, timer=timer, options=OPTIONS) as (emulator, life):
        owner = lives.enter_context(start_driver(life))
        wait_for(emulator, bool)
        refused = end_of(lives.enter_context(start_driver(life)))
        assert refused.code == 1
        assert answer(refused, "kind") == "RunBusyError"
        assert str(owner.pid) in answer(refused, "error")
        assert owner.poll() is None
        timer.release()
        assert end_of(owner).code == 0
        later = end_of(lives.enter_context(start_driver(life)))
        assert (later.code, answer(later, "executed")) == (0, 0)
        assert_paid_once(emulator, rows=life.steps * life.rows)
        assert_none_lost(life.db, emulator)


def sharing(life: Life, number: int) -> Life:
    """A run that may take what others bought; its own seed would draw other samples."""
    return msgspec.structs.replace(life, name=f"sharing-{number}", seed=number, cache="reuse")


def assert_shared(first: Death, second: Death) -> None:
    """Both came to the end with the same samples."""
    assert (first.code, second.code) == (0, 0), first.said + second.said
    assert answer(first, "done") == answer(second, "done")


def test_two_runs_that_want_the_same_rows_buy_each_once(tmp_path: Path, lives: ExitStack) -> None:
    """Started together under `reuse`, they share the work; both have the same samples."""
    with stage(IONQ, tmp_path, settings=replace(QUICK, execute="0.05..0.1"), options=OPTIONS) as (emulator, life):
        processes = [lives.enter_context(start_driver(sharing(life, number))) for number in (1, 2)]
        first, second = (end_of(process) for process in processes)
        assert_shared(first, second)
        assert answer(first, "executed") + answer(second, "executed") == life.steps * life.rows
        assert_paid_once(emulator, rows=life.steps * life.rows)
        assert_none_lost(life.db, emulator)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_rows_of_a_run_that_stands_still_are_waited_for(
    tmp_path: Path, lives: ExitStack, number: signal.Signals
) -> None:
    """Stopped in mid-flight, the owner keeps its rows, and the other says that it waits; killed, they are adopted."""
    with stage(IONQ, tmp_path, settings=SLOWER, options=OPTIONS, steps=3) as (emulator, life):
        owner = lives.enter_context(start_driver(sharing(life, 1)))
        wait_for(emulator, lambda jobs: len(jobs) > life.rows // 2 + 1)
        strike(owner, number, Path(life.db))
        other = lives.enter_context(start_driver(sharing(life, 2)))
        if number == signal.SIGSTOP:
            assert_waits(other)
            owner.send_signal(signal.SIGCONT)
            first, second = end_of(owner), end_of(other)
        else:
            second = end_of(other)
            first = end_of(lives.enter_context(start_driver(sharing(life, 1))))
            assert answer(first, "executed") == 0
        assert_shared(first, second)
        assert_paid_once(emulator, rows=life.steps * life.rows)
        assert_none_lost(life.db, emulator)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_processes_are_stopped_again_and_again(tmp_path: Path, lives: ExitStack) -> None:
    """A hundred stops of one or the other, each for up to a second: both finish, and every row is paid once."""
    random = np.random.default_rng(8)
    stops = 0
    while stops < 100:
        with stage(IONQ, tmp_path / str(stops), settings=SLOW, options=OPTIONS, steps=10) as (emulator, life):
            pair = [lives.enter_context(start_driver(sharing(life, number))) for number in (1, 2)]
            wait_for(emulator, bool)
            while all(process.poll() is None for process in pair):
                stop_for(pair[random.integers(2)], float(random.uniform(0.05, 1.0)))
                stops += 1
                time.sleep(float(random.uniform(0.0, 0.3)))
            first, second = (end_of(process) for process in pair)
            assert_shared(first, second)
            assert_paid_once(emulator, rows=life.steps * life.rows)
            assert_none_lost(life.db, emulator)


def strike(process: Started, number: signal.Signals, db: Path) -> None:
    """Send a signal; a process that is to stand still does so between two transactions.

    One that is stopped in the middle of a transaction holds the database's lock, and others give up after ten seconds.
    """
    process.send_signal(number)
    while number == signal.SIGSTOP and not is_writable(db):
        process.send_signal(signal.SIGCONT)
        time.sleep(0.01)
        process.send_signal(number)


def is_writable(db: Path) -> bool:
    """Whether no process holds the right to write."""
    time.sleep(0.05)
    with (db.with_name(db.name + ".locks") / "write.lock").open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def stop_for(process: Started, seconds: float) -> None:
    """Let a process stand still for so long."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def assert_waits(process: Started) -> None:
    """It says that it waits, and for which run, and does so for as long as that run stands still."""
    assert process.stderr is not None
    assert "waiting for rows that run sharing-1" in process.stderr.readline()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1.0)


def test_two_processes_keep_one_rate(tmp_path: Path, lives: ExitStack) -> None:
    """Ten submissions each at ten per second: no second has more of both together, and none is refused."""
    fields: dict[str, Any] = {"options": "simulator,settle=0.3,rows=1,rate=10/s", "steps": 1, "rows": 10}
    with stage(IONQ, tmp_path, settings=replace(QUICK, rate_limit="10/sec"), **fields) as (emulator, life):
        names = ("one", "two")
        processes = [
            lives.enter_context(start_driver(msgspec.structs.replace(life, name=name, seed=index)))
            for index, name in enumerate(names)
        ]
        assert [end_of(process).code for process in processes] == [0, 0]
        arrivals = sorted(float(str(job["received_at_unix"])) for job in emulator.jobs())
        assert len(arrivals) == 20
        assert min(later - first for first, later in zip(arrivals, arrivals[10:], strict=False)) >= 1.0
        assert "429" not in emulator.truth()["calls"]["by_status"]


def test_two_processes_keep_one_limit_of_jobs(tmp_path: Path, lives: ExitStack) -> None:
    """With three jobs at most, both together never have four at the provider."""
    fields: dict[str, Any] = {"options": "simulator,settle=0.3,rows=1,jobs=3", "steps": 1, "rows": 8}
    with stage(IONQ, tmp_path, settings=replace(QUICK, execute="0.1..0.2"), **fields) as (emulator, life):
        lives_of_two = [msgspec.structs.replace(life, name=name) for name in ("one", "two")]
        processes = [lives.enter_context(start_driver(one)) for one in lives_of_two]
        assert [end_of(process).code for process in processes] == [0, 0]
        jobs = emulator.jobs()
        assert sum(completed_rows(job) for job in jobs) == 16
        assert 1 < most_at_once(jobs) <= 3


def test_a_killed_process_holds_nobody_up(tmp_path: Path, lives: ExitStack) -> None:
    """Killed while it sent, with as much at the provider as both may have: another run begins all the same."""
    options = "simulator,settle=0.3,rows=1,jobs=2"
    with stage(IONQ, tmp_path, settings=replace(QUICK, accept_delay="0.2"), options=options, steps=1) as (
        emulator,
        life,
    ):
        killed = lives.enter_context(start_driver(msgspec.structs.replace(life, name="killed", die_at="during submit")))
        assert end_of(killed).code == -signal.SIGKILL
        other = end_of(lives.enter_context(start_driver(msgspec.structs.replace(life, name="other"))))
        assert other.code == 0, other.said
        assert other.seconds < 60
        assert sum(completed_rows(job) for job in emulator.jobs()) == life.rows + 1


def most_at_once(jobs: list[dict[str, Any]]) -> int:
    """The most jobs between acceptance and completion at any time."""
    edges = [(job["accepted_at_unix"], 1) for job in jobs] + [(job["completed_at_unix"], -1) for job in jobs]
    in_progress = [0]
    for _, change in sorted(edges):
        in_progress.append(in_progress[-1] + change)
    return max(in_progress)


def test_ctrl_c_leaves_nothing_to_pay_twice(tmp_path: Path, lives: ExitStack) -> None:
    """Stopped with jobs at the provider: over within 5 s, with a word on resuming, which then buys only the rest."""
    timer = GateTimer(EXECUTE_SECONDS)
    with stage(IONQ, tmp_path, settings=HELD_UP, timer=timer, options=OPTIONS, steps=2) as (emulator, life):
        process = lives.enter_context(start_driver(life))
        wait_for(emulator, lambda jobs: len(jobs) > 1)
        process.send_signal(signal.SIGINT)
        stopped = end_of(process)
        assert (stopped.code, stopped.seconds < 5) == (STOPPED, True), stopped.said
        assert "resume" in answer(stopped, "stopped")
        timer.release()
        finished = end_of(lives.enter_context(start_driver(life)))
        assert finished.code == 0, finished.said
        assert answer(finished, "executed") < life.steps * life.rows
        assert_paid_once(emulator, rows=life.steps * life.rows)
        assert_none_lost(life.db, emulator)
