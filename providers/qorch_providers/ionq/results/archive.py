"""Encodes a job's answer for storage: all its documents verbatim, each in a length-prefixed frame.

The first document is the job's own. With an even number of documents the second holds the probabilities; with an odd
number there are none, since all circuits failed. Then follow pairs in the order of the children: a child's document,
and its probabilities or nothing.
"""

import struct
from collections.abc import Sequence

from qorch.errors import InvalidResultError

_HEADER = struct.Struct("<4sHHI")
_LENGTH = struct.Struct("<Q")
_MAGIC = b"QIQA"
_VERSION = 1


def encode_answer(documents: Sequence[bytes]) -> bytes:
    """All documents, which may be empty, as one byte string."""
    pieces = [_HEADER.pack(_MAGIC, _VERSION, 0, len(documents))]
    for document in documents:
        pieces += [_LENGTH.pack(len(document)), document]
    return b"".join(pieces)


def decode_answer(content: bytes) -> list[memoryview]:
    """The documents, as views into the content: they are large.

    Raises InvalidResultError if the bytes are incomplete, or of an unknown version.
    """
    if len(content) < _HEADER.size:
        raise InvalidResultError(f"an answer of IonQ has at least {_HEADER.size} bytes, found {len(content)}")
    magic, version, _, count = _HEADER.unpack_from(content)
    if magic != _MAGIC or version != _VERSION:
        raise InvalidResultError(f"expected a kept answer of IonQ, version {_VERSION}, found {content[:8].hex()}")
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
