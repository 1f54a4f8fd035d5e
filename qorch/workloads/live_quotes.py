"""What a provider itself says that a training would cost: it is asked about each kind of job, and none is sent."""

from qorch.errors import UsageError
from qorch.model.job import JobRequest, Usage
from qorch.model.money import Money
from qorch.planning.quoting import plan_jobs
from qorch.ports.backend import Backend, EstimatesCost, OfflinePlanner
from qorch.workloads.quoting import RehearsedWorkload


async def ask_for_cost(
    rehearsed: RehearsedWorkload, planner: OfflinePlanner, backend: Backend, *, default_shots: int | None
) -> Money | None:
    """The whole training by the provider's own estimates, one question for jobs of equal quantities.

    None if the provider estimates in something that is no money. Raises UsageError if it estimates nothing, and
    BackendError if it does not answer.
    """
    if not isinstance(backend, EstimatesCost):
        raise UsageError(f"{backend.name} estimates no costs before a job is sent; leave out --live")
    total: Money | None = None
    for request, count in count_jobs(rehearsed, planner, default_shots=default_shots):
        money = await backend.estimate_cost(request)
        if money is None:
            return None
        times = Money(money.currency, count * money.micros)
        total = times if total is None else total + times
    return total


def count_jobs(
    rehearsed: RehearsedWorkload, planner: OfflinePlanner, *, default_shots: int | None
) -> list[tuple[JobRequest, int]]:
    """The jobs of the whole training: one of each kind, by what is billed of it, and how many there are."""
    outline = rehearsed.outline
    kinds: dict[tuple[Usage | None, int], tuple[JobRequest, int]] = {}
    parts = ((rehearsed.step, outline.steps * outline.epochs), (rehearsed.evaluation, outline.epochs))
    for calls, times in parts:
        for call in calls:
            for request in plan_jobs(call.batch, planner, default_shots=default_shots):
                kind = planner.measure(request), max(block.gates.n_qubits for block in request.blocks)
                first, count = kinds.get(kind, (request, 0))
                kinds[kind] = first, count + times
    return list(kinds.values())
