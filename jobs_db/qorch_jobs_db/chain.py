"""Rows of the ledger: how new entries continue its chain, and what they add to the balances. Pure."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Select, select

from qorch.errors import StoreCorruptError
from qorch.model.ledger import LedgerAnchor, LedgerBalance
from qorch.model.ledger_chain import FIELDS, digest_fields
from qorch_jobs_db.encoding import Parameters
from qorch_jobs_db.schema import LEDGER_BALANCES, RUNS

_PLACE = {name: place for place, name in enumerate(FIELDS)}
_KEY = [_PLACE[name] for name in ("day", "run_id", "account", "currency")]
_DEBIT, _CREDIT, _MICROS = (_PLACE[name] for name in ("debit", "credit", "micros"))


@dataclass(frozen=True)
class ChainedRows:
    """New rows of the ledger, in the order of its columns, and the anchor after them."""

    rows: Sequence[Parameters]
    anchor: LedgerAnchor


def continue_chain(anchor: LedgerAnchor, entries: Sequence[Parameters]) -> ChainedRows:
    """Number and digest new entries, of which each has the FIELDS."""
    rows = []
    number, head = anchor.count, anchor.head
    for fields in entries:
        number += 1
        digest = digest_fields(number, fields, previous=head)  # type: ignore[arg-type]
        rows.append((number, *fields, head, digest))
        head = digest
    return ChainedRows(rows, LedgerAnchor(number, head))


def read_anchor(rows: Sequence[Sequence[Any]]) -> LedgerAnchor:
    """The anchor in the rows of its table. Raises StoreCorruptError unless it is one."""
    if len(rows) != 1:
        raise StoreCorruptError(
            f"the ledger has {len(rows)} anchors instead of one, so nothing can be added to it; restore a backup"
        )
    count, head = rows[0]
    if not isinstance(count, int) or not isinstance(head, str):
        raise StoreCorruptError(
            f"the anchor of the ledger cannot be read: it has {count!r} entries, and ends in {head!r}"
        )
    return LedgerAnchor(count, head)


def sum_entries(entries: Sequence[Parameters]) -> list[Parameters]:
    """What entries add to the rows of ledger_balances."""
    sums: dict[Parameters, tuple[int, int]] = {}
    for fields in entries:
        key = tuple(fields[place] for place in _KEY)
        reserved, spent = sums.get(key, (0, 0))
        micros = int(fields[_MICROS] or 0)
        moved = (fields[_DEBIT] == "reserved") - (fields[_CREDIT] == "reserved")
        sums[key] = reserved + micros * moved, spent + micros * (fields[_DEBIT] == "spent")
    return [(*key, *total) for key, total in sums.items()]


def select_balances(since: BindParameter[str]) -> Select[Any]:
    """The balances of jobs that were reserved on a day or later, with what their runs are called."""
    balances = LEDGER_BALANCES.c
    return (
        select(
            balances.run_id, RUNS.c.name, RUNS.c.backend, balances.account, balances.day, balances.currency,
            balances.reserved_micros, balances.spent_micros,
        )
        .join(RUNS, RUNS.c.run_id == balances.run_id)
        .where(balances.day >= since)
        .order_by(balances.day, balances.run_id, balances.account, balances.currency)
    )  # fmt: skip


def decode_balances(rows: Iterable[Iterable[Any]]) -> list[LedgerBalance]:
    """The rows of ``select_balances``. Raises StoreCorruptError for a day that is none."""
    try:
        return [_balance(*row) for row in rows]
    except (TypeError, ValueError) as error:
        raise StoreCorruptError(
            f"a balance of the ledger cannot be read ({error}); see `qorch audit verify`"
        ) from error


# A reservation reads many rows, nearly all as they were the last time; making one anew takes 2 µs.
@lru_cache(maxsize=16_384, typed=True)
def _balance(
    run_id: str, name: str, backend: str, account: str, day: str, currency: str, reserved: int, spent: int
) -> LedgerBalance:
    return LedgerBalance(run_id, name, backend, account, dt.date.fromisoformat(day), currency, reserved, spent)
