"""Stored results in memory: which of them pruning and trimming delete, and how many bytes they take."""

import datetime as dt
from collections.abc import Mapping, Sequence

from qorch.model.arrays import AnyArray
from qorch.ports.records import BlockRecord, CheckpointRecord, RunRecord, RunState
from qorch.ports.statistics import BLOCK_OVERHEAD_BYTES, CacheStatistics

_TRIMMED_BYTES = 1_000_000


def total_results(blocks: Sequence[BlockRecord], runs: Mapping[str, RunRecord]) -> CacheStatistics:
    """How many results these blocks hold, in all and by run; see ``Store.cache_statistics``."""
    totals: dict[str, tuple[int, int]] = {}
    for block in blocks:
        rows, size = totals.get(block.run_id, (0, 0))
        totals[block.run_id] = (rows + len(block.rows), size + n_bytes(block))
    by_run = tuple((run_id, *totals[run_id]) for run_id in sorted(totals))
    free = [run for run in by_run if not runs[run[0]].may_charge]
    return CacheStatistics(
        len(blocks), sum(run[1] for run in by_run), sum(run[2] for run in by_run), by_run,
        free_rows=sum(run[1] for run in free), free_bytes=sum(run[2] for run in free),
    )  # fmt: skip


def choose_pruned(blocks: Mapping[int, BlockRecord], *, run_id: str | None, before: dt.datetime | None) -> list[int]:
    """The numbers of the blocks of a run, or created before a time, or both; see ``Store.prune``."""
    return [
        number
        for number, block in blocks.items()
        if run_id in {None, block.run_id}
        and (before is None or (block.created_at is not None and block.created_at < before))
    ]


def choose_trimmed(
    blocks: Mapping[int, BlockRecord],
    runs: Mapping[str, RunRecord],
    checkpoints: Mapping[str, Sequence[CheckpointRecord]],
    *,
    keep_bytes: int,
) -> tuple[list[int], bool]:
    """The numbers of the blocks that one piece of trimming deletes, and whether there is more to do. See Store."""
    free = {number: block for number, block in blocks.items() if not runs[block.run_id].may_charge}
    excess = sum(map(_stored_bytes, free.values())) - keep_bytes
    droppable = [number for number, block in free.items() if _is_droppable(block, runs, checkpoints)]
    gone: list[int] = []
    size = 0
    for number in droppable:
        if size >= min(excess, _TRIMMED_BYTES):
            break
        gone.append(number)
        size += _stored_bytes(free[number])
    return gone, excess > size and len(gone) < len(droppable)


def _is_droppable(
    block: BlockRecord, runs: Mapping[str, RunRecord], checkpoints: Mapping[str, Sequence[CheckpointRecord]]
) -> bool:
    if runs[block.run_id].state in {RunState.DONE, RunState.CANCELLED}:
        return True
    kept = checkpoints.get(block.run_id)
    return kept is not None and block.position.step >= 0 and block.position < kept[-1].position


def _stored_bytes(block: BlockRecord) -> int:
    return n_bytes(block) + BLOCK_OVERHEAD_BYTES


def n_bytes(block: BlockRecord) -> int:
    """The bytes of a block's arrays."""
    arrays: list[AnyArray] = [block.rows.keys, block.rows.indices]
    if block.rows.samples is not None:
        arrays += [block.rows.samples.streams, block.rows.samples.ordinals]
    if block.result.values is not None:
        arrays.append(block.result.values)
    counts = 0 if block.result.counts is None else block.result.counts.nbytes
    return sum(array.nbytes for array in arrays) + counts
