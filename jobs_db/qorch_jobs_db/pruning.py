"""Deletes stored results in pieces: pruning at a user's request, and trimming of the oldest free ones to a bound."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    func,
    select,
    tuple_,
    update,
)

from qorch.ports.records import RunState
from qorch.ports.statistics import BLOCK_OVERHEAD_BYTES, Trimmed
from qorch_jobs_db.schema import CHECKPOINTS, ROW_BLOCKS, RUNS, STORED_RESULTS

PRUNED_BLOCKS = 1_000
"""Blocks that one transaction of pruning deletes; other processes write between two of them."""
TRIMMED_BLOCKS = 128
TRIMMED_BYTES = 1_000_000
"""The most that one piece of trimming deletes; it takes some milliseconds, for which a step may have to wait."""
MERGED_RUNS = 4
"""How many runs, those with the oldest blocks, are merged into one piece."""
_LAST_STEP = 2**31 - 1

_Block = Row[tuple[int, str, int, int]]

_place = tuple_(ROW_BLOCKS.c.step, ROW_BLOCKS.c.call)
_FREE = RUNS.c.charges == 0


@dataclass(frozen=True)
class _Blocks:
    """Blocks by id and run, with their rows and bytes."""

    found: tuple[_Block, ...]

    @property
    def rows(self) -> int:
        return sum(block.n_rows for block in self.found)

    @property
    def bytes(self) -> int:
        return sum(block.n_bytes for block in self.found)


def prune_piece(connection: Connection, *, run_id: str | None, before: str | None) -> int | None:
    """Delete some blocks of a run, or created before a time, or both; how many rows, None if there were no blocks."""
    conditions = []
    if run_id is not None:
        conditions.append(ROW_BLOCKS.c.run_id == run_id)
    if before is not None:
        conditions.append(ROW_BLOCKS.c.created_at < before)
    query = _blocks(conditions).order_by(ROW_BLOCKS.c.block_id).limit(PRUNED_BLOCKS)
    blocks = _Blocks(tuple(connection.execute(query).all()))
    _delete(connection, blocks)
    return blocks.rows if blocks.found else None


def free_bytes(connection: Connection) -> int:
    """The bytes of all free results, with the overhead of their blocks."""
    size = STORED_RESULTS.c.bytes + STORED_RESULTS.c.blocks * BLOCK_OVERHEAD_BYTES
    query = select(func.coalesce(func.sum(size), 0)).join(RUNS, RUNS.c.run_id == STORED_RESULTS.c.run_id).where(_FREE)
    return int(connection.execute(query).scalar_one())


def trim_piece(connection: Connection, *, keep_bytes: int) -> Trimmed:
    """Delete some of the oldest free blocks that no resume needs, until free blocks take ``keep_bytes`` or less."""
    excess = free_bytes(connection) - keep_bytes
    if excess <= 0:
        return Trimmed(0, 0, has_more=False)
    blocks = _oldest(connection, most_bytes=min(excess, TRIMMED_BYTES))
    _delete(connection, blocks)
    deleted = blocks.bytes + BLOCK_OVERHEAD_BYTES * len(blocks.found)
    return Trimmed(blocks.rows, blocks.bytes, has_more=excess > deleted > 0)


def _blocks(conditions: Iterable[ColumnElement[bool]]) -> Select[tuple[int, str, int, int]]:
    columns = (ROW_BLOCKS.c.block_id, ROW_BLOCKS.c.run_id, ROW_BLOCKS.c.n_rows, ROW_BLOCKS.c.n_bytes)
    return select(*columns).where(*conditions)


def _delete(connection: Connection, blocks: _Blocks) -> None:
    """Delete blocks, and subtract them from the sums of their runs."""
    totals: dict[str, tuple[int, int, int]] = {}
    for block in blocks.found:
        count, rows, size = totals.get(block.run_id, (0, 0, 0))
        totals[block.run_id] = (count + 1, rows + block.n_rows, size + block.n_bytes)
    if totals:
        ids = [{"gone": block.block_id} for block in blocks.found]
        connection.execute(_DELETE, ids)
        taken = [{"of": run, "n": n, "r": rows, "b": size} for run, (n, rows, size) in totals.items()]
        connection.execute(_TAKE_OFF, taken)


_DELETE = delete(ROW_BLOCKS).where(ROW_BLOCKS.c.block_id == bindparam("gone"))
_TAKE_OFF = (
    update(STORED_RESULTS)
    .where(STORED_RESULTS.c.run_id == bindparam("of"))
    .values(
        blocks=STORED_RESULTS.c.blocks - bindparam("n"),
        rows=STORED_RESULTS.c.rows - bindparam("r"),
        bytes=STORED_RESULTS.c.bytes - bindparam("b"),
    )
)


def _droppable() -> Select[tuple[str, int, int, int]]:
    """The positions that trimming may delete, of every free run with results.

    They are those with ``first <= step`` and ``(step, call) < (end_step, end_call)``. A run that is done or cancelled
    needs no results. Any other is resumed from its last checkpoint and needs none from before it, except of calls
    before the first step, which a resumed program makes again.
    """
    kept = CHECKPOINTS.alias("kept")
    newest = select(func.max(kept.c.number)).where(kept.c.run_id == RUNS.c.run_id).correlate(RUNS).scalar_subquery()
    is_over = RUNS.c.state.in_([RunState.DONE, RunState.CANCELLED])
    return (
        select(
            RUNS.c.run_id,
            case((is_over, -_LAST_STEP), else_=0).label("first"),
            case((is_over, _LAST_STEP), else_=func.coalesce(CHECKPOINTS.c.step, -_LAST_STEP)).label("end_step"),
            case((is_over, 0), else_=func.coalesce(CHECKPOINTS.c.call, 0)).label("end_call"),
        )
        .join(STORED_RESULTS, STORED_RESULTS.c.run_id == RUNS.c.run_id)
        .outerjoin(CHECKPOINTS, CHECKPOINTS.c.number == newest)
        .where(_FREE, STORED_RESULTS.c.blocks > 0)
    )


_SPANS = _droppable().subquery("spans")
_FIRST_BLOCK = (
    select(ROW_BLOCKS.c.block_id)
    .where(
        ROW_BLOCKS.c.run_id == _SPANS.c.run_id,
        ROW_BLOCKS.c.step >= _SPANS.c.first,
        _place < tuple_(_SPANS.c.end_step, _SPANS.c.end_call),
    )
    .order_by(ROW_BLOCKS.c.step, ROW_BLOCKS.c.call)
    .limit(1)
    .scalar_subquery()
)
_CANDIDATES = select(_SPANS, _FIRST_BLOCK.label("block_id"))


_OF_RUN = (
    _blocks(
        [
            and_(
                ROW_BLOCKS.c.run_id == bindparam("of"),
                ROW_BLOCKS.c.step >= bindparam("first"),
                _place < tuple_(bindparam("end_step"), bindparam("end_call")),
            )
        ]
    )
    .order_by(ROW_BLOCKS.c.step, ROW_BLOCKS.c.call, ROW_BLOCKS.c.block_id)
    .limit(TRIMMED_BLOCKS)
)


def _oldest(connection: Connection, *, most_bytes: int) -> _Blocks:
    """The oldest blocks that trimming may delete: one at least, if there is one, and about ``most_bytes``."""
    spans = [span for span in connection.execute(_CANDIDATES).all() if span.block_id is not None]
    spans.sort(key=lambda span: span.block_id)
    # Blocks of the merged runs that are newer than the oldest block of another run are left for a later piece.
    end = spans[MERGED_RUNS].block_id if len(spans) > MERGED_RUNS else None
    found = [block for span in spans[:MERGED_RUNS] for block in _first_of(connection, span)]
    chosen: list[_Block] = []
    size = 0
    for block in sorted(found, key=lambda block: block.block_id)[:TRIMMED_BLOCKS]:
        if size >= most_bytes or (end is not None and block.block_id > end):
            break
        chosen.append(block)
        size += block.n_bytes + BLOCK_OVERHEAD_BYTES
    return _Blocks(tuple(chosen))


def _first_of(connection: Connection, span: Row[tuple[str, int, int, int, int]]) -> Sequence[_Block]:
    """The first blocks of a run that trimming may delete."""
    values = {"of": span.run_id, "first": span.first, "end_step": span.end_step, "end_call": span.end_call}
    return connection.execute(_OF_RUN, values).all()
