"""What qorch has Braket keep with a task, as tags: its idempotency key and the label of its rows; and back.

The value of a tag has at most 256 characters, letters, digits, spaces and ``+ - = . _ : / @``. A label's text may have
400 with commas and semicolons, so it is written with other letters and continued in further tags.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from urllib.parse import unquote

from qorch.model.label import JobLabel

KEY_TAG = "qorch-key"
"""The tag with a task's idempotency key."""
JOB_TAG, ROWS_TAG, DIGEST_TAG, CONTEXT_TAG = "qorch-job", "qorch-rows", "qorch-digest", "qorch-context"
"""The tags of its label (``qorch.model.label``), by which a database restored from a backup recognises it."""
LIMIT_TAG = "qorch-spending-limit"
"""The tag of spending limits that qorch has set: it changes no others."""
MAX_VALUE = 256
MAX_TAGS_OF_TEXT = 10
"""A task has at most 50 tags."""
_NAMED_DIGITS = 16
_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:@")
_SHORT = {ord(","): "+", ord(";"): "/"}
_LONG = {ord(letter): byte for byte, letter in _SHORT.items()}
_VALUE = re.compile(r"(?:[a-zA-Z0-9\-._:@+/]|=[0-9A-F]{2})+")
_KEY = re.compile(r"[0-9a-f]{64}")


def task_name(key: str) -> str:
    """How the task with this idempotency key is found in the console: the last part of the path of its results."""
    return f"qorch-{key[:_NAMED_DIGITS]}"


def tags_of(key: str, label: JobLabel | None) -> dict[str, str]:
    """The tags of a task. A text that does not fit into 10 tags is left out."""
    tags = {KEY_TAG: key}
    if label is None:
        return tags
    texts = {JOB_TAG: label.job_id, ROWS_TAG: label.rows, DIGEST_TAG: label.digest, CONTEXT_TAG: label.context}
    for name, text in texts.items():
        tags |= _split(name, _encode(text or ""))
    return tags


def read_tags(tags: Mapping[str, str]) -> tuple[str | None, JobLabel]:
    """The key and the label in the tags of a task; what they lack, or what is damaged there, is None."""
    key = tags.get(KEY_TAG, "")
    job_id, rows, digest, context = (_decode(tags, name) for name in (JOB_TAG, ROWS_TAG, DIGEST_TAG, CONTEXT_TAG))
    return key if _KEY.fullmatch(key) else None, JobLabel(job_id, rows, digest, context)


def _encode(text: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else _SHORT.get(byte, f"={byte:02X}") for byte in text.encode())


def _split(name: str, value: str) -> dict[str, str]:
    """The value in tags ``name``, ``name-2``, ``name-3``, …"""
    parts = [value[start : start + MAX_VALUE] for start in range(0, len(value), MAX_VALUE)]
    return {} if len(parts) > MAX_TAGS_OF_TEXT else dict(zip(_part_names(name), parts, strict=False))


@cache
def _part_names(name: str) -> tuple[str, ...]:
    return (name, *(f"{name}-{number}" for number in range(2, MAX_TAGS_OF_TEXT + 1)))


def _decode(tags: Mapping[str, str], name: str) -> str | None:
    """The text in the tags of a name; None if there is none, or no text that ``_encode`` makes."""
    parts = []
    for each in _part_names(name):
        if each not in tags:
            break
        parts.append(tags[each])
    return _decode_text("".join(parts))


@lru_cache(maxsize=1024)
def _decode_text(value: str) -> str | None:
    """Cached, as polls show the tags of one task many times."""
    if _VALUE.fullmatch(value) is None:
        return None
    try:
        return unquote(value.translate(_LONG).replace("=", "%"), errors="strict")
    except UnicodeDecodeError:
        return None
