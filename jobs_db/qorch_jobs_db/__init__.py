"""The store of qorch: every run, job, result, span and cent in one SQLite database.

How to read it: ``store`` is the door, and ``reader`` that of what only looks. Reads are in ``reading``, with
``decoding`` (from rows to records) and ``totals`` (sums). A write goes through ``writer`` (one thread), ``encoding``
(from records to rows), and ``statements`` (SQL).
``blocks`` and ``job_codec`` turn arrays and answers into sealed bytes; ``chain`` continues the ledger. ``opening``
makes a database by ``schema``, ``views`` and ``triggers`` (which protect the ledger), or has ``upgrade`` run the
``migrations``. ``pruning``, ``deletion`` and ``room`` make room; ``locks`` keeps processes apart; ``sqlite`` has all
that is peculiar to SQLite, ``sql_errors`` what its errors mean, and ``checking`` finds damage.
"""

from qorch_jobs_db.reader import SqlReader, open_reader
from qorch_jobs_db.sqlite import SqliteVersion, sqlite_version
from qorch_jobs_db.store import SqlStore, open_store, open_throwaway_store

__all__ = [
    "SqlReader",
    "SqlStore",
    "SqliteVersion",
    "open_reader",
    "open_store",
    "open_throwaway_store",
    "sqlite_version",
]
