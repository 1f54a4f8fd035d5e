"""Where tasks are: each by its own document, or a hundred at a time through the search."""

import datetime
import re
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from qorch.model.job import JobStatus, RemoteState
from qorch_providers.braket.labels import read_tags
from qorch_providers.braket.tasks.memory import WAITING, TaskMemory
from qorch_providers.braket.wire.client import BraketClient, SearchFilter
from qorch_providers.braket.wire.documents import BraketTask
from qorch_providers.http import ask_each, clean

MOST_GETS = 10
"""Up to so many tasks are asked after one by one: Braket allows 20 times as many GETs as searches, which cost more."""
MOST_SPARED_GETS = 2
"""The same while the quota has searches to spare, of tasks that have begun: they have no place in the queue."""
SHOWN_POSITIONS = 4
"""If the search tells the states of many, so many of the oldest that wait are asked for their place in the queue."""
AT_ONCE = 16
"""How many calls are made at the same time if one question needs several."""
_STATES = MappingProxyType(
    {
        "CREATED": RemoteState.QUEUED,
        "QUEUED": RemoteState.QUEUED,
        "RUNNING": RemoteState.RUNNING,
        "CANCELLING": RemoteState.RUNNING,
        "COMPLETED": RemoteState.DONE,
        "FAILED": RemoteState.FAILED,
        "CANCELLED": RemoteState.CANCELLED,
    }
)
_AT_FAULT = re.compile(
    r"invalid|validat|not (?:valid|supported|allowed|authorized|permitted)|unsupported|exceed|too (?:many|large|long)"
    r"|denied|permission|access|syntax|pars(?:e|ing)|limit|tim(?:e|ed)[ -]?out",
    re.IGNORECASE,
)
"""Reasons that would not pass: of the program, of its size, or of the account."""


def read_state(task: BraketTask) -> RemoteState:
    """The state of a task. A status that is not known counts as running: the task is asked after again."""
    state = _STATES.get(task.status, RemoteState.RUNNING)
    if state is RemoteState.CANCELLED and task.is_set and task.successful_shots:
        return RemoteState.FAILED  # what had run by then has results, and is paid for
    return state


def read_status(task: BraketTask) -> JobStatus:
    """A task as qorch sees it."""
    state = read_state(task)
    key, label = read_tags(task.tags)
    return JobStatus(
        state,
        error=_reason(task) if state is RemoteState.FAILED else None,
        is_repeatable=state is RemoteState.FAILED and is_repeatable(task),
        submitted_at=task.created_at,
        ended_at=task.ended_at,
        key=key,
        label=replace(label, n_rows=task.n_executables, shots=_shots_of_a_row(task)),
        queue_position=_position(task) if state is RemoteState.QUEUED else None,
        queue_position_is_least=state is RemoteState.QUEUED and task.is_beyond,
    )


def is_repeatable(task: BraketTask) -> bool:
    """Whether another try may not meet the failure of this task. Braket charges nothing for a task that failed."""
    return task.status == "FAILED" and not task.successful_shots and _AT_FAULT.search(task.failure) is None


async def look_up(
    client: BraketClient, memory: TaskMemory, arns: Sequence[str], *, device_arn: str
) -> dict[str, BraketTask]:
    """The tasks by ARN; those that Braket does not know are missing. Raises what BraketClient raises."""
    is_cheap = sum(map(memory.has_begun, arns)) > MOST_SPARED_GETS and client.has_spare_searches
    most_gets = MOST_SPARED_GETS if is_cheap else MOST_GETS
    found = await _list_tasks(client, memory, arns, device_arn=device_arn, most_gets=most_gets)
    waiting = [arn for arn, task in found.items() if task.status in WAITING]
    first = sorted(waiting, key=lambda arn: found[arn].created_at or datetime.datetime.max.replace(tzinfo=datetime.UTC))
    # A list has no place in the queue, no reason of a failure, no number of successful shots: what is over is asked
    # after by itself, once, and its document then serves for the result and the usage as well.
    over = [arn for arn, task in found.items() if read_state(task).is_over]
    rest = [arn for arn in arns if arn not in found]
    wanted = [*rest, *over, *first[: SHOWN_POSITIONS if len(arns) > MOST_GETS else None]]
    answers = await ask_each(lambda arn: client.task(arn, purpose="poll"), wanted, at_once=AT_ONCE)
    for arn, task in zip(wanted, answers, strict=True):
        if task is None:
            memory.forget_completed(arn)
        else:
            found[task.arn] = task
            memory.note_seen(task)
            if task.status == "COMPLETED":
                memory.note_completed(task)
    return found


async def _list_tasks(
    client: BraketClient, memory: TaskMemory, arns: Sequence[str], *, device_arn: str, most_gets: int
) -> dict[str, BraketTask]:
    """Those of the tasks that a few pages of the search show, as far as that takes fewer requests than asking each."""
    wanted = {arn for arn in arns if memory.created_from(arn) is not None}
    since = memory.oldest(list(wanted))
    if since is None or len(wanted) <= most_gets:
        return {}
    found: dict[str, BraketTask] = {}
    token: str | None = None
    for _ in range(-(-len(wanted) // MOST_GETS)):
        page = await client.search(filters_of(device_arn, since), token=token, purpose="poll")
        for task in page.tasks:
            memory.note_seen(task)
            if task.arn in wanted:
                found[task.arn] = task
        token = page.token
        if token is None or len(wanted) - len(found) <= MOST_GETS:
            break
    return found


def filters_of(device_arn: str, since: datetime.datetime) -> list[SearchFilter]:
    """The tasks of a device that were made at or after a time."""
    moment = since.astimezone(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [SearchFilter("deviceArn", "EQUAL", device_arn), SearchFilter("createdAt", "GTE", moment)]


def _shots_of_a_row(task: BraketTask) -> int | None:
    if task.shots is None or not task.n_executables:
        return None
    return task.shots // task.n_executables


def _reason(task: BraketTask) -> str:
    return clean(task.failure) or ("Braket gives no reason" if task.status == "FAILED" else "it was cancelled")


def _position(task: BraketTask) -> int | None:
    if task.position is None:
        return None
    return task.position + 1 if task.is_beyond else task.position
