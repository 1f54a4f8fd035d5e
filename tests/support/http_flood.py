"""Read a flood in a process of its own and print the growth of its memory in bytes: ``http_flood.py bomb|endless``."""

import asyncio
import gzip
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from scripted_server import Answer, ScriptedServer, head, reply

from qorch.ports.clock import WallClock
from qorch_providers.http import HttpClient, TooLargeError


@contextmanager
def watched_memory() -> Iterator[list[int]]:
    """The resident bytes of this process, sampled some thousand times a second while the block runs."""
    process, done = psutil.Process(), threading.Event()
    samples = [process.memory_info().rss]

    def watch() -> None:
        while not done.wait(0.0003):
            samples.append(process.memory_info().rss)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


async def pour(writer: asyncio.StreamWriter) -> None:
    """A gigabyte in the clear."""
    writer.write(head(200, 2**30))
    for _ in range(1024):
        writer.write(bytes(2**20))
        await writer.drain()


async def read_flood(flood: Answer) -> int:
    """The growth while one such answer is refused, after a small one was read."""
    answers = iter([reply(200, b"x"), flood])
    async with ScriptedServer(lambda request: next(answers)) as server:
        client = HttpClient(server.url, headers={"a": "b"}, clock=WallClock(), deadline_seconds=30.0)
        await client.request("GET", "/a")
        with watched_memory() as samples:
            try:
                await client.request("GET", "/a")
            except TooLargeError:
                pass
            else:
                raise AssertionError("the flood was read to its end")
        await client.aclose()
    return max(samples) - samples[0]


def main() -> None:
    """See the module."""
    bomb = reply(200, gzip.compress(bytes(300 * 2**20)), {"Content-Encoding": "gzip"})
    print(asyncio.run(read_flood(bomb if sys.argv[1] == "bomb" else pour)))


if __name__ == "__main__":
    main()
