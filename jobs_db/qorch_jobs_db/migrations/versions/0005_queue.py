"""A job knows its place in its provider's queue, and when it was seen there; a span, how exactly it is known."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns, empty: nothing of it was recorded before."""
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("queue_position", sa.Integer()))
        jobs.add_column(sa.Column("queue_position_is_least", sa.Integer()))
        jobs.add_column(sa.Column("queue_seen_at", sa.Text()))
    with op.batch_alter_table("spans") as spans:
        spans.add_column(sa.Column("resolution_ns", sa.BigInteger()))
        spans.add_column(sa.Column("source", sa.Text()))
