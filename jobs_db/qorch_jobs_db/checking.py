"""Look for damage in a whole database."""

from sqlalchemy import Connection, select

from qorch.errors import StoreCorruptError
from qorch_jobs_db.decoding import decode_block, decode_checkpoint
from qorch_jobs_db.schema import CHECKPOINTS, ROW_BLOCKS


def find_damage(connection: Connection) -> list[str]:
    """A sentence for each finding of SQLite's quick_check, the foreign keys and the checksums."""
    pages = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA quick_check")]
    findings = [page for page in pages if page != "ok"]
    for table, _, parent, _ in connection.exec_driver_sql("PRAGMA foreign_key_check"):
        findings.append(f"a row of {table} belongs to no row of {parent}")
    return findings + _damaged_blocks(connection) + _damaged_checkpoints(connection)


def _damaged_blocks(connection: Connection) -> list[str]:
    findings = []
    for row in connection.execute(select(ROW_BLOCKS).order_by(ROW_BLOCKS.c.block_id)):
        try:
            decode_block(row)
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
