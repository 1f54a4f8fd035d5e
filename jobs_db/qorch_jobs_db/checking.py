"""Look for damage in a whole database."""

from collections.abc import Callable

from sqlalchemy import Connection, Table, select

from qorch.errors import StoreCorruptError
from qorch.model.ledger_check import ChainCheck
from qorch.ports.books import Books
from qorch_jobs_db.decoding import SqlRow, decode_block, decode_checkpoint, decode_job_plan, decode_raw_result
from qorch_jobs_db.schema import CHECKPOINTS, JOB_PLANS, RAW_RESULTS, ROW_BLOCKS

_SEALED: tuple[tuple[Table, Callable[[SqlRow], object]], ...] = (
    (ROW_BLOCKS, decode_block),
    (JOB_PLANS, decode_job_plan),
    (RAW_RESULTS, decode_raw_result),
)


def find_damage(connection: Connection) -> list[str]:
    """A sentence for each finding of SQLite's quick_check, the foreign keys and the checksums."""
    pages = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check")]
    findings = [page for page in pages if page != "ok"]
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        findings.append(f"a row of {table} belongs to no row of {parent}")
    for sealed, decode in _SEALED:
        findings += _damaged(connection, sealed, decode)
    return findings + _damaged_checkpoints(connection)


def find_broken_chain(store: Books, store_id: str) -> list[str]:
    """A sentence for each finding in the ledger's chain: see `qorch audit verify`, which also compares balances."""
    check = ChainCheck(store_id)
    after: int | None = None
    # First: of entries that are written meanwhile, those above it are left out.
    try:
        anchor = store.ledger_anchor()
    except StoreCorruptError as error:
        return [str(error)]
    while rows := store.ledger_rows(after=after):
        check.add(row for row in rows if row.number <= anchor.count)
        after = rows[-1].number
    return [found.text for found in check.finish(anchor)]


def _damaged(connection: Connection, table: Table, decode: Callable[[SqlRow], object]) -> list[str]:
    findings = []
    for row in connection.execute(select(table).order_by(*table.primary_key.columns)):
        try:
            decode(row)
        except StoreCorruptError as error:
            findings.append(str(error))
    return findings


def _damaged_checkpoints(connection: Connection) -> list[str]:
    rows = connection.execute(select(CHECKPOINTS).order_by(CHECKPOINTS.c.number))
    return [
        f"the checkpoint of run '{row.run_id}' after step {row.step} fails its checksum"
        for row in rows
        if decode_checkpoint(row) is None
    ]
