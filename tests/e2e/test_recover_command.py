"""`qorch recover` against an emulator of IonQ's service: what crashed runs left is fetched, held or decided on."""

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

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
    start_driver,
    wait_for,
)
from gate_timer import GateTimer
from ionq_vendor import IONQ, QUICK
from life_driver import HELD, Life
from vendors import completed_rows

from qorch_providers.emulators.ionq import RunningEmulator

OPTIONS = "simulator,settle=0.3,rows=2"
HOLDING = f"{OPTIONS},on_unknown=hold"
ACCEPT_SECONDS = 3.0
LATE = replace(QUICK, accept_delay=str(ACCEPT_SECONDS))
"""With a ``GateTimer``: a job is accepted when the test says so."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """A process in which runs begin within milliseconds."""
    with open_nursery(IONQ) as opened:
        yield opened


@pytest.fixture
def point_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[RunningEmulator], None]:
    """Let the commands of this test talk to an emulator."""

    def point(emulator: RunningEmulator) -> None:
        monkeypatch.setenv("IONQ_API_URL", emulator.url)
        monkeypatch.setenv("IONQ_API_KEY", "dummy")

    return point


def finish(nursery: Nursery, life: Life, emulator: RunningEmulator, *, executed: int) -> None:
    """Let the run come to its end: it buys so many rows, and in all every row was paid once."""
    death = nursery.bear(life)
    assert death.code == 0, death.said
    assert said(death, "executed") == executed
    assert_paid_once(emulator, rows=life.steps * life.rows)
    assert_none_lost(life.db, emulator)


def test_what_finished_while_nobody_looked_is_fetched(
    qorch: Any, nursery: Nursery, tmp_path: Path, point_at: Callable[[RunningEmulator], None]
) -> None:
    """Killed after the submission: the command fetches the results, and the resumed run buys only the other rows."""
    with stage(IONQ, tmp_path, options=OPTIONS) as (emulator, life):
        point_at(emulator)
        kill_at_step(nursery, life, "after write submitted", 3)
        jobs = wait_for(emulator, lambda jobs: all(job["status"] == "completed" for job in jobs))
        outcome = qorch("recover", "--json")
        assert outcome.code == 0, outcome.err
        assert outcome.document["held"] == 0
        endings = {job["ending"] for job in outcome.document["jobs"]}
        assert endings - {"not sent"} == {"fetched"}
        assert_none_lost(life.db, emulator)
        assert [job["key"] for job in emulator.jobs()] == [job["key"] for job in jobs]
        assert qorch("recover").out.strip() == "nothing is open"
        finish(nursery, life, emulator, executed=life.steps * life.rows - 2 * len(jobs))


def test_a_held_job_that_never_left_is_released(
    qorch: Any, nursery: Nursery, tmp_path: Path, point_at: Callable[[RunningEmulator], None]
) -> None:
    """While it is held, recovering and resuming both end with 4; once a person has released it, its rows are bought."""
    with stage(IONQ, tmp_path, options=HOLDING) as (emulator, life):
        point_at(emulator)
        kill_at_step(nursery, life, "after write intent", 3)
        assert nursery.bear(life).code == HELD
        outcome = qorch("recover", "--json")
        assert outcome.code == HELD, outcome.err
        [job] = [job for job in outcome.document["jobs"] if job["ending"] == "held"]
        assert outcome.document["held"] == 1
        assert "--release" in job["reason"]
        bought = emulator.jobs()
        mistaken = qorch("recover", "--adopt", f"{job['job']}={bought[0]['id']}")
        assert mistaken.code == 2
        assert "look again" in mistaken.error
        released = qorch("recover", "--release", job["job"])
        assert (released.code, "released" in released.out) == (0, True), released.out
        finish(nursery, life, emulator, executed=life.steps * life.rows - sum(completed_rows(job) for job in bought))


@pytest.mark.parametrize("is_adopted", [True, False])
def test_a_held_job_that_shows_up_late_is_fetched(
    qorch: Any, nursery: Nursery, tmp_path: Path, point_at: Callable[[RunningEmulator], None], is_adopted: bool
) -> None:
    """Accepted after the settle time: held, until a person names its id, or the list shows it to a later `recover`."""
    timer = GateTimer(ACCEPT_SECONDS)
    with stage(IONQ, tmp_path, settings=LATE, timer=timer, options=HOLDING, steps=1, rows=2) as (emulator, life):
        point_at(emulator)
        kill_at_step(nursery, life, "during submit", 1)
        assert nursery.bear(life).code == HELD
        assert emulator.jobs() == []
        timer.release()
        [late] = wait_for(emulator, bool)
        [held] = qorch("jobs", "--state", "unknown", "--json").document["jobs"]
        assert held["key"] == late["key"]
        assert held["name"] == f"qorch {late['key'][:16]}"
        assert held["name"] in qorch("jobs", "--state", "unknown").out
        if is_adopted:
            mistaken = qorch("recover", "--adopt", f"{held['id']}=00000000-0000-0000-0000-000000000000", "--json")
            assert mistaken.code == HELD, mistaken.err
            assert [job["ending"] for job in mistaken.document["jobs"]] == ["held"]
        words = ["--adopt", f"{held['id']}={late['id']}"] if is_adopted else []
        outcome = qorch("recover", *words, "--json")
        assert outcome.code == 0, outcome.err
        assert [job["ending"] for job in outcome.document["jobs"]] == ["fetched"]
        finish(nursery, life, emulator, executed=0)


def test_a_job_of_other_rows_is_not_adopted(
    qorch: Any, nursery: Nursery, tmp_path: Path, point_at: Callable[[RunningEmulator], None]
) -> None:
    """A person who names a job of another database is told so, and the job stays held until its own is named."""
    timer = GateTimer(ACCEPT_SECONDS)
    with (
        stage(IONQ, tmp_path / "other", options=OPTIONS, steps=1, rows=2, seed=2) as (elsewhere, stranger),
        stage(IONQ, tmp_path, settings=LATE, timer=timer, options=HOLDING, steps=1, rows=2) as (emulator, life),
    ):
        point_at(emulator)
        kill_at_step(nursery, life, "during submit", 1)
        assert nursery.bear(life).code == HELD
        timer.release()
        [own] = wait_for(emulator, bool)
        assert nursery.bear(replace_root(stranger, emulator)).code == 0
        [other] = [job for job in wait_for(emulator, lambda jobs: len(jobs) == 2) if job["id"] != own["id"]]
        assert elsewhere.jobs() == []
        [held] = qorch("jobs", "--state", "unknown", "--json").document["jobs"]
        mistaken = qorch("recover", "--adopt", f"{held['id']}={other['id']}", "--json")
        assert mistaken.code == HELD, mistaken.err
        assert "under another key" in mistaken.document["jobs"][0]["reason"]
        assert qorch("recover", "--adopt", f"{held['id']}={own['id']}").code == 0


def replace_root(life: Life, emulator: RunningEmulator) -> Life:
    """The same life on another emulator."""
    return msgspec.structs.replace(life, root=emulator.root)


def free_port() -> int:
    """A port on which no server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_cancel_finds_what_was_accepted_without_an_answer(
    qorch: Any, nursery: Nursery, tmp_path: Path, point_at: Callable[[RunningEmulator], None]
) -> None:
    """A provider that cannot be reached, or does not show the job yet, is told when the run is cancelled once more."""
    settings, timer = replace(LATE, queue="600"), GateTimer(ACCEPT_SECONDS)
    with stage(IONQ, tmp_path, settings=settings, timer=timer, options=HOLDING, steps=1, rows=2) as (emulator, life):
        kill_at_step(nursery, life, "during submit", 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("IONQ_API_URL", f"http://127.0.0.1:{free_port()}/v0.4")
            patch.setenv("IONQ_API_KEY", "dummy")
            unreachable = qorch("cancel", "latest")
        assert unreachable.code == 1
        assert "Unclosed" not in unreachable.err
        point_at(emulator)
        early = qorch("cancel", "latest", "--json")
        assert early.code == 0, early.err
        assert (early.document["jobs_cancelled"], early.document["jobs_unseen"]) == (0, 1)
        timer.release()
        wait_for(emulator, bool)
        again = qorch("cancel", "latest", "--json")
        assert again.document["jobs_cancelled"] == 1
        assert [job["status"] for job in emulator.jobs()] == ["canceled"]
        assert qorch("recover").code == 0
        assert "nothing to cancel" in qorch("cancel", "latest").error


def test_a_run_at_work_is_left_to_its_process(
    qorch: Any, nursery: Nursery, tmp_path: Path, point_at: Callable[[RunningEmulator], None]
) -> None:
    """Its open jobs are its own: the command says so and asks nothing about them."""
    with stage(IONQ, tmp_path, settings=replace(QUICK, execute="60"), options=OPTIONS) as (emulator, life):
        point_at(emulator)
        with start_driver(life) as owner:
            wait_for(emulator, bool)
            outcome = qorch("recover", "--json")
            assert outcome.code == 0, outcome.err
            [left] = outcome.document["jobs"]
            assert left["ending"] == "left"
            assert "another process works on it" in left["reason"]
            assert owner.poll() is None
