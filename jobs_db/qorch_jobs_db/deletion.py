"""Delete a run with everything that belongs to it, and give the space back."""

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, delete, select, update

from qorch.model.job import OVER_STATES
from qorch.records import RunState
from qorch_jobs_db.schema import ATTEMPTS, JOB_PLANS, JOBS, LEDGER, METADATA, ROW_BLOCKS, RUNS
from qorch_jobs_db.sqlite import BUSY_SECONDS

_INCREMENTAL = 2
BLOCKS_AT_ONCE = 2_000
_OF_RUNS = [table for table in METADATA.tables.values() if "run_id" in table.columns and table is not RUNS]
_BOOKS = {JOBS.name, JOB_PLANS.name, LEDGER.name}


def has_many_blocks(connection: Connection, run_id: str) -> bool:
    """Whether a run has more results than should be deleted in one transaction."""
    beyond = select(ROW_BLOCKS.c.block_id).where(ROW_BLOCKS.c.run_id == run_id).offset(BLOCKS_AT_ONCE).limit(1)
    return connection.execute(beyond).first() is not None


def delete_some_blocks(connection: Connection, run_id: str) -> int:
    """Delete stored results of a run, so many that other writers need not wait long; how many blocks."""
    some = select(ROW_BLOCKS.c.block_id).where(ROW_BLOCKS.c.run_id == run_id).limit(BLOCKS_AT_ONCE)
    return connection.execute(delete(ROW_BLOCKS).where(ROW_BLOCKS.c.block_id.in_(some))).rowcount


def drop_run(engine: Engine, run_id: str, *, keep_books: bool) -> None:
    """Delete all that is left of a run in one transaction, or all but its books.

    ``engine`` does not check foreign keys: for every job SQLite would read all results of all runs.
    """
    with engine.begin() as connection:
        if keep_books:
            _drop_all_but_books(connection, run_id)
        else:
            _drop_all(connection, run_id)


def _drop_all(connection: Connection, run_id: str) -> None:
    jobs = select(JOBS.c.job_id).where(JOBS.c.run_id == run_id)
    connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.job_id.in_(jobs)))
    for table in [*_OF_RUNS, RUNS]:
        connection.execute(delete(table).where(table.c.run_id == run_id))


def _drop_all_but_books(connection: Connection, run_id: str) -> None:
    over = select(JOBS.c.job_id).where(JOBS.c.run_id == run_id, JOBS.c.state.in_(OVER_STATES))
    connection.execute(delete(JOB_PLANS).where(JOB_PLANS.c.job_id.in_(over)))
    for table in _OF_RUNS:
        if table.name not in _BOOKS:
            connection.execute(delete(table).where(table.c.run_id == run_id))
    connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(state=RunState.DELETED))


def release_pages(path: Path) -> int:
    """Cut free pages off the file, and the write-ahead log to nothing; how many bytes the file lost."""
    link = sqlite3.connect(str(path), timeout=BUSY_SECONDS, isolation_level=None)
    try:
        before, is_incremental = _pragma(link, "page_count"), _pragma(link, "auto_vacuum") == _INCREMENTAL
        link.execute("BEGIN IMMEDIATE")
        # Python's driver takes one step of it, which is one page.
        for _ in range(_pragma(link, "freelist_count") if is_incremental else 0):
            link.execute("PRAGMA incremental_vacuum(1)")
        link.execute("COMMIT")
        link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return (before - _pragma(link, "page_count")) * _pragma(link, "page_size")
    finally:
        link.close()


def _pragma(link: sqlite3.Connection, name: str) -> int:
    ((value,),) = link.execute(f"PRAGMA {name}").fetchall()
    return int(value)
