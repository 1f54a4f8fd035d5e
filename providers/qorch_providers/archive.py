"""Documents of a provider's answer as one byte string: each verbatim, in a length-prefixed frame."""

import struct
from collections.abc import Sequence

from qorch.errors import InvalidResultError

_HEADER = struct.Struct("<4sHHI")
_LENGTH = struct.Struct("<Q")
_VERSION = 1


def encode_archive(documents: Sequence[bytes], *, magic: bytes) -> bytes:
    """All documents, which may be empty, as one byte string; it begins with the 4 bytes ``magic``."""
    pieces = [_HEADER.pack(magic, _VERSION, 0, len(documents))]
    for document in documents:
        pieces += [_LENGTH.pack(len(document)), document]
    return b"".join(pieces)


def decode_archive(content: bytes, *, magic: bytes, provider: str) -> list[memoryview]:
    """The documents, as views into the content: they are large. ``provider``: its name, for messages.

    Raises InvalidResultError if the bytes are incomplete, of another provider or of an unknown version.
    """
    if len(content) < _HEADER.size:
        raise InvalidResultError(f"an answer of {provider} has at least {_HEADER.size} bytes, found {len(content)}")
    found_magic, version, _, count = _HEADER.unpack_from(content)
    if found_magic != magic or version != _VERSION:
        raise InvalidResultError(f"expected a kept answer of {provider}, version {_VERSION}, found {content[:8].hex()}")
    documents = []
    view = memoryview(content)
    start = _HEADER.size
    # Every document takes bytes, so a false count ends with the content.
    for index in range(count):
        stop = start + _LENGTH.size
        if stop > len(content):
            raise InvalidResultError(f"the answer ends before document {index} of {count}")
        (length,) = _LENGTH.unpack_from(content, start)
        start = stop + length
        if start > len(content):
            raise InvalidResultError(f"document {index} of the answer has {len(content) - stop} of {length} bytes")
        documents.append(view[stop:start])
    if start != len(content):
        raise InvalidResultError(f"{len(content) - start} bytes follow the last document of the answer")
    return documents
