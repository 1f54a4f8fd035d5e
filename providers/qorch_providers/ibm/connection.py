"""Connects to the API of an instance, which is looked up first if only its name is given, or nothing."""

import asyncio
from collections import Counter

from qorch.errors import RejectedError
from qorch.ports.clock import Clock
from qorch_providers.http import BearerToken, HttpClient, Origin
from qorch_providers.ibm.access import IbmAccess
from qorch_providers.ibm.instances import choose_instance
from qorch_providers.ibm.options import Options
from qorch_providers.ibm.wire.client import API_VERSION, IbmClient, list_instances
from qorch_providers.ibm.wire.tokens import IAM, fetch_tokens

MOST_ANSWER_BYTES = 64 << 20
"""Largest answer that is read. Jobs are packed so that results stay below half of it."""
_CONNECTIONS = 40


class Connector:
    """Makes one client, at its first use."""

    def __init__(self, access: IbmAccess, options: Options, *, clock: Clock) -> None:
        """Nothing is sent yet. Raises UsageError if an address cannot be."""
        self._access = access
        self._options = options
        self._clock = clock
        self._lock = asyncio.Lock()
        self._client: IbmClient | None = None
        self._calls: Counter[str] = Counter()
        self._is_closed = False
        if access.crn:
            access.api_url(access.crn)

    @property
    def calls(self) -> Counter[str]:
        """How many requests were sent so far, by purpose."""
        return self._calls if self._client is None else self._calls + self._client.calls

    async def connect(self) -> IbmClient:
        """The client. Raises UsageError, CredentialsError or BusyError if the instance has to be asked for."""
        async with self._lock:
            self._check_open()
            if self._client is None:
                crn = self._access.crn or await self._find_instance()
                self._check_open()
                url = self._access.api_url(crn)
                headers = {"service-crn": crn, "ibm-api-version": API_VERSION}
                self._client = IbmClient(self._make_http(url, headers), url=url)
            return self._client

    async def close(self) -> None:
        """Close the connections; may be called twice."""
        self._is_closed = True
        if self._client is not None:
            await self._client.aclose()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RejectedError("the backend is closed; open it again")

    async def _find_instance(self) -> str:
        http = self._make_http(self._access.search_url, {})
        try:
            self._calls["availability"] += 1
            return choose_instance(await list_instances(http), self._access.instance)
        finally:
            await http.aclose()

    def _make_http(self, url: str, headers: dict[str, str]) -> HttpClient:
        """A client with tokens of its own."""
        token = BearerToken(fetch_tokens(self._access.key, client=lambda: http), clock=self._clock)
        http = HttpClient(
            Origin(url, auth=token, headers=headers),
            origins={IAM: Origin(self._access.iam_url)},
            secrets=[self._access.key],
            clock=self._clock,
            deadline_seconds=self._options.deadline_seconds,
            most_bytes=MOST_ANSWER_BYTES,
            most_connections=_CONNECTIONS,
        )
        return http
