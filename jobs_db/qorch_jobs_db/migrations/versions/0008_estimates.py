"""Blocks and plans may hold estimates: values with variances of their own, beside counts and exact values.

No table changes: what is new is a form of the sealed results and plans. The number is raised because an older qorch
cannot read that form, and has to refuse the database with a sentence. A view that shows the form is made by every
upgrade.
"""

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing: all that was stored before is counts or exact values, in the forms that they keep."""
