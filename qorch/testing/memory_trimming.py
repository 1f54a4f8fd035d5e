"""Which blocks of a MemoryStore go when free results are trimmed, and what blocks take."""

from collections.abc import Mapping, Sequence

from qorch.model.arrays import AnyArray
from qorch.records import BLOCK_OVERHEAD_BYTES, BlockRecord, CheckpointRecord, RunRecord, RunState

_TRIMMED_BYTES = 1_000_000


def choose_trimmed(
    blocks: Mapping[int, BlockRecord],
    runs: Mapping[str, RunRecord],
    checkpoints: Mapping[str, Sequence[CheckpointRecord]],
    *,
    keep_bytes: int,
) -> tuple[list[int], bool]:
    """The numbers of the blocks that one piece of trimming deletes, and whether there is more to do. See Store."""
    free = {number: block for number, block in blocks.items() if runs[block.run_id].charges is False}
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
    arrays: list[AnyArray] = [block.keys, block.rows, block.streams, block.ordinals]
    if block.result.values is not None:
        arrays.append(block.result.values)
    counts = 0 if block.result.counts is None else block.result.counts.nbytes
    return sum(array.nbytes for array in arrays) + counts
