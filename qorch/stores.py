"""Database URLs become stores: the installed entry points, one for each URL scheme."""

import os
import re
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

from qorch.errors import MissingPackageError, UnknownNameError
from qorch.ports.clock import Clock
from qorch.ports.reader import Reader
from qorch.ports.store import Store

SQLITE = "sqlite"
"""The scheme of a bare path, and the one whose databases are files."""
_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9_-]*)(\+[A-Za-z0-9_.-]*)?://")


@runtime_checkable
class SelfCheckingStore(Protocol):
    """A store that can examine its own records for damage."""

    def check(self) -> list[str]:
        """A sentence for each finding; none if everything that is stored is sound."""
        ...


def store_entry_points() -> dict[str, EntryPoint]:
    """All installed kinds of stores by their URL scheme."""
    return {entry.name: entry for entry in sorted(entry_points(group="qorch.stores"))}


def open_store(db: str | os.PathLike[str], *, clock: Clock) -> Store:
    """Open a database, and create it if it is new: the store whose entry point has the name of the URL's scheme.

    Raises UnknownNameError if none has, MissingPackageError if that store needs a package which is not installed,
    StoreError if the database cannot be opened.
    """
    url = os.fspath(db)
    entry = _find_entry(url)
    try:
        factory = entry.load()
    except ImportError as error:
        raise MissingPackageError(f"{entry.name} databases need {error.name}: pip install {error.name}") from error
    store: Store = factory(url, clock=clock)
    return store


def open_throwaway_store(db: str | os.PathLike[str], *, clock: Clock) -> Store:
    """The same for a database that nobody needs again, so that it need not survive a power cut, where a store has that.

    That is ``open_throwaway_store`` in the module of the store's entry point. Raises as ``open_store``.
    """
    factory = getattr(import_module(_find_entry(os.fspath(db)).module), "open_throwaway_store", None)
    store: Store = open_store(db, clock=clock) if factory is None else factory(os.fspath(db), clock=clock)
    return store


def open_reader(db: str | os.PathLike[str]) -> Reader:
    """Open a database that exists, only to look at it: by ``open_reader`` in the module of the store's entry point.

    Raises as ``open_store``, and UnknownNameError for a kind of store that has no reader.
    """
    url = os.fspath(db)
    entry = _find_entry(url)
    factory = getattr(import_module(entry.module), "open_reader", None)
    if factory is None:
        raise UnknownNameError(f"{entry.name} databases cannot be opened only for reading")
    reader: Reader = factory(url)
    return reader


def database_file(db: str | os.PathLike[str]) -> Path | None:
    """The absolute path of a SQLite database, which need not be there; None for any other kind of store.

    Raises UnknownNameError as ``open_store``, UsageError if the URL names no file.
    """
    url = os.fspath(db)
    if _find_entry(url).name != SQLITE:
        return None
    from qorch_jobs_db.sqlite import database_path

    return database_path(url)


def _find_entry(url: str) -> EntryPoint:
    found = _URL.match(url)
    scheme = found["scheme"] if found else SQLITE
    known = store_entry_points()
    if scheme not in known:
        raise UnknownNameError(
            f"there is no store for {scheme} databases; installed are: {', '.join(known)}."
            " Give a path, or a URL such as sqlite:////folder/name.db"
        )
    return known[scheme]
