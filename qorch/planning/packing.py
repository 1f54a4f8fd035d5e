"""Finds stored results for the rows of a call, and packs the missing rows into jobs."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import IntArray
from qorch.model.label import Part
from qorch.model.measurement import BlockResult, RowBlock
from qorch.model.result import Source
from qorch.model.samples import Samples, take_samples
from qorch.planning.lowering import RowGroup
from qorch.ports.backend import Capabilities
from qorch.ports.records import BlockRecord

FULL = 1.0 + 1e-9
"""The load of a full job, 1, with a margin for rounding when its parts are added up."""
SMALLEST_SPLIT = 0.05
"""Share of a full job below which splitting it over idle slots costs more than it saves."""


@dataclass(frozen=True, eq=False)
class Hit:
    """Stored results for ``rows`` of a group: rows ``places`` of the ``result`` of a stored block."""

    group: int
    rows: IntArray
    source: Source
    places: IntArray
    result: BlockResult


@dataclass(frozen=True, eq=False)
class Missing:
    """Rows of a group that are to be executed for these ``samples``; None: for exact values."""

    group: int
    rows: IntArray
    samples: Samples | None
    source: Source = Source.EXECUTED

    @property
    def shots(self) -> int | None:
        """How many are missing of every row; None if exact."""
        return None if self.samples is None else self.samples.shots

    def take(self, chosen: "IntArray | npt.NDArray[np.bool_]") -> "Missing":
        """The chosen ones of these rows."""
        return replace(self, rows=self.rows[chosen], samples=take_samples(self.samples, chosen))


@dataclass(frozen=True, eq=False)
class Selection:
    """A block of a job, with the group and the rows that it carries."""

    group: int
    rows: IntArray
    block: RowBlock
    source: Source

    def take(self, places: IntArray) -> "Selection":
        """The rows at these places of the block."""
        return replace(self, rows=self.rows[places], block=self.block.take(places))


@dataclass(frozen=True, eq=False)
class PlannedJob:
    """A job that is planned: its blocks, in order."""

    selections: tuple[Selection, ...]

    @property
    def n_rows(self) -> int:
        """The number of rows in all blocks."""
        return sum(selection.block.n_rows for selection in self.selections)

    @property
    def shots(self) -> int | None:
        """The shots of every row, 0 if all values are exact; None if the blocks differ."""
        shots = {selection.block.shots or 0 for selection in self.selections}
        return shots.pop() if len(shots) == 1 else None


def unexecuted(group: int, rows: RowGroup, *, stream: int) -> Missing:
    """All rows of a group, as missing."""
    return Missing(group, np.arange(rows.n_rows), rows.samples(stream))


def replay(
    groups: Sequence[RowGroup], blocks: Sequence[BlockRecord], *, contexts: Sequence[bytes] | None
) -> tuple[list[Hit], int]:
    """Hits among the rows that this run stored at this call, and the number of stored rows that no longer match.

    A row matches if its key, its context and its measurement are the same. With ``contexts`` None the context is not
    compared, as a paid row is used even if the device was calibrated since.
    """
    hits: list[Hit] = []
    mismatches = 0
    for block in blocks:
        stored = block.rows
        rows = stored.indices.astype(np.int64)
        if not _fits(groups, block, contexts):
            mismatches += len(rows)
            continue
        inside = rows < groups[stored.group].n_rows
        same = np.zeros(len(rows), dtype=bool)
        same[inside] = (groups[stored.group].keys[rows[inside]] == stored.keys[inside]).all(axis=1)
        mismatches += int((~same).sum())
        places = np.flatnonzero(same)
        if len(places):
            hits.append(Hit(stored.group, rows[places], Source.RESUMED, places, result=block.result))
    return hits, mismatches


def choose(groups: Sequence[RowGroup], missing: Sequence[Missing], wanted: Sequence[Part]) -> PlannedJob | None:
    """The job that carries exactly the wanted rows of the groups; None if one of them is not missing."""
    selections = []
    for number, rows in wanted:
        found = ((part, _places(part.rows, rows)) for part in missing if part.group == number)
        part, places = next(((part, places) for part, places in found if places is not None), (None, None))
        if part is None or places is None:
            return None
        selections.append(_select(groups[number], part, places))
    return PlannedJob(tuple(selections))


def _places(rows: IntArray, wanted: IntArray) -> IntArray | None:
    """The places of the wanted rows among ``rows``; None if one is not among them."""
    if not len(rows):
        return None
    order = np.argsort(rows, kind="stable")
    places = order[np.minimum(np.searchsorted(rows, wanted, sorter=order), len(rows) - 1)]
    return places if np.array_equal(rows[places], wanted) else None


def lost_rows(job: PlannedJob, lost: Sequence[IntArray]) -> PlannedJob | None:
    """The job that carries only the lost rows of ``job``, ``lost[i]`` of block i; None if no row was lost."""
    selections = tuple(
        selection.take(places) for selection, places in zip(job.selections, lost, strict=False) if len(places)
    )
    return PlannedJob(selections) if selections else None


def _fits(groups: Sequence[RowGroup], block: BlockRecord, contexts: Sequence[bytes] | None) -> bool:
    rows, samples = block.rows, block.rows.samples
    if rows.group >= len(groups):
        return False
    group = groups[rows.group]
    is_whole = group.shots is None if samples is None else samples.offset == 0 and samples.shots == group.shots
    return (
        is_whole
        and block.measurement_digest == group.measurement.digest
        and (contexts is None or contexts[rows.group] == rows.context)
    )


def pack(
    groups: Sequence[RowGroup],
    missing: Sequence[Missing],
    *,
    capabilities: Capabilities,
    rows_per_job: Callable[[RowGroup, int | None], int],
) -> tuple[PlannedJob, ...]:
    """Pack missing rows into jobs: as few as the limits allow, or on free backends enough to fill all slots.

    ``rows_per_job(group, shots)`` is the number of rows that make a full job.
    """
    missing = [part for part in missing if len(part.rows)]
    if not missing:
        return ()
    if not capabilities.mixes_shots and len({part.shots for part in missing}) > 1:
        alike = [[part for part in missing if part.shots == shots] for shots in dict.fromkeys(p.shots for p in missing)]
        packed = [pack(groups, parts, capabilities=capabilities, rows_per_job=rows_per_job) for parts in alike]
        return tuple(itertools.chain.from_iterable(packed))
    sizes = [
        max(1, min(capabilities.max_rows_per_job, rows_per_job(groups[part.group], part.shots))) for part in missing
    ]
    load = sum(len(part.rows) / size for part, size in zip(missing, sizes, strict=True))
    n_jobs = math.ceil(load - 1e-9)
    if not capabilities.charges:
        n_jobs = _fill_slots(load, n_jobs, capabilities.slots)
    cuts = _cut(sizes, [len(part.rows) for part in missing], n_jobs=n_jobs)
    while _fullest(cuts, sizes, n_jobs=n_jobs) > FULL:
        # Rows of several groups may round up in one job: one more job keeps the hard limits.
        n_jobs += 1
        cuts = _cut(sizes, [len(part.rows) for part in missing], n_jobs=n_jobs)
    return _slice(groups, missing, cuts, n_jobs=n_jobs)


def _fill_slots(load: float, n_jobs: int, slots: int) -> int:
    """A multiple of the slots, so that no slot idles while another has two jobs; fewer for very small loads."""
    if n_jobs >= slots:
        return math.ceil(n_jobs / slots) * slots
    return max(1, min(slots, math.floor(load / SMALLEST_SPLIT)))


def _cut(sizes: Sequence[int], lengths: Sequence[int], *, n_jobs: int) -> list[IntArray]:
    """The job of every row of every part: the rows, laid end to end by their load, are cut into equal stretches."""
    share = sum(length / size for length, size in zip(lengths, sizes, strict=True)) / n_jobs
    laid = 0.0
    cuts = []
    for length, size in zip(lengths, sizes, strict=True):
        middles = laid + (np.arange(length) + 0.5) / size
        cuts.append(np.minimum((middles / share).astype(np.int64), n_jobs - 1))
        laid += length / size
    return cuts


def _fullest(cuts: Sequence[IntArray], sizes: Sequence[int], *, n_jobs: int) -> float:
    """The load of the fullest job; 1 is a full one."""
    loads = np.zeros(n_jobs)
    for job_of_row, size in zip(cuts, sizes, strict=True):
        loads += np.bincount(job_of_row, minlength=n_jobs) / size
    return float(loads.max())


def _slice(
    groups: Sequence[RowGroup], missing: Sequence[Missing], cuts: Sequence[IntArray], *, n_jobs: int
) -> tuple[PlannedJob, ...]:
    jobs: list[list[Selection]] = [[] for _ in range(n_jobs)]
    for part, job_of_row in zip(missing, cuts, strict=True):
        edges = [0, *(np.flatnonzero(np.diff(job_of_row)) + 1), len(part.rows)]
        for start, stop in itertools.pairwise(edges):
            selection = _select(groups[part.group], part, slice(int(start), int(stop)))
            jobs[int(job_of_row[start])].append(selection)
    return tuple(PlannedJob(tuple(job)) for job in jobs if job)


def _select(group: RowGroup, part: Missing, chosen: slice | IntArray) -> Selection:
    rows = part.rows[chosen]
    block = RowBlock(group.gates, group.measurement, group.angles[rows], take_samples(part.samples, chosen))
    return Selection(part.group, rows, block, part.source)
