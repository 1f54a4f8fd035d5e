"""What really happened: every accepted job, session and batch, with times, usage and price. Tests count with it."""

from qorch_providers.emulators.ibm.jobs import IbmJob
from qorch_providers.emulators.ibm.money import whole_seconds
from qorch_providers.emulators.ibm.sessions import IbmSession
from qorch_providers.emulators.kit.running import Truth

KEY_TAG = "qorch-key:"
"""With what the tag begins that has the key of a job."""


class IbmTruth(Truth):
    """The emulator's own record, with ``sessions`` (batches too), ``tokens``, and QPU seconds by ``instances``.

    ``posts``: every POST of a job that had a valid token: its instance, when it came in protocol seconds since the
    start, and whether the limit per minute let it pass.
    """

    sessions: list[dict[str, object]]
    posts: list[dict[str, object]]
    tokens: dict[str, object]
    instances: dict[str, int]


def job_key(job: IbmJob) -> str | None:
    """The key of a job in its tags."""
    return next((tag.removeprefix(KEY_TAG) for tag in job.tags if tag.startswith(KEY_TAG)), None)


def job_truth(job: IbmJob) -> dict[str, object]:
    """One accepted job. Times are real seconds since 1970, not scaled; the price is what is charged so far.

    ``rows``: 0 before the job ran. ``price_usd_micros`` is 0 for a job of a session, as the session is charged.
    """
    order = job.order
    return {
        "id": job.id,
        "parent_id": None,
        "key": job_key(job),
        "name": None,
        "target": order.backend,
        "status": "deleted" if job.is_deleted else job.status,
        "rows": job.rows,
        "rows_completed": job.rows if job.status == "Completed" else 0,
        "shots": job.executions // job.rows if job.rows else None,
        "dry_run": order.is_mock,
        "price_usd_micros": job.price_micros,
        "received_at_unix": job.received_unix,
        "accepted_at_unix": job.accepted_unix,
        "started_at_unix": job.started_unix,
        "completed_at_unix": job.ended_unix,
        "children": [],
        "tags": list(job.tags),
        "program": order.program_id,
        "instance": order.instance.crn,
        "session_id": order.session_id,
        "executions": job.executions,
        "max_seconds": order.max_seconds,
        "usage_seconds": job.usage_seconds,
        "digest": order.digest,
        "reason_code": job.reason_code,
    }


def session_truth(session: IbmSession, *, used_seconds: float, second_micros: int) -> dict[str, object]:
    """One session or batch; a batch costs nothing itself."""
    used = whole_seconds(used_seconds)
    return {
        "id": session.id,
        "mode": session.mode,
        "target": session.backend,
        "instance": session.instance.crn,
        "state": session.state,
        "accepting_jobs": session.accepting_jobs,
        "created_at_unix": session.created_unix,
        "closed_at_unix": session.closed_unix,
        "usage_seconds": used,
        "price_usd_micros": used * second_micros if session.is_dedicated else 0,
    }
