"""What qorch has IBM keep with a job, as tags: its idempotency key and the label of its rows; and back.

A job has at most 8 tags of at most 86 characters. Jobs are found by the whole tag of the key. A label's text of rows
may have 400 characters, so it is continued in further tags; one that does not fit into those that are left is left out.
"""

import re
from collections.abc import Sequence

from qorch.model.label import JobLabel

MAX_TAGS = 8
MAX_CHARACTERS = 86
"""Of one tag."""
KEY_PREFIX = "qorch-key:"
JOB_PREFIX, DIGEST_PREFIX, CONTEXT_PREFIX = "qorch-job:", "qorch-digest:", "qorch-context:"
"""Before the texts of a label (``qorch.model.label``): by it a database restored from a backup recognises the job."""
_ROWS = "qorch-rows-{}:"
_KEY = re.compile(r"[0-9a-f]{64}")


def key_tag(key: str) -> str:
    """The tag with a job's idempotency key: by it the job is found, in the list and in the console."""
    return KEY_PREFIX + key


def tags_of(key: str, label: JobLabel | None) -> list[str]:
    """The tags of a job, its key first. What does not fit is left out."""
    tags = [key_tag(key)]
    if label is None:
        return tags
    for prefix, text in ((JOB_PREFIX, label.job_id), (DIGEST_PREFIX, label.digest), (CONTEXT_PREFIX, label.context)):
        if text and len(prefix + text) <= MAX_CHARACTERS:
            tags.append(prefix + text)
    rows = _split(label.rows or "")
    return [*tags, *rows] if len(tags) + len(rows) <= MAX_TAGS else tags


def read_tags(tags: Sequence[str]) -> tuple[str | None, JobLabel]:
    """The key and the label in the tags of a job; what they lack, or what is damaged there, is None."""
    key = _text(tags, KEY_PREFIX) or ""
    return key if _KEY.fullmatch(key) else None, JobLabel(
        _text(tags, JOB_PREFIX), _join(tags), _text(tags, DIGEST_PREFIX), _text(tags, CONTEXT_PREFIX)
    )


def _text(tags: Sequence[str], prefix: str) -> str | None:
    """What follows the prefix in the one tag that has it; None if there is none, or several."""
    found = [tag.removeprefix(prefix) for tag in tags if tag.startswith(prefix)]
    return found[0] if len(found) == 1 and found[0] else None


def _split(text: str) -> list[str]:
    """The text in tags; each says which one it is, of how many."""
    size = MAX_CHARACTERS - len(_ROWS.format("1/1"))
    parts = [text[start : start + size] for start in range(0, len(text), size)]
    return [_ROWS.format(f"{index + 1}/{len(parts)}") + part for index, part in enumerate(parts)]


def _join(tags: Sequence[str]) -> str | None:
    """The text of the rows; None unless every part of it is there once."""
    stem = _ROWS.partition("{")[0]
    parts = dict(
        tag.removeprefix(stem).split(":", 1) for tag in tags if tag.startswith(stem) and ":" in tag[len(stem) :]
    )
    names = [f"{index + 1}/{len(parts)}" for index in range(len(parts))]
    if not parts or set(parts) != set(names):
        return None
    return "".join(parts[name] for name in names)
