"""The life of a session at a provider: opened for the first job, found without an answer, replaced, and closed."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest
from simulation.harness import Sandbox

from qorch import recovery
from qorch.config import read_config
from qorch.engine.submitter import HURRY_SECONDS
from qorch.errors import BackendError, CredentialsError, RejectedError
from qorch.model.job import JobState
from qorch.ports.policy import OnUnknown, RetryPolicy, RunPolicy
from qorch.ports.provider_sessions import ProviderSessionRecord, ProviderSessionState
from qorch.ports.records import Write
from qorch.recovery import cancel_jobs
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.sessions import FakeSessionDesk, FakeSessionRemote
from qorch.testing.fakes.store import MemoryStore

OPENING, OPEN, UNKNOWN, CLOSED, ABSENT = ProviderSessionState


class SessionWorld(Sandbox):
    """A provider with sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = FakeSessionDesk()

    def sessions_remote(self, opening: Sequence[Fault | None] = (), **fields: Any) -> FakeSessionRemote:
        """A way to the provider on which openings meet these faults."""
        faults = list(opening)
        fields.setdefault("faults", lambda call: faults.pop(0) if call == "open_session" and faults else None)
        return FakeSessionRemote(self.provider, self.clock, desk=self.desk, **fields)

    def states(self, run_id: str = "r") -> list[ProviderSessionState]:
        """Of the run's sessions, oldest first."""
        return [record.state for record in self.store.provider_sessions(run_id)]

    def leave(self, state: ProviderSessionState, *, is_opened: bool, run_id: str = "r") -> ProviderSessionRecord:
        """A session as a process that ended in this state left it; an open one has an id."""
        remote = self.sessions_remote()
        self.engine(remote, run_id=run_id)
        plan = remote.plan_session(key=f"{len(self.store.provider_sessions()):08x}".ljust(64, "0"))
        session = self.desk.open(plan, at=self.loop.time()) if is_opened else None
        provider_id = session.session_id if session is not None and state is OPEN else None
        left = ProviderSessionRecord(plan, run_id, remote.terms.account, state, self.clock.now(), provider_id)
        self.store.write([left])
        return left

    async def start(self, *, run_id: str = "r") -> None:
        """The next start of a run, until what was left is settled."""
        engine = self.engine(self.sessions_remote(), run_id=run_id)
        await engine.open()
        await asyncio.sleep(100.0)
        await engine.close()


@pytest.fixture
def world() -> Iterator[SessionWorld]:
    """One world; no task may be left in it."""
    made = SessionWorld()
    yield made
    made.close()


def test_all_jobs_of_a_run_share_one_session_that_is_closed_at_the_end(world: SessionWorld) -> None:
    """Not opened before the first job, though all come at once; each job is in it, and it is closed with the run."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote())
        await engine.open()
        assert world.desk.sessions == {}
        await world.execute_many(engine, 40)
        await world.execute(engine, 4, step=1)
        [session] = world.desk.sessions.values()
        assert session.n_jobs == len(world.provider.jobs)
        assert (world.states(), world.desk.open_ids()) == ([OPEN], [session.session_id])
        await engine.close()

    world.run(work())
    assert (world.states(), world.desk.open_ids()) == ([CLOSED], [])
    assert world.provider.calls["open_session"] == world.provider.calls["close_session"] == 1


def test_a_session_is_written_down_before_it_is_opened(world: SessionWorld) -> None:
    """When the opening leaves, the database has it as OPENING; a job leaves only once it is there as OPEN."""
    seen: list[list[ProviderSessionState]] = []

    def look(call: str) -> None:
        if call in ("open_session", "submit"):
            seen.append(world.states())

    async def work() -> None:
        engine = world.engine(world.sessions_remote(faults=look))
        await engine.open()
        await world.execute(engine, 4)

    world.run(work())
    assert seen == [[OPENING], [OPEN]]


def test_jobs_that_run_by_themselves_open_none(world: SessionWorld) -> None:
    """Of a backend that could open sessions, and was not asked for any."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote(session_mode=""))
        await engine.open()
        await world.execute(engine, 4)

    world.run(work())
    assert (world.states(), world.desk.sessions) == ([], {})


