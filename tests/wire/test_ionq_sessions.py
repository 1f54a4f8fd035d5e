"""Sessions at the emulator of IonQ: which are ours, and what becomes of jobs beyond their limits."""

import asyncio
import datetime
import json
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hand_timer import HandTimer
from ionq_servers import request_of

from qorch.errors import (
    BackendError,
    BudgetError,
    BusyError,
    CredentialsError,
    RejectedError,
    SessionEndedError,
    SpendingLimitError,
    UnknownOutcomeError,
    UsageError,
)
from qorch.model.exchange_times import ExchangeTimes
from qorch.model.money import Money
from qorch.ports.clock import WallClock
from qorch.ports.provider_sessions import SessionPlan
from qorch_providers.emulators.ionq import RunningEmulator, Settings, start
from qorch_providers.http import HttpResponse
from qorch_providers.ionq import IonqBackend, open_backend
from qorch_providers.ionq.jobs.sessions import describe_limits, limits_of
from qorch_providers.ionq.options import JobMode, parse_options
from qorch_providers.ionq.wire.session_documents import SessionLimits, decode_session, encode_opening, in_session
from qorch_providers.ionq.wire.status import read_opening, read_submission

MACHINE = "qpu.forte-1"
KEY = "00000122" + "0" * 56
"""Its mark is 291 millionths of a dollar."""
MARKED = 24.990291
NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.UTC)


def work_with(emulator: RunningEmulator, options: str, work: Callable[[IonqBackend], Awaitable[Any]]) -> Any:
    """Run with an open backend that wants sessions."""

    async def main() -> Any:
        environment = {"IONQ_API_URL": emulator.root, "IONQ_API_KEY": "dummy"}
        backend = open_backend(f"{MACHINE},mode=session,{options}", clock=WallClock(), environment=environment)
        assert isinstance(backend, IonqBackend)
        try:
            await backend.open()
            return await work(backend)
        finally:
            await backend.close()

    return asyncio.run(main())


async def send(backend: IonqBackend, session_id: str) -> str:
    """Submit one row of 100 shots into a session."""
    request = request_of(1, shots=100)
    await backend.prepare([block.gates for block in request.blocks])
    payload = backend.encode(request, key=secrets.token_hex(32))
    return await backend.submit(replace(payload, session_id=session_id))


def make_session(emulator: RunningEmulator, value: float | None, *, device: str = MACHINE) -> str:
    """A session that somebody opens at the emulator, with this limit on its cost."""
    settings = {"job_count_limit": 9} if value is None else {"cost_limit": {"unit": "usd", "value": value}}
    headers = {"Authorization": "apiKey other"}
    body = {"backend": device, "settings": settings}
    answer = httpx.post(f"{emulator.url}/sessions", json=body, headers=headers, trust_env=False)
    return str(answer.raise_for_status().json()["id"])


def plan_of(*, minutes_ago: float = 0.0) -> SessionPlan:
    """A session as it was about to be opened."""
    at = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=minutes_ago)
    return SessionPlan(KEY, MACHINE, "session", None, at)


def test_options_become_limits_of_a_session() -> None:
    """The cost is up to a cent less, by millionths that follow from the key; what is not named is not limited."""
    options = parse_options(f"{MACHINE},mode=session,max_cost=25USD,max_jobs=100,max_ttl=3600")
    assert (options.mode, options.max_cost) == (JobMode.SESSION, Money("USD", 25_000_000))
    limits = limits_of(options, key=KEY)
    assert limits == SessionLimits(24_990_291, 100, 60)
    assert describe_limits(limits) == "25.00 USD, 100 jobs, 60 minutes"
    settings = {"job_count_limit": 100, "duration_limit_min": 60, "cost_limit": {"unit": "usd", "value": MARKED}}
    assert json.loads(encode_opening(device=MACHINE, limits=limits)) == {"backend": MACHINE, "settings": settings}
    bare = limits_of(parse_options(f"{MACHINE},mode=session,max_jobs=1"), key=KEY)
    assert json.loads(encode_opening(device=MACHINE, limits=bare))["settings"] == {"job_count_limit": 1}
    assert json.loads(in_session(b'{"a":1}', "s-1")) == {"a": 1, "session_id": "s-1"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("mode=session", "needs a limit"),
        ("max_cost=25USD", "add mode=session"),
        ("mode=session,max_cost=25", "an amount in dollars such as 25USD"),
        ("mode=session,max_cost=25EUR", "an amount in dollars such as 25USD"),
        ("mode=session,max_cost=-5USD", "an amount in dollars such as 25USD"),
        ("mode=session,max_cost=1e999USD", "an amount in dollars such as 25USD"),
        ("mode=session,max_cost=0.05USD", "at least 0.10 USD"),
        ("mode=session,max_ttl=90", "whole minutes"),
        ("mode=session,max_jobs=0", "a whole number from 1"),
        ("mode=session,max_jobs=5,version=v0.3", "version=v0.4"),
        ("mode=lease", "one of job, session"),
    ],
)
def test_limits_that_cannot_be_are_refused(options: str, words: str) -> None:
    """Before anything is sent, with a sentence that says what to write."""
    with pytest.raises(UsageError, match=words):
        parse_options(f"{MACHINE},{options}")
    with pytest.raises(UsageError):
        parse_options(f"simulator,{options}")


