"""Collects all documents of a task that is over: its own, its results in S3, and the parts that these name."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from qorch.errors import BusyError, InvalidResultError, JobFailedError, JobMissingError
from qorch.model.job import RemoteState
from qorch.ports.clock import Clock
from qorch_providers.braket.results.documents import RESULTS, TASK, encode_documents
from qorch_providers.braket.results.parts import has_programs, location_of, missing_parts
from qorch_providers.braket.tasks.memory import TaskMemory
from qorch_providers.braket.tasks.status import AT_ONCE, read_status
from qorch_providers.braket.wire.client import BraketClient
from qorch_providers.braket.wire.documents import BraketTask
from qorch_providers.braket.wire.objects import ResultObjects
from qorch_providers.http import ask_each

_MOST_MISSES = 10_000
_LARGE_BYTES = 4_000_000
"""Work on documents of this size takes two or three milliseconds; on smaller ones it is less than a thread costs."""

T = TypeVar("T")


class AnswerCollector:
    """Reads answers. Results that are not there yet may lag behind the status, for the settle time."""

    def __init__(
        self,
        client: BraketClient,
        objects: ResultObjects,
        memory: TaskMemory,
        *,
        clock: Clock,
        settle_seconds: float,
    ) -> None:
        """Nothing is asked before ``collect``. ``memory``: may have the task's document from the last poll."""
        self._client = client
        self._objects = objects
        self._memory = memory
        self._clock = clock
        self._settle_ns = round(settle_seconds * 1e9)
        self._missed_ns: OrderedDict[str, int] = OrderedDict()

    async def collect(self, arn: str) -> bytes:
        """The answer to a task, verbatim, as ``results.documents`` encodes it.

        Raises JobMissingError if there is no such task, JobFailedError if it has no result at all, BusyError if it is
        not over or its results cannot be read now, InvalidResultError if they are not there after the settle time.
        """
        task = self._memory.completed(arn) or await self._client.task(arn, purpose="fetch")
        if task is None:
            raise JobMissingError(f"Amazon Braket has no task {arn}; it may be another region's or account's")
        status = read_status(task)
        if not status.state.is_over:
            raise BusyError(f"task {arn} is {task.status} at Amazon Braket; it is fetched when it is over")
        documents = {TASK: task.document}
        if status.state is not RemoteState.DONE:
            if (result := await self._result_of_failed(task)) is None:
                reason = f": {status.error}" if status.error else ""
                raise JobFailedError(
                    f"task {arn} is {task.status} at Amazon Braket{reason}", is_repeatable=status.is_repeatable
                )
            documents[RESULTS] = result
        await self._complete(task, documents)
        self._missed_ns.pop(arn, None)
        self._memory.forget_completed(arn)
        return await _aside(encode_documents, documents)

    async def _result_of_failed(self, task: BraketTask) -> bytes | None:
        """The result of a task that failed or was cancelled; None if it has none.

        That of a program set tells what became of each row: some may have run, and be paid for.
        """
        if not task.is_set:
            return None
        if task.successful_shots:
            return await self._read(task, task.bucket, task.directory, RESULTS)
        content = await self._objects.get(task.bucket, f"{task.directory}/{RESULTS}")
        return content if content is not None and has_programs({RESULTS: content}) else None

    async def _complete(self, task: BraketTask, documents: dict[str, bytes]) -> None:
        """Add all objects that the documents name, and those that these name."""
        while (wanted := await _aside(partial(_still_missing, task), documents)).names:
            place = wanted.bucket, wanted.directory
            contents = await ask_each(lambda name: self._read(task, *place, name), wanted.names, at_once=AT_ONCE)  # noqa: B023
            documents |= dict(zip(wanted.names, contents, strict=True))

    async def _read(self, task: BraketTask, bucket: str, directory: str, name: str) -> bytes:
        key = f"{directory}/{name}"
        content = await self._objects.get(bucket, key)
        if content is not None:
            return content
        place = f"s3://{bucket}/{key}"
        now_ns = self._clock.monotonic_ns()
        first_ns = self._missed_ns.setdefault(task.arn, now_ns)
        while len(self._missed_ns) > _MOST_MISSES:
            self._missed_ns.popitem(last=False)
        if now_ns - first_ns <= self._settle_ns:
            raise BusyError(f"task {task.arn} is over, but has no results at {place} yet; they are asked for again")
        raise InvalidResultError(
            f"task {task.arn} is over, but its results are not at {place}; look whether they were moved or deleted"
        )


@dataclass(frozen=True)
class _Wanted:
    """Parts of a result that are to be read: their names, below a directory of a bucket."""

    names: tuple[str, ...] = ()
    bucket: str = ""
    directory: str = ""


def _still_missing(task: BraketTask, documents: Mapping[str, bytes]) -> _Wanted:
    """What the documents name; nothing if they cannot be read, so that they are kept and their reading tells why."""
    try:
        names = missing_parts(documents)
        named = location_of(documents) if names and RESULTS in documents else None
    except InvalidResultError:
        return _Wanted()
    bucket, directory = (task.bucket, task.directory) if named is None else (named[0], named[1].strip("/"))
    return _Wanted(names, bucket, directory)


async def _aside(work: Callable[[Mapping[str, bytes]], T], documents: Mapping[str, bytes]) -> T:
    """The result of some work on documents, off the event loop if they are large."""
    is_large = sum(map(len, documents.values())) > _LARGE_BYTES
    return await asyncio.to_thread(work, documents) if is_large else work(documents)
