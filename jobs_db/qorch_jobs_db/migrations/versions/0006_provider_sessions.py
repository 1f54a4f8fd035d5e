"""Sessions that runs opened at their providers, each written down before it is opened."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table, empty: no earlier version opened any."""
    op.create_table(
        "provider_sessions",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("max_ttl_seconds", sa.Integer()),
        sa.Column("planned_at", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Text(), nullable=False),
        sa.Column("provider_id", sa.Text()),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("number", name="pk_provider_sessions"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_provider_sessions_run_id"),
        sa.UniqueConstraint("key", name="uq_provider_sessions_key"),
    )
    op.create_index("ix_provider_sessions_run", "provider_sessions", ["run_id"])
    op.create_index("ix_provider_sessions_state", "provider_sessions", ["state"])
