"""A job knows what its provider reports that it was charged for."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty: providers may still be asked."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("usage_state", sa.Text()))
        jobs.add_column(sa.Column("usage_micros", sa.Text()))
