"""Calls on virtual time: threads, event loops of users, waits that are not seen, and Ctrl-C."""

import asyncio
import concurrent.futures
import datetime
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from qorch.dry_run.clock import CallerClock
from qorch.dry_run.portal import VirtualPortal
from qorch.ports.records import RunRecord
from qorch.virtual_time import START

pytestmark = pytest.mark.timeout(60)
HOUR = 3_600.0


class HandClock:
    """A real clock that the test moves."""

    def __init__(self) -> None:
        """It is 0 s."""
        self.seconds = 0.0

    def monotonic_ns(self) -> int:
        """See Clock."""
        return round(self.seconds * 1e9)

    def now(self) -> datetime.datetime:
        """See Clock."""
        return START

    async def sleep(self, seconds: float) -> None:
        """See Clock."""
        raise NotImplementedError


def open_portal(clock: CallerClock) -> VirtualPortal:
    """The portal of a run."""
    return clock.open_portal(RunRecord("r", "r", "mock:cloud", 1, "resume", START))


@pytest.fixture
def frozen() -> Iterator[CallerClock]:
    """Nothing that is computed takes time, but 2 s a step."""
    clock = CallerClock(compute_seconds=2.0)
    yield clock
    clock.close()


@pytest.fixture
def portal(frozen: CallerClock) -> VirtualPortal:
    """A run's portal on the frozen clock."""
    return open_portal(frozen)


async def sleep(hours: float) -> float:
    """Work that only waits; the loop's time at its end, in hours."""
    await asyncio.sleep(hours * HOUR)
    return asyncio.get_running_loop().time() / HOUR


def test_days_pass_in_a_call(frozen: CallerClock, portal: VirtualPortal) -> None:
    """The caller goes on at the time at which its call ended, and the next begins at the caller's own time."""
    assert portal.call(sleep(72)) == 72
    assert frozen.seconds() == 72 * HOUR
    assert frozen.now() - START == datetime.timedelta(hours=72)
    frozen.end_step()
    assert frozen.monotonic_ns() == (72 * 3600 + 2) * 10**9
    portal.call(sleep(0))
    assert frozen.seconds() == 72 * HOUR + 2


def test_threads_have_times_of_their_own(frozen: CallerClock, portal: VirtualPortal) -> None:
    """Calls of several threads overlap, while the main thread waits for them in a way that is not seen."""
    ends: dict[int, list[float]] = {}
    all_known = threading.Barrier(3)

    def work(number: int) -> None:
        frozen.loop.callers.catch_up()
        all_known.wait()
        for _ in range(3):
            portal.call(sleep(number))
            ends.setdefault(number, []).append(frozen.seconds() / HOUR)

    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert frozen.loop.time() == 15 * HOUR
    assert ends[5] == [5, 10, 15]
    portal.call(sleep(1))
    assert frozen.seconds() == 16 * HOUR


def test_a_pool_whose_threads_wait_for_work(portal: VirtualPortal) -> None:
    """Its idle threads compute nothing, and hold up nobody."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        assert 4 <= max(pool.map(lambda hours: portal.call(sleep(hours)), (1, 4, 2, 3, 1))) <= 11


def test_calls_are_awaited_beside_each_other(frozen: CallerClock, portal: VirtualPortal) -> None:
    """In an event loop of the user's, which has nothing else to do, the calls of one thread overlap."""

    async def train() -> list[float]:
        found = await asyncio.gather(*(portal.acall(sleep(hours)) for hours in (1, 2, 3)))
        pending = portal.start(sleep(1))
        return [*found, await pending, await portal.acall(sleep(1))]

    assert asyncio.run(train()) == [1, 2, 3, 4, 5]
    assert asyncio.run(train()) == [6, 7, 8, 9, 10]
    assert frozen.seconds() == 10 * HOUR


def test_time_stands_still_while_a_thread_computes() -> None:
    """Though another waits in a call: what the thread computes may lead to a call before that one ends."""
    clock = CallerClock(compute_seconds=0.0, real=HandClock())
    portal = open_portal(clock)
    begun = threading.Event()

    async def work() -> float:
        begun.set()
        return await sleep(2)

    thread = threading.Thread(target=lambda: portal.call(work()))
    thread.start()
    begun.wait()
    for _ in range(100):
        done = threading.Event()
        clock.loop.call_soon_threadsafe(done.set)
        done.wait()
    assert clock.loop.time() == 0
    assert portal.call(sleep(1)) == 1
    assert portal.call(sleep(3)) == 4
    thread.join()
    clock.close()


