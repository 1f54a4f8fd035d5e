"""The SQL of writing: upserts for what moves, inserts for what only grows; each compiled to text once."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TypeVar

from sqlalchemy import (
    ClauseElement,
    Connection,
    Dialect,
    Engine,
    Table,
    bindparam,
    delete,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import Insert
from sqlalchemy.engine.interfaces import DBAPICursor

from qorch.errors import StoreError
from qorch.model.arrays import ByteArray
from qorch.model.ledger import LedgerBalance
from qorch.ports.books import Granted
from qorch.ports.clock import Clock
from qorch.ports.records import Change, ReleasedRows, RunMove, StopRequest
from qorch_jobs_db.chain import continue_chain, decode_balances, read_anchor, select_balances, sum_entries
from qorch_jobs_db.encoding import (
    QUEUE_MOVES,
    USAGES,
    Changes,
    Parameters,
    SqlValue,
    encode,
    time_or_none,
    time_text,
)
from qorch_jobs_db.schema import (
    ATTEMPTS,
    CHECKPOINTS,
    JOB_PLANS,
    JOBS,
    LEDGER,
    LEDGER_ANCHOR,
    LEDGER_BALANCES,
    METRICS,
    PROVIDER_SESSIONS,
    RAW_RESULTS,
    ROW_BLOCKS,
    ROW_CLAIMS,
    RUNS,
    SESSIONS,
    SHARED_STATES,
    SPANS,
    STEPS,
    STORED_RESULTS,
)

KEPT_CHECKPOINTS = 2
_QUEUE_COLUMNS = ("queue_position", "queue_position_is_least", "queue_seen_at")
_USAGE_COLUMNS = ("usage_state", "usage_micros")
"""Both of jobs, in the order of the table: a process that writes its job again leaves them as they are."""
_T = TypeVar("_T")

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


@dataclass(frozen=True)
class Texts:
    """Statements as text with positional parameters: SQLAlchemy takes 30 µs to execute one of its own, this 3."""

    rows: dict[str, str]
    put_run: str
    put_plan: str
    drop_plan: str
    claim: str
    read_owner: str
    release: str
    release_all: str
    read_state: str
    put_state: str
    drop_state: str
    add_results: str
    add_entry: str
    read_anchor: str
    move_anchor: str
    add_balance: str
    read_balances: str


def compile_texts(dialect: Dialect) -> Texts:
    """The statements for a dialect whose driver takes parameters by position."""
    make = _Maker(dialect)
    mine = ROW_CLAIMS.c.run_id == bindparam("run_id")
    named = SHARED_STATES.c.name == bindparam("name")
    return Texts(
        rows={
            # Parents come before children, so that one call may hold both in any order.
            "sessions": make.upsert(SESSIONS, "run_id", "ordinal"),
            "steps": make.upsert(STEPS, "run_id", "step"),
            "metrics": make.upsert(METRICS, "run_id", "step", "ordinal"),
            "jobs": make.upsert(JOBS, "job_id", kept=(*_QUEUE_COLUMNS, *_USAGE_COLUMNS)),
            QUEUE_MOVES: make.change(JOBS, "job_id", _QUEUE_COLUMNS),
            USAGES: make.change(JOBS, "job_id", _USAGE_COLUMNS),
            "attempts": make.upsert(ATTEMPTS, "job_id", "ordinal"),
            "raw_results": make.upsert(RAW_RESULTS, "job_id"),
            "row_blocks": make.insert(ROW_BLOCKS),
            "spans": make.insert(SPANS),
            "checkpoints": make.insert(CHECKPOINTS),
            "provider_sessions": make.upsert(PROVIDER_SESSIONS, "key"),
        },
        # A request to stop stays, even if the process that works on the run writes its record at that moment.
        put_run=make.upsert(RUNS, "run_id", kept=("stop_asked_at",)),
        put_plan=make.upsert(JOB_PLANS, "job_id"),
        drop_plan=make.text(delete(JOB_PLANS).where(JOB_PLANS.c.job_id == bindparam("job_id"))),
        claim=make.insert_missing(ROW_CLAIMS, "claim"),
        read_owner=make.text(select(ROW_CLAIMS.c.run_id).where(ROW_CLAIMS.c.claim == bindparam("claim"))),
        release=make.text(delete(ROW_CLAIMS).where(ROW_CLAIMS.c.claim == bindparam("claim"), mine)),
        release_all=make.text(delete(ROW_CLAIMS).where(mine)),
        read_state=make.text(select(SHARED_STATES.c.state).where(named)),
        put_state=make.upsert(SHARED_STATES, "name"),
        drop_state=make.text(delete(SHARED_STATES).where(named)),
        add_results=make.add(STORED_RESULTS, "run_id"),
        add_entry=make.insert_numbered(LEDGER),
        read_anchor=make.text(select(LEDGER_ANCHOR)),
        move_anchor=make.text(update(LEDGER_ANCHOR).values({name: bindparam(name) for name in ("entries", "head")})),
        add_balance=make.add(LEDGER_BALANCES, "day", "run_id", "account", "currency"),
        read_balances=make.text(select_balances(bindparam("since"))),
    )


class _Maker:
    """Text of statements in a dialect; their parameters are the columns in order, without the serial number."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        # SQLite and PostgreSQL resolve conflicts in the same words, but SQLAlchemy has a module for each.
        self._module = import_module(f"sqlalchemy.dialects.{dialect.name}")

    def text(self, statement: ClauseElement) -> str:
        """Any statement."""
        return str(statement.compile(dialect=self._dialect))

    def insert(self, table: Table) -> str:
        """Insert; a conflict is an error."""
        return self.text(self._insert(table))

    def insert_numbered(self, table: Table) -> str:
        """Insert with a serial number that the caller gives."""
        return self.text(
            self._module.insert(table).values({name: bindparam(name) for name in table.columns.keys()})  # noqa: SIM118
        )

    def insert_missing(self, table: Table, *identity: str) -> str:
        """Insert, or leave what is there."""
        return self.text(self._insert(table).on_conflict_do_nothing(index_elements=identity))

    def change(self, table: Table, identity: str, names: Sequence[str]) -> str:
        """Set these columns of a row that is there; its identity is the last parameter."""
        found = table.c[identity] == bindparam("changed_row")
        return self.text(update(table).where(found).values({name: bindparam(name) for name in names}))

    def upsert(self, table: Table, *identity: str, kept: Sequence[str] = ()) -> str:
        """Insert, or replace all but the identity, what is kept, and the serial number, which keeps the first order."""
        statement = self._insert(table)
        moved = {name: statement.excluded[name] for name in _columns(table) if name not in {*identity, *kept}}
        return self.text(statement.on_conflict_do_update(index_elements=identity, set_=moved))

    def add(self, table: Table, *identity: str) -> str:
        """Insert, or add every other column to what is there."""
        statement = self._insert(table)
        sums = {name: table.c[name] + statement.excluded[name] for name in _columns(table) if name not in identity}
        return self.text(statement.on_conflict_do_update(index_elements=identity, set_=sums))

    def _insert(self, table: Table) -> Insert:
        statement: Insert = self._module.insert(table)
        return statement.values({name: bindparam(name) for name in _columns(table)})


