"""The store of qorch: every run, job, result, span and cent in one SQLite database."""

from qorch_jobs_db.sqlite import SqliteVersion, sqlite_version
from qorch_jobs_db.store import SqlStore, open_store

__all__ = ["SqlStore", "SqliteVersion", "open_store", "sqlite_version"]
