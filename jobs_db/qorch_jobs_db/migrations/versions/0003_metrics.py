"""Every logged number has a row of its own; steps know their epoch, runs how they were started and what they hold."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STEPS_AT_ONCE = 1_000


def upgrade() -> None:
    """Move the metrics of every step into rows; add what runs and steps know, unknown where it was not recorded."""
    _create_metrics()
    _move_metrics()
    with op.batch_alter_table("steps") as steps:
        steps.drop_column("metrics")
        steps.add_column(sa.Column("begun_at", sa.Text()))
        steps.add_column(sa.Column("epoch", sa.Integer()))
    with op.batch_alter_table("sessions") as sessions:
        sessions.add_column(sa.Column("is_command", sa.Integer(), nullable=False, server_default="0"))
        sessions.add_column(sa.Column("used_settings", sa.Text(), nullable=False, server_default="{}"))
    with op.batch_alter_table("runs") as runs:
        runs.add_column(sa.Column("charges", sa.Integer()))
        runs.add_column(sa.Column("environment", sa.Text(), nullable=False, server_default="{}"))
        runs.add_column(sa.Column("stop_asked_at", sa.Text()))
    _note_charges()
    _add_up_results()


def _create_metrics() -> None:
    op.create_table(
        "metrics",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("ordinal", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double()),
        sa.Column("logged_at", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_metrics_run_id"),
        sa.PrimaryKeyConstraint("run_id", "step", "ordinal", name="pk_metrics"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_metrics_name", "metrics", ["run_id", "name", "step", "ordinal"])


def _move_metrics() -> None:
    link = op.get_bind()
    insert = sa.text(
        "INSERT INTO metrics (run_id, step, ordinal, name, value, logged_at)"
        " VALUES (:run_id, :step, :ordinal, :name, :value, :logged_at)"
    )
    found = link.execute(sa.text("SELECT run_id, step, ended_at, metrics FROM steps WHERE metrics <> '{}'"))
    while steps := found.fetchmany(_STEPS_AT_ONCE):
        rows = [row for step in steps for row in _metric_rows(step)]
        if rows:
            link.execute(insert, rows)


def _metric_rows(step: sa.Row[Any]) -> list[dict[str, Any]]:
    # A NaN of Python's JSON becomes NULL in SQLite, which is how the column says it.
    return [
        {"run_id": step.run_id, "step": step.step, "ordinal": ordinal, "name": name, "value": value,
         "logged_at": step.ended_at}
        for ordinal, (name, value) in enumerate(json.loads(step.metrics).items())
    ]  # fmt: skip


def _note_charges() -> None:
    link = op.get_bind()
    for run_id, summary in link.execute(sa.text("SELECT run_id, summary FROM runs")).fetchall():
        charges = json.loads(summary).get("charges")
        if charges is not None:
            link.execute(
                sa.text("UPDATE runs SET charges = :charges WHERE run_id = :run_id"),
                {"charges": int(charges), "run_id": run_id},
            )


def _add_up_results() -> None:
    op.create_table(
        "stored_results",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("blocks", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_stored_results_run_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", name="pk_stored_results"),
    )
    op.get_bind().execute(
        sa.text(
            "INSERT INTO stored_results (run_id, blocks, rows, bytes)"
            " SELECT run_id, COUNT(*), SUM(n_rows), SUM(n_bytes) FROM row_blocks GROUP BY run_id"
        )
    )