def _columns(table: Table) -> list[str]:
    serial = table.autoincrement_column
    return [column.name for column in table.columns if column is not serial]


_COUNTED = [_columns(ROW_BLOCKS).index(name) for name in ("run_id", "n_rows", "n_bytes")]


@dataclass(frozen=True)
class Link:
    """The writer's connection, a cursor of its driver, and what to say to that; ``clock`` is the store's own time."""

    connection: Connection
    cursor: DBAPICursor
    texts: Texts
    clock: Clock


def connect(engine: Engine, *, clock: Clock) -> Link:
    """Open the writer's connection; ``clock`` dates what is written, and changes of shared state are told its time."""
    texts = compile_texts(engine.dialect)
    connection = engine.connect()
    return Link(connection, connection.connection.cursor(), texts, clock)


class ChangeError(Exception):
    """The caller's own function raised, the ``__cause__``; in the database nothing was changed by it."""


def apply_changes(link: Link, changes: Changes) -> None:
    """Write everything, parents first. Raises StoreError for a missing run."""
    cursor, texts = link.cursor, link.texts
    for change in changes.runs:
        _apply_run(link, change)
    for table, text in texts.rows.items():
        rows = changes.rows.get(table)
        if rows:
            cursor.executemany(text, rows)
            if table in _AFTER:
                _AFTER[table](link, rows)
    if entries := changes.rows.get(LEDGER.name):
        _append_entries(link, entries)
    for run_id in {row[0] for row in changes.rows.get("checkpoints", ())}:
        link.connection.execute(_TRIM_CHECKPOINTS, {"trimmed_run": run_id})
    if changes.plans:
        _apply_plans(link, changes)
    for released in changes.released:
        _release(link, released)


def _apply_run(link: Link, change: Parameters | RunMove | StopRequest) -> None:
    if isinstance(change, RunMove):
        values = {"state": change.state} | ({} if change.summary is None else {"summary": change.summary})
        _change_run(link.connection, change.run_id, values)
    elif isinstance(change, StopRequest):
        _change_run(link.connection, change.run_id, {"stop_asked_at": time_or_none(change.asked_at)})
    else:
        link.cursor.execute(link.texts.put_run, change)


