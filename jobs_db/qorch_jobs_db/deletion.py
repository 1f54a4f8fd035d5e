"""Delete a run with everything that belongs to it."""

from sqlalchemy import Connection, Engine, delete, func, select, update

from qorch.model.job import OVER_STATES
from qorch.ports.books import has_entries
from qorch.ports.records import RunState
from qorch_jobs_db.schema import ATTEMPTS, JOB_PLANS, JOBS, LEDGER, LEDGER_BALANCES, METADATA, PROVIDER_SESSIONS, RUNS

_OF_RUNS = [table for table in METADATA.tables.values() if "run_id" in table.columns and table is not RUNS]
_BOOKS = {JOBS.name, JOB_PLANS.name, LEDGER.name, LEDGER_BALANCES.name, PROVIDER_SESSIONS.name}


def drop_run(engine: Engine, run_id: str, *, keep_books: bool) -> None:
    """Delete the rest of a run in one transaction, or all but its books: jobs, attempts, open plans, ledger and
    provider sessions.

    ``engine`` does not check foreign keys: for every job SQLite would read all results of all runs. Raises StoreError
    if the run has ledger entries and its books are not kept.
    """
    with engine.begin() as connection:
        if keep_books:
            _drop_all_but_books(connection, run_id)
        else:
            _drop_all(connection, run_id)


def _drop_all(connection: Connection, run_id: str) -> None:
    n_entries = connection.execute(select(func.count()).where(LEDGER.c.run_id == run_id)).scalar_one()
    if n_entries:
        raise has_entries(run_id, n_entries)
    jobs = select(JOBS.c.job_id).where(JOBS.c.run_id == run_id)
    connection.execute(delete(ATTEMPTS).where(ATTEMPTS.c.job_id.in_(jobs)))
    for table in [*_OF_RUNS, RUNS]:
        connection.execute(delete(table).where(table.c.run_id == run_id))


def _drop_all_but_books(connection: Connection, run_id: str) -> None:
    over = select(JOBS.c.job_id).where(JOBS.c.run_id == run_id, JOBS.c.state.in_(OVER_STATES))
    connection.execute(delete(JOB_PLANS).where(JOB_PLANS.c.job_id.in_(over)))
    for table in _OF_RUNS:
        if table.name not in _BOOKS:
            connection.execute(delete(table).where(table.c.run_id == run_id))
    connection.execute(update(RUNS).where(RUNS.c.run_id == run_id).values(state=RunState.DELETED))
