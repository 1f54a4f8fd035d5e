"""The emulator's own record of every accepted job: times, rows, shots, price. Tests compare with it."""

from qorch_providers.emulators.ionq.jobs import Job

KEY_NAME = "qorch_key"


def job_key(job: Job) -> str | None:
    """The key of a job in its metadata."""
    return (job.order.metadata or {}).get(KEY_NAME)


def truth_document(job: Job) -> dict[str, object]:
    """One accepted job. Times are real seconds since 1970, not scaled; the price is what is charged, or reserved.

    ``rows_completed``: how many of its circuits ran and did not fail.
    """
    order = job.order
    status = "deleted" if job.is_deleted else job.status
    children = [{"id": child, "status": job.child_status(index)} for index, child in enumerate(job.child_ids)]
    return {
        "id": job.id,
        "parent_id": None,
        "key": job_key(job),
        "name": order.name,
        "target": order.backend,
        "status": status,
        "rows": order.n_circuits,
        "shots": None if order.is_exact else order.shots,
        "dry_run": order.dry_run,
        "price_usd_micros": job.price_micros,
        "received_at_unix": job.received_unix,
        "accepted_at_unix": job.accepted_unix,
        "started_at_unix": job.started_unix,
        "completed_at_unix": job.completed_unix,
        "children": children,
        "rows_completed": sum(each["status"] == "completed" for each in children or [{"status": status}]),
    }
