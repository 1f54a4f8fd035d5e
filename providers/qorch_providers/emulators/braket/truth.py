"""What really happened: every accepted task with its times, rows, shots and price. Tests count with it."""

from qorch_providers.emulators.braket.tasks import EmulatedTask

KEY_NAME = "qorch_key"


def task_key(task: EmulatedTask) -> str:
    """The tag with the key of a job, else the client token."""
    return task.tags.get(KEY_NAME, task.order.client_token)


def truth_document(task: EmulatedTask) -> dict[str, object]:
    """One accepted task. Times are real seconds since 1970, not scaled; the price is what is charged as things stand.

    ``rows_completed``: how many executables ran and did not fail.
    ``replays``: how often the same call came again with its client token, and was answered with this task.
    """
    order = task.order
    return {
        "id": task.arn,
        "parent_id": None,
        "key": task_key(task),
        "name": None,
        "target": order.device.arn,
        "status": task.status,
        "rows": order.n_executables,
        "shots": order.shots,
        "dry_run": False,
        "price_usd_micros": task.price_micros,
        "received_at_unix": task.received_unix,
        "accepted_at_unix": task.accepted_unix,
        "started_at_unix": task.started_unix,
        "completed_at_unix": task.ended_unix,
        "children": [],
        "rows_completed": order.n_executables - len(task.failed_executables) if task.status == "COMPLETED" else 0,
        "directory": task.directory,
        "client_token": order.client_token,
        "replays": task.n_replays,
        "tags": dict(task.tags),
        "failed_executables": sorted(task.failed_executables),
    }
