"""AWS credentials as botocore's chain finds them, refreshed off the event loop, once for all requests that wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore import exceptions

from qorch.errors import BackendError, CredentialsError, UnreachableError
from qorch.ports.clock import Clock

REST_SECONDS = 30.0
"""How long the chain is not asked again after it failed, or after what it gave was refused."""
_SIGN_IN = "run `aws sso login` (with --profile, if AWS_PROFILE names one)"
_ABSENT = (
    "there are no AWS credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_SESSION_TOKEN, if there is"
    " one), or AWS_PROFILE, or run `aws configure`; qorch emulate braket takes any"
)


@dataclass(frozen=True)
class KeyPair:
    """Credentials as they are at one moment; ``method``: how they were found. ``source``: botocore's object."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(repr=False)
    method: str
    source: Any = field(repr=False)

    def is_same(self, other: "KeyPair") -> bool:
        """Whether requests with the other would be signed in the same way."""
        return (self.access_key, self.secret_key, self.token) == (other.access_key, other.secret_key, other.token)

    @property
    def is_stale(self) -> bool:
        """Whether botocore would fetch new ones."""
        needed = getattr(self.source, "refresh_needed", None)
        return needed is not None and bool(needed())

    @property
    def has_expired(self) -> bool:
        """Whether they are of no use any more."""
        needed = getattr(self.source, "refresh_needed", None)
        return needed is not None and bool(needed(refresh_in=0))


class AwsCredentials:
    """For use in one event loop; the chain is asked in another thread, and once however many requests wait."""

    def __init__(self, load: Callable[[], Any], *, clock: Clock) -> None:
        """``load``: the chain; it returns botocore's credentials, or None, and may block."""
        self._load = load
        self._clock = clock
        self._held: KeyPair | None = None
        self._flight: asyncio.Task[KeyPair] | None = None
        self._failure: BackendError | None = None
        self._rested_ns = 0

    async def current(self) -> KeyPair:
        """The credentials to sign with. Raises CredentialsError if there are none, UnreachableError if not now."""
        held = self._held
        if held is None:
            return await self._obtain(self._load_afresh)
        if not held.is_stale:
            return held
        if self._is_resting and not held.has_expired:
            return held
        return await self._obtain(lambda: _freeze(held.source))

    async def replace(self, refused: KeyPair) -> bool:
        """Whether there are other credentials than those that were refused: the chain is asked anew."""
        held = self._held
        if held is not None and not held.is_same(refused):
            return True
        if self._is_resting:
            return False
        self._rest()
        found = await self._obtain(self._load_afresh)
        return not found.is_same(refused)

    @property
    def _is_resting(self) -> bool:
        return self._clock.monotonic_ns() < self._rested_ns

    def _rest(self) -> None:
        self._rested_ns = self._clock.monotonic_ns() + int(REST_SECONDS * 1e9)

    def _load_afresh(self) -> KeyPair:
        return _freeze(self._load())

    async def _obtain(self, find: Callable[[], KeyPair]) -> KeyPair:
        """The credentials from the search in progress; starts one if there is none."""
        if self._flight is None:
            if self._failure is not None and self._is_resting:
                raise type(self._failure)(str(self._failure))
            self._flight = asyncio.create_task(self._fetch(find))
            self._flight.add_done_callback(self._land)
        # A cancelled request must not cancel the search that other requests wait for.
        return await asyncio.shield(self._flight)

    async def _fetch(self, find: Callable[[], KeyPair]) -> KeyPair:
        self._failure = None
        try:
            self._held = await asyncio.to_thread(find)
        except (exceptions.BotoCoreError, exceptions.ClientError, OSError, ValueError) as error:
            self._failure = translate(error)
        except CredentialsError as error:
            self._failure = error
        else:
            return self._held
        self._rest()
        # Not chained: botocore's texts may quote what a program or a file said.
        raise self._failure

    def _land(self, flight: "asyncio.Task[KeyPair]") -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()  # if every waiting request was cancelled, asyncio would log it as unseen


def translate(error: Exception) -> BackendError:
    """What a failure of the chain means, in a sentence that says what to do."""
    if isinstance(error, exceptions.NoCredentialsError):
        return CredentialsError(_ABSENT)
    if isinstance(error, exceptions.PartialCredentialsError):
        told = error.kwargs
        return CredentialsError(
            f"the AWS credentials are incomplete: {told.get('cred_var')} is missing in {told.get('provider')}"
        )
    if isinstance(error, exceptions.SSOError | exceptions.TokenRetrievalError | exceptions.LoginError):
        return CredentialsError(f"AWS's sign-in has ended; {_SIGN_IN}")
    if isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError):
        return UnreachableError(f"the service that issues AWS credentials does not answer ({type(error).__name__})")
    if isinstance(error, exceptions.ClientError):
        code = str(error.response.get("Error", {}).get("Code", "without a code"))[:80]
        return CredentialsError(f"AWS refused to issue credentials ({code}); look at the profile and its role")
    return CredentialsError(
        f"the AWS credentials cannot be had ({type(error).__name__}); `aws sts get-caller-identity` should work first"
    )


def _freeze(source: Any) -> KeyPair:
    if source is None:
        raise CredentialsError(_ABSENT)
    frozen = source.get_frozen_credentials()
    if not frozen.access_key or not frozen.secret_key:
        raise CredentialsError(_ABSENT)
    return KeyPair(frozen.access_key, frozen.secret_key, frozen.token, str(source.method), source)