def _append_entries(link: Link, entries: Sequence[Parameters]) -> None:
    """Continue the chain, and move its anchor and the balances along. Raises StoreCorruptError without an anchor."""
    cursor, texts = link.cursor, link.texts
    cursor.execute(texts.read_anchor)
    made = continue_chain(read_anchor(cursor.fetchall()), entries)
    cursor.executemany(texts.add_entry, made.rows)
    cursor.execute(texts.move_anchor, (made.anchor.count, made.anchor.head))
    cursor.executemany(texts.add_balance, sum_entries(entries))


def _change_run(connection: Connection, run_id: str, values: Mapping[str, str | None]) -> None:
    changed = connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(values))
    if changed.rowcount == 0:
        raise StoreError(f"run '{run_id}' is not stored; write its RunRecord first")


def _apply_plans(link: Link, changes: Changes) -> None:
    dropped = [(job_id,) for job_id, plan in changes.plans.items() if plan is None]
    kept = [plan for plan in changes.plans.values() if plan is not None]
    if dropped:
        link.cursor.executemany(link.texts.drop_plan, dropped)
    if kept:
        link.cursor.executemany(link.texts.put_plan, kept)


def _release(link: Link, released: ReleasedRows) -> None:
    if released.claims is None:
        link.cursor.execute(link.texts.release_all, (released.run_id,))
        return
    rows = [(claim, released.run_id) for claim in _blobs(released.claims)]
    link.cursor.executemany(link.texts.release, rows)


def claim_rows(link: Link, run_id: str, claims: ByteArray) -> list[str]:
    """Claim what is free; for each of ``(R, 32)`` claims the id of the run that has it."""
    wanted = _blobs(claims)
    stamp = time_text(link.clock.now())
    rows = [(claim, run_id, stamp) for claim in wanted]
    link.cursor.executemany(link.texts.claim, rows)
    owners = []
    for claim in wanted:  # one by one is twice as fast here as an IN over many
        link.cursor.execute(link.texts.read_owner, (claim,))
        ((owner,),) = link.cursor.fetchall()
        owners.append(owner)
    return owners


def _blobs(claims: ByteArray) -> Sequence[bytes]:
    content, width = claims.tobytes(), claims.shape[1]
    return [content[start : start + width] for start in range(0, len(content), width)]


def change_state(link: Link, name: str, change: Callable[[bytes | None, int], Change[_T]]) -> _T:
    """Replace a shared state by what ``change`` makes of it, and write the records that it returns.

    Raises ChangeError if ``change`` raises, or a record cannot be encoded.
    """
    cursor, texts = link.cursor, link.texts
    cursor.execute(texts.read_state, (name,))
    found = cursor.fetchall()
    before = found[0][0] if found else None
    stamp = time_text(link.clock.now())
    try:
        made = change(before, link.clock.monotonic_ns())
        changes = encode(made.writes, stamp=stamp)
    except Exception as error:
        raise ChangeError from error
    apply_changes(link, changes)
    if made.state is None:
        cursor.execute(texts.drop_state, (name,))
    elif made.state != before:
        cursor.execute(texts.put_state, (name, made.state, stamp))
    return made.value


def reserve(link: Link, check: Callable[[Sequence[LedgerBalance]], Granted[_T]], since: dt.date) -> _T:
    """Give ``check`` the balances since a day, and write what it grants.

    Raises ChangeError if ``check`` raises, or a record cannot be encoded.
    """
    link.cursor.execute(link.texts.read_balances, (since.isoformat(),))
    balances = decode_balances(link.cursor.fetchall())
    try:
        granted = check(balances)
        changes = encode(granted.writes, stamp=time_text(link.clock.now()))
    except Exception as error:
        raise ChangeError from error
    apply_changes(link, changes)
    return granted.value


def _add_results(link: Link, rows: Sequence[Parameters]) -> None:
    """Add new blocks to the sums of their runs."""
    totals: dict[SqlValue, tuple[int, int, int]] = {}
    for row in rows:
        run_id, n_rows, n_bytes = (row[place] for place in _COUNTED)
        blocks, all_rows, all_bytes = totals.get(run_id, (0, 0, 0))
        totals[run_id] = (blocks + 1, all_rows + int(n_rows or 0), all_bytes + int(n_bytes or 0))
    link.cursor.executemany(link.texts.add_results, [(run_id, *total) for run_id, total in totals.items()])


def _check_changed(link: Link, rows: Sequence[Parameters]) -> None:
    """Raise StoreError if one of the jobs whose place in the queue or usage has changed is not stored."""
    if link.cursor.rowcount < len(rows):
        raise StoreError(f"one of {len(rows)} jobs that changed is not stored; write its JobRecord first")


_AFTER: Mapping[str, Callable[[Link, Sequence[Parameters]], None]] = {
    ROW_BLOCKS.name: _add_results,
    QUEUE_MOVES: _check_changed,
    USAGES: _check_changed,
}
"""What follows the writing of a table's rows."""
