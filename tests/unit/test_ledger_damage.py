"""Whatever is changed in a ledger behind qorch's back is found, and the entry named."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from filled_books import SIZE, fill_books

from qorch.audit.verification import Verification, verify_books
from qorch.errors import StoreCorruptError
from qorch.model.ledger import EntryKind, LedgerAnchor
from qorch.model.ledger_chain import FIELDS, digest_fields
from qorch.ports.clock import WallClock
from qorch.ports.store import Store
from qorch.testing.conformance.store_books import make_entry
from qorch.testing.conformance.store_records import make_job
from qorch_jobs_db import open_store
from qorch_jobs_db.triggers import TRIGGERS

COLUMNS = ("entry", *FIELDS, "previous", "digest")
_INSERT = f"INSERT INTO ledger VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 (our own names)


@dataclass(frozen=True)
class Damage:
    """What was done: every finding that names an entry must name one of ``numbers``, and one must say ``text``."""

    text: str
    numbers: frozenset[int]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, LedgerAnchor]:
    """A database whose ledger is whole, and its anchor."""
    path = tmp_path_factory.mktemp("books") / "sound.db"
    with closing(open_store(str(path), clock=WallClock())) as store:
        anchor = fill_books(store)
        assert verify_books(store, earlier=anchor) == Verification(anchor, ())
        assert store.check() == []
    return path, anchor


def _damage(path: Path, change: Callable[[sqlite3.Connection], Damage]) -> Damage:
    with closing(sqlite3.connect(path)) as link, link:
        link.text_factory = bytes
        for name in TRIGGERS:
            link.execute(f"DROP TRIGGER {name}")
        return change(link)


def _verify(path: Path, earlier: LedgerAnchor | None) -> Verification:
    with closing(open_store(str(path), clock=WallClock())) as store:
        return verify_books(store, earlier=earlier, piece=7)


def flip_value(value: object, chance: random.Random) -> object:
    """A value of another content: one bit of it flipped, or one byte in the place of nothing."""
    if isinstance(value, int):
        flipped = (value ^ (1 << chance.randrange(64))) & (2**64 - 1)
        return flipped - 2**64 if flipped >> 63 else flipped
    content = bytearray(value) if isinstance(value, bytes) else bytearray()
    if not content:
        return bytes([chance.randrange(1, 256)])
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


def _write_value(link: sqlite3.Connection, table: str, column: str, key: int, value: object) -> None:
    place = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
    link.execute(f"UPDATE {table} SET {column} = {place} WHERE rowid = ?", (value, key))  # noqa: S608 (our own names)


def flip_entry(link: sqlite3.Connection, chance: random.Random) -> Damage:
    """One column of one entry."""
    number, column = chance.randint(1, SIZE), chance.choice(COLUMNS)
    ((value,),) = link.execute(f"SELECT {column} FROM ledger WHERE entry = ?", (number,))  # noqa: S608 (our own name)
    is_empty = column == "job_id" and value is not None and chance.random() < 0.2
    flipped = None if is_empty else flip_value(value, chance)
    while column == "entry" and isinstance(flipped, int) and 1 <= flipped <= SIZE:
        flipped = flip_value(value, chance)
    _write_value(link, "ledger", column, number, flipped)
    return Damage(f"entry {number}", frozenset({number}))


def flip_anchor(link: sqlite3.Connection, chance: random.Random) -> Damage:
    """The count or the digest of the anchor."""
    column = chance.choice(("entries", "head"))
    ((value,),) = link.execute(f"SELECT {column} FROM ledger_anchor")  # noqa: S608 (our own name)
    _write_value(link, "ledger_anchor", column, 1, flip_value(value, chance))
    return Damage("anchor was altered", frozenset({SIZE}))


def flip_balance(link: sqlite3.Connection, chance: random.Random) -> Damage:
    """A sum of a balance."""
    column = chance.choice(("reserved_micros", "spent_micros"))
    rows = link.execute(f"SELECT day, run_id, account, {column} FROM ledger_balances")  # noqa: S608 (our own name)
    day, run, account, value = chance.choice(list(rows))
    link.execute(
        f"UPDATE ledger_balances SET {column} = ?"  # noqa: S608 (our own name)
        " WHERE day = CAST(? AS TEXT) AND run_id = CAST(? AS TEXT) AND account = CAST(? AS TEXT)",
        (flip_value(value, chance), day, run, account),
    )
    return Damage(f"the balance of run {run.decode()}", frozenset())


def delete_entry(link: sqlite3.Connection, chance: random.Random) -> Damage:
    """Any entry; those after it may move up to fill the gap."""
    number = chance.randint(1, SIZE)
    link.execute("DELETE FROM ledger WHERE entry = ?", (number,))
    if number == SIZE:
        return Damage("the last entry is missing: the anchor has 20", frozenset({SIZE}))
    if chance.random() < 0.5:
        _shift(link, number + 1, -1)
        return Damage(f"entry {number} is missing", frozenset({number, SIZE}))
    return Damage(f"entry {number} is missing", frozenset({number}))


def insert_entry(link: sqlite3.Connection, chance: random.Random) -> Damage:
    """A copy with another amount; before any entry or after the last; its digest is copied, or made for it."""
    number = chance.randint(1, SIZE + 1)
    _shift(link, number, 1)
    row = chance.choice(list(link.execute("SELECT * FROM ledger ORDER BY entry")))
    values: list[Any] = [value.decode() if isinstance(value, bytes) else value for value in row]
    values[COLUMNS.index("micros")] += 1
    if chance.random() < 0.5:
        before = list(link.execute("SELECT digest FROM ledger WHERE entry = ?", (number - 1,)))
        values[-2] = before[0][0].decode() if before else values[-2]
        values[-1] = digest_fields(number, values[1:-2], previous=values[-2])
    link.execute(_INSERT, (number, *values[1:]))
    where = f"before entry {number}" if number <= SIZE else f"after entry {SIZE}"
    return Damage(f"inserted {where}", frozenset({number}))


def _shift(link: sqlite3.Connection, first: int, by: int) -> None:
    numbers = [number for (number,) in link.execute("SELECT entry FROM ledger WHERE entry >= ?", (first,))]
    for number in sorted(numbers, reverse=by > 0):
        link.execute("UPDATE ledger SET entry = ? WHERE entry = ?", (number + by, number))


def exchange_entries(link: sqlite3.Connection, chance: random.Random) -> Damage:
    """Any two."""
    first, second = sorted(chance.sample(range(1, SIZE + 1), 2))
    for old, new in ((first, -1), (second, first), (-1, second)):
        link.execute("UPDATE ledger SET entry = ? WHERE entry = ?", (new, old))
    return Damage(f"entries {first} and {second}", frozenset({first}))


def _touch_anchor(link: sqlite3.Connection) -> None:
    """Make the anchor that of the entries as they now are."""
    link.execute(
        "UPDATE ledger_anchor SET (entries, head) ="
        " (SELECT entry, digest FROM ledger WHERE entry <= 20 ORDER BY entry DESC LIMIT 1)"
    )


CHANGES = (flip_entry, delete_entry, insert_entry, exchange_entries)
TOUCHED = (flip_entry, delete_entry, exchange_entries)
OTHERS = (flip_anchor, flip_balance)


def _try(sound: tuple[Path, LedgerAnchor], path: Path, seed: int) -> None:
    """One trial: the anchor as it was, or made to fit, when only an anchor of an earlier report tells."""
    source, anchor = sound
    chance = random.Random(seed)
    shutil.copy(source, path)
    touches = seed % 3 == 1
    change = chance.choice(TOUCHED if touches else CHANGES if seed % 7 else OTHERS)

    def do(link: sqlite3.Connection) -> Damage:
        damage = change(link, chance)
        if touches:
            _touch_anchor(link)
        return damage

    damage = _damage(path, do)
    found = _verify(path, anchor if touches else None)
    told = "\n".join(finding.text for finding in found.findings)
    is_cut = touches and "the last entry is missing" in damage.text
    assert (f"entry {SIZE} is missing" if is_cut else damage.text) in told, (change.__name__, seed, damage, told)
    named = {finding.number for finding in found.findings if finding.number is not None}
    allowed = damage.numbers | ({SIZE} if touches else set())
    assert named <= allowed, (change.__name__, seed, damage, told)
    assert damage.numbers & named or not damage.numbers, (change.__name__, seed, damage, told)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger SET micros = 0 WHERE entry = 3",
        "DELETE FROM ledger WHERE entry = 20",
        "INSERT OR REPLACE INTO ledger SELECT 20, * FROM (SELECT run_id, job_id, kind, debit, credit, currency, 1,"
        " recorded_at, account, day, step, attempt, executions, reason, previous, digest FROM ledger WHERE entry = 20)",
    ],
)
def test_the_database_itself_refuses_to_change_an_entry(
    sound: tuple[Path, LedgerAnchor], tmp_path: Path, statement: str
) -> None:
    """Whoever asks it to, with a sentence."""
    path = tmp_path / "x.db"
    shutil.copy(sound[0], path)
    with closing(sqlite3.connect(path)) as link, pytest.raises(sqlite3.IntegrityError, match="never changed"):
        link.execute(statement)


def test_the_check_of_a_store_reports_a_broken_chain(sound: tuple[Path, LedgerAnchor], tmp_path: Path) -> None:
    """An altered entry, and an anchor that is gone; then nothing can be added to the ledger, either."""
    path = tmp_path / "x.db"
    shutil.copy(sound[0], path)

    def alter(link: sqlite3.Connection) -> Damage:
        link.execute("UPDATE ledger SET micros = 1 WHERE entry = 4")
        return Damage("", frozenset())

    _damage(path, alter)
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == ["entry 4 (job r/0.0.1) was altered"]
    with closing(sqlite3.connect(path)) as link, link:
        link.execute("DELETE FROM ledger_anchor")
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == [str(error) for error in [_anchor_error(store)]]
        refused = store.write([make_entry(EntryKind.ADJUSTED, 9, job_id=None)])
        store.write([make_job("r/7.0.0")]).result()
        with pytest.raises(StoreCorruptError, match="0 anchors instead of one"):
            refused.result()
        found = verify_books(store)
    assert found.anchor is None
    assert [finding.text for finding in found.findings][:1] == ["entry 4 (job r/0.0.1) was altered"]


def _anchor_error(store: Store) -> StoreCorruptError:
    with pytest.raises(StoreCorruptError) as caught:
        store.ledger_anchor()
    return caught.value


@pytest.mark.parametrize("seed", range(30))
def test_every_change_of_the_ledger_is_found_and_the_entry_named(
    sound: tuple[Path, LedgerAnchor], tmp_path: Path, seed: int
) -> None:
    """A flipped bit, a row deleted, inserted or exchanged, the last included: named, and no other entry is."""
    _try(sound, tmp_path / "x.db", seed)


@pytest.mark.soak
def test_every_change_of_the_ledger_is_found_in_every_one_of_1000_trials(
    sound: tuple[Path, LedgerAnchor], tmp_path: Path
) -> None:
    """The same, 1,000 times."""
    for seed in range(30, 1030):
        _try(sound, tmp_path / "x.db", seed)
