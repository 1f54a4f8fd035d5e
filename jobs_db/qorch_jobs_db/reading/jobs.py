"""Reads jobs, their attempts, plans and answers, and the provider sessions in which they ran."""

from sqlalchemy import func, or_, select

from qorch.model.identity import Position
from qorch.model.job import OPEN_STATES, OVER_STATES, JobState
from qorch.model.usage import UsageState
from qorch.ports.provider_sessions import MAYBE_OPEN, ProviderSessionRecord
from qorch.ports.records import AttemptRecord, JobPlan, JobRecord, RawRecord
from qorch_jobs_db.decoding import (
    decode_attempt,
    decode_job,
    decode_job_plan,
    decode_provider_session,
    decode_raw_result,
)
from qorch_jobs_db.reading.database import Reading, at, of_run
from qorch_jobs_db.schema import ATTEMPTS, JOB_PLANS, JOBS, PROVIDER_SESSIONS, RAW_RESULTS, RUNS


class JobReading(Reading):
    """``qorch.ports.store.Jobs`` and ``SessionHistory``."""

    def jobs(self, run_id: str | None = None, *, state: JobState | None = None) -> list[JobRecord]:
        """See Store."""
        query = select(JOBS) if run_id is None else of_run(JOBS, run_id)
        if state is not None:
            query = query.where(JOBS.c.state == state.value)
        return self._fetch(query.order_by(JOBS.c.number), decode_job)

    def executions_by_state(self, run_id: str) -> dict[JobState, int]:
        """See Store."""
        count = func.sum(JOBS.c.n_executions).label("executions")
        query = select(JOBS.c.state, count).where(JOBS.c.run_id == run_id).group_by(JOBS.c.state)
        return dict(self._fetch(query, lambda row: (JobState(row.state), row.executions)))

    def open_jobs(self, run_id: str | None = None) -> list[JobRecord]:
        """See Store."""
        query = select(JOBS) if run_id is None else of_run(JOBS, run_id)
        return self._fetch(query.where(JOBS.c.state.in_(OPEN_STATES)).order_by(JOBS.c.number), decode_job)

    def jobs_without_usage(self, run_id: str | None = None) -> list[JobRecord]:
        """See Store."""
        # By the index of a run's jobs: free runs may have very many.
        charging = select(RUNS.c.run_id).where(or_(RUNS.c.charges.is_(None), RUNS.c.charges != 0))
        query = select(JOBS).where(
            JOBS.c.run_id.in_(charging if run_id is None else charging.where(RUNS.c.run_id == run_id)),
            JOBS.c.provider_id.is_not(None),
            JOBS.c.state.in_((*OVER_STATES, JobState.UNKNOWN)),
            or_(JOBS.c.usage_state.is_(None), JOBS.c.usage_state == UsageState.PENDING.value),
        )
        return self._fetch(query.order_by(JOBS.c.number), decode_job)

    def jobs_at(self, run_id: str, position: Position) -> list[JobRecord]:
        """See Store."""
        return self._fetch(at(JOBS, run_id, position).order_by(JOBS.c.number), decode_job)

    def attempts(self, job_id: str) -> list[AttemptRecord]:
        """See Store."""
        query = select(ATTEMPTS).where(ATTEMPTS.c.job_id == job_id)
        return self._fetch(query.order_by(ATTEMPTS.c.ordinal), decode_attempt)

    def run_attempts(self, run_id: str) -> list[AttemptRecord]:
        """See Store."""
        query = select(ATTEMPTS).join(JOBS, JOBS.c.job_id == ATTEMPTS.c.job_id).where(JOBS.c.run_id == run_id)
        return self._fetch(query.order_by(JOBS.c.number, ATTEMPTS.c.ordinal), decode_attempt)

    def job_plan(self, job_id: str) -> JobPlan | None:
        """See Store."""
        query = select(JOB_PLANS).join(JOBS, JOBS.c.job_id == JOB_PLANS.c.job_id)
        query = query.where(JOB_PLANS.c.job_id == job_id, JOBS.c.state.not_in(OVER_STATES))
        return next(iter(self._fetch(query, decode_job_plan)), None)

    def raw_result(self, job_id: str) -> RawRecord | None:
        """See Store."""
        query = select(RAW_RESULTS).where(RAW_RESULTS.c.job_id == job_id)
        return next(iter(self._fetch(query, decode_raw_result)), None)

    def provider_sessions(self, run_id: str | None = None) -> list[ProviderSessionRecord]:
        """See Store."""
        query = select(PROVIDER_SESSIONS) if run_id is None else of_run(PROVIDER_SESSIONS, run_id)
        return self._fetch(query.order_by(PROVIDER_SESSIONS.c.number), decode_provider_session)

    def open_provider_sessions(self, run_id: str | None = None) -> list[ProviderSessionRecord]:
        """See Store."""
        query = select(PROVIDER_SESSIONS) if run_id is None else of_run(PROVIDER_SESSIONS, run_id)
        query = query.where(PROVIDER_SESSIONS.c.state.in_(MAYBE_OPEN))
        return self._fetch(query.order_by(PROVIDER_SESSIONS.c.number), decode_provider_session)