def test_a_session_is_found_by_its_mark() -> None:
    """Among others of the same machine and minute; not if its id is known, and one without a mark is in doubt."""

    async def find(backend: IonqBackend) -> None:
        make_session(emulator, MARKED, device="qpu.forte-enterprise-1")
        make_session(emulator, 24.990292)
        assert await backend.find_session(plan_of(), known=()) is None
        ours = make_session(emulator, MARKED)
        assert await backend.find_session(plan_of(), known=()) == ours
        assert await backend.find_session(plan_of(minutes_ago=20.0), known=()) is None
        assert await backend.find_session(plan_of(minutes_ago=-10.0), known=()) is None
        for unmarked in (make_session(emulator, 25.0), make_session(emulator, None)):
            with pytest.raises(UnknownOutcomeError, match=f"it may be one of .*{unmarked}.*, which have no jobs"):
                await backend.find_session(plan_of(), known=(ours,))
        twin = make_session(emulator, MARKED)
        with pytest.raises(UnknownOutcomeError, match=twin):
            await backend.find_session(plan_of(), known=())
        assert await backend.find_session(plan_of(), known=(twin,)) == ours
        await send(backend, ours)
        with pytest.raises(UnknownOutcomeError):
            await backend.find_session(plan_of(), known=(twin,))

    with start(Settings()) as emulator:
        work_with(emulator, "max_cost=25USD", find)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("max_jobs=2", "has reached its limit of 2 jobs"),
        ("max_cost=16.50USD", "would exceed its cost limit"),
        ("max_ttl=60", "IonQ itself has ended the session, whose limits were 1 minute."),
    ],
)
def test_a_job_beyond_a_limit_is_refused_for_good(options: str, words: str) -> None:
    """As by a budget; nothing is accepted, what came before is kept, and no other session is opened."""

    async def exceed(backend: IonqBackend) -> None:
        session_id = await backend.open_session(backend.plan_session(key=KEY))
        accepted = [await send(backend, session_id) for _ in range(2)]
        if "max_ttl" in options:
            timer.advance(61.0)
        with pytest.raises(SpendingLimitError) as caught:
            await send(backend, session_id)
        assert words in str(caught.value)
        assert "resume the run" in str(caught.value)
        assert isinstance(caught.value, BudgetError)
        assert [job["id"] for job in emulator.jobs()] == accepted
        assert backend.calls["open session"] == 1

    timer = HandTimer()
    with start(Settings(price="qpu=0.08"), timer=timer) as emulator:
        work_with(emulator, options, exceed)


def answer(status: int, message: str = "", **fields: object) -> HttpResponse:
    """An answer of IonQ's."""
    body = json.dumps({"message": message, **fields}).encode()
    return HttpResponse(status, {}, body, NOW, ExchangeTimes(0, None, None, 1, 2))


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "session 's' has reached its limit of 2 jobs", SpendingLimitError),
        (402, "The job exceeds the remaining budget of the session", SpendingLimitError),
        (403, "Session cost limit exhausted", SpendingLimitError),
        (400, "session 's' is not open", SessionEndedError),
        (404, "Session not found", SessionEndedError),
        (409, "the session has ended", SessionEndedError),
        (400, "shots exceed the limit of 1000000", RejectedError),
        (403, "forbidden", CredentialsError),
        (429, "session rate limit", BusyError),
        (500, "session limit", UnknownOutcomeError),
        (408, "session limit", UnknownOutcomeError),
    ],
)
def test_a_refusal_in_a_session_has_its_error(status: int, message: str, kind: type[BackendError]) -> None:
    """By its words where the status proves that nothing was accepted; outside of a session they mean nothing."""
    with pytest.raises(BackendError) as caught:
        read_submission(answer(status, message), secrets=(), is_in_session=True)
    assert type(caught.value) is kind
    with pytest.raises(BackendError) as outside:
        read_submission(answer(status, message), secrets=())
    assert not isinstance(outside.value, SpendingLimitError | SessionEndedError)


def test_an_account_without_sessions_is_told() -> None:
    """The feature is enabled on request; an opening without a readable answer stays in doubt."""
    for status in (403, 404, 405):
        with pytest.raises(RejectedError, match="on request") as caught:
            read_opening(answer(status, "no"), secrets=())
        assert type(caught.value) is RejectedError
    for status in (201, 500, 504):
        with pytest.raises(UnknownOutcomeError):
            read_opening(answer(status, "?"), secrets=())
    with pytest.raises(BusyError):
        read_opening(answer(429, "later"), secrets=())
    assert read_opening(answer(201, id="s-1", backend=MACHINE), secrets=()) == "s-1"


@pytest.mark.parametrize(
    ("fields", "is_over", "is_at_limit"),
    [
        ({"status": "started", "active": True}, False, False),
        ({"status": "ended", "ender_id": "somebody"}, True, False),
        ({"status": "ended", "ender_id": None}, True, True),
        ({"active": False, "ender_id": "somebody"}, True, False),
        (
            {
                "started_at": "2026-11-30T10:00:00Z",
                "ended_at": "2026-11-30T11:00:00Z",
                "ender_id": "system",
                "settings": {"duration_limit_min": 60},
            },
            True,
            True,
        ),
        ({"ended_at": 7, "settings": "?", "ender_id": 3, "status": 1}, False, False),
    ],
)
def test_a_sessions_document_tells_why_it_is_over(fields: dict[str, object], is_over: bool, is_at_limit: bool) -> None:
    """Nobody has ended it, or its time is over: then it is at a limit. Fields that cannot be read count as missing."""
    session = decode_session(json.dumps({"id": "s-1", "backend": MACHINE, **fields}).encode())
    assert (session.is_over, session.is_at_limit) == (is_over, is_at_limit)
