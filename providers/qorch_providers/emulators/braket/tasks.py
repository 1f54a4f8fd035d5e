"""The tasks that were accepted, in order, found by ARN, by client token, or by search."""

import asyncio
import datetime
import operator
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from qorch.errors import UsageError
from qorch_providers.emulators.braket.devices import EmulatedDevice
from qorch_providers.emulators.braket.wire import FilterWire
from qorch_providers.emulators.kit.answers import RefusedError

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED"})
WAITING = frozenset({"CREATED", "QUEUED"})
MAX_SHOWN_POSITION = 2000
_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = MappingProxyType(
    {"LT": operator.lt, "LTE": operator.le, "EQUAL": operator.eq, "GT": operator.gt, "GTE": operator.ge}
)
_FILTERS = ("quantumTaskArn", "deviceArn", "jobArn", "status", "createdAt")


@dataclass(frozen=True)
class TaskOrder:
    """What a task was accepted with; it never changes, except for its tags. ``digest``: of everything but the token."""

    device: EmulatedDevice
    shots: int
    bucket: str
    prefix: str
    action_type: str
    device_parameters: str | None
    client_token: str
    digest: str
    region: str
    associations: tuple[Mapping[str, str], ...]
    experimental: Mapping[str, str] | None
    executables: tuple[int, ...]

    @property
    def n_executables(self) -> int:
        """How many circuits it runs."""
        return sum(self.executables)

    @property
    def is_set(self) -> bool:
        """Whether it is a program set."""
        return self.action_type.endswith("_set")


@dataclass(eq=False)
class EmulatedTask:
    """One accepted task. Times are real seconds since 1970.

    ``failed_executables``: those that did not run, by number. ``execution_ms``: how long it ran, in protocol
    milliseconds, ``billed_ms``: how long it is charged for, on simulators; these and ``price_micros`` are known once
    the task has run.
    """

    arn: str
    sequence: int
    order: TaskOrder
    tags: dict[str, str]
    received_unix: float
    accepted_unix: float
    status: str = "CREATED"
    queued_unix: float | None = None
    started_unix: float | None = None
    ended_unix: float | None = None
    failure_reason: str | None = None
    failed_executables: frozenset[int] = frozenset()
    execution_ms: int = 0
    billed_ms: int = 0
    price_micros: int = 0
    n_replays: int = 0
    is_unlisted: bool = False
    is_forgotten: bool = False
    background: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def id(self) -> str:
        """The last part of its ARN."""
        return self.arn.rpartition("/")[2]

    @property
    def directory(self) -> str:
        """Where in its bucket the results are."""
        return f"{self.order.prefix}/{self.id}"

    @property
    def successful_shots(self) -> int:
        """How many shots were taken."""
        if self.status != "COMPLETED":
            return 0
        lost = self.order.shots // max(1, self.order.n_executables) * len(self.failed_executables)
        return self.order.shots - lost


