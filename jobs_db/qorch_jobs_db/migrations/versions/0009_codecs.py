"""A provider's answer says what it is compressed with."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: all answers so far are zlib's."""
    with op.batch_alter_table("raw_results") as answers:
        answers.add_column(sa.Column("codec", sa.Text(), nullable=False, server_default="zlib"))
