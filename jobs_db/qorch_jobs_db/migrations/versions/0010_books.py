"""The ledger has two sides, says why, and is a chain with an anchor; its sums are kept beside it."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_SIDES = {
    "reserved": ("reserved", "free"),
    "spent": ("spent", "reserved"),
    "released": ("free", "reserved"),
    "adjusted": ("spent", "free"),
}


def upgrade() -> None:
    """Chain the entries so far in their order; each counts on the day on which it was recorded."""
    op.drop_index("ix_ledger_run", "ledger")
    op.rename_table("ledger", "ledger_before")
    _create_tables()
    link = op.get_bind()
    store_id = link.execute(sa.text("SELECT value FROM meta WHERE name = 'store_id'")).scalar() or ""
    query = "SELECT run_id, job_id, kind, currency, micros, recorded_at FROM ledger_before ORDER BY entry"
    number, head = 0, _digest(["qorch ledger 1", store_id])
    for run_id, job_id, kind, currency, micros, recorded_at in link.execute(sa.text(query)).all():
        debit, credit = _SIDES[kind]
        fields = (
            run_id, job_id, kind, debit, credit, currency, micros, recorded_at, "", recorded_at[:10], -1, 0, 0, ""
        )  # fmt: skip
        number += 1
        digest = _digest([number, head, *fields])
        places = ", ".join("?" * 17)
        link.exec_driver_sql(f"INSERT INTO ledger VALUES ({places})", (number, *fields, head, digest))  # noqa: S608
        head = digest
    link.exec_driver_sql("INSERT INTO ledger_anchor VALUES (?, ?)", (number, head))
    link.exec_driver_sql(
        "INSERT INTO ledger_balances SELECT day, run_id, account, currency,"
        " SUM(micros * ((debit = 'reserved') - (credit = 'reserved'))), SUM(micros * (debit = 'spent'))"
        " FROM ledger GROUP BY day, run_id, account, currency"
    )
    op.drop_table("ledger_before")


def _digest(values: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def _need(name: str, kind: sa.types.TypeEngine[Any] | None = None) -> sa.Column[Any]:
    return sa.Column(name, kind or sa.Text(), nullable=False)


def _create_tables() -> None:
    op.create_table(
        "ledger",
        sa.Column("entry", sa.Integer(), autoincrement=True, nullable=False),
        _need("run_id"),
        sa.Column("job_id", sa.Text()),
        _need("kind"),
        _need("debit"),
        _need("credit"),
        _need("currency"),
        _need("micros", sa.BigInteger()),
        _need("recorded_at"),
        _need("account"),
        _need("day"),
        _need("step", sa.Integer()),
        _need("attempt", sa.Integer()),
        _need("executions", sa.BigInteger()),
        _need("reason"),
        _need("previous"),
        _need("digest"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_ledger_job_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_ledger_run_id"),
        sa.PrimaryKeyConstraint("entry", name="pk_ledger"),
    )
    op.create_index("ix_ledger_run", "ledger", ["run_id"])
    op.create_index("ix_ledger_job", "ledger", ["job_id"])
    op.create_table("ledger_anchor", _need("entries", sa.BigInteger()), _need("head"))
    op.create_table(
        "ledger_balances",
        _need("day"),
        _need("run_id"),
        _need("account"),
        _need("currency"),
        _need("reserved_micros", sa.BigInteger()),
        _need("spent_micros", sa.BigInteger()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_ledger_balances_run_id"),
        sa.PrimaryKeyConstraint("day", "run_id", "account", "currency", name="pk_ledger_balances"),
        sqlite_with_rowid=False,
    )
