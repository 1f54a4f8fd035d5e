"""The endpoints of S3 (with the bucket in the path) and of STS, as far as Braket's SDK and boto3 use them."""

import base64
import email.utils
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from xml.sax.saxutils import escape

from aiohttp import web

from qorch_providers.emulators.braket.objects import StoredObject
from qorch_providers.emulators.braket.refusals import AwsRefusedError
from qorch_providers.emulators.braket.service import BraketService
from qorch_providers.emulators.kit.answers import RefusedError

StorageEndpoint = Callable[[web.Request], Awaitable[web.Response]]
_BLANKS = b" " * (1024 * 1024)


class StorageRoutes:
    """The endpoints of one server's S3 and STS."""

    def __init__(self, service: BraketService) -> None:
        """Answer from this service."""
        self._service = service

    def table(self) -> Iterator[tuple[str, str, str, StorageEndpoint]]:
        """Method, path, word and endpoint."""
        yield "POST", "/", "identity", self.identity
        for path in ("/{bucket}", "/{bucket}/"):
            yield "PUT", path, "objects", self.create_bucket
            yield "HEAD", path, "objects", self.head_bucket
            yield "GET", path, "objects", self.list_objects
        yield "GET", "/{bucket}/{key:.+}", "results", self.get_object
        yield "HEAD", "/{bucket}/{key:.+}", "results", self.head_object
        yield "PUT", "/{bucket}/{key:.+}", "objects", self.put_object
        yield "DELETE", "/{bucket}/{key:.+}", "objects", self.delete_object

    async def identity(self, request: web.Request) -> web.Response:
        """GetCallerIdentity."""
        caller = self._service.authorize(request.headers.get("Authorization"))
        form = await request.post()
        if caller.service != "sts" or form.get("Action") != "GetCallerIdentity":
            raise AwsRefusedError(400, "InvalidAction", "this emulator answers GetCallerIdentity alone")
        account = self._service.settings.account
        inner = (
            f"<Arn>arn:aws:iam::{account}:user/emulator</Arn><UserId>{escape(caller.access_key)}</UserId>"
            f"<Account>{account}</Account>"
        )
        return _xml(
            '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
            f"<GetCallerIdentityResult>{inner}</GetCallerIdentityResult></GetCallerIdentityResponse>"
        )

    async def create_bucket(self, request: web.Request) -> web.Response:
        """CreateBucket; of settings of a bucket, nothing is kept."""
        bucket = self._bucket(request)
        self._service.store.create(bucket)
        return web.Response(headers={"Location": f"/{bucket}"})

    async def head_bucket(self, request: web.Request) -> web.Response:
        """HeadBucket."""
        bucket = self._bucket(request)
        self._service.store.check_exists(bucket)
        caller = self._service.authorize(request.headers.get("Authorization"))
        return web.Response(headers={"x-amz-bucket-region": caller.region})

    async def list_objects(self, request: web.Request) -> web.Response:
        """ListObjectsV2, on one page; or GetBucketLocation."""
        bucket = self._bucket(request)
        if "location" in request.query:
            return _xml("<LocationConstraint/>")
        found = self._service.store.list(bucket, request.query.get("prefix", ""))
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{stored.n_bytes}</Size></Contents>" for key, stored in found
        )
        return _xml(
            f"<ListBucketResult><Name>{escape(bucket)}</Name><KeyCount>{len(found)}</KeyCount>"
            f"<IsTruncated>false</IsTruncated>{contents}</ListBucketResult>"
        )

    async def get_object(self, request: web.Request) -> web.Response:
        """GetObject, or a range of one."""
        stored = self._find(request)
        if stored.padding_bytes:
            headers = _headers(stored) | {"Content-Length": str(stored.n_bytes)}
            return web.Response(body=_stream(stored), headers=headers)
        span = request.http_range
        if span.start is None and span.stop is None:
            return web.Response(body=stored.body, headers=_headers(stored))
        part = stored.body[span]
        start = span.indices(len(stored.body))[0]
        headers = {"Content-Range": f"bytes {start}-{start + len(part) - 1}/{stored.n_bytes}"}
        return web.Response(status=206, body=part, headers=_headers(stored, is_whole=False) | headers)

    async def head_object(self, request: web.Request) -> web.Response:
        """HeadObject."""
        stored = self._find(request)
        return web.Response(headers=_headers(stored) | {"Content-Length": str(stored.n_bytes)})

    async def put_object(self, request: web.Request) -> web.Response:
        """PutObject."""
        bucket, body = self._bucket(request), await request.read()
        if "aws-chunked" in request.headers.get("Content-Encoding", ""):
            body = _join_chunks(body)
        stored = StoredObject(body, self._service.clock.unix())
        self._service.store.put(bucket, request.match_info["key"], stored)
        return web.Response(headers={"ETag": stored.etag})

    async def delete_object(self, request: web.Request) -> web.Response:
        """DeleteObject."""
        self._service.store.delete(self._bucket(request), request.match_info["key"])
        return web.Response(status=204)

    def _bucket(self, request: web.Request) -> str:
        caller = self._service.authorize(request.headers.get("Authorization"))
        if caller.service != "s3":
            raise RefusedError(404, f"{request.method} {request.path} is not a path of {caller.service}")
        return request.match_info["bucket"]

    def _find(self, request: web.Request) -> StoredObject:
        return self._service.store.get(self._bucket(request), request.match_info["key"])


def _xml(text: str) -> web.Response:
    return web.Response(text='<?xml version="1.0" encoding="UTF-8"?>' + text, content_type="application/xml")


def _headers(stored: StoredObject, *, is_whole: bool = True) -> dict[str, str]:
    headers = {
        "ETag": stored.etag,
        "Last-Modified": email.utils.formatdate(stored.stored_unix, usegmt=True),
        "Content-Type": "application/json",
        "Accept-Ranges": "bytes",
    }
    if is_whole and not stored.padding_bytes:
        checksum = zlib.crc32(stored.body).to_bytes(4, "big")
        headers["x-amz-checksum-crc32"] = base64.b64encode(checksum).decode()
        headers["x-amz-checksum-type"] = "FULL_OBJECT"
    return headers


async def _stream(stored: StoredObject) -> AsyncIterator[bytes]:
    left = stored.padding_bytes
    while left > 0:
        yield _BLANKS[:left]
        left -= len(_BLANKS)
    yield stored.body


def _join_chunks(body: bytes) -> bytes:
    """The content of a body that was sent in signed chunks."""
    joined = b""
    while body:
        head, _, rest = body.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if size == 0:
            break
        joined += rest[:size]
        body = rest[size + 2 :]
    return joined
