"""Alembic's entry: run the migrations on the connection, and in the transaction, that ``upgrade`` gives."""

from alembic import context

from qorch_jobs_db.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
context.run_migrations()
