"""The door through which submissions leave: shared, obedient, and safe to walk away from."""

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest
from simulation.harness import Sandbox, most_within

from qorch.engine.remote import pacing
from qorch.engine.remote.pacer import CLOSED_SECONDS, Pacer, Permit
from qorch.engine.remote.pacing import Throttle
from qorch.errors import BusyError, CredentialsError, UnavailableError, UnreachableError
from qorch.ports.backend import Capabilities
from qorch.ports.clock import Clock
from qorch.ports.policy import Rate
from qorch.ports.records import Change
from qorch.testing.fakes.fragile_store import FragileStore
from qorch.testing.fakes.remote import FREE, HOLD, PAID, FakeRemote
from qorch.testing.virtual_time import VirtualClock


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """One world; no task may be left in it."""
    made = Sandbox()
    yield made
    made.close()


def pacer_of(
    sandbox: Sandbox, *, holder: str = "a", remote: FakeRemote | None = None, clock: Clock | None = None
) -> Pacer:
    """The pacer of a run; ``clock``: of its process, if that is not the sandbox's."""
    pacer = Pacer(
        remote or sandbox.remote(),
        sandbox.store,
        clock=clock or sandbox.clock,
        holder=holder,
        random=np.random.default_rng(1),
    )
    pacer.saw_open()
    return pacer


async def admitted(pacer: Pacer) -> Permit:
    """A permit that was obtained."""
    permit = pacer.permit()
    await permit.obtain()
    return permit


async def submit(pacer: Pacer) -> None:
    """Submit a job that is over as soon as it is accepted."""
    async with pacer.permit() as permit:
        await permit.obtain()
        permit.note_sent()
        await permit.accepted()


def pace_of(sandbox: Sandbox) -> Throttle:
    """What is shared now."""
    seen: list[bytes | None] = []

    def look(state: bytes | None, _now_ns: int) -> Change[None]:
        seen.append(state)
        return Change(state, None)

    sandbox.store.update_shared_state(HOLD.account, look)
    return pacing.decode_throttle(seen[0])


def holder_of(sandbox: Sandbox, name: str = "a") -> tuple[int, int]:
    """Jobs in progress and not answered, of a run."""
    holder = pace_of(sandbox).holders.get(name, pacing.Holder())
    return holder.jobs, holder.sending


