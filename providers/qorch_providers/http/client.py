"""One HTTP client for all REST backends: one try per call, errors that say if the request was sent, secrets hidden."""

import asyncio
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from qorch.errors import BusyError, CredentialsError, UnreachableError, UsageError
from qorch.ports.clock import Clock
from qorch_providers.http.auth import AuthHeaders, Outgoing, StaticAuth
from qorch_providers.http.body import MOST_BYTES
from qorch_providers.http.connections import Connections
from qorch_providers.http.content import Content
from qorch_providers.http.errors import (
    AnswerLostError,
    NoAnswerError,
    NotSentError,
    RequestUnsentError,
    TooLargeError,
    TransportError,
)
from qorch_providers.http.origins import Origin
from qorch_providers.http.paths import encode_path, encode_url
from qorch_providers.http.redirects import MOST_HOPS, next_url
from qorch_providers.http.response import HttpResponse
from qorch_providers.http.safety import mask

_LEAST_SECRET = 16
_QUESTIONS = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED = frozenset({401, 403})


class HttpClient:
    """Calls the servers of a list of origins. It stays in the event loop of its first call.

    ``send`` is for a submission, ``ask`` for everything that may be repeated. The client follows no redirects except
    those within the origin that keep method and body (307, 308), keeps no cookies, reads no environment variables and
    repeats nothing, except that a call answered 401 or 403 is sent once more if its credentials could be renewed.
    """

    def __init__(
        self,
        base: str | Origin,
        *,
        clock: Clock,
        deadline_seconds: float,
        headers: Mapping[str, str] | None = None,
        origins: Mapping[str, Origin] | None = None,
        secrets: Sequence[str] = (),
        most_bytes: int = MOST_BYTES,
        most_connections: int = 100,
    ) -> None:
        """``base``: the address of calls that name none of the ``origins``.

        ``headers`` are secret and go with every call to a ``base`` that is a URL. ``secrets``: values to hide in
        answers and messages although no header has them, such as a key that is exchanged for tokens. A call ends after
        ``deadline_seconds``, at any stage. ``most_connections``: the maximum per origin.

        Raises UsageError for a URL that is not https (http: to this machine only) and for values no header may have.
        """
        if isinstance(base, Origin):
            if headers is not None:
                raise UsageError("secret headers beside an Origin; put them into its auth, as StaticAuth(headers)")
        else:
            base = Origin(base, StaticAuth(headers or {}))
        self._base_url = base.url
        self._secrets = tuple(secrets)
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._is_closed = False
        self._connections = {
            name: Connections(
                origin,
                clock=clock,
                # Connecting may take half of the time: a call that fails while connecting provably sent nothing.
                connect_seconds=deadline_seconds / 2,
                most_bytes=most_bytes,
                most_connections=most_connections,
            )
            for name, origin in {**(origins or {}), "": base}.items()
        }

    def __repr__(self) -> str:
        """The base URL, without headers, which may be secret."""
        return f"HttpClient({self._base_url!r})"

    async def send(
        self,
        method: str,
        path: str | Sequence[str],
        *,
        content: bytes | Content | None = None,
        query: Sequence[tuple[str, str]] = (),
        origin: str = "",
    ) -> HttpResponse:
        """Send a request that must not be carried out twice; see ``request``.

        Raises NotSentError (a RejectedError) if provably nothing was sent, NoAnswerError (an UnknownOutcomeError) if it
        may have arrived, UsageError for a method that submits nothing.
        """
        if method.upper() in _QUESTIONS:
            raise UsageError(f"{method} submits nothing; ask() is for questions")
        try:
            return await self.request(method, path, content=content, query=query, origin=origin)
        except RequestUnsentError as error:
            raise NotSentError(str(error)) from error
        except TransportError as error:
            raise NoAnswerError(str(error)) from error

    async def ask(
        self,
        method: str,
        path: str | Sequence[str],
        *,
        content: bytes | Content | None = None,
        query: Sequence[tuple[str, str]] = (),
        origin: str = "",
    ) -> HttpResponse:
        """Send a request that may be repeated, with any method; see ``request``.

        Raises UnreachableError if no answer came, BusyError if it was too large: in both cases it may be repeated.
        """
        try:
            return await self.request(method, path, content=content, query=query, origin=origin)
        except TooLargeError as error:
            raise BusyError(str(error)) from error
        except TransportError as error:
            raise UnreachableError(str(error)) from error

    async def request(
        self,
        method: str,
        path: str | Sequence[str],
        *,
        content: bytes | Content | None = None,
        query: Sequence[tuple[str, str]] = (),
        origin: str = "",
    ) -> HttpResponse:
        """One call, with neutral errors that say nothing about a job: adapters use ``send`` or ``ask`` instead.

        Returns the answer, whatever its status.

        ``path`` starts with "/" and is plain, or is a list of segments of any text, which are encoded; ``content`` in
        bytes is JSON; ``query`` is encoded here; ``origin`` names one of the origins.

        Raises RequestUnsentError if provably no byte was sent, AnswerLostError (TooLargeError) if the request may have
        arrived, CredentialsError and BusyError if its credentials could not be had, and UsageError for a path that
        could lead elsewhere.
        """
        connections = self._find(origin)
        url = encode_url(connections.origin.url, path, query)
        if self._is_closed:
            raise RequestUnsentError(f"the connection to {connections.origin.url} is closed; open the backend again")
        body = Content(content) if isinstance(content, bytes) else content
        call = _Call(method, body, connections, secrets=self._secrets, begun_ns=self._clock.monotonic_ns())
        problem: Exception
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await call.follow(url)
        except TimeoutError:
            kind = AnswerLostError if call.may_have_left else RequestUnsentError
            problem = kind(f"{method} {encode_path(path)}: no whole answer in {self._deadline_seconds:g} seconds")
        except TransportError as error:
            problem = type(error)(f"{method} {encode_path(path)}: {error}")
        except (CredentialsError, BusyError, UsageError) as error:
            # The error was made in _Call and holds no secrets; the frames of its traceback do.
            problem = error.with_traceback(None)
        except Exception as error:
            told = connections.describe(error, call.secrets)
            problem = type(told)(f"{method} {encode_path(path)}: {told}")
        raise problem

    async def aclose(self) -> None:
        """Close all connections; may be called twice."""
        self._is_closed = True
        for connections in self._connections.values():
            await connections.aclose()

    def _find(self, origin: str) -> Connections:
        try:
            return self._connections[origin]
        except KeyError:
            known = ", ".join(sorted(name for name in self._connections if name))
            raise UsageError(f"{origin!r} is not an origin of this client; it has {known or 'one only'}") from None


