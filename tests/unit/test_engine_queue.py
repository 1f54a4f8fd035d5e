"""The job queue: bounded, in order, safe to cancel."""

import asyncio

import pytest

from qorch.engine.queue import JobQueue


def test_width_bounds_the_work_in_progress() -> None:
    """Never more pieces of work are in progress than the queue is wide, and all of them are done."""

    async def scenario() -> tuple[int, list[int]]:
        running = 0
        most = 0
        done: list[int] = []

        async def work(number: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            done.append(number)

        async with JobQueue(3) as queue:
            await asyncio.gather(*(queue.run(lambda n=n: work(n)) for n in range(50)))
        return most, done

    most, done = asyncio.run(scenario())
    assert most == 3
    assert sorted(done) == list(range(50))


def test_errors_reach_the_caller() -> None:
    """What the work raises is raised to whoever queued it, and the queue goes on."""

    async def scenario() -> str:
        async def fail() -> None:
            raise ValueError("no")

        async def succeed() -> None:
            return None

        async with JobQueue(1) as queue:
            with pytest.raises(ValueError, match="no"):
                await queue.run(fail)
            await queue.run(succeed)
        return "went on"

    assert asyncio.run(scenario()) == "went on"


def test_cancelling_a_caller_stops_its_work() -> None:
    """A caller that is cancelled takes its work with it, whether it is queued or in progress."""

    async def scenario() -> list[str]:
        events: list[str] = []
        started = asyncio.Event()

        async def long() -> None:
            events.append("started")
            started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                events.append("stopped")
                raise

        async def never() -> None:
            events.append("must not run")

        async with JobQueue(1) as queue:
            first = asyncio.create_task(queue.run(long))
            await started.wait()
            second = asyncio.create_task(queue.run(never))
            await asyncio.sleep(0)
            second.cancel()
            first.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert first.cancelled()
            assert second.cancelled()
            await asyncio.wait_for(queue.run(_nothing), timeout=5)
        return events

    assert asyncio.run(scenario()) == ["started", "stopped"]


def test_leaving_the_queue_leaves_nothing() -> None:
    """Closing the queue cancels what is in progress and what waits; no task is left."""

    async def scenario() -> int:
        async def forever() -> None:
            await asyncio.Event().wait()

        async with JobQueue(2) as queue:
            callers = [asyncio.create_task(queue.run(forever)) for _ in range(5)]
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(*callers, return_exceptions=True)
        return len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == 1


async def _nothing() -> None:
    return None