def test_a_session_that_ended_by_itself_is_replaced(world: SessionWorld) -> None:
    """Its time is over: the job is refused there, and goes into a new one under its key with its bytes."""
    world.desk.live_seconds = lambda: 50.0

    async def work() -> None:
        engine = world.engine(world.sessions_remote())
        await engine.open()
        for step in range(3):
            await world.execute(engine, 4, step=step)
            await asyncio.sleep(60.0)
        await engine.close()

    world.run(work())
    assert (world.states(), world.desk.open_ids()) == ([CLOSED] * 3, [])
    assert [session.n_jobs for session in world.desk.sessions.values()] == [1, 1, 1]
    jobs = world.store.jobs("r")
    assert [job.state for job in jobs] == [JobState.DONE] * 3
    assert [job.attempts for job in jobs] == [1, 2, 2]
    attempts = world.store.attempts(jobs[1].job_id)
    assert len({(attempt.key, attempt.payload_digest) for attempt in attempts}) == 1


def test_sessions_that_end_before_they_take_a_job_are_not_opened_for_ever(world: SessionWorld) -> None:
    """After the third the call fails with the reason, and none is left open."""
    world.desk.live_seconds = lambda: 0.0

    async def work() -> None:
        engine = world.engine(world.sessions_remote())
        await engine.open()
        with pytest.raises(RejectedError, match="3 sessions of fake:remote ended before they took a job"):
            await world.execute(engine, 4)
        await engine.close()

    world.run(work())
    assert (world.states(), world.desk.open_ids()) == ([CLOSED] * 3, [])


def test_a_session_whose_answer_was_lost_is_found_and_used(world: SessionWorld) -> None:
    """Also if the list shows it only after a while; no second one is opened."""
    world.desk.list_seconds = lambda: 10.0

    async def work() -> None:
        engine = world.engine(world.sessions_remote([Fault.LOST_AFTER]))
        await engine.open()
        await world.execute(engine, 4)
        await engine.close()

    world.run(work())
    [session] = world.desk.sessions.values()
    assert (world.states(), session.n_jobs, session.is_closed) == ([CLOSED], 1, True)


def test_a_session_that_no_list_shows_after_the_settle_time_is_absent(world: SessionWorld) -> None:
    """It was never opened, so another one is."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote([Fault.LOST_BEFORE]))
        await engine.open()
        await world.execute(engine, 4)
        await engine.close()

    world.run(work())
    assert (world.states(), len(world.desk.sessions)) == ([ABSENT, CLOSED], 1)


def test_a_session_that_may_be_somebody_elses_is_not_closed(world: SessionWorld) -> None:
    """It stays in the books as unknown with the reason, until its list tells; then the next start closes it."""
    world.desk.is_vague = True

    async def work() -> None:
        engine = world.engine(world.sessions_remote([Fault.LOST_AFTER]))
        await engine.open()
        await world.execute(engine, 4)
        await engine.close()
        unknown, used = world.store.provider_sessions("r")
        assert (unknown.state, used.state) == (UNKNOWN, CLOSED)
        assert unknown.error == "it may be session-1, or somebody else's"
        assert world.desk.open_ids() == ["session-1"]
        world.desk.is_vague = False
        await world.start()

    world.run(work())
    assert (world.states(), world.desk.open_ids()) == ([CLOSED, CLOSED], [])


@pytest.mark.parametrize("faults", [[Fault.BUSY], [Fault.LIMITED, Fault.BUSY]])
def test_a_busy_provider_is_asked_again(world: SessionWorld, faults: list[Fault]) -> None:
    """Under the same key, so that one line in the books is enough."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote(faults))
        await engine.open()
        await world.execute(engine, 4)
        await engine.close()

    world.run(work())
    assert (world.states(), len(world.desk.sessions)) == ([CLOSED], 1)


