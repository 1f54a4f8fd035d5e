"""What commands show and do of sessions that a killed run left open at the emulator of IBM Quantum."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from ibm_bench import IbmBench, opened
from ibm_vendor import IBM, environment

from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.ports.provider_sessions import ProviderSessionRecord, ProviderSessionState, SessionPlan
from qorch.ports.records import RunRecord, RunState
from qorch.stores import open_store
from qorch_providers.ibm import open_backend

RUN = "left-20261130-070835-0663"
OPTIONS = "ibm_lagos,settle=0.2,mode=session"
Leave = Callable[..., str]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[IbmBench]:
    """An emulator to which the commands of this test talk."""
    with opened() as made:
        for name, value in environment(made.emulator.root).items():
            if name != "HOME":
                monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def leave(bench: IbmBench, typed: Any) -> Leave:
    """Opens a session of a run, and writes of it what a process that was killed then has written."""
    backend = open_backend(OPTIONS, clock=WallClock(), environment=IBM.environment(bench.emulator.root))
    assert isinstance(backend, RemoteBackend)
    database, now = typed.database, WallClock().now()

    def write(number: int, state: ProviderSessionState) -> str:
        plan = SessionPlan(f"{number:064x}", "ibm_lagos", "dedicated", 28_000 + number, now)
        session_id = bench.open_session(max_ttl=plan.max_ttl_seconds)
        known = session_id if state is ProviderSessionState.OPEN else None
        run = RunRecord(RUN, "left", f"ibm:{OPTIONS}", 1, "resume", now, state=RunState.RUNNING)
        with closing(open_store(str(database), clock=WallClock())) as store:
            store.write([run, ProviderSessionRecord(plan, RUN, backend.terms.account, state, now, known)]).result()
        return session_id

    return write


def states_of(bench: IbmBench) -> dict[str, str]:
    """The state of every session at the emulator, by id."""
    return {str(each["id"]): str(each["state"]) for each in bench.emulator.truth()["sessions"]}


def test_recover_closes_what_was_left_and_says_so(typed: Any, bench: IbmBench, leave: Leave) -> None:
    """One whose id is known, and one that is found; until then jobs, show and doctor tell of them."""
    known, lost = leave(1, ProviderSessionState.OPEN), leave(2, ProviderSessionState.OPENING)
    listed = typed("jobs", "--json").document["open_sessions"]
    assert [(each["provider_id"], each["state"]) for each in listed] == [(known, "open"), (None, "opening")]
    assert "Sessions open at their providers" in typed("jobs").out
    shown = typed("show", RUN).out
    assert known in shown
    assert re.search(r"T\d\d:\d\d:\d\d  ", shown), "to the second, as other times"
    [check] = [each for each in typed("doctor", "--json").document["checks"] if each["name"] == "sessions"]
    assert check["status"] == "warn"
    assert f"2 may be open at their providers, of {RUN}" in check["message"]
    refused = typed("delete", RUN, "--yes")
    assert "2 of its sessions may be open at the provider" in refused.error
    outcome = typed("recover", "--json")
    assert outcome.code == 0, outcome.err
    ended = [(each["provider_id"], each["state"]) for each in outcome.document["sessions"]]
    assert ended == [(known, "closed"), (lost, "closed")]
    assert states_of(bench) == {known: "closed", lost: "closed"}
    assert typed("recover").out.strip() == "nothing is open"


def test_recover_shows_a_session_that_it_does_not_close(typed: Any, bench: IbmBench, leave: Leave) -> None:
    """It may be somebody else's: the reason says what to do, and once it is closed there, nothing is open."""
    lost = leave(1, ProviderSessionState.OPENING)
    other = bench.open_session(max_ttl=28_001)
    outcome = typed("recover")
    assert outcome.code == 0, outcome.err
    assert "unknown" in outcome.out
    assert "what is open of 1 run;" in outcome.err
    [session] = typed("show", RUN, "--json").document["provider_sessions"]
    assert f"it may be one of {other}, {lost}" in session["error"] or f"one of {lost}, {other}" in session["error"]
    assert set(states_of(bench).values()) == {"open"}
    for session_id in (lost, other):
        bench.send("DELETE", f"/sessions/{session_id}/close")
    typed("recover")
    assert typed("jobs", "--json").document["open_sessions"] == []


def test_cancel_closes_the_sessions_of_the_run(typed: Any, bench: IbmBench, leave: Leave) -> None:
    """Also of a run that has no open job."""
    session_id = leave(1, ProviderSessionState.OPEN)
    outcome = typed("cancel", RUN, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.document["sessions_closed"], outcome.document["sessions_left"]) == (1, 0)
    assert states_of(bench) == {session_id: "closed"}


def test_cancel_says_what_it_closed(typed: Any, leave: Leave) -> None:
    """In a sentence, with its number."""
    leave(1, ProviderSessionState.OPEN)
    assert f"run {RUN} is cancelled; closed 1 session there\n" in typed("cancel", RUN).out
