"""The objects of the emulated S3: results, and what clients put there."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from qorch.errors import UsageError
from qorch_providers.emulators.kit.answers import RefusedError


@dataclass(frozen=True)
class StoredObject:
    """One object. ``padding_bytes`` blanks are sent before the body, and are not kept in memory."""

    body: bytes
    stored_unix: float
    padding_bytes: int = 0

    @property
    def n_bytes(self) -> int:
        """As a client sees it."""
        return self.padding_bytes + len(self.body)

    @property
    def etag(self) -> str:
        """The tag of its content."""
        return f'"{hashlib.md5(self.body, usedforsecurity=False).hexdigest()}"'


@dataclass(frozen=True)
class Denials:
    """The buckets that the caller may not use at all, and those that it may not read."""

    all: frozenset[str]
    reading: frozenset[str]


def parse_denials(text: str) -> Denials:
    """Buckets such as ``bucket-a,bucket-b:read``. Raises UsageError."""
    parts = [part.strip().partition(":") for part in text.split(",") if part.strip()]
    for name, _, word in parts:
        if not name or word not in ("", "read"):
            raise UsageError(f"'{name}:{word}' is not a bucket; write NAME, or NAME:read")
    return Denials(
        frozenset(name for name, _, word in parts if not word), frozenset(name for name, _, word in parts if word)
    )


class ObjectStore:
    """Buckets with objects. A bucket exists from its first use."""

    def __init__(self, denials: Denials, *, kept_bytes: int) -> None:
        """``kept_bytes``: the oldest objects beyond are forgotten."""
        self._denials = denials
        self._objects: OrderedDict[tuple[str, str], StoredObject] = OrderedDict()
        self._buckets: set[str] = set()
        self._left_bytes = kept_bytes

    def can_use(self, bucket: str) -> bool:
        """Whether results may be put into a bucket."""
        return bucket not in self._denials.all

    def create(self, bucket: str) -> None:
        """Create a bucket. Raises RefusedError (403)."""
        self._check(bucket, is_reading=False)
        self._buckets.add(bucket)

    def check_exists(self, bucket: str) -> None:
        """Raise RefusedError (404) if a bucket was neither created nor used."""
        self._check(bucket, is_reading=False)
        if bucket not in self._buckets:
            raise RefusedError(404, "The specified bucket does not exist")

    def put(self, bucket: str, key: str, stored: StoredObject) -> None:
        """Store an object. Raises RefusedError (403)."""
        self._check(bucket, is_reading=False)
        self._buckets.add(bucket)
        self.delete(bucket, key)
        self._objects[bucket, key] = stored
        self._left_bytes -= len(stored.body)
        while self._left_bytes < 0 and len(self._objects) > 1:
            _, oldest = self._objects.popitem(last=False)
            self._left_bytes += len(oldest.body)

    def get(self, bucket: str, key: str) -> StoredObject:
        """An object. Raises RefusedError (403, 404)."""
        self._check(bucket, is_reading=True)
        found = self._objects.get((bucket, key))
        if found is None:
            raise RefusedError(404, "The specified key does not exist.")
        return found

    def delete(self, bucket: str, key: str) -> None:
        """Forget an object; none need be there."""
        gone = self._objects.pop((bucket, key), None)
        self._left_bytes += 0 if gone is None else len(gone.body)

    def list(self, bucket: str, prefix: str) -> list[tuple[str, StoredObject]]:
        """The objects whose keys begin so, in the order of their keys. Raises RefusedError (403)."""
        self._check(bucket, is_reading=True)
        found = ((key, stored) for (own, key), stored in self._objects.items() if own == bucket)
        return sorted(((key, stored) for key, stored in found if key.startswith(prefix)), key=lambda each: each[0])

    def _check(self, bucket: str, *, is_reading: bool) -> None:
        if bucket in self._denials.all or (is_reading and bucket in self._denials.reading):
            raise RefusedError(403, "Access Denied")
