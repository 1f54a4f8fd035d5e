"""Event loops on virtual time: the one that never asks the system does what the other does, in the same order."""

import asyncio
import hashlib

import numpy as np
import pytest

from qorch.model.profiles.draws import generator_of
from qorch.virtual_time import LoneLoop, VirtualLoop, run_virtually


async def _meet() -> list[tuple[str, float]]:
    """Tasks that wait, are cancelled, and wake each other."""
    seen: list[tuple[str, float]] = []
    loop, door = asyncio.get_running_loop(), asyncio.Event()

    async def wait(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, loop.time()))

    async def wait_for_door() -> None:
        await door.wait()
        seen.append(("door", loop.time()))

    tasks = [asyncio.create_task(wait(name, seconds)) for name, seconds in (("c", 2.0), ("a", 1.0), ("b", 1.0))]
    tasks += [asyncio.create_task(wait_for_door()), asyncio.create_task(wait("never", 7_200.0))]
    loop.call_later(1.5, door.set)
    await asyncio.sleep(3_600.0)
    tasks[-1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return [*seen, ("end", loop.time())]


def test_lone_loop_does_what_a_virtual_loop_does() -> None:
    """Timers, cancelled ones, and tasks come in the same order, at the same times."""
    seen = []
    for loop in (VirtualLoop(), LoneLoop()):
        seen.append(run_virtually(loop, _meet()))
        loop.close()
    assert seen[0] == seen[1]
    assert seen[1] == [("a", 1.0), ("b", 1.0), ("door", 1.5), ("c", 2.0), ("end", 3_600.0)]


def test_lone_loop_in_which_nothing_can_happen_ends() -> None:
    """What waits for nobody would wait forever."""

    async def wait() -> None:
        await asyncio.Event().wait()

    loop = LoneLoop()
    with pytest.raises(RuntimeError, match="nothing is left to do"):
        run_virtually(loop, wait())
    [task] = asyncio.all_tasks(loop)
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()


def test_draws_are_those_of_a_key() -> None:
    """The generator of a subject is Philox with the first 16 bytes of its digest as the key, as it always was."""
    digest = hashlib.sha256(b"qorch-mock-1/3/poll/0.0").digest()
    wanted = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16])))
    drawn = generator_of(3, "poll", "0.0")
    assert drawn.normal(size=5).tolist() == wanted.normal(size=5).tolist()
    assert drawn.choice(100, size=9, replace=False).tolist() == wanted.choice(100, size=9, replace=False).tolist()
