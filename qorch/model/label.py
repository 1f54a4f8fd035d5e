"""A job's label at its provider: what a database that does not know the job needs to adopt it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qorch.model.arrays import ByteArray, IntArray
from qorch.model.samples import Samples, format_shots

MOST_TEXT = 400
"""Longest text of a label: every provider accepts that many characters as a value of metadata."""
MOST_ROWS = 1_000_000
_SPLIT = ";"

Part = tuple[int, IntArray]
"""A group of the call, and which of its rows."""


@dataclass(frozen=True)
class JobLabel:
    """What a provider keeps with a job; a field is None if the job has none, as jobs of an earlier qorch.

    ``rows``: which rows of which groups of the call the job carries, see ``format_rows``. ``digest`` and ``context``:
    hexadecimal, of what these rows are and of the device as it was. ``n_rows``, ``shots``: the provider's counts.
    """

    job_id: str | None = None
    rows: str | None = None
    digest: str | None = None
    context: str | None = None
    n_rows: int | None = None
    shots: int | None = None


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """One block of a job as its digest sees it: ``rows (R,)`` of a group, and their ``keys (R, 32)``."""

    group: int
    rows: IntArray
    keys: ByteArray
    samples: Samples | None


def digest_rows(blocks: Sequence[LabelledRows]) -> str:
    """64 hexadecimal characters that change with any row, circuit, angle, measurement or number of shots."""
    hasher = hashlib.sha256(b"qorch-rows-1")
    for block in blocks:
        hasher.update(f"/{block.group}/{len(block.rows)}/{format_shots(block.samples)}/".encode())
        hasher.update(np.ascontiguousarray(block.rows, dtype="<u8").tobytes())
        hasher.update(np.ascontiguousarray(block.keys).tobytes())
    return hasher.hexdigest()


def format_rows(parts: Sequence[Part]) -> str | None:
    """Rows by group as text, such as ``0:0-99,101;1:7``; None if it has more than MOST_TEXT characters."""
    text = _SPLIT.join(f"{group}:{_ranges(rows)}" for group, rows in parts)
    return text if len(text) <= MOST_TEXT else None


def parse_rows(text: str) -> list[Part] | None:
    """The rows of a text that ``format_rows`` made; None for any other text."""
    try:
        parts = [_parse_part(part) for part in text.split(_SPLIT)]
    except ValueError:
        return None
    return parts


def _ranges(rows: IntArray) -> str:
    edges = np.flatnonzero(np.diff(rows.astype(np.int64)) != 1) + 1
    stretches = np.split(rows, edges)
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in stretches if len(part))


def _parse_part(text: str) -> Part:
    group, _, ranges = text.partition(":")
    stretches = []
    for stretch in ranges.split(","):
        first, _, last = stretch.partition("-")
        start, stop = int(first), int(last or first) + 1
        if not 0 <= start < stop <= MOST_ROWS:
            raise ValueError(stretch)
        stretches.append(np.arange(start, stop))
    return int(group), np.concatenate(stretches)
