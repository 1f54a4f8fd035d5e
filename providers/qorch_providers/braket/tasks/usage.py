"""What tasks were charged for, as far as a task tells: on QPUs one task and its shots."""

from collections.abc import Collection

from qorch.model.job import RemoteState
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage, report_usage
from qorch_providers.braket.tasks.status import AT_ONCE, read_state
from qorch_providers.braket.wire.client import BraketClient
from qorch_providers.braket.wire.documents import BraketTask
from qorch_providers.http import ask_each


def read_usage(task: BraketTask, *, is_simulator: bool) -> ReportedUsage:
    """The usage of a task, PENDING before its end and as long as the number of its shots is not said.

    Simulators are charged by time, which a task does not tell, but its result does. A task that failed or was cancelled
    before any shot was taken is not charged, and tells no number.
    """
    if is_simulator:
        return NO_USAGE
    state = read_state(task)
    if state in (RemoteState.FAILED, RemoteState.CANCELLED) and not task.successful_shots:
        return NO_USAGE
    if not state.is_over or task.successful_shots is None:
        return PENDING_USAGE
    return report_usage(tasks=1, shots=task.successful_shots)


async def fetch_usage(client: BraketClient, arns: Collection[str], *, is_simulator: bool) -> dict[str, ReportedUsage]:
    """The same by ARN, of each by its own document: lists have no number of shots that were taken.

    Tasks that Braket does not know are missing. Raises what BraketClient raises.
    """
    if is_simulator:
        return dict.fromkeys(arns, NO_USAGE)
    tasks = await ask_each(lambda arn: client.task(arn, purpose="usage"), list(arns), at_once=AT_ONCE)
    return {task.arn: read_usage(task, is_simulator=False) for task in tasks if task is not None}
