"""An index of stored samples by row key: finds those that the rows of a call can use under `reuse` and `top_up`."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import ByteArray, IntArray, UIntArray
from qorch.model.samples import Samples
from qorch.ports.records import BlockKeys

BoolArray = npt.NDArray[np.bool_]

EXACT = -1
"""Used instead of a number of shots if an entry holds exact values."""
NONE = -1
"""Used instead of an entry's index if there is no entry."""


def duplicate_rows(keys: ByteArray) -> tuple[IntArray, IntArray]:
    """The first place of every distinct key, ascending, and for every row the index into those, ``(R,)``."""
    rows = np.ascontiguousarray(keys).view(f"V{keys.shape[1]}").ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order].astype(np.int64), rank[inverse.ravel()].astype(np.int64)


def occurrence_numbers(keys: ByteArray) -> IntArray:
    """For every row, how many earlier rows have the same key, ``(R,)``."""
    _, inverse = duplicate_rows(keys)
    return _number_within(inverse)


def _number_within(labels: IntArray) -> IntArray:
    """For every entry, how many earlier entries have the same label."""
    if not len(labels):
        return labels
    order = np.argsort(labels, kind="stable")
    starts = _run_starts(labels[order])
    lengths = np.diff(np.r_[starts, len(labels)])
    numbers = np.empty(len(labels), dtype=np.int64)
    numbers[order] = np.arange(len(labels)) - np.repeat(starts, lengths)
    return numbers