def test_a_refused_opening_ends_the_call(world: SessionWorld) -> None:
    """With the provider's reason; nothing was sent, and nothing is open."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote([Fault.REJECTED]))
        await engine.open()
        with pytest.raises(RejectedError, match="no sessions for this account"):
            await world.execute(engine, 4)

    world.run(work())
    assert (world.states(), world.provider.calls["submit"]) == ([ABSENT], 0)
    assert [job.state for job in world.store.jobs("r")] == [JobState.CANCELLED]


def test_a_refused_key_stops_all_submissions(world: SessionWorld) -> None:
    """The second call is not tried at all."""
    remote = world.sessions_remote()

    async def work() -> None:
        engine = world.engine(remote)
        await engine.open()
        remote.open_session = _refuse  # type: ignore[method-assign]
        for step in range(2):
            with pytest.raises(CredentialsError):
                await world.execute(engine, 4, step=step)

    world.run(work())
    assert world.states()[0] is ABSENT
    assert world.provider.calls["submit"] == 0


async def _refuse(_plan: object) -> str:
    raise CredentialsError("the key was refused")


def test_openings_without_an_answer_end_at_last(world: SessionWorld) -> None:
    """Three in a row, each looked for."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote([Fault.LOST_BEFORE] * 3))
        await engine.open()
        with pytest.raises(RejectedError, match="asked for a session 3 times"):
            await world.execute(engine, 4)

    world.run(work())
    assert world.states() == [ABSENT] * 3


def test_a_run_that_is_stopped_while_a_session_opens_closes_it(world: SessionWorld) -> None:
    """The answer is on its way when the run ends: it is waited for, and the session closed."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote(round_trip_seconds=0.5))
        await engine.open()
        call = asyncio.create_task(world.execute(engine, 4))
        await _until(lambda: bool(world.desk.sessions))
        await engine.close()
        await asyncio.gather(call, return_exceptions=True)

    world.run(work())
    assert (world.states(), world.desk.open_ids()) == ([CLOSED], [])
    assert world.provider.calls["submit"] == 0


@pytest.mark.parametrize("fault", [Fault.LOST_AFTER, Fault.LOST_BEFORE])
def test_a_run_that_is_stopped_in_doubt_leaves_what_the_next_start_settles(world: SessionWorld, fault: Fault) -> None:
    """Stopped while it waits for the settle time: what is listed is closed, what is not is left in the books."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote([fault]))
        world.desk.list_seconds = lambda: 1e-3
        await engine.open()
        call = asyncio.create_task(world.execute(engine, 4))
        await _until(lambda: world.provider.calls["find_session"] > 0)
        await engine.close()
        await asyncio.gather(call, return_exceptions=True)
        assert world.states() == [CLOSED if fault is Fault.LOST_AFTER else OPENING]
        assert world.desk.open_ids() == []
        await world.start()

    world.run(work())
    assert world.states() == [CLOSED if fault is Fault.LOST_AFTER else ABSENT]


def test_a_provider_that_does_not_answer_holds_no_end_up(world: SessionWorld, caplog: pytest.LogCaptureFixture) -> None:
    """An interrupted run ends within its grace, and says what stays open; the next start closes it."""

    async def work() -> None:
        engine = world.engine(world.sessions_remote())
        await engine.open()
        await world.execute(engine, 4)
        world.provider.is_up = False
        before = world.loop.time()
        await engine.close()
        assert world.loop.time() - before <= HURRY_SECONDS
        assert world.states() == [OPEN]
        world.provider.is_up = True
        await world.start()

    world.run(work())
    assert "1 sessions of fake:remote may still be open" in caplog.text
    assert (world.states(), world.desk.open_ids()) == ([CLOSED], [])


@pytest.mark.parametrize("is_opened", [True, False])
@pytest.mark.parametrize("state", [OPENING, OPEN, UNKNOWN])
def test_the_next_start_closes_what_a_killed_process_left(
    world: SessionWorld, state: ProviderSessionState, is_opened: bool
) -> None:
    """Whatever was written down of it, and whether or not the provider has it."""
    world.leave(state, is_opened=is_opened or state is OPEN)
    world.run(world.start())
    assert world.states() == [CLOSED if is_opened or state is OPEN else ABSENT]
    assert world.desk.open_ids() == []


def test_a_start_closes_what_other_ended_runs_of_the_account_left(world: SessionWorld) -> None:
    """But nothing of a run on which a process works, and nothing of another account."""
    world.leave(OPEN, is_opened=True, run_id="ended")
    held = world.leave(OPEN, is_opened=True, run_id="held")
    with world.store.claim_run("held"):
        world.run(world.start())
    assert [world.states(run) for run in ("ended", "held")] == [[CLOSED], [OPEN]]
    assert world.desk.open_ids() == [held.provider_id]


