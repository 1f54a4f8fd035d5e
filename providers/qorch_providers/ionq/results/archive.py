"""Encodes a job's answer for storage: all its documents verbatim, as ``qorch_providers.archive`` writes them.

The first document is the job's own. With an even number of documents the second holds the probabilities; with an odd
number there are none, since all circuits failed. Then follow pairs in the order of the children: a child's document,
and its probabilities or nothing.
"""

from collections.abc import Sequence

from qorch_providers.archive import decode_archive, encode_archive

_MAGIC = b"QIQA"


def encode_answer(documents: Sequence[bytes]) -> bytes:
    """All documents, which may be empty, as one byte string."""
    return encode_archive(documents, magic=_MAGIC)


def decode_answer(content: bytes) -> list[memoryview]:
    """The documents, as views into the content: they are large.

    Raises InvalidResultError if the bytes are incomplete, or of an unknown version.
    """
    return decode_archive(content, magic=_MAGIC, provider="IonQ")
