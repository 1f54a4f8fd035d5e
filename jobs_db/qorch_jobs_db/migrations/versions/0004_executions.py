"""Executions are called so, phases have ids, attempts name what was sent, and a shared state belongs to any name."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_PHASES = {
    "compile kernels": "compile_kernels",
    "provider queue": "provider_queue",
    "at the provider": "at_provider",
    "done, not yet seen": "done_unseen",
    "wait for a turn": "wait_for_turn",
    "start workers": "start_workers",
    "wait for a worker": "wait_for_worker",
    "start up": "start_up",
    "before the first step": "before_first_step",
    "model code": "model_code",
}
"""Labels that were stored as ids; the ids of the other phases were their labels, and still are."""


def upgrade() -> None:
    """Rename columns and a table; no row is lost."""
    op.alter_column("jobs", "n_rows", new_column_name="n_executions")
    for table in ("sessions", "steps"):
        op.alter_column(table, "rows_executed", new_column_name="executions")
        op.alter_column(table, "rows_from_cache", new_column_name="executions_from_cache")
    _extend_attempts()
    _rename_accounts()
    _rename_phases()


def _extend_attempts() -> None:
    with op.batch_alter_table("attempts") as attempts:
        attempts.add_column(sa.Column("payload_digest", sa.Text()))
        attempts.add_column(sa.Column("search_text", sa.Text()))
    # The name that IonQ's adapter gave every job, when there was no other provider.
    op.get_bind().execute(sa.text("UPDATE attempts SET search_text = 'qorch ' || SUBSTR(key, 1, 16)"))


def _rename_accounts() -> None:
    """Made anew, so that its key has the name that a fresh database gives it."""
    op.create_table(
        "shared_states",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.Column("changed_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_shared_states"),
    )
    op.get_bind().execute(
        sa.text("INSERT INTO shared_states (name, state, changed_at) SELECT account, state, changed_at FROM accounts")
    )
    op.drop_table("accounts")


def _rename_phases() -> None:
    """All in one pass: a database may have millions of spans."""
    phase = sa.column("phase", sa.Text())
    spans = sa.table("spans", phase)
    op.execute(sa.update(spans).where(phase.in_(_PHASES)).values(phase=sa.case(_PHASES, value=phase)))
