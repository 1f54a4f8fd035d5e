"""Collects all documents of a task that is over: its own, its results in S3, and the parts that these name."""

from collections import OrderedDict
from collections.abc import Mapping

from qorch.errors import BusyError, InvalidResultError, JobFailedError, JobMissingError
from qorch.model.job import RemoteState
from qorch.ports.clock import Clock
from qorch_providers.braket.results.documents import RESULTS, TASK, encode_documents
from qorch_providers.braket.results.parts import location_of, missing_parts
from qorch_providers.braket.tasks.memory import TaskMemory
from qorch_providers.braket.tasks.status import ask_each, read_status
from qorch_providers.braket.wire.client import BraketClient
from qorch_providers.braket.wire.documents import BraketTask
from qorch_providers.braket.wire.objects import ResultObjects

_MOST_MISSES = 10_000


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
        if status.state in (RemoteState.QUEUED, RemoteState.RUNNING):
            raise BusyError(f"task {arn} is {task.status} at Amazon Braket; it is fetched when it is over")
        if status.state is not RemoteState.DONE:
            reason = f": {status.error}" if status.error else ""
            raise JobFailedError(
                f"task {arn} is {task.status} at Amazon Braket{reason}", is_repeatable=status.is_repeatable
            )
        documents = {TASK: task.document}
        while parts := _still_missing(documents):
            place = _place(task, documents)
            contents = await ask_each(lambda name: self._read(task, *place, name), parts)  # noqa: B023
            documents |= dict(zip(parts, contents, strict=True))
        self._missed_ns.pop(arn, None)
        self._memory.forget_completed(arn)
        return encode_documents(documents)

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


def _still_missing(documents: Mapping[str, bytes]) -> tuple[str, ...]:
    """What the documents name; nothing if they cannot be read, so that they are kept and their reading tells why."""
    try:
        return missing_parts(documents)
    except InvalidResultError:
        return ()


def _place(task: BraketTask, documents: Mapping[str, bytes]) -> tuple[str, str]:
    """The bucket and the directory of the parts that are missing."""
    named = location_of(documents) if RESULTS in documents else None
    return (task.bucket, task.directory) if named is None else (named[0], named[1].strip("/"))
