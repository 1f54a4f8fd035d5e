"""The SQL of writing: upserts for what moves, inserts for what only grows."""

from sqlalchemy import Connection, Insert, Table, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from qorch.errors import StoreError
from qorch.records import RunMove
from qorch_jobs_db.encoding import Changes, Row
from qorch_jobs_db.schema import (
    ATTEMPTS,
    CHECKPOINTS,
    JOBS,
    LEDGER,
    ROW_BLOCKS,
    RUNS,
    SESSIONS,
    SPANS,
    STEPS,
)

KEPT_CHECKPOINTS = 2


def _upsert(table: Table, *identity: str) -> Insert:
    """Insert, or replace all but the identity and the serial number, which keeps the first order."""
    statement = insert(table)
    serial = table.autoincrement_column
    kept = {*identity, "" if serial is None else serial.name}
    moved = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in kept}
    return statement.on_conflict_do_update(index_elements=identity, set_=moved)


_UPSERT_RUN = _upsert(RUNS, "run_id")

# Parents come before children, so that one call may hold both in any order.
_STATEMENTS = {
    "sessions": _upsert(SESSIONS, "run_id", "ordinal"),
    "steps": _upsert(STEPS, "run_id", "step"),
    "jobs": _upsert(JOBS, "job_id"),
    "attempts": _upsert(ATTEMPTS, "job_id", "ordinal"),
    "row_blocks": insert(ROW_BLOCKS),
    "spans": insert(SPANS),
    "checkpoints": insert(CHECKPOINTS),
    "ledger": insert(LEDGER),
}

_newest = CHECKPOINTS.alias("newest")
_TRIM_CHECKPOINTS = delete(CHECKPOINTS).where(
    CHECKPOINTS.c.run_id == bindparam("trimmed_run"),
    CHECKPOINTS.c.number.not_in(
        select(_newest.c.number)
        .where(_newest.c.run_id == bindparam("trimmed_run"))
        .order_by(_newest.c.number.desc())
        .limit(KEPT_CHECKPOINTS)
    ),
)


def apply_changes(connection: Connection, changes: Changes) -> None:
    """Write everything, parents first, in the open transaction. Raises StoreError for a missing run."""
    for change in changes.runs:
        if isinstance(change, RunMove):
            _move_run(connection, change)
        else:
            connection.execute(_UPSERT_RUN, change)
    for table, statement in _STATEMENTS.items():
        rows = changes.rows.get(table)
        if rows:
            connection.execute(statement, rows)
    for run_id in {row["run_id"] for row in changes.rows.get("checkpoints", ())}:
        connection.execute(_TRIM_CHECKPOINTS, {"trimmed_run": run_id})


def _move_run(connection: Connection, move: RunMove) -> None:
    values: Row = {"state": move.state}
    if move.summary is not None:
        values["summary"] = move.summary
    moved = connection.execute(update(RUNS).where(RUNS.c.run_id == move.run_id).values(values))
    if moved.rowcount == 0:
        raise StoreError(f"run '{move.run_id}' is not stored; write its RunRecord first")


def delete_blocks(connection: Connection, *, run_id: str | None, before: str | None) -> int:
    """Delete the blocks of a run, or created before a time, or both; how many rows they held."""
    conditions = []
    if run_id is not None:
        conditions.append(ROW_BLOCKS.c.run_id == run_id)
    if before is not None:
        conditions.append(ROW_BLOCKS.c.created_at < before)
    count = select(func.coalesce(func.sum(ROW_BLOCKS.c.n_rows), 0)).where(*conditions)
    rows: int = connection.execute(count).scalar_one()
    connection.execute(delete(ROW_BLOCKS).where(*conditions))
    return rows