def test_what_is_computed_is_measured() -> None:
    """Between calls it is the caller's time, in the loop everyone's; what stands for something else takes none."""
    real = HandClock()
    clock = CallerClock(real=real)
    portal = open_portal(clock)

    async def compute() -> float:
        real.seconds += 5
        with clock.stand_still():
            real.seconds += 1000
        return clock.seconds()

    real.seconds += 10
    assert clock.seconds() == 10
    assert portal.call(compute()) == 15
    real.seconds += 20
    assert clock.seconds() == 35
    portal.call(sleep(1))
    assert clock.seconds() == 35 + HOUR
    assert clock.loop.computed_seconds == pytest.approx(5)
    clock.close()


def test_a_pending_call_is_asked_again_and_again(frozen: CallerClock, portal: VirtualPortal) -> None:
    """Each question lets time pass to the next event, also where the program computes nothing meanwhile."""
    pending = portal.start(sleep(3))
    portal.start(sleep(1))
    questions = 1
    while not pending.done():
        questions += 1
    assert questions <= 4
    assert pending.result() == 3
    assert frozen.seconds() == 3 * HOUR


def test_a_wait_ends_after_virtual_seconds(frozen: CallerClock, portal: VirtualPortal) -> None:
    """A timeout is as long as it would be in a real run; the call goes on, and its error is raised as ever."""

    async def fail() -> None:
        await sleep(3)
        raise KeyError("x")

    pending = portal.start(fail())
    with pytest.raises(TimeoutError):
        pending.result(timeout_seconds=2 * HOUR)
    assert frozen.seconds() == 2 * HOUR
    with pytest.raises(KeyError):
        pending.result()
    assert frozen.seconds() == 3 * HOUR
    assert portal.start(sleep(1)).cancel()


@pytest.mark.parametrize("hours", [0, 100])
def test_ctrl_c_in_a_call(portal: VirtualPortal, hours: int) -> None:
    """The work is cancelled, and cleans up in virtual time, before it is raised; other work goes on later."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    events: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(hours * HOUR)
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(HOUR)
            events.append("cleaned up")
            raise

    with pytest.raises(KeyboardInterrupt):
        portal.call(work())
    signal.signal(signal.SIGINT, before)
    assert events == ["cleaned up"]
    assert portal.call(sleep(1)) == hours + 2


@pytest.mark.filterwarnings("error")
def test_work_that_never_begins_is_let_go(portal: VirtualPortal) -> None:
    """A call that is cancelled before its time, or that comes too late, leaves nothing behind."""
    waiting = portal.start(sleep(1))
    waiting.cancel()
    with pytest.raises(concurrent.futures.CancelledError):
        waiting.result()
    portal.close()
    with pytest.raises(Exception, match="is closed"):
        portal.call(sleep(1))


def test_runs_share_the_loop(frozen: CallerClock) -> None:
    """Two runs at once are on one timeline, and one that is closed leaves the other its loop."""
    one, other = open_portal(frozen), open_portal(frozen)
    pending = one.start(sleep(2))
    assert other.call(sleep(1)) == 1
    other.close()
    assert pending.result() == 2
    one.close()


def test_a_call_of_another_thread_is_waited_for(frozen: CallerClock, portal: VirtualPortal) -> None:
    """By whatever thread has its handle, also in an event loop of that thread's own."""
    pending = portal.start(sleep(5))
    found: list[float] = []

    def follow(wait: Callable[[], float]) -> None:
        found.append(wait())

    async def await_it() -> float:
        return await pending

    waits: list[Callable[[], float]] = [pending.result, lambda: asyncio.run(await_it())]
    threads = [threading.Thread(target=follow, args=(wait,)) for wait in waits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5, 5]
    assert frozen.loop.time() == 5 * HOUR


def test_a_call_is_pending_before_the_loop_begins_with_it(
    portal: VirtualPortal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late its caller goes on: the loop would sleep for good, as nobody wakes it again."""
    submit = asyncio.run_coroutine_threadsafe

    def submit_slowly(
        work: Coroutine[Any, Any, float], loop: asyncio.AbstractEventLoop
    ) -> "concurrent.futures.Future[float]":
        future, seen = submit(work, loop), threading.Event()
        for _ in range(3):
            seen.clear()
            loop.call_soon_threadsafe(seen.set)
            seen.wait()
        return future

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", submit_slowly)
    assert portal.submit(sleep(2)).result(timeout=30) == 2


def test_an_awaited_call_is_cancelled(frozen: CallerClock, portal: VirtualPortal) -> None:
    """As `asyncio.wait_for` does in real time: the work ends, and the thread goes on."""

    async def train() -> float:
        task: asyncio.Task[float] = asyncio.create_task(_as_coroutine(portal.acall(sleep(10))))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await portal.acall(sleep(1))

    assert asyncio.run(train()) == 1
    assert frozen.seconds() == HOUR


async def _as_coroutine(work: Coroutine[Any, Any, float]) -> float:
    return await work
