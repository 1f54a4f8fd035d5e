"""Reads the ledger, its anchor and its balances."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Connection as SqliteConnection
from typing import cast

from sqlalchemy import Connection, bindparam, select

from qorch.model.ledger import LedgerAnchor, LedgerBalance, LedgerEntry, LedgerRecord
from qorch.model.ledger_chain import FIELDS, LedgerRow, decode_row
from qorch_jobs_db.chain import decode_balances, read_anchor, select_balances
from qorch_jobs_db.decoding import decode_entry
from qorch_jobs_db.reading.database import Reading, of_run
from qorch_jobs_db.schema import LEDGER, LEDGER_ANCHOR

_ROW = select(LEDGER.c.entry, LEDGER.c.previous, LEDGER.c.digest, *(LEDGER.c[name] for name in FIELDS))
_LOWEST = -(2**63)


class BookReading(Reading):
    """What ``qorch.ports.books.Books`` reads."""

    def ledger(self, run_id: str | None = None) -> list[LedgerRecord]:
        """See Books."""
        query = select(LEDGER) if run_id is None else of_run(LEDGER, run_id)
        return self._fetch(query.order_by(LEDGER.c.entry), decode_entry)

    def job_ledger(self, job_id: str) -> list[LedgerRecord]:
        """See Books."""
        query = select(LEDGER).where(LEDGER.c.job_id == job_id)
        return self._fetch(query.order_by(LEDGER.c.entry), decode_entry)

    def ledger_entries(self, *, after: int = 0, limit: int = 10_000) -> list[LedgerEntry]:
        """See Books."""
        return [decode_row(row) for row in self.ledger_rows(after=after, limit=limit)]

    def ledger_rows(self, *, after: int | None = None, limit: int = 10_000) -> list[LedgerRow]:
        """See Books."""
        found = LEDGER.c.entry >= _LOWEST if after is None else LEDGER.c.entry > after
        with self._reading() as connection, _any_text(connection):
            rows = connection.execute(_ROW.where(found).order_by(LEDGER.c.entry).limit(limit)).all()
        return [LedgerRow(number, tuple(fields), previous, digest) for number, previous, digest, *fields in rows]

    def ledger_anchor(self) -> LedgerAnchor:
        """See Books."""
        with self._reading() as connection, _any_text(connection):
            return read_anchor(connection.execute(select(LEDGER_ANCHOR)).all())

    def ledger_balances(self, *, since: dt.date = dt.date.min) -> list[LedgerBalance]:
        """See Books."""
        query = select_balances(bindparam("since"))
        with self._reading() as connection, _any_text(connection):
            rows = connection.execute(query, {"since": since.isoformat()}).all()
        return decode_balances(rows)


@contextmanager
def _any_text(connection: Connection) -> Iterator[None]:
    """Read text that is not UTF-8, too: damaged entries must be seen to be named."""
    link = cast("SqliteConnection", connection.connection.driver_connection)
    link.text_factory = lambda content: content.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        link.text_factory = str
