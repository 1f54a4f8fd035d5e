"""What jobs behind a network need: plans of open jobs, raw answers, the state of accounts, claims on rows."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add four tables; nothing that is stored changes."""
    _create_job_plans()
    _create_raw_results()
    _create_accounts()
    _create_row_claims()


def _need(name: str, kind: sa.types.TypeEngine[Any]) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


def _create_job_plans() -> None:
    op.create_table(
        "job_plans",
        _need("job_id", sa.Text()),
        _need("run_id", sa.Text()),
        _need("content", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_job_plans_job_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_job_plans_run_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_job_plans"),
    )


def _create_raw_results() -> None:
    op.create_table(
        "raw_results",
        _need("job_id", sa.Text()),
        _need("run_id", sa.Text()),
        _need("received_at", sa.Text()),
        _need("is_quarantined", sa.Integer()),
        _need("n_bytes", sa.BigInteger()),
        _need("content", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.job_id"], name="fk_raw_results_job_id"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_raw_results_run_id"),
        sa.PrimaryKeyConstraint("job_id", name="pk_raw_results"),
    )
    op.create_index("ix_raw_results_run", "raw_results", ["run_id"])


def _create_accounts() -> None:
    op.create_table(
        "accounts",
        _need("account", sa.Text()),
        _need("state", sa.LargeBinary()),
        _need("changed_at", sa.Text()),
        sa.PrimaryKeyConstraint("account", name="pk_accounts"),
    )


def _create_row_claims() -> None:
    op.create_table(
        "row_claims",
        _need("claim", sa.LargeBinary(32)),
        _need("run_id", sa.Text()),
        _need("claimed_at", sa.Text()),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_row_claims_run_id"),
        sa.PrimaryKeyConstraint("claim", name="pk_row_claims"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_row_claims_run", "row_claims", ["run_id"])