def _run_starts(*columns: "np.ndarray[tuple[int], np.dtype[np.generic]]") -> IntArray:
    """The places at which runs of equal entries begin in columns that are sorted together."""
    changes = np.zeros(len(columns[0]), dtype=bool)
    changes[:1] = True
    for column in columns:
        changes[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(changes)


def _prefixes(keys: ByteArray) -> UIntArray:
    """The first eight bytes of every key, for fast comparison; whole keys have to be compared afterwards."""
    return np.ascontiguousarray(keys[:, :8]).view(">u8").ravel().astype(np.uint64)


@dataclass(frozen=True, eq=False)
class SampleTable:
    """Stored pieces of samples of one circuit, measurement and context.

    One entry per piece, ``(T,)`` each: its ``keys (T, 32)`` and their ``prefixes``; ``sample_ids``: a number for each
    (key, stream, ordinal), rising in the order in which they were first stored; ``offsets`` and ``ends`` in shots (both
    EXACT if exact); ``streams`` and ``ordinals`` (0 if exact); and where it lies (``block_ids``, ``places``).
    Sorted by prefix, sample id, offset, end. A piece that was stored twice is listed once: two runs with one seed
    take identical samples, which must never count as independent ones.
    """

    keys: ByteArray
    prefixes: UIntArray
    sample_ids: IntArray
    offsets: IntArray
    ends: IntArray
    streams: UIntArray
    ordinals: UIntArray
    block_ids: IntArray
    places: IntArray

    def __len__(self) -> int:
        """The number of entries, T."""
        return len(self.prefixes)

    def take(self, chosen: IntArray) -> "SampleTable":
        """The chosen entries, in that order."""
        return SampleTable(*(getattr(self, field.name)[chosen] for field in fields(self)))

    @cached_property
    def before(self) -> IntArray:
        """For every entry, the entry of the same sample that ends where it begins; NONE if it begins at 0."""
        pieces = np.zeros(len(self), dtype=np.int64)
        pieces[_run_starts(self.prefixes, self.sample_ids)] = 1
        pieces = np.cumsum(pieces) * (int(self.ends.max(initial=0)) + 1)
        order = np.argsort(pieces + self.ends, kind="stable")
        wanted = pieces + self.offsets
        found = np.minimum(np.searchsorted((pieces + self.ends)[order], wanted), len(order) - 1)
        return np.asarray(np.where(self.offsets > 0, order[found], NONE))

    @cached_property
    def is_whole(self) -> BoolArray:
        """Whether an entry's sample is stored without a gap from its first shot up to the entry's end."""
        whole = self.offsets <= 0
        while True:
            follows = (self.before != NONE) & (self.ends[self.before] == self.offsets)
            follows &= (self.sample_ids[self.before] == self.sample_ids) & (self.prefixes[self.before] == self.prefixes)
            longer: BoolArray = whole | (follows & whole[self.before])
            if bool((longer == whole).all()):
                return whole
            whole = longer


def build_table(blocks: Sequence[BlockKeys]) -> SampleTable:
    """The table of stored blocks, at least one, given oldest first."""
    lengths = [len(block.keys) for block in blocks]
    keys = np.concatenate([block.keys for block in blocks])
    offsets = np.repeat([EXACT if b.samples is None else b.samples.offset for b in blocks], lengths)
    ends = np.repeat([EXACT if b.samples is None else b.samples.end for b in blocks], lengths)
    streams, ordinals = _stream_names(blocks)
    prefixes = _prefixes(keys)
    table = SampleTable(
        keys=keys,
        prefixes=prefixes,
        sample_ids=_first_places(prefixes, streams, ordinals),
        offsets=offsets.astype(np.int64),
        ends=ends.astype(np.int64),
        streams=streams,
        ordinals=ordinals,
        block_ids=np.repeat([block.block_id for block in blocks], lengths).astype(np.int64),
        places=np.concatenate([np.arange(length) for length in lengths]),
    )
    table = table.take(np.lexsort((table.ends, table.offsets, table.sample_ids, prefixes)))
    return table.take(_run_starts(table.prefixes, table.sample_ids, table.offsets, table.ends))


def _stream_names(blocks: Sequence[BlockKeys]) -> tuple[UIntArray, UIntArray]:
    """Stream and ordinal of every row of all blocks, ``(T,)`` each; 0 if exact, as equal rows have one value."""
    pairs = [
        (np.zeros(len(block.keys), dtype=np.uint64),) * 2
        if block.samples is None
        else (block.samples.streams, block.samples.ordinals)
        for block in blocks
    ]
    return np.concatenate([streams for streams, _ in pairs]), np.concatenate([ordinals for _, ordinals in pairs])


def _first_places(prefixes: UIntArray, streams: UIntArray, ordinals: UIntArray) -> IntArray:
    """For every entry, the first place of an entry with the same key and sample."""
    order = np.lexsort((ordinals, streams, prefixes))
    starts = _run_starts(prefixes[order], streams[order], ordinals[order])
    lengths = np.diff(np.r_[starts, len(order)])
    first = np.empty(len(order), dtype=np.int64)
    first[order] = np.repeat(np.minimum.reduceat(order, starts), lengths)
    return first


@dataclass(frozen=True, eq=False)
class Match:
    """Rows ``(R,)`` of a call whose samples end with ``entries (R,)`` of ``table``."""

    table: SampleTable
    rows: IntArray
    entries: IntArray

    @property
    def shots(self) -> IntArray:
        """How many shots each row's stored sample has, ``(R,)``; EXACT if exact."""
        return self.table.ends[self.entries]

    def continued(self, *, offset: int, shots: int) -> Samples:
        """So many further shots of the rows' samples, from ``offset`` on."""
        return Samples(self.table.streams[self.entries], self.table.ordinals[self.entries], shots, offset)

    def take(self, chosen: BoolArray) -> "Match":
        """The chosen rows, ``(R,)`` bool."""
        return Match(self.table, self.rows[chosen], self.entries[chosen])

    @property
    def earlier(self) -> "Match":
        """The rows whose samples have a piece before this one, with that piece."""
        before = self.table.before[self.entries]
        return Match(self.table, self.rows[before != NONE], before[before != NONE])


class SampleIndex:
    """All stored samples of one circuit, measurement and context, searchable while more are added.

    Kept as tables of geometrically growing size, so that adding a call's blocks costs the logarithm of what
    is stored, not all of it.
    """

    def __init__(self, blocks: Sequence[BlockKeys]) -> None:
        """Index the blocks that are stored already, oldest first."""
        self._blocks: list[list[BlockKeys]] = []
        self._tables: list[SampleTable] = []
        self._streams: set[int] = set()
        if blocks:
            self.add(blocks)

    def add(self, blocks: Sequence[BlockKeys]) -> None:
        """Index newly stored blocks."""
        newest = list(blocks)
        streams = {int(name) for b in newest if b.samples is not None for name in np.unique(b.samples.streams)}
        # Pieces of one sample must be in one table, or they would count as two samples.
        meets_older = not streams.isdisjoint(self._streams)
        while self._tables and (meets_older or sum(len(b.keys) for b in newest) * 2 > len(self._tables[-1])):
            newest = self._blocks.pop() + newest
            self._tables.pop()
        self._streams |= streams
        self._blocks.append(newest)
        self._tables.append(build_table(newest))

    def find(self, keys: ByteArray, *, shots: int | None, partial: bool) -> list[Match]:
        """The stored samples for rows with these ``keys (N, 32)``; rows without one are in no match.

        The k-th occurrence of a key takes the k-th sample that has exactly ``shots`` shots or, with ``partial``, the
        k-th of any size; exact values (``shots`` None) serve every occurrence.
        """
        numbers = np.zeros(len(keys), dtype=np.int64) if shots is None else occurrence_numbers(keys)
        prefixes = _prefixes(keys)
        rows = np.arange(len(keys))
        matches = []
        for table in self._tables:
            usable = _usable(table, shots, partial=partial)
            low = np.searchsorted(table.prefixes[usable], prefixes[rows], side="left")
            high = np.searchsorted(table.prefixes[usable], prefixes[rows], side="right")
            found = low + numbers[rows] < high
            entries = usable[(low + numbers[rows])[found]]
            same = (table.keys[entries] == keys[rows[found]]).all(axis=1)
            if same.any():
                matches.append(Match(table, rows[found][same], entries[same]))
            numbers[rows] -= high - low
            found[found] = same
            rows = rows[~found]
        return matches


def _usable(table: SampleTable, shots: int | None, *, partial: bool) -> IntArray:
    """The last entry of every sample that can be used for this number of shots, in table order."""
    if shots is None:
        return np.flatnonzero(table.ends == EXACT)
    whole: IntArray = np.flatnonzero(table.is_whole & (table.ends != EXACT))
    ends = table.ends[whole]
    if not partial:
        whole = whole[ends == shots]
        return np.asarray(whole[_run_starts(table.prefixes[whole], table.sample_ids[whole])])
    # Best of each sample: the fewest shots that suffice, or else the most shots.
    merit = np.where(ends >= shots, shots - ends, ends - np.iinfo(np.int64).max)
    order = np.lexsort((-merit, table.sample_ids[whole], table.prefixes[whole]))
    whole = whole[order]
    return np.asarray(whole[_run_starts(table.prefixes[whole], table.sample_ids[whole])])