class _Call:
    """The state of one call: a few redirects, and one more try if the credentials were refused and renewed."""

    def __init__(
        self, method: str, content: Content | None, connections: Connections, *, secrets: Sequence[str], begun_ns: int
    ) -> None:
        self.may_have_left = False
        self.secrets = [*secrets]
        self._method = method
        self._content = content
        self._connections = connections
        self._begun_ns = begun_ns
        self._credentials = AuthHeaders()

    async def follow(self, url: str) -> HttpResponse:
        """The answer to the call; after one renewal of the credentials, a 401 or 403 is returned as the answer."""
        response = await self._follow_redirects(url)
        if response.status not in _REFUSED:
            return response
        # The server did not process the refused request: if the next step fails, nothing has arrived.
        self.may_have_left = False
        return await self._follow_redirects(url) if await self._renew() else response

    async def _follow_redirects(self, url: str) -> HttpResponse:
        """The answer at the end of a few redirects; a redirect that leads elsewhere is the answer itself."""
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
        response = await self._exchange(url)
        for _ in range(MOST_HOPS):
            target = next_url(response, url, origin=origin)
            if target is None:
                break
            url = target
            response = await self._exchange(url)
        return response

    async def _exchange(self, url: str) -> HttpResponse:
        outgoing = self._connections.prepare(self._method, url, self._content)
        credentials = await self._sign(outgoing)
        self._credentials = credentials
        # "apiKey K" is secret as a whole, and its last word alone is secret too.
        values = credentials.secret.values()
        self.secrets += [*values, *(value.split()[-1] for value in values)]
        # A short word, such as the dummy key of an emulator, may stand in an answer for other reasons.
        echoes = [secret for secret in dict.fromkeys(self.secrets) if len(secret) >= _LEAST_SECRET]
        self.may_have_left = True
        return await self._connections.exchange(outgoing, credentials, begun_ns=self._begun_ns, echoes=echoes)

    async def _sign(self, outgoing: Outgoing) -> AuthHeaders:
        try:
            credentials = await self._connections.origin.auth.sign(outgoing)
            credentials.check()
        except Exception as error:
            problem = self._translate(error)
        else:
            return credentials
        raise problem

    async def _renew(self) -> bool:
        try:
            return await self._connections.origin.auth.renew(self._credentials)
        except Exception as error:
            problem = self._translate(error)
        raise problem

    def _translate(self, error: Exception) -> Exception:
        """The error for a hook that failed, before the request was sent; without the traceback of the hook."""
        text = mask(str(error), self.secrets)
        if isinstance(error, BusyError):
            kind = UnreachableError if isinstance(error, UnreachableError) else BusyError
            return kind(text, retry_after_seconds=error.retry_after_seconds)
        if isinstance(error, CredentialsError | UsageError):
            kind_kept = CredentialsError if isinstance(error, CredentialsError) else UsageError
            return kind_kept(text)
        # The text of the hook's error is left out: a library may have put secrets into it.
        return RequestUnsentError(f"no credentials for the request ({type(error).__name__}); nothing was sent")