class SlowDisk:
    """Makes writes durable after a tenth of a second."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def delay(self) -> float:
        """See Sync."""
        return 0.1

    def call_later(self, seconds: float, function: Callable[[], None]) -> object:
        """See Sync."""
        return self._loop.call_later(seconds, function)


def test_every_outcome_gives_its_permit_back(sandbox: Sandbox) -> None:
    """Whatever becomes of a submission, its place is free again once its job is over."""

    async def work() -> None:
        pacer = pacer_of(sandbox)
        permit = await admitted(pacer)
        assert holder_of(sandbox) == (1, 1)
        await permit.accepted()
        assert holder_of(sandbox) == (1, 0)
        await permit.finished()
        await (await admitted(pacer)).rejected()
        await (await admitted(pacer)).withdrawn()
        await (await admitted(pacer)).refused(BusyError("busy"))
        assert holder_of(sandbox) == (0, 0)
        await pacer.leave()
        assert pace_of(sandbox).holders == {}

    sandbox.run(work())


@pytest.mark.parametrize(
    ("moment", "is_counted"), [("waiting", False), ("sending", True), ("in progress", True), ("over", True)]
)
def test_leaving_a_permit_gives_back_what_is_held(sandbox: Sandbox, moment: str, is_counted: bool) -> None:
    """Whenever its block ends, and however often its outcome is told, nothing is held, and what left is counted."""

    async def work() -> None:
        pacer = pacer_of(sandbox)
        with suppress(KeyError):
            async with pacer.permit() as permit:
                await permit.obtain()
                if moment != "waiting":
                    permit.note_sent()
                if moment in ("in progress", "over"):
                    await permit.accepted()
                    await permit.accepted()
                if moment == "over":
                    await permit.finished()
                    await permit.rejected()
                raise KeyError(moment)
        assert holder_of(sandbox) == (0, 0)
        assert len(pace_of(sandbox).sent) == is_counted

    sandbox.run(work())


@pytest.mark.parametrize("outcome", ["accepted", "rejected", "withdrawn", "finished"])
def test_an_outcome_is_never_taken_back(outcome: str) -> None:
    """A caller that is cancelled while it tells an outcome has told it."""
    sandbox = Sandbox()
    sandbox.store = FragileStore(sandbox.clock, SlowDisk(sandbox.loop))

    async def work() -> None:
        permit = await admitted(pacer_of(sandbox))
        if outcome == "finished":
            await permit.accepted()
        task = asyncio.create_task(getattr(permit, outcome)())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(1.0)
        assert holder_of(sandbox) == ((1, 0) if outcome == "accepted" else (0, 0))

    sandbox.run(work())
    sandbox.close()


def test_two_pacers_share_one_rate(sandbox: Sandbox) -> None:
    """Two runs on one account together keep the limit that each of them was told."""
    terms = dataclasses.replace(HOLD, rate=Rate(4, 60.0))
    left: list[float] = []

    async def send(pacer: Pacer) -> None:
        for _ in range(10):
            permit = await admitted(pacer)
            left.append(sandbox.loop.time())
            await asyncio.sleep(0.2)
            await permit.accepted()
            await permit.finished()

    async def work() -> None:
        pacers = [pacer_of(sandbox, holder=name, remote=sandbox.remote(terms=terms)) for name in "ab"]
        await asyncio.gather(*(send(pacer) for pacer in pacers))

    sandbox.run(work())
    assert len(left) == 20
    assert all(late - early >= 60.0 for early, late in zip(left, left[4:], strict=False))
    assert sandbox.loop.time() < 5 * 62.0


@pytest.mark.parametrize("hours", [3.0, -3.0])
def test_processes_whose_clocks_are_far_apart_keep_one_rate(sandbox: Sandbox, hours: float) -> None:
    """The rate is kept by the clock of the store: two hosts that were started at different times share one window."""
    terms = dataclasses.replace(HOLD, rate=Rate(5, 60.0))
    clocks = [VirtualClock(sandbox.loop, monotonic_seconds=8 * 3600.0 + moved) for moved in (0.0, hours * 3600.0)]
    left: list[float] = []

    async def send(pacer: Pacer) -> None:
        for _ in range(15):
            permit = await admitted(pacer)
            left.append(sandbox.loop.time())
            await asyncio.sleep(0.2)
            await permit.accepted()
            await permit.finished()

    async def work() -> None:
        pacers = [
            pacer_of(sandbox, holder=name, remote=sandbox.remote(terms=terms), clock=clock)
            for name, clock in zip("ab", clocks, strict=True)
        ]
        await asyncio.gather(*(send(pacer) for pacer in pacers))

    sandbox.run(work())
    assert len(left) == 30
    assert most_within(left, seconds=60.0) == 5
    assert sandbox.loop.time() < 6 * 62.0


def test_a_free_place_wakes_who_waits_for_it(sandbox: Sandbox) -> None:
    """A job that is over lets the next one go at once, not when it would have looked again."""
    terms = dataclasses.replace(HOLD, most_jobs=1)

    async def work() -> float:
        pacer = pacer_of(sandbox, remote=sandbox.remote(terms=terms))
        permit = await admitted(pacer)
        await permit.accepted()
        waiting = asyncio.create_task(admitted(pacer))
        await asyncio.sleep(7.0)
        await permit.finished()
        await waiting
        return sandbox.loop.time()

    assert sandbox.run(work()) == pytest.approx(7.0)


def test_a_pause_is_obeyed_by_all(sandbox: Sandbox) -> None:
    """A time that the server named to one run holds back the other run, too."""

    async def work() -> float:
        one, other = pacer_of(sandbox), pacer_of(sandbox, holder="b")
        await (await admitted(one)).refused(BusyError("wait", retry_after_seconds=42.0))
        await admitted(other)
        return sandbox.loop.time()

    assert sandbox.run(work()) == pytest.approx(42.0, abs=0.02)
    assert sandbox.provider.calls == {"availability": 1}


def test_a_permit_is_void_after_a_refusal(sandbox: Sandbox) -> None:
    """A permit that was given and not used yet is void once another submission is refused."""

    async def work() -> None:
        pacer = pacer_of(sandbox)
        for _ in range(8):
            await submit(pacer)
        first, second = await admitted(pacer), await admitted(pacer)
        assert not second.is_void
        await first.refused(BusyError("wait", retry_after_seconds=5.0))
        assert second.is_void
        await second.withdrawn()
        assert not (await admitted(pacer)).is_void

    sandbox.run(work())


def test_a_probe_asks_before_it_sends(sandbox: Sandbox) -> None:
    """While a backend is closed a probe is answered by a question, once a minute, and gives its place back."""
    sandbox.provider.closures = ((0.0, 1000.0),)

    async def work() -> int:
        pacer = pacer_of(sandbox)
        await (await admitted(pacer)).refused(BusyError("busy"))
        closed = 0
        while sandbox.loop.time() < 1000.0 - CLOSED_SECONDS:
            with pytest.raises(UnavailableError, match="calibration"):
                await admitted(pacer)
            assert holder_of(sandbox) == (0, 0)
            closed += 1
        await admitted(pacer)
        return closed

    assert sandbox.run(work()) == pytest.approx(1000.0 / CLOSED_SECONDS, abs=1)


def test_questions_while_it_is_closed_use_up_no_rate(sandbox: Sandbox) -> None:
    """What was not sent counts in no window: the first submission leaves a minute after it is open, and not later."""
    terms = dataclasses.replace(HOLD, rate=Rate(1, 600.0))
    sandbox.provider.closures = ((0.0, 1000.0),)

    async def work() -> float:
        pacer = pacer_of(sandbox, remote=sandbox.remote(terms=terms))
        await (await admitted(pacer)).refused(BusyError("busy"))
        while True:
            with suppress(UnavailableError):
                await submit(pacer)
                return sandbox.loop.time()

    assert sandbox.run(work()) < 1000.0 + CLOSED_SECONDS + 1.0


@pytest.mark.parametrize("capabilities", [FREE, PAID], ids=["free", "paid"])
def test_a_minute_later_it_is_asked_before_anything_is_sent(sandbox: Sandbox, capabilities: Capabilities) -> None:
    """Whether the backend is open is believed for a minute; a closed one gets nothing, and several permits one look."""
    sandbox.provider.closures = ((100.0, 200.0),)

    async def work() -> None:
        pacer = pacer_of(sandbox, remote=sandbox.remote(capabilities=capabilities))
        for _ in range(20):
            await submit(pacer)
        await asyncio.sleep(59.0)
        await submit(pacer)
        assert sandbox.provider.calls["availability"] == 0
        await asyncio.sleep(2.0)
        await asyncio.gather(*(submit(pacer) for _ in range(8)))
        assert sandbox.provider.calls["availability"] == 1
        await asyncio.sleep(62.0)
        with pytest.raises(UnavailableError, match="calibration"):
            await submit(pacer)
        assert holder_of(sandbox) == (0, 0)
        await asyncio.sleep(80.0)
        await submit(pacer)

    sandbox.run(work())


@pytest.mark.parametrize(
    ("capabilities", "error", "is_sent"),
    [
        (FREE, BusyError("500"), True),
        (FREE, UnreachableError("gone"), False),
        (PAID, BusyError("500"), False),
        (PAID, UnreachableError("gone"), False),
    ],
)
def test_a_question_without_an_answer_stops_what_costs_money(
    sandbox: Sandbox, capabilities: Capabilities, error: BusyError, is_sent: bool
) -> None:
    """A free server that is there may be unable to describe itself; nothing is sent into an outage."""
    remote = sandbox.remote(capabilities=capabilities)

    async def fail() -> None:
        raise error

    remote.availability = fail  # type: ignore[method-assign, assignment]

    async def work() -> bool:
        pacer = pacer_of(sandbox, remote=remote)
        await asyncio.sleep(61.0)
        try:
            await admitted(pacer)
        except BusyError:
            assert holder_of(sandbox) == (0, 0)
            return False
        return True

    assert sandbox.run(work()) is is_sent


@pytest.mark.parametrize(
    "error", [BusyError("no", retry_after_seconds=3.0), CredentialsError("no key"), KeyError("bug")]
)
def test_a_probe_that_fails_gives_its_place_back(sandbox: Sandbox, error: Exception) -> None:
    """Any error of the question is raised, and no caller waits for this probe any more."""
    remote = sandbox.remote()

    async def fail() -> None:
        raise error

    remote.availability = fail  # type: ignore[method-assign, assignment]

    async def work() -> None:
        pacer = pacer_of(sandbox, remote=remote)
        await (await admitted(pacer)).refused(BusyError("busy"))
        with pytest.raises(type(error)):
            await admitted(pacer)
        assert holder_of(sandbox) == (0, 0)
        if isinstance(error, CredentialsError):
            with pytest.raises(CredentialsError):
                await admitted(pacer)

    sandbox.run(work())


@pytest.mark.parametrize("wait", ["a pause", "a place"])
def test_stopping_wakes_everybody(sandbox: Sandbox, wait: str) -> None:
    """Who waits, for whatever, and who comes later gets the error at once."""
    terms = dataclasses.replace(HOLD, most_jobs=1)

    async def work() -> None:
        pacer = pacer_of(sandbox, remote=sandbox.remote(terms=terms))
        permit = await admitted(pacer)
        if wait == "a pause":
            await permit.refused(BusyError("wait", retry_after_seconds=3000.0))
        waiting = [asyncio.create_task(admitted(pacer)) for _ in range(3)]
        await asyncio.sleep(1.0)
        pacer.stop(CredentialsError("the key is gone"))
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [str(result) for result in results] == ["the key is gone"] * 3
        with pytest.raises(CredentialsError):
            await admitted(pacer)

    sandbox.run(work())
    assert sandbox.loop.time() < 2.0


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15, 5.0])
def test_walking_away_leaves_nothing_behind(moment: float) -> None:
    """A wish that is cancelled, even while the grant is on its way to the disk, holds no place."""
    sandbox = Sandbox()
    sandbox.store = FragileStore(sandbox.clock, SlowDisk(sandbox.loop))
    terms = dataclasses.replace(HOLD, most_jobs=1)

    async def work() -> None:
        pacer = pacer_of(sandbox, remote=sandbox.remote(terms=terms))
        first = pacer.permit()
        if moment == 5.0:
            await first.obtain()
            await first.accepted()
        task = asyncio.create_task(admitted(pacer))
        await asyncio.sleep(moment)
        task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
        if isinstance(result, Permit):
            await result.withdrawn()
        await first.finished()
        await asyncio.sleep(1.0)
        assert holder_of(sandbox) == (0, 0)
        await asyncio.wait_for(admitted(pacer), 1.0)

    sandbox.run(work())
    sandbox.close()


def test_a_new_process_takes_the_place_of_a_dead_one(sandbox: Sandbox) -> None:
    """What a killed process had in progress does not block the next of its name for ever."""
    terms = dataclasses.replace(HOLD, most_jobs=2)

    async def work() -> None:
        dead = pacer_of(sandbox, remote=sandbox.remote(terms=terms))
        await (await admitted(dead)).accepted()
        await admitted(dead)
        born = pacer_of(sandbox, remote=sandbox.remote(terms=terms))
        await asyncio.wait_for(admitted(born), 1.0)

    sandbox.run(work())


def test_a_jump_of_the_wall_clock_moves_nothing(sandbox: Sandbox) -> None:
    """A day forward does not end a pause, and a day back does not prolong it."""

    async def work() -> float:
        pacer = pacer_of(sandbox)
        await (await admitted(pacer)).refused(BusyError("wait", retry_after_seconds=100.0))
        sandbox.clock.skew_seconds = 86_400.0
        waiting = asyncio.create_task(admitted(pacer))
        await asyncio.sleep(50.0)
        sandbox.clock.skew_seconds = -86_400.0
        await waiting
        return sandbox.loop.time()

    assert sandbox.run(work()) == pytest.approx(100.0, abs=0.02)
