"""Sessions and batches at the emulator of IBM Quantum: which are ours, and what jobs meet in them."""

import datetime
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ibm_bench import IbmBench, opened
from ibm_client import asked
from ibm_vendor import DEVICE, IBM, QUICK
from watched_runs import check_values, watched_run, work_of

from qorch.errors import RejectedError, UnknownNameError, UnknownOutcomeError, UsageError
from qorch.model.job import JobState
from qorch.ports.clock import WallClock
from qorch.ports.provider_sessions import ProviderSessionState, SessionPlan
from qorch_providers.emulators.ibm import start
from qorch_providers.ibm.jobs.sessions import TTL_SHARE, IbmSessions, ttl_of
from qorch_providers.ibm.options import MAX_TTL_SECONDS, ExecutionMode, parse_options
from qorch_providers.ibm.wire.session_documents import decode_workloads, in_session

KEY = "00000123" + "0" * 56
TTL = 28_800 - 0x123


def plan_of(*, mode: str = "dedicated", device: str = "ibm_lagos", minutes_ago: float = 0.0) -> SessionPlan:
    """A session as it was about to be opened."""
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes_ago)
    return SessionPlan(KEY, device, mode, TTL, at)


def found(bench: IbmBench, plan: SessionPlan, *, known: tuple[str, ...] = ()) -> Any:
    """What the adapter takes for the session of the plan."""
    return asked(bench, lambda client: IbmSessions(client, clock=WallClock()).find(plan, known=known))


@pytest.mark.parametrize(("mode", "word"), [("session", "dedicated"), ("batch", "batch")])
def test_a_session_is_found_by_its_longest_time(mode: str, word: str) -> None:
    """Among others of the same device, mode and minute; not if its id is known, nor a moment later on its own."""
    with opened() as bench:
        for ttl in (None, TTL - 1, TTL + 1):
            bench.open_session(word, **({} if ttl is None else {"max_ttl": ttl}))
        bench.open_session({"dedicated": "batch", "batch": "dedicated"}[word], max_ttl=TTL)
        bench.open_session(word, max_ttl=TTL, backend="ibm_manila")
        plan = plan_of(mode=word)
        with pytest.raises(UnknownOutcomeError, match=r"it may be one of \S+, which have no jobs"):
            found(bench, plan)  # one was given less time, and IBM may have cut ours short
        ours = bench.open_session(word, max_ttl=TTL)
        assert found(bench, plan) == ours
        with pytest.raises(UnknownOutcomeError):
            found(bench, plan, known=(ours,))
    assert parse_options(f"ibm_lagos,mode={mode}").mode is ExecutionMode(mode)


def test_a_session_with_jobs_is_not_one_whose_id_nobody_knows() -> None:
    """Somebody works in it; nor is one that was made long before or after the plan was sent."""
    with opened() as bench:
        used = bench.open_session(max_ttl=TTL)
        bench.wait(bench.submit(session_id=used))
        assert found(bench, plan_of()) is None
        bench.open_session(max_ttl=TTL)
        assert found(bench, plan_of(minutes_ago=20.0)) is None
        assert found(bench, plan_of(minutes_ago=-10.0)) is None


def test_two_sessions_that_could_be_ours_are_neither() -> None:
    """Both have the longest time of the plan: it is told, and neither is taken."""
    with opened() as bench:
        pair = [bench.open_session(max_ttl=TTL) for _ in range(2)]
        with pytest.raises(UnknownOutcomeError, match="cancel them at IBM") as caught:
            found(bench, plan_of())
        assert all(each in str(caught.value) for each in pair)


def test_a_session_is_found_on_a_later_page() -> None:
    """All pages of the list are read, and closed sessions with less time are no doubt."""
    with opened() as bench:
        ours = bench.open_session(max_ttl=TTL)
        for _ in range(60):
            other = bench.open_session(max_ttl=700)
            bench.send("PATCH", f"/sessions/{other}", json={"accepting_jobs": False})
        assert found(bench, plan_of()) == ours
        assert found(bench, plan_of(), known=(ours,)) is None


