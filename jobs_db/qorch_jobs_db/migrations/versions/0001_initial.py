"""The first schema. A fresh database is made by schema.py in one go; a test holds the two equal."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table; parents come first."""
    _create_meta()
    _create_runs()
    _create_sessions()
    _create_steps()
    _create_jobs()
    _create_attempts()
    _create_row_blocks()
    _create_spans()
    _create_checkpoints()
    _create_ledger()


def _serial(name: str) -> sa.Column[int]:
    return sa.Column(name, SERIAL, autoincrement=True, nullable=False)


def _need(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _create_meta() -> None:
    op.create_table(
        "meta",
        _need("name", sa.Text()),
        _need("value", sa.Text()),
        sa.PrimaryKeyConstraint("name", name="pk_meta"),
    )


def _create_runs() -> None:
    op.create_table(
        "runs",
        _serial("number"),
        _need("run_id", sa.Text()),
        _need("name", sa.Text()),
        _need("backend", sa.Text()),
        _need("seed", sa.Text()),
        _need("cache", sa.Text()),
        _need("created_at", sa.Text()),
        sa.Column("workload", sa.Text()),
        _need("settings", sa.Text()),
        sa.Column("budget_micros", sa.BigInteger()),
        sa.Column("currency", sa.Text()),
        _need("state", sa.Text()),
        _need("summary", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_runs"),
        sa.UniqueConstraint("run_id", name="uq_runs_run_id"),
    )
    op.create_index("ix_runs_name", "runs", ["name"])


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        _need("run_id", sa.Text()),
        _need("ordinal", sa.Integer()),
        _need("pid", sa.Integer()),
        _need("host", sa.Text()),
        _need("started_at", sa.Text()),
        _need("wall_ns", sa.BigInteger()),
        _need("rows_executed", sa.BigInteger()),
        _need("rows_from_cache", sa.BigInteger()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_sessions_run_id"),
        sa.PrimaryKeyConstraint("run_id", "ordinal", name="pk_sessions"),
    )


def _create_steps() -> None:
    op.create_table(
        "steps",
        _need("run_id", sa.Text()),
        _need("step", sa.Integer()),
        _need("session", sa.Integer()),
        _need("ended_at", sa.Text()),
        _need("rows_executed", sa.BigInteger()),
        _need("rows_from_cache", sa.BigInteger()),
        _need("metrics", sa.Text()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_steps_run_id"),
        sa.PrimaryKeyConstraint("run_id", "step", name="pk_steps"),
    )


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        _serial("number"),
        _need("job_id", sa.Text()),
        _need("run_id", sa.Text()),
        _need("step", sa.Integer()),
        _need("call", sa.Integer()),
        _need("state", sa.Text()),
        _need("n_rows", sa.Integer()),
        sa.Column("shots", sa.BigInteger()),
        _need("changed_at", sa.Text()),
        sa.Column("provider_id", sa.Text()),
        _need("attempts", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_jobs_run_id"),
        sa.PrimaryKeyConstraint("number", name="pk_jobs"),
        sa.UniqueConstraint("job_id", name="uq_jobs_job_id"),
    )
    op.create_index("ix_jobs_run", "jobs", ["run_id", "step", "call"])
    op.create_index("ix_jobs_state", "jobs", ["state"])


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        _need("job_id", sa.Text()),
        _need("ordinal", sa.Integer()),
        _need("key", sa.Text()),
        _need("started_at", sa.Text()),
        _need("outcome", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_attempts_job_id"),
        sa.PrimaryKeyConstraint("job_id", "ordinal", name="pk_attempts"),
    )
    op.create_index("ix_attempts_key", "attempts", ["key"])


def _create_row_blocks() -> None:
    op.create_table(
        "row_blocks",
        _serial("block_id"),
        _need("job_id", sa.Text()),
        _need("run_id", sa.Text()),
        _need("step", sa.Integer()),
        _need("call", sa.Integer()),
        _need("group_ordinal", sa.Integer()),
        _need("n_rows", sa.Integer()),
        _need("n_qubits", sa.Integer()),
        sa.Column("shots", sa.BigInteger()),
        _need("shot_offset", sa.BigInteger()),
        _need("context", sa.Text()),
        _need("measurement_digest", sa.Text()),
        _need("gates_digest", sa.Text()),
        _need("created_at", sa.Text()),
        _need("n_bytes", sa.BigInteger()),
        _need("row_keys", sa.LargeBinary()),
        _need("places", sa.LargeBinary()),
        _need("result", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_row_blocks_job_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_row_blocks_run_id"),
        sa.PrimaryKeyConstraint("block_id", name="pk_row_blocks"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_row_blocks_identity", "row_blocks", ["context", "measurement_digest", "gates_digest"])
    op.create_index("ix_row_blocks_position", "row_blocks", ["run_id", "step", "call"])
    # ### end Alembic commands ###


def _create_spans() -> None:
    op.create_table(
        "spans",
        _serial("number"),
        _need("run_id", sa.Text()),
        _need("session", sa.Integer()),
        _need("phase", sa.Text()),
        _need("started_ns", sa.BigInteger()),
        _need("ended_ns", sa.BigInteger()),
        _need("step", sa.Integer()),
        _need("call", sa.Integer()),
        sa.Column("job_id", sa.Text()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_spans_run_id"),
        sa.PrimaryKeyConstraint("number", name="pk_spans"),
    )
    op.create_index("ix_spans_run", "spans", ["run_id"])


def _create_checkpoints() -> None:
    op.create_table(
        "checkpoints",
        _serial("number"),
        _need("run_id", sa.Text()),
        _need("step", sa.Integer()),
        _need("call", sa.Integer()),
        _need("created_at", sa.Text()),
        _need("sha256", sa.Text()),
        _need("content", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_checkpoints_run_id"),
        sa.PrimaryKeyConstraint("number", name="pk_checkpoints"),
    )
    op.create_index("ix_checkpoints_run", "checkpoints", ["run_id"])


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        _serial("entry"),
        _need("run_id", sa.Text()),
        sa.Column("job_id", sa.Text()),
        _need("kind", sa.Text()),
        _need("currency", sa.Text()),
        _need("micros", sa.BigInteger()),
        _need("recorded_at", sa.Text()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_ledger_job_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_ledger_run_id"),
        sa.PrimaryKeyConstraint("entry", name="pk_ledger"),
    )
    op.create_index("ix_ledger_run", "ledger", ["run_id"])
