"""The objects of S3 in which Braket leaves results: read one by one, and the bucket checked without writing to it."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence

from qorch.errors import BackendError, BusyError, CredentialsError, InvalidResultError, UsageError
from qorch_providers.braket.wire.refusals import what_to_do
from qorch_providers.http import HttpClient, HttpResponse, TooLargeError, clean, retry_after_seconds

MOST_OBJECT_BYTES = 128 << 20
"""Largest object that is read. 100,000 shots of 34 qubits are some 10 MB of JSON."""
_CODE = re.compile(rb"<Code>([A-Za-z.]{1,60})</Code>")
BUCKET_NAME = "QORCH_BRAKET_S3"
"""The variable that names where results go, as BUCKET/PREFIX."""
_ALLOW = (
    "the credentials may not look into it; allow s3:ListBucket, s3:GetObject and s3:PutObject, or name another bucket"
    f" in {BUCKET_NAME}"
)
_ELSEWHERE = frozenset({301, 302, 303, 307, 308})
_NO_KEY, _NO_BUCKET = "NoSuchKey", "NoSuchBucket"
_DENIED = frozenset({"", "AccessDenied", "AllAccessDisabled"})
_PROBE = "qorch-is-this-readable"


class ResultObjects:
    """All buckets in which results of ours are; each has connections of its own. Everything is safe to repeat."""

    def __init__(self, connect: Callable[[str], HttpClient], *, calls: Counter[str], region: str) -> None:
        """``connect``: a client whose base is the bucket; it may block. ``calls``: counts what is sent, by purpose."""
        self._connect = connect
        self._calls = calls
        self._region = region
        self._clients: dict[str, HttpClient] = {}
        self._lock = asyncio.Lock()

    async def get(self, bucket: str, key: str) -> bytes | None:
        """The object; None if there is none.

        Raises BusyError if it cannot be read now, CredentialsError if it may not be, InvalidResultError if it is larger
        than ``MOST_OBJECT_BYTES``, its bucket is gone, or its key cannot be one.
        """
        try:
            response = await self._ask("fetch", bucket, key.split("/"))
        except BusyError as error:
            if isinstance(error.__cause__, TooLargeError):
                raise InvalidResultError(
                    f"s3://{bucket}/{key} is larger than {MOST_OBJECT_BYTES >> 20} MiB, and is not read; look what is"
                    " there, or run fewer shots in one task (rows=N)"
                ) from error
            raise
        except UsageError as error:
            raise InvalidResultError(f"s3://{bucket}/{clean(key)} cannot be an object of results") from error
        if response.status == 404 and _code(response) == _NO_KEY:
            return None
        if response.status != 200:
            failure = self._read_failure(response, bucket)
            raise InvalidResultError(str(failure)) if isinstance(failure, UsageError) else failure
        return response.body

    async def check(self, bucket: str, prefix: str) -> None:
        """Find out whether results in this bucket could be read.

        Raises UsageError if there is no such bucket or it is in another region, CredentialsError if it may not be
        used, BusyError if S3 does not answer.
        """
        response = await self._ask("availability", bucket, [*prefix.split("/"), _PROBE])
        # Only who may list a bucket and read its objects is told 404 of a key that is not there.
        if response.status != 404 or _code(response) != _NO_KEY:
            raise self._read_failure(response, bucket)

    async def aclose(self) -> None:
        """Close all connections; may be called twice."""
        for client in self._clients.values():
            await client.aclose()

    async def _ask(self, purpose: str, bucket: str, path: Sequence[str]) -> HttpResponse:
        client = await self._find(bucket)
        self._calls[purpose] += 1
        return await client.ask("GET", path)

    async def _find(self, bucket: str) -> HttpClient:
        async with self._lock:
            if bucket not in self._clients:
                self._clients[bucket] = await asyncio.to_thread(self._connect, bucket)
            return self._clients[bucket]

    def _read_failure(self, response: HttpResponse, bucket: str) -> BackendError | UsageError:
        code = _code(response)
        told = f"S3 answered {response.status}{f' ({code})' if code else ''} for bucket {bucket}"
        if response.status in (401, 403):
            advice = _ALLOW if code in _DENIED else what_to_do(code)
            return CredentialsError(f"{told}: {advice}")
        if response.status in _ELSEWHERE or code == "AuthorizationHeaderMalformed":
            place = clean(response.headers.get("x-amz-bucket-region", ""), limit=30) or "another region"
            return UsageError(
                f"the S3 bucket {bucket} is in {place}, and results of {self._region} go to a bucket there: set"
                f" {BUCKET_NAME}=BUCKET/PREFIX to one"
            )
        if code == _NO_BUCKET:
            return UsageError(
                f"there is no S3 bucket {bucket}: make it (aws s3 mb s3://{bucket} --region {self._region}), or set"
                f" {BUCKET_NAME}=BUCKET/PREFIX to another"
            )
        wait = retry_after_seconds(response.headers, now=response.received_at)
        return BusyError(f"{told}; it is asked again", retry_after_seconds=wait)


def _code(response: HttpResponse) -> str:
    found = _CODE.search(response.body[:4096])
    return "" if found is None else found[1].decode()
