"""Bearer tokens: fetched once for all waiting requests, replaced before they expire and after they are refused."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from qorch.errors import BusyError, CredentialsError, UsageError
from qorch.ports.clock import Clock
from qorch_providers.http.auth import AuthHeaders, Outgoing
from qorch_providers.http.safety import check_header_value

MARGIN_SECONDS = 60.0
"""How long before its end a token is replaced, but no earlier than after half of its lifetime."""
REST_SECONDS = 30.0
"""How long no token is fetched after the token service refused, or after a replacement was refused as well."""


@dataclass(frozen=True)
class Token:
    """A bearer token; ``lifetime_seconds`` counts from when the token was asked for."""

    value: str = field(repr=False)
    lifetime_seconds: float


@dataclass(frozen=True)
class _Held:
    headers: AuthHeaders
    fetched_ns: int
    stale_ns: int
    is_replacement: bool


class BearerToken:
    """See ``Auth``. For use in one event loop; only one token is fetched, however many requests wait for it."""

    def __init__(self, fetch: Callable[[], Awaitable[Token]], *, clock: Clock) -> None:
        """``fetch`` asks the token service once. It raises CredentialsError if the service refuses, else BusyError."""
        self._fetch = fetch
        self._clock = clock
        self._held: _Held | None = None
        self._flight: asyncio.Task[_Held] | None = None
        self._refusal = ""
        self._rested_ns = 0

    async def sign(self, request: Outgoing) -> AuthHeaders:
        """See Auth."""
        held = self._held
        if held is None or self._clock.monotonic_ns() >= held.stale_ns:
            held = await self._obtain(is_replacement=False)
        return held.headers

    async def renew(self, refused: AuthHeaders) -> bool:
        """See Auth: True with another token than the refused one."""
        held = self._held
        if held is not None and held.headers is not refused:
            return True
        if held is not None and held.is_replacement and self._age_seconds(held) < REST_SECONDS:
            return False
        self._held = None
        await self._obtain(is_replacement=True)
        return True

    def _age_seconds(self, held: _Held) -> float:
        return (self._clock.monotonic_ns() - held.fetched_ns) / 1e9

    async def _obtain(self, *, is_replacement: bool) -> _Held:
        """The token from the fetch in progress; starts a fetch if there is none."""
        if self._flight is None:
            if self._refusal and self._clock.monotonic_ns() < self._rested_ns:
                raise CredentialsError(self._refusal)
            self._flight = asyncio.create_task(self._replace(is_replacement=is_replacement))
            self._flight.add_done_callback(self._land)
        # A cancelled request must not cancel the fetch that other requests wait for.
        return await asyncio.shield(self._flight)

    async def _replace(self, *, is_replacement: bool) -> _Held:
        asked_ns = self._clock.monotonic_ns()
        self._refusal = ""
        try:
            token = await self._fetch()
        except CredentialsError as error:
            self._refusal = str(error)
            self._rested_ns = self._clock.monotonic_ns() + int(REST_SECONDS * 1e9)
            raise
        try:
            check_header_value("a token", token.value)
        except UsageError as error:
            raise BusyError("the token service answered with something that cannot be a token") from error
        seconds = max(token.lifetime_seconds - MARGIN_SECONDS, token.lifetime_seconds / 2)
        headers = AuthHeaders(secret={"authorization": f"Bearer {token.value}"})
        self._held = _Held(headers, asked_ns, asked_ns + int(seconds * 1e9), is_replacement)
        return self._held

    def _land(self, flight: "asyncio.Task[_Held]") -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # if every waiting request was cancelled, asyncio would log it as unseen
