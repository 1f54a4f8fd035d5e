"""What tasks cost, line by line.

A QPU is charged for a task and for each shot that was taken, of a program set as of one task; a simulator for the time
that it ran, with a least one. Tasks that failed or were cancelled cost nothing, unless shots were taken before.
"""

from qorch_providers.emulators.braket.tasks import FINAL, EmulatedTask
from qorch_providers.emulators.braket.truth import task_key
from qorch_providers.emulators.kit.bills import BillLine


def task_line(task: EmulatedTask) -> BillLine:
    """The line of one accepted task; nothing is charged, or reserved, before its end."""
    return BillLine(
        id=task.arn,
        target=task.order.device.arn,
        state=task.status,
        created_unix=task.accepted_unix,
        ended_unix=task.ended_unix,
        is_final=task.status in FINAL,
        key=task_key(task),
        counted=_count(task),
        micros=task.price_micros,
    )


def _count(task: EmulatedTask) -> dict[str, int]:
    if task.status != "COMPLETED":
        return {}
    if task.order.device.is_simulator:
        return {"milliseconds": task.billed_ms}
    return {"tasks": 1, "shots": task.successful_shots}
