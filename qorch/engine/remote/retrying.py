"""The one place where anything is tried again: how often, after how long, and out of which budget."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from qorch.errors import BusyError, RejectedError, UnavailableError, UnreachableError
from qorch.ports.clock import Clock
from qorch.ports.policy import RetryPolicy

T = TypeVar("T")

_MOMENT_SECONDS = 0.001
"""Added to a shortened pause, so that the patience is over when the clock is read next."""

_log = logging.getLogger("qorch.retries")


class Retrier:
    """Repeats calls that were provably without effect (BusyError), as long as the policy's patience lasts.

    Waits what the server asks for, else with full jitter; every success earns a part of a retry, and if retries
    have used up what was earned they wait the longest time, so that trouble never multiplies the traffic.
    """

    def __init__(self, policy: RetryPolicy, *, clock: Clock, random: np.random.Generator) -> None:
        """``random`` draws the jitter."""
        self._policy = policy
        self._clock = clock
        self._random = random
        self._tokens = policy.tokens
        self._has_answered = False
        self._was_reached = False
        self._note_ns = round(policy.note_seconds * 1e9)
        self._noted_ns = -self._note_ns

    @property
    def was_reached(self) -> bool:
        """Whether a server has answered anything in this session, be it with an error."""
        return self._was_reached

    async def repeat(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call something that is safe to repeat until it succeeds; raises any other error than BusyError at once."""
        return await self._try(self._counted, call, self._backoff)

    async def resume(self, call: Callable[[], Awaitable[T]]) -> T:
        """Like ``repeat``, without pauses: for submissions, which the pacer already spaces."""
        return await self._try(self._counted, call, lambda _: 0.0)

    async def prepare(self, call: Callable[[], Awaitable[T]]) -> T:
        """Like ``repeat``, for a call that may send nothing: its success does not show that a server can be reached."""
        return await self._try(self._noted, call, self._backoff)

    async def _try(
        self,
        attempt: Callable[[Callable[[], Awaitable[T]]], Awaitable[T]],
        call: Callable[[], Awaitable[T]],
        wait: Callable[[RetryCallState], float],
    ) -> T:
        """The result of the first attempt; tenacity, which costs more than most calls, comes in once that failed."""
        started_ns = self._clock.monotonic_ns()
        failures: list[BusyError] = []
        try:
            return await attempt(call)
        except BusyError as error:
            failures.append(error)

        async def try_again() -> T:
            if failures:
                raise failures.pop()
            return await attempt(call)

        return await self._retrying(wait, started_ns)(try_again)

    def _retrying(self, wait: Callable[[RetryCallState], float], started_ns: int) -> AsyncRetrying:
        return AsyncRetrying(
            retry=retry_if_exception_type(BusyError),
            wait=lambda state: self._shorten(wait(state), started_ns),
            stop=lambda _: self._is_over(started_ns),
            sleep=self._clock.sleep,
            before_sleep=self._note,
            reraise=True,
        )

    async def _noted(self, call: Callable[[], Awaitable[T]]) -> T:
        try:
            return await call()
        except UnreachableError:
            raise
        except RejectedError as error:
            self._was_reached = True
            if isinstance(error, BusyError):
                # An error that names a time for the next try is an answer, too.
                self._has_answered |= isinstance(error, UnavailableError) or error.retry_after_seconds is not None
            raise

    async def _counted(self, call: Callable[[], Awaitable[T]]) -> T:
        result = await self._noted(call)
        self._was_reached = self._has_answered = True
        self._tokens = min(self._policy.tokens, self._tokens + self._policy.tokens_per_call)
        return result

    def _is_over(self, started_ns: int) -> bool:
        # A server that never answered is most likely a wrong address; one that did will come back.
        patience = self._policy.patience_seconds if self._has_answered else self._policy.first_patience_seconds
        if not self._was_reached:
            patience = min(patience, self._policy.unreached_patience_seconds)
        return self._clock.monotonic_ns() - started_ns > patience * 1e9

    def _shorten(self, seconds: float, started_ns: int) -> float:
        """The pause, cut short at the end of the patience if no server was reached: a person waits for the error."""
        if self._was_reached:
            return seconds
        elapsed = (self._clock.monotonic_ns() - started_ns) / 1e9
        return min(seconds, max(0.0, self._policy.unreached_patience_seconds - elapsed) + _MOMENT_SECONDS)

    def _backoff(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, BusyError) and error.retry_after_seconds is not None:
            return error.retry_after_seconds
        longest = min(self._policy.longest_seconds, self._policy.first_seconds * 2.0 ** min(state.attempt_number, 30))
        if self._tokens < 1.0:
            return self._policy.longest_seconds
        self._tokens -= 1.0
        return float(self._random.uniform(0.0, longest))

    def _note(self, state: RetryCallState) -> None:
        now_ns = self._clock.monotonic_ns()
        error = state.outcome.exception() if state.outcome else None
        if now_ns - self._noted_ns >= self._note_ns:
            self._noted_ns = now_ns
            _log.warning("%s; trying again (Ctrl-C stops, and loses nothing)", error)
