"""The JSON documents of jobs in version 0.3 of the protocol."""

from types import MappingProxyType

from qorch_providers.emulators.ionq.documents import execution_ms, failure_document, noise_document, reported_unix
from qorch_providers.emulators.ionq.jobs import FINAL, Found
from qorch_providers.emulators.ionq.money import MICROS
from qorch_providers.emulators.kit.clock import ScaledClock

_STATUSES = MappingProxyType({"submitted": "ready", "started": "running"})


def legacy_status(status: str) -> str:
    """The name of a status in version 0.3."""
    return _STATUSES.get(status, status)


def legacy_document(found: Found, *, clock: ScaledClock) -> dict[str, object]:
    """``GET /jobs/{id}``: times in whole seconds since 1970, durations in milliseconds."""
    job, order = found.job, found.job.order
    part = slice(None) if found.child is None else slice(found.child, found.child + 1)
    document: dict[str, object] = {
        "id": found.id,
        "status": legacy_status(found.status),
        "name": order.name if found.child is None else order.circuit_names[found.child],
        "target": order.backend,
        "metadata": order.metadata or {},
        "shots": order.shots,
        "qubits": int(order.widths[part].max()),
        "circuits": order.n_circuits if found.child is None else 1,
        "gate_counts": {"1q": int(order.n_one[part].sum()), "2q": int(order.n_two[part].sum())},
        "request": int(job.accepted_unix),
        "predicted_execution_time": None,
        "cost_usd": job.price_micros / MICROS,
    }
    if started := reported_unix(job, clock, lambda each: each.started_unix):
        document["start"] = int(started)
    if found.status in FINAL and (completed := reported_unix(job, clock, lambda each: each.completed_unix)):
        document |= {"response": int(completed), "execution_time": execution_ms(job, clock)}
    if found.child is None and order.is_multi:
        document["children"] = list(job.child_ids)
    if order.backend == "simulator":
        document["noise"] = noise_document(job)
    if failure := failure_document(found, key="error"):
        document["failure"] = failure
    if found.status == "completed":
        document["results_url"] = f"/v0.3/jobs/{found.id}/results"
    return document