def test_the_longest_time_follows_from_the_key() -> None:
    """Always the same for one key, at most an eighth below what is allowed, and different for most keys."""
    times = [ttl_of(f"{number * 2654435761 % 2**32:08x}", most_seconds=MAX_TTL_SECONDS) for number in range(500)]
    assert ttl_of(KEY, most_seconds=MAX_TTL_SECONDS) == TTL
    assert MAX_TTL_SECONDS * (1 - 1 / TTL_SHARE) < min(times) <= max(times) <= MAX_TTL_SECONDS
    assert len(set(times)) > 400


def test_a_session_stands_in_the_body_beside_the_content() -> None:
    """The content is there byte for byte, but for its closing brace."""
    content = b'{"program_id":"executor","tags":["a"]}'
    body = in_session(content, 'd"0')
    assert body.startswith(content[:-1])
    assert json.loads(body) == {**json.loads(content), "session_id": 'd"0'}


def test_a_list_of_workloads_is_read_as_far_as_it_is_one() -> None:
    """Odd fields count as missing, and lines without an id are left out."""
    lines = [{"id": "d1", "mode": 1, "backend": None, "created": "soon", "status": "Completed"}, {"id": "../x"}]
    [line], cursor = decode_workloads(json.dumps({"workloads": lines, "next": {"href": "/v1/w?next=abc&l=1"}}).encode())
    assert (line.mode, line.device, line.created_at, line.is_over, cursor) == ("", "", None, True, "abc")
    assert decode_workloads(b'{"workloads":[],"next":null}') == ((), "")


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("ibm_fez,max_ttl=700", UsageError, "max_ttl= is of sessions and batches"),
        ("ibm_fez,mode=session,max_ttl=10", UsageError, "from 600 to 28800"),
        ("ibm_fez,mode=dedicated", UsageError, "one of job, batch, session"),
        ("fake_fez,mode=batch", UsageError, "has no option mode"),
        ("ibm_fez,modus=batch", UnknownNameError, "mode=job|batch|session"),
    ],
)
def test_wrong_options_are_refused(text: str, kind: type[Exception], words: str) -> None:
    """With what is possible."""
    with pytest.raises(kind) as caught:
        parse_options(text)
    assert words in str(caught.value)


def test_a_plan_without_sessions_says_what_to_do(tmp_path: Path) -> None:
    """IBM refuses a session on an instance of the open plan; a batch is possible there."""
    second = {"QISKIT_IBM_INSTANCE": "second"}
    (tmp_path / "a").mkdir()
    with start(QUICK) as emulator:
        session, batch = (f"{DEVICE},settle=0.1,rows=2,mode={mode}" for mode in ("session", "batch"))
        with (
            watched_run(IBM, emulator, tmp_path / "a", options=session, environment=second) as watched,
            pytest.raises(RejectedError, match="choose mode=batch"),
        ):
            watched.run.execute(work_of(4))
        with watched_run(IBM, emulator, tmp_path, options=batch, environment=second) as watched:
            check_values(watched.run.execute(work_of(4))[0])
        sessions = emulator.truth()["sessions"]  # type: ignore[typeddict-item]
    assert [(each["mode"], each["state"]) for each in sessions] == [("batch", "closed")]


def test_jobs_that_wait_when_their_session_ends_run_again_in_the_next(tmp_path: Path) -> None:
    """Its longest time is over while they wait: IBM fails them and charges nothing, so no row is lost or paid twice."""
    # Both jobs are accepted long before the first begins, from which the session's time counts.
    settings = replace(QUICK, time_scale=3.0, queue="1.5", execute="1.2", max_ttl=1, accept_delay="0")
    with (
        start(settings) as emulator,
        watched_run(IBM, emulator, tmp_path, options=f"{DEVICE},settle=0.1,rows=1,mode=session") as watched,
    ):
        check_values(watched.run.execute(work_of(2))[0])
        store, run_id = watched.store, watched.run.run_id
        jobs = store.jobs(run_id)
        watched.run.close()
        states = {record.state for record in store.provider_sessions(run_id)}
        truth: Any = emulator.truth()
    assert sum(job["rows_completed"] for job in truth["jobs"]) == 2
    failed = [job for job in truth["jobs"] if job["reason_code"] == 1217]
    assert failed
    assert all(job["usage_seconds"] == 0 for job in failed)
    assert sum(job.state is JobState.FAILED for job in jobs) == len(failed)
    assert len(truth["sessions"]) > 1
    assert {each["state"] for each in truth["sessions"]} == {"closed"}
    assert states == {ProviderSessionState.CLOSED}
