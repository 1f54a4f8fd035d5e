"""Tasks as GetQuantumTask and SearchQuantumTasks show them."""

from qorch_providers.emulators.braket.tasks import FINAL, WAITING, EmulatedTask, TaskRegistry
from qorch_providers.emulators.kit.clock import ScaledClock, format_iso


def task_summary(task: EmulatedTask, *, clock: ScaledClock) -> dict[str, object]:
    """One task in a list."""
    order = task.order
    document: dict[str, object] = {
        "quantumTaskArn": task.arn,
        "status": task.status,
        "deviceArn": order.device.arn,
        "shots": order.shots,
        "outputS3Bucket": order.bucket,
        "outputS3Directory": task.directory,
        "createdAt": format_iso(task.accepted_unix),
        "tags": task.tags,
    }
    if task.ended_unix is not None and task.status in FINAL:
        document["endedAt"] = format_iso(clock.project(task.accepted_unix, task.ended_unix))
    return document


def task_document(
    task: EmulatedTask, registry: TaskRegistry, *, clock: ScaledClock, with_queue: bool
) -> dict[str, object]:
    """``GET /quantum-task/{arn}``."""
    order = task.order
    action: dict[str, object] = {"actionType": order.action_type}
    if order.is_set:
        action |= {"programCount": len(order.executables), "executableCount": order.n_executables}
    document = task_summary(task, clock=clock) | {
        "deviceParameters": order.device_parameters or "{}",
        "actionMetadata": action,
        "associations": order.associations,
    }
    if order.experimental is not None:
        document["experimentalCapabilities"] = order.experimental
    if task.failure_reason is not None:
        document["failureReason"] = task.failure_reason
    if task.status == "COMPLETED":
        document["numSuccessfulShots"] = task.successful_shots
    if with_queue:
        document["queueInfo"] = _queue_info(task, registry)
    return document


def _queue_info(task: EmulatedTask, registry: TaskRegistry) -> dict[str, object]:
    document: dict[str, object] = {
        "queue": "QUANTUM_TASKS_QUEUE",
        "position": registry.position(task),
        "queuePriority": "Normal",
    }
    if task.status not in WAITING:
        document["message"] = (
            f"Task is in {task.status} status. AmazonBraket does not show queue position for this status."
        )
    return document
