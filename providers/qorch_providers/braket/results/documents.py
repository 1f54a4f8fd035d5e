"""The documents of a task's answer, by their names, as one byte string, and back."""

from collections.abc import Mapping

from qorch.errors import InvalidResultError
from qorch_providers.archive import decode_archive, encode_archive
from qorch_providers.braket.results.shot_codec import ShotDocument, pack_shots, unpack_shots, unpack_text

RESULTS = "results.json"
"""The name of the result itself: as all other names, a path below the task's own directory in S3."""
TASK = "GetQuantumTask"
"""The name of the answer of GetQuantumTask, if it is kept, too; no object in S3 is named so."""
_MAGIC, _OLDER_MAGIC = b"QBRS", b"QBRA"


def encode_documents(documents: Mapping[str, bytes]) -> bytes:
    """All documents with their names, in their order; single shots as bits, from which their text is written again."""
    parts = [part for name, document in documents.items() for part in (name.encode(), *pack_shots(document))]
    return encode_archive(parts, magic=_MAGIC)


def decode_documents(content: bytes) -> dict[str, bytes]:
    """The documents by name, verbatim. Raises InvalidResultError if the bytes are damaged."""
    return {name: unpack_text(rest, packed) for name, rest, packed in _decode(content)}


def decode_cut(content: bytes) -> dict[str, ShotDocument]:
    """The documents by name, with their shots cut out. Raises InvalidResultError if the bytes are damaged."""
    return {name: unpack_shots(rest, packed) for name, rest, packed in _decode(content)}


def _decode(content: bytes) -> list[tuple[str, memoryview, memoryview]]:
    """Of each document its name and its two parts; the second is empty in answers that an older qorch kept."""
    is_older = content[: len(_OLDER_MAGIC)] == _OLDER_MAGIC
    parts = decode_archive(content, magic=_OLDER_MAGIC if is_older else _MAGIC, provider="Braket")
    n_parts = 2 if is_older else 3
    try:
        names = [bytes(part).decode() for part in parts[::n_parts]]
    except UnicodeDecodeError as error:
        raise InvalidResultError("the name of a document in the answer of Braket is not text") from error
    if len(parts) % n_parts or len(set(names)) < len(names):
        raise InvalidResultError("the answer of Braket has a document without a name, or one twice")
    packed = [memoryview(b"")] * len(names) if is_older else parts[2::3]
    return list(zip(names, parts[1::n_parts], packed, strict=True))
