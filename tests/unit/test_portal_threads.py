"""The portal: sync callers, threads, forks, and Ctrl-C."""

import asyncio
import concurrent.futures
import os
import signal
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from qorch.errors import RunError
from qorch.run.portal import Portal


async def _double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def test_many_threads_share_one_loop() -> None:
    """Calls from several threads all come back with their own answers."""
    portal = Portal()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: portal.call(_double(number)), range(100)))
    portal.close()
    assert answers == [2 * number for number in range(100)]


def test_a_caller_that_waits_does_something_meanwhile() -> None:
    """In its own thread, until the work is done; an error of the work is raised as ever, also a TimeoutError."""
    portal, go_on, seen = Portal(), asyncio.Event(), []

    async def work(error: Exception | None) -> int:
        await go_on.wait()
        go_on.clear()
        if error is not None:
            raise error
        return 7

    async def release() -> None:
        go_on.set()

    def meanwhile() -> None:
        seen.append(threading.current_thread())
        portal.submit(release())

    assert portal.call(work(None), meanwhile) == 7
    with pytest.raises(TimeoutError, match="of the work"):
        portal.call(work(TimeoutError("of the work")), meanwhile)
    assert seen == [threading.current_thread()] * 2
    portal.close()


def test_beside_a_running_loop() -> None:
    """A blocking call works inside a running event loop, as in a notebook cell."""

    async def cell() -> int:
        portal = Portal()
        try:
            return portal.call(_double(4))
        finally:
            portal.close()

    assert asyncio.run(cell()) == 8


def test_blocking_inside_its_own_loop_is_refused() -> None:
    """A call that would wait for itself gets an error instead."""
    portal = Portal()

    async def inside() -> None:
        portal.call(_double(1))

    with pytest.raises(RunError, match="await instead"):
        portal.call(inside())
    portal.close()


def test_closed_portal_refuses() -> None:
    """After closing, a call gets an error; closing twice is harmless."""
    portal = Portal()
    portal.close()
    portal.close()
    with pytest.raises(RunError, match="is closed"):
        portal.call(_double(1))


def test_a_forked_child_is_refused() -> None:
    """A fork of the process cannot use its parent's loop, and says so."""
    portal = Portal()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            portal.call(_double(1))
        except RunError as error:
            os.write(write_end, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert b"process that started it" in os.read(read_end, 1000)
    assert portal.call(_double(3)) == 6
    portal.close()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where the tests run in the background of a shell that ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.timeout(30)
def test_ctrl_c_cancels_the_call() -> None:
    """Ctrl-C while waiting cancels the work in the loop and is raised to the caller."""
    portal = Portal()
    events: list[str] = []
    started = threading.Event()

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    def interrupt() -> None:
        started.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        portal.call(forever())
    portal.close()
    assert events == ["cancelled"]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("is_scheduled", [True, False])
def test_ctrl_c_before_the_wait(is_scheduled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between the start of the work and the wait for it cancels the work just the same."""
    portal = Portal()
    started, cancelled = threading.Event(), threading.Event()
    schedule = asyncio.run_coroutine_threadsafe

    async def forever() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    def interrupt(work: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> None:
        monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", schedule)
        if is_scheduled:
            schedule(work, loop)
            started.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(asyncio, "run_coroutine_threadsafe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        portal.call(forever())
    assert started.is_set() == cancelled.is_set() == is_scheduled
    portal.close()