def test_a_session_of_another_account_is_told_and_left(world: SessionWorld) -> None:
    """This account cannot see it, so that it would look closed: the books keep it, with what to do."""
    left = world.leave(OPEN, is_opened=True)
    world.store.write([replace(left, account="another")])
    world.run(world.start())
    [record] = world.store.provider_sessions("r")
    assert record.state is OPEN
    assert record.error is not None
    assert record.error.startswith("it belongs to another, and fake-account is used now")
    assert world.provider.calls["close_session"] == 0


def test_a_provider_that_cannot_be_asked_keeps_no_run_from_its_work(world: SessionWorld) -> None:
    """What was left stays in the books, with the reason, for the next time."""
    world.leave(OPEN, is_opened=True)

    async def work() -> None:
        policy = RunPolicy(retry=RetryPolicy(patience_seconds=1.0))
        refused = world.sessions_remote(faults=lambda call: Fault.BUSY if call == "close_session" else None)
        engine = world.engine(refused, policy=policy)
        await engine.open()
        await world.execute(engine, 4)
        await asyncio.sleep(200.0)
        await engine.close()

    world.run(work())
    left, own = world.store.provider_sessions("r")
    assert (left.state, own.state) == (OPEN, OPEN)
    assert left.error == "fake:remote gave no answer"


def test_a_job_that_is_sent_again_goes_into_the_session_that_is_open_then(world: SessionWorld) -> None:
    """Its first answer was lost, and it was not accepted: same key, same bytes, whichever session."""
    faults = [Fault.LOST_BEFORE]
    remote = world.sessions_remote(faults=lambda call: faults.pop() if call == "submit" and faults else None)
    remote.terms = replace(remote.terms, on_unknown=OnUnknown.RESUBMIT)
    world.desk.live_seconds = lambda: 20.0  # less than the settle time

    async def work() -> None:
        engine = world.engine(remote)
        await engine.open()
        await world.execute(engine, 4)
        await engine.close()

    world.run(work())
    assert len({(letter.key, letter.digest) for letter in world.provider.letters}) == 1
    assert (len(world.desk.sessions), world.desk.open_ids()) == (2, [])


def test_a_cancelled_run_has_its_sessions_closed(world: SessionWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known, and what the list shows; the rest is said to be left."""
    world.leave(OPEN, is_opened=True)
    world.leave(OPENING, is_opened=True)
    world.leave(OPENING, is_opened=False)
    world.store.write([replace(world.leave(OPEN, is_opened=True), account="another")])
    remote, record = world.sessions_remote(round_trip_seconds=0.0), world.store.find_run("r")
    assert record is not None
    monkeypatch.setattr(recovery, "open_backend", lambda *_, **__: remote)
    ended = cancel_jobs(world.store, record, config=read_config(), clock=world.clock)
    assert (ended.sessions_closed, ended.sessions_left) == (2, 2)
    assert (world.states(), world.desk.open_ids()) == ([CLOSED, CLOSED, OPENING, OPEN], ["session-3"])


class FullAfterOpening(MemoryStore):
    """Its disk is full once a session was written down as open."""

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """See Store."""
        if any(isinstance(record, ProviderSessionRecord) and record.state is OPEN for record in writes):
            future: Future[None] = Future()
            future.set_exception(BackendError("stand-in for a full disk"))
            return future
        return super().write(writes)


def test_a_session_that_cannot_be_written_down_as_open_is_closed(world: SessionWorld) -> None:
    """No job goes into it, and the run closes it as it ends."""
    world.store = FullAfterOpening(world.clock, store_id="5a" * 16)

    async def work() -> None:
        engine = world.engine(world.sessions_remote())
        await engine.open()
        with pytest.raises(BackendError):
            await world.execute(engine, 4)
        await engine.close()

    world.run(work())
    assert (world.desk.open_ids(), world.provider.calls["submit"]) == ([], 0)


async def _until(is_so: Any) -> None:
    while not is_so():  # noqa: ASYNC110 - it happens at the provider
        await asyncio.sleep(0.01)
