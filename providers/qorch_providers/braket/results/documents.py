"""The documents of a task's answer, by their names, as one byte string, and back."""

from collections.abc import Mapping

from qorch.errors import InvalidResultError
from qorch_providers.archive import decode_archive, encode_archive

RESULTS = "results.json"
"""The name of the result itself: as all other names, a path below the task's own directory in S3."""
TASK = "GetQuantumTask"
"""The name of the answer of GetQuantumTask, if it is kept, too; no object in S3 is named so."""
_MAGIC = b"QBRA"


def encode_documents(documents: Mapping[str, bytes]) -> bytes:
    """All documents verbatim, with their names, in their order."""
    return encode_archive(
        [part for name, document in documents.items() for part in (name.encode(), document)], magic=_MAGIC
    )


def decode_documents(content: bytes) -> dict[str, bytes]:
    """The documents by name. Raises InvalidResultError if the bytes are damaged."""
    parts = decode_archive(content, magic=_MAGIC, provider="Braket")
    try:
        names = [bytes(part).decode() for part in parts[::2]]
    except UnicodeDecodeError as error:
        raise InvalidResultError("the name of a document in the answer of Braket is not text") from error
    if len(parts) % 2 or len(set(names)) < len(names):
        raise InvalidResultError("the answer of Braket has a document without a name, or one twice")
    return {name: bytes(part) for name, part in zip(names, parts[1::2], strict=True)}