class TaskRegistry:
    """All tasks of a server."""

    def __init__(self, *, account: str, token_seconds: float, visible_seconds: float) -> None:
        """``token_seconds``: how long tokens are known; ``visible_seconds``: until a new task can be seen."""
        self.tasks: list[EmulatedTask] = []
        self._account = account
        self._token_seconds = token_seconds
        self._visible_seconds = visible_seconds
        self._by_arn: dict[str, EmulatedTask] = {}
        self._by_token: dict[tuple[str, str], tuple[EmulatedTask, float]] = {}
        self._waiting: dict[str, dict[EmulatedTask, None]] = {}
        self._active: dict[str, int] = {}

    def recall(self, region: str, token: str, digest: str, *, now_seconds: float) -> EmulatedTask | None:
        """The task that was made with this token, if it is still known. Raises UsageError if it was another's."""
        found = self._by_token.get((region, token))
        if found is None or found[0].is_forgotten or now_seconds - found[1] >= self._token_seconds:
            return None
        if found[0].order.digest != digest:
            raise UsageError("The client token was already used with other parameters; send a new one")
        return found[0]

    def add(
        self,
        order: TaskOrder,
        tags: Mapping[str, str],
        *,
        received_unix: float,
        accepted_unix: float,
        now_seconds: float,
    ) -> EmulatedTask:
        """Accept a task: from here on it counts."""
        arn = make_arn(order.region, self._account)
        task = EmulatedTask(arn, len(self.tasks), order, dict(tags), received_unix, accepted_unix)
        self.tasks.append(task)
        self._by_arn[arn] = task
        self._by_token[order.region, order.client_token] = (task, now_seconds)
        self._waiting.setdefault(order.device.arn, {})[task] = None
        self._active[order.device.arn] = self.count_active(order.device) + 1
        return task

    def forget(self, arn: str) -> None:
        """Know a task no more, except in ``tasks``."""
        self._by_arn[arn].is_forgotten = True

    def move(self, task: EmulatedTask, status: str, *, now_unix: float) -> None:
        """Give a task another status."""
        device = task.order.device
        if status not in WAITING:
            self._waiting[device.arn].pop(task, None)
        if status in FINAL and task.status not in FINAL:
            self._active[device.arn] -= 1
            task.ended_unix = now_unix
        if status == "QUEUED":
            task.queued_unix = now_unix
        if status == "RUNNING":
            task.started_unix = now_unix
        task.status = status

    def count_waiting(self, device: EmulatedDevice) -> int:
        """How many tasks wait for a device."""
        return len(self._waiting.get(device.arn, ()))

    def count_active(self, device: EmulatedDevice) -> int:
        """How many tasks of a device are not over."""
        return self._active.get(device.arn, 0)

    def position(self, task: EmulatedTask) -> str:
        """Its place in the queue, from 1; `None` if it does not wait."""
        if task.status not in WAITING:
            return "None"
        for index, each in enumerate(self._waiting[task.order.device.arn], 1):
            if each is task:
                return str(index)
            if index >= MAX_SHOWN_POSITION:
                break
        return f">{MAX_SHOWN_POSITION}"

    def find(self, arn: str, *, region: str, now_unix: float) -> EmulatedTask:
        """The task of that ARN. Raises RefusedError (404)."""
        task = self._by_arn.get(arn)
        if task is None or task.order.region != region or not self._is_visible(task, now_unix):
            raise RefusedError(404, f"QuantumTask {arn} not found")
        return task

    def search(
        self, filters: Iterable[FilterWire], *, region: str, limit: int, token: str | None, now_unix: float
    ) -> tuple[list[EmulatedTask], str | None]:
        """Matching tasks, newest first, and the token of the next page or None. Raises UsageError."""
        conditions = [_condition(each) for each in filters]
        start = len(self.tasks) - 1 if token is None else _read_token(token)
        page: list[EmulatedTask] = []
        for task in reversed(self.tasks[: start + 1]):
            is_wanted = task.order.region == region and self._is_visible(task, now_unix) and not task.is_unlisted
            if not is_wanted or not all(condition(task) for condition in conditions):
                continue
            if len(page) == limit:
                return page, f"t{task.sequence}"
            page.append(task)
        return page, None

    def _is_visible(self, task: EmulatedTask, now_unix: float) -> bool:
        return not task.is_forgotten and now_unix - task.accepted_unix >= self._visible_seconds


def make_arn(region: str, account: str) -> str:
    """The ARN of a new task."""
    return f"arn:aws:braket:{region}:{account}:quantum-task/{uuid.uuid4()}"


def _condition(wanted: FilterWire) -> Callable[[EmulatedTask], bool]:
    """Whether a task passes a filter. Raises UsageError."""
    if wanted.name not in _FILTERS:
        raise UsageError(f"filter '{wanted.name}' is not one of {', '.join(_FILTERS)}")
    read = _read_unix if wanted.name == "createdAt" else str
    values = [read(value) for value in wanted.values]

    def actual(task: EmulatedTask) -> object:
        # Times are shown in milliseconds, and compared as they are shown.
        created = int(task.accepted_unix * 1000) / 1000
        fields = {"quantumTaskArn": task.arn, "deviceArn": task.order.device.arn, "status": task.status}
        return created if wanted.name == "createdAt" else fields.get(wanted.name)

    if wanted.operator == "BETWEEN":
        if len(values) != 2:
            raise UsageError("BETWEEN takes two values")
        return lambda task: values[0] <= actual(task) <= values[1]  # type: ignore[operator]
    if wanted.operator not in _OPERATORS:
        raise UsageError(f"operator '{wanted.operator}' is not one of {', '.join(_OPERATORS)}, BETWEEN")
    compare = _OPERATORS[wanted.operator]
    return lambda task: any(actual(task) is not None and compare(actual(task), value) for value in values)


def _read_unix(text: str) -> float:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"'{text}' is not a time; write it as 2026-01-31T23:59:59.000Z") from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=datetime.UTC)
    return aware.timestamp()


def _read_token(token: str) -> int:
    if not (token.isascii() and token[:1] == "t" and token[1:].isdecimal() and len(token) < 20):
        raise UsageError(f"'{token}' is not a token; send the `nextToken` of an earlier answer")
    return int(token[1:])
