"""What is stored already for the rows of a call: this run's own results by position, other samples by key."""

import logging
from dataclasses import dataclass

import numpy as np

from qorch.errors import RunChangedError
from qorch.model.arrays import IntArray, UIntArray
from qorch.model.identity import Position, job_ordinal
from qorch.model.job import JobState
from qorch.model.result import Source
from qorch.planning.lowering import LoweredBatch, RowGroup
from qorch.planning.packing import Hit, Missing, replay, unexecuted
from qorch.planning.sample_index import EXACT, Match, SampleIndex, duplicate_rows
from qorch.ports.policy import CachePolicy
from qorch.ports.records import BlockRecord
from qorch.ports.store import StoredResults

_log = logging.getLogger("qorch.lookup")

IndexKey = tuple[bytes, bytes, bytes]


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Exact rows of a group that take the value of an equal row: ``rows[i]`` that of ``originals[i]``."""

    group: int
    rows: IntArray
    originals: IntArray


@dataclass(frozen=True, eq=False)
class _Piece:
    """Rows of a group for which the rows ``places`` of stored block ``block_id`` stand in; it is not read yet."""

    group: int
    rows: IntArray
    places: IntArray
    block_id: int


@dataclass(frozen=True, eq=False)
class Found:
    """What is stored, what is to be executed, and what equals another row of the call.

    ``first_job`` is the first free job ordinal: a call that was interrupted has stored jobs already.
    """

    hits: tuple[Hit, ...]
    missing: tuple[Missing, ...]
    duplicates: tuple[Duplicates, ...]
    first_job: int = 0


class Lookup:
    """Answers from one store under one policy; keeps its indices up to date between calls."""

    def __init__(
        self, store: StoredResults, *, policy: CachePolicy, rebuy: bool, charges: bool, keeps_jobs: bool = False
    ) -> None:
        """``charges``: whether a changed position is paid for, and stops the run unless ``rebuy``.

        ``keeps_jobs``: a job that failed keeps its number, because the provider knows it by a key made of that.
        """
        self._store = store
        self._charges = charges
        self._keeps_jobs = keeps_jobs
        self._policy = policy
        self._stops_on_change = charges and not rebuy
        self._indices: dict[IndexKey, tuple[SampleIndex, int]] = {}
        self._changed: dict[Position, int] = {}

    def tell_changes(self, run_id: str) -> None:
        """Log how many rows were executed again because the program has other angles at their positions now."""
        if self._changed:
            _log.warning(
                "run %s: %d stored rows have other circuits, angles or shots now and were executed again;"
                " the program, its data or the backend has changed since",
                run_id,
                sum(self._changed.values()),
            )

    def uses_index(self, *, is_exact: bool) -> bool:
        """Whether rows are looked up by key: exact ones under every policy but `off`, samples if the policy says so."""
        if self._policy is CachePolicy.OFF:
            return False
        return is_exact or self._policy in {CachePolicy.REUSE, CachePolicy.TOP_UP}

    def find(
        self,
        lowered: LoweredBatch,
        *,
        contexts: list[bytes],
        stream: int,
        replayed: tuple[str, Position] | None,
    ) -> Found:
        """Look up every row of a call.

        ``contexts``: one per group; ``stream``: the call's own random stream; ``replayed``: run and position of
        the call, if an earlier session may have executed it. Raises RunChangedError if paid rows are stored
        with other angles.
        """
        missing = [unexecuted(index, group, stream=stream) for index, group in enumerate(lowered.groups)]
        stored = self._store.blocks_at(*replayed) if replayed else []
        if self._policy is CachePolicy.OFF:
            # Nothing is taken from the store, but the name of a job, and with it its key, is never used again.
            return Found((), tuple(missing), (), self._first_job(replayed, stored))
        own = self._replay(lowered, contexts, stored)
        while True:
            found, todo, duplicates = self._match(lowered, contexts, missing, own, stream=stream)
            reused = self._read(found)
            if reused is not None:
                return Found((*own, *reused), todo, duplicates, self._first_job(replayed, stored))
            # Some blocks were deleted since their keys were read: read the keys again.
            self._indices.clear()

    def _match(
        self, lowered: LoweredBatch, contexts: list[bytes], missing: list[Missing], hits: list[Hit], *, stream: int
    ) -> "tuple[list[_Piece], tuple[Missing, ...], tuple[Duplicates, ...]]":
        """What stands in for rows that are not among the hits, what is to be executed, and what equals another row."""
        pieces: list[_Piece] = []
        todo: list[Missing] = []
        topped: list[Missing] = []
        duplicates: list[Duplicates] = []
        for index, group in enumerate(lowered.groups):
            resumed = _rows_of(hits, index)
            part, twins = _merge_duplicates(_without(missing[index], resumed), group)
            duplicates += twins
            parts = [part]
            if self.uses_index(is_exact=group.shots is None):
                own = (stream, group.ordinals[resumed])
                found, parts = self._reuse(part, group, contexts[index], own=own)
                pieces += found
            todo += parts[:1]
            topped += parts[1:]
        return pieces, tuple(part for part in todo + topped if len(part.rows)), tuple(duplicates)

    def _read(self, pieces: "list[_Piece]") -> list[Hit] | None:
        """The pieces with their results; None if a block was deleted meanwhile."""
        block_ids = sorted({piece.block_id for piece in pieces})
        results = self._store.block_results(block_ids) if block_ids else {}
        if len(results) < len(block_ids):
            return None
        return [Hit(piece.group, piece.rows, Source.REUSED, piece.places, results[piece.block_id]) for piece in pieces]

    def _first_job(self, replayed: tuple[str, Position] | None, stored: list[BlockRecord]) -> int:
        taken = {block.job_id for block in stored}
        if replayed is not None and (self._keeps_jobs or self._policy is CachePolicy.OFF):
            # Under OFF a free job leaves no blocks, and yet one that was done must not be replaced.
            jobs = self._store.jobs_at(*replayed)
            taken |= {job.job_id for job in jobs if self._keeps_jobs or job.state is JobState.DONE}
        return 1 + max((job_ordinal(job_id) for job_id in taken), default=-1)

    def _replay(self, lowered: LoweredBatch, contexts: list[bytes], stored: list[BlockRecord]) -> list[Hit]:
        hits, mismatches = replay(lowered.groups, stored, contexts=None if self._charges else contexts)
        if mismatches and self._stops_on_change:
            raise RunChangedError(
                f"run {stored[0].run_id} has {mismatches} paid rows at step {stored[0].position.step}, call"
                f" {stored[0].position.call} whose angles are others now: the program, its data or its seed"
                " changed. Restore them, or go on with rebuy=True (--rebuy) and pay for these rows again"
            )
        missing = sum(group.n_rows for group in lowered.groups) - sum(len(hit.rows) for hit in hits)
        if mismatches and missing:
            self._changed[stored[0].position] = min(mismatches, missing)
        return hits

    def _reuse(
        self, part: Missing, group: RowGroup, context: bytes, *, own: tuple[int, UIntArray]
    ) -> "tuple[list[_Piece], list[Missing]]":
        """Pieces by key, and what remains missing: untouched rows first, then rows to top up."""
        if not len(part.rows):
            return [], [part]
        index = self._index((context, group.measurement.digest, group.gates.digest))
        # Two estimates cannot be pooled as counts are, so there is nothing to top up.
        partial = self._policy is CachePolicy.TOP_UP and not group.measurement.is_estimated
        pieces: list[_Piece] = []
        topped: list[Missing] = []
        taken = np.zeros(len(part.rows), dtype=bool)
        for match in index.find(group.keys[part.rows], shots=group.shots, partial=partial):
            usable = match if group.shots is None else _not_own(match, own)
            taken[usable.rows] = True
            pieces += _pieces(usable, part)
            topped += _top_ups(usable, part)
        return pieces, [part.take(~taken), *topped]

    def _index(self, key: IndexKey) -> SampleIndex:
        index, last_id = self._indices.get(key, (SampleIndex(()), 0))
        newer = self._store.block_keys(*key, after_block_id=last_id)
        if newer:
            index.add(newer)
            last_id = max(block.block_id for block in newer)
        self._indices[key] = (index, last_id)
        return index


def _rows_of(hits: list[Hit], group: int) -> IntArray:
    rows = [hit.rows for hit in hits if hit.group == group]
    return np.concatenate(rows) if rows else np.zeros(0, dtype=np.int64)


def _without(part: Missing, rows: IntArray) -> Missing:
    return part if not len(rows) else part.take(~np.isin(part.rows, rows))


def _merge_duplicates(part: Missing, group: RowGroup) -> tuple[Missing, list[Duplicates]]:
    """Only exact rows are merged: two samples of one row are two samples."""
    if group.shots is not None or not len(part.rows):
        return part, []
    first, inverse = duplicate_rows(group.keys[part.rows])
    if len(first) == len(part.rows):
        return part, []
    is_first = np.zeros(len(part.rows), dtype=bool)
    is_first[first] = True
    twins = Duplicates(part.group, part.rows[~is_first], part.rows[first[inverse]][~is_first])
    return part.take(is_first), [twins]


def _not_own(match: Match, own: tuple[int, UIntArray]) -> Match:
    """Without samples that this very call took before it was interrupted: their rows have them already."""
    stream, resumed = own
    if not len(resumed):
        return match
    sample_is_own = match.table.streams[match.entries] == stream
    return match.take(~(sample_is_own & np.isin(match.table.ordinals[match.entries], resumed)))


def _pieces(match: Match, part: Missing) -> list[_Piece]:
    """One per stored block and piece of a sample."""
    pieces = []
    while len(match.rows):
        blocks = match.table.block_ids[match.entries]
        for block_id in np.unique(blocks):
            piece = match.take(blocks == block_id)
            places = match.table.places[piece.entries]
            pieces.append(_Piece(part.group, part.rows[piece.rows], places, int(block_id)))
        match = match.earlier
    return pieces


def _top_ups(match: Match, part: Missing) -> list[Missing]:
    """The shots that matched samples lack, grouped by the offset from which they are missing."""
    if part.shots is None:
        return []
    topped = []
    for end in np.unique(match.shots):
        if end == EXACT or end >= part.shots:
            continue
        chosen = match.take(match.shots == end)
        topped.append(
            Missing(
                group=part.group,
                rows=part.rows[chosen.rows],
                samples=chosen.continued(offset=int(end), shots=int(part.shots - end)),
                source=Source.TOPPED_UP,
            )
        )
    return topped
