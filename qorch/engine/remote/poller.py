"""Asks after all jobs that are at a provider, together, and seldom enough."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from qorch.engine.remote.idle import sleep_until_changed
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.window import RateWindow
from qorch.errors import JobFailedError, UnknownOutcomeError
from qorch.model.clock_offset import ServerClock
from qorch.model.job import JobStatus
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.exchange_log import log_exchanges
from qorch.ports.policy import OnUnknown, PollPolicy

REMEMBERED = 20
"""How many durations of recent jobs are kept; the shortest decides when a new job is polled for the first time.

A duration is the age at which a job was last seen unfinished, so that an outage or a late poll does not inflate it.
"""
TOGETHER = 0.5
"""A job whose turn comes within this share of its interval is asked after with those that are due."""
TRUST = 3.0
"""The provider's forecast of the remaining time counts up to this multiple of a job's age: it may be wrong."""
See = Callable[[JobStatus, int], None]
"""Takes how a job is that is not over, and when the question that was answered so was asked, in clock nanoseconds."""


@dataclass(eq=False)
class _Watch:
    done: "asyncio.Future[JobStatus]"
    see: "See"
    since_ns: int
    due_ns: int
    interval_ns: int
    open_ns: int = 0
    """How old it was when it was last seen not to be over."""
    missing_since_ns: int | None = None


class Poller:
    """One task for all jobs of an engine; it ends by itself when nothing is waited for."""

    def __init__(
        self,
        backend: RemoteBackend,
        retrier: Retrier,
        *,
        window: RateWindow,
        clock: Clock,
        policy: PollPolicy,
        server_clock: ServerClock,
    ) -> None:
        """Nothing is asked before ``wait``. ``window``: of all polls of this process.

        ``server_clock``: learns from the dates of the answers.
        """
        self._server_clock = server_clock
        self._window = window
        self._backend = backend
        self._retrier = retrier
        self._clock = clock
        self._policy = policy
        self._watches: dict[str, _Watch] = {}
        self._durations_ns: deque[int] = deque(maxlen=REMEMBERED)
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def wait(self, provider_id: str, see: See = lambda _status, _asked_ns: None) -> JobStatus:
        """Wait until a job is over at the provider, and return how it ended. ``see``: called with each answer before.

        Raises BusyError once the retries' patience is over, CredentialsError, and if the provider does not know the
        job JobFailedError, or UnknownOutcomeError if the terms say to hold what is in doubt.
        """
        now_ns = self._clock.monotonic_ns()
        first_ns = self._first_interval_ns()
        watch = _Watch(asyncio.get_running_loop().create_future(), see, now_ns, now_ns + first_ns, first_ns)
        self._watches[provider_id] = watch
        self._changed.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._work())
        try:
            return await watch.done
        finally:
            self._watches.pop(provider_id, None)
            self._changed.set()

    async def close(self) -> None:
        """Stop asking; callers that wait are cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for watch in self._watches.values():
            watch.done.cancel()

    def _first_interval_ns(self) -> int:
        shortest, longest = round(self._policy.shortest_seconds * 1e9), round(self._policy.longest_seconds * 1e9)
        return min(longest, max(shortest, min(self._durations_ns, default=0) * 9 // 10))

    async def _work(self) -> None:
        while self._watches:
            self._changed.clear()
            now_ns = self._clock.monotonic_ns()
            next_ns = min(watch.due_ns for watch in self._watches.values())
            if next_ns > now_ns:
                await sleep_until_changed(self._changed, clock=self._clock, seconds=(next_ns - now_ns) / 1e9)
                continue
            due = [name for name, watch in self._watches.items() if self._is_due(watch, now_ns)]
            try:
                asked_ns, statuses = await self._retrier.repeat(lambda ids=due: self._ask(ids))  # type: ignore[misc]
            except Exception as error:
                self._fail(due, error)
            else:
                self._note(due, statuses, asked_ns=asked_ns)

    async def _ask(self, provider_ids: list[str]) -> tuple[int, dict[str, JobStatus]]:
        """When it asked, and the answers."""

        async def poll() -> tuple[int, dict[str, JobStatus]]:
            asked_ns = self._clock.monotonic_ns()
            with log_exchanges() as exchanges:
                statuses = await self._backend.poll(provider_ids)
            self._server_clock.note(exchanges)
            return asked_ns, statuses

        return await self._window.call(poll)

    def _is_due(self, watch: _Watch, now_ns: int) -> bool:
        return watch.due_ns - TOGETHER * watch.interval_ns <= now_ns

    def _fail(self, names: list[str], error: Exception) -> None:
        for name in names:
            watch = self._watches.get(name)
            if watch is not None and not watch.done.done():
                watch.done.set_exception(error)
            self._watches.pop(name, None)

    def _note(self, asked: list[str], statuses: dict[str, JobStatus], *, asked_ns: int) -> None:
        now_ns = self._clock.monotonic_ns()
        for name in asked:
            watch = self._watches.get(name)
            if watch is None or watch.done.done():
                continue
            status = statuses.get(name)
            if status is not None and status.state.is_over:
                self._durations_ns.append(watch.open_ns)
                watch.done.set_result(status)
                del self._watches[name]
            elif status is None and self._is_gone(watch, now_ns):
                self._fail([name], lost_job(self._backend, name))
            else:
                if status is not None:
                    watch.see(status, asked_ns)
                self._postpone(watch, now_ns, wait_seconds=status.wait_seconds if status is not None else None)

    def _is_gone(self, watch: _Watch, now_ns: int) -> bool:
        """Lists may lag behind: a job is gone only after it was missing for the settle time."""
        if watch.missing_since_ns is None:
            watch.missing_since_ns = now_ns
        return now_ns - watch.missing_since_ns > self._backend.terms.settle_seconds * 1e9

    def _postpone(self, watch: _Watch, now_ns: int, *, wait_seconds: float | None) -> None:
        shortest, longest = self._policy.shortest_seconds * 1e9, self._policy.longest_seconds * 1e9
        watch.open_ns = now_ns - watch.since_ns
        expected_ns = min(1e9 * (wait_seconds or 0.0), TRUST * watch.open_ns)
        share_ns = self._policy.share * max(watch.open_ns, expected_ns)
        watch.interval_ns = round(min(longest, max(shortest, share_ns)))
        watch.due_ns = now_ns + watch.interval_ns


def lost_job(backend: RemoteBackend, provider_id: str) -> UnknownOutcomeError | JobFailedError:
    """What is to be raised of a job that the provider had accepted, and has not known for the settle time."""
    reason = f"{backend.name} does not know job {provider_id}, which it had accepted"
    if backend.terms.on_unknown is OnUnknown.HOLD:
        return UnknownOutcomeError(
            f"{reason}. It may be billed, so it is held and not sent again: `qorch recover` asks again; look at the"
            f" provider's own console, then run it with --adopt or --release"
        )
    return JobFailedError(reason, is_repeatable=True)
