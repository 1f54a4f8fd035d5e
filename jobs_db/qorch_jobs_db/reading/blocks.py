"""Reads stored results, in blocks of rows."""

from collections.abc import Sequence

from sqlalchemy import select

from qorch.model.identity import Position
from qorch.model.measurement import BlockResult
from qorch.ports.records import BlockKeys, BlockRecord
from qorch_jobs_db.decoding import decode_block, decode_block_keys, decode_block_result
from qorch_jobs_db.reading.database import Reading, at
from qorch_jobs_db.schema import ROW_BLOCKS

_IDS_PER_QUERY = 500
_KEY_COLUMNS = [column for column in ROW_BLOCKS.columns if column.name != "result"]
_RESULT_COLUMNS = [column for column in ROW_BLOCKS.columns if column.name not in {"row_keys", "places"}]


class BlockReading(Reading):
    """``qorch.ports.store.SampleBlocks``."""

    def blocks_at(self, run_id: str, position: Position) -> list[BlockRecord]:
        """See Store."""
        query = at(ROW_BLOCKS, run_id, position)
        return self._fetch(query.order_by(ROW_BLOCKS.c.block_id), decode_block)

    def block_keys(
        self, context: bytes, measurement_digest: bytes, gates_digest: bytes, *, after_block_id: int = 0
    ) -> list[BlockKeys]:
        """See Store. Raises StoreCorruptError on a bad checksum."""
        query = select(*_KEY_COLUMNS).where(
            ROW_BLOCKS.c.context == context.hex(),
            ROW_BLOCKS.c.measurement_digest == measurement_digest.hex(),
            ROW_BLOCKS.c.gates_digest == gates_digest.hex(),
            ROW_BLOCKS.c.block_id > after_block_id,
        )
        return self._fetch(query.order_by(ROW_BLOCKS.c.block_id), decode_block_keys)

    def block_results(self, block_ids: Sequence[int]) -> dict[int, BlockResult]:
        """See Store."""
        wanted = [int(block_id) for block_id in block_ids]
        results: dict[int, BlockResult] = {}
        # A statement may hold only so many parameters.
        for start in range(0, len(wanted), _IDS_PER_QUERY):
            chunk = wanted[start : start + _IDS_PER_QUERY]
            query = select(*_RESULT_COLUMNS).where(ROW_BLOCKS.c.block_id.in_(chunk))
            results.update(self._fetch(query, lambda row: (row.block_id, decode_block_result(row))))
        return results
