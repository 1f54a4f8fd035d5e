"""The JSON documents of jobs in version 0.4 of the protocol."""

from collections.abc import Callable

import numpy as np

from qorch_providers.emulators.ionq.jobs import FINAL, Found, Job
from qorch_providers.emulators.ionq.money import BY_TIME, as_dollars, compute_time_us
from qorch_providers.emulators.ionq.outcomes import AGGREGATE, AGGREGATE_FORMAT, FORMATS
from qorch_providers.emulators.ionq.submission import SINGLE
from qorch_providers.emulators.kit.clock import ScaledClock, format_iso

RESULT_SHAPES = ("both", "url", "artifact")
PROJECT_ID = "00000000-0000-4000-8000-000000000001"
_URLS = ("probabilities", "histogram", "shots")
_JSON = "application/json"


def job_document(found: Found, *, clock: ScaledClock, result_shapes: str) -> dict[str, object]:
    """``GET /jobs/{id}``. ``result_shapes``: `both`, `url` (the older shape), or `artifact` (the newer)."""
    job, order = found.job, found.job.order
    document: dict[str, object] = {
        "id": found.id,
        "status": found.status,
        "type": order.kind if found.child is None else SINGLE,
        "backend": order.backend,
        "dry_run": order.dry_run,
        "submitter_id": order.submitter_id,
        "project_id": PROJECT_ID,
        "parent_job_id": None if found.child is None else job.id,
        "child_job_ids": list(job.child_ids) if found.child is None and order.is_multi else None,
        "session_id": order.session_id,
        "name": order.name if found.child is None else order.circuit_names[found.child],
        "metadata": order.metadata or {},
        **_times(job, clock),
        "failure": failure_document(found, key="message"),
        "cost_model": order.cost_model,
        "settings": order.settings,
        "stats": _stats(found),
        "output": _output(found),
        "results": _results(found, result_shapes),
    }
    if not order.is_exact:
        document["shots"] = order.shots
    if order.backend == "simulator":
        document["noise"] = noise_document(job)
    return document


def noise_document(job: Job) -> dict[str, object]:
    """The noise of a simulator job."""
    seed = job.order.noise_seed
    return {"model": job.order.noise_model} | ({} if seed is None else {"seed": seed})


def failure_document(found: Found, *, key: str) -> dict[str, str] | None:
    """Why a job failed; v0.4 calls the text `message`, v0.3 `error`."""
    if found.status != "failed":
        return None
    failure = found.job.failure
    if failure is None:
        return {"code": "QuantumComputerError", key: "this circuit failed"}
    return {"code": failure.code, key: failure.message}


def reported_unix(job: Job, clock: ScaledClock, moment: Callable[[Job], float | None]) -> float | None:
    """The reported time of an event of a job: its distance from the acceptance is that without a time scale."""
    unix = moment(job)
    return None if unix is None else clock.project(job.accepted_unix, unix)


def execution_ms(job: Job, clock: ScaledClock) -> int | None:
    """Protocol milliseconds from start to end; None until the job has ended."""
    if job.started_unix is None or job.completed_unix is None:
        return None
    return round(1000 * clock.scale * (job.completed_unix - job.started_unix))


def cost_document(found: Found, *, now_seconds: float) -> dict[str, object]:
    """``GET /jobs/{id}/cost``; free simulator jobs have no estimate. ``now_seconds``: by the protocol's clock."""
    job = found.job
    is_lone_child_paid = found.child is not None and found.child not in job.failed_children and job.n_charged > 0
    if found.child is None:
        charged, estimated = job.price_micros, max(job.order.least_micros, int(job.order.circuit_micros.sum()))
    else:
        estimated = int(job.order.circuit_micros[found.child])
        charged = estimated * is_lone_child_paid
    document: dict[str, object] = {"dry_run": job.order.dry_run}
    if estimated:
        document["estimated_cost"] = as_dollars(estimated)
    if found.status in FINAL and job.is_cost_told(now_seconds):
        document["cost"] = as_dollars(charged)
    return document


def _times(job: Job, clock: ScaledClock) -> dict[str, object]:
    started = reported_unix(job, clock, lambda each: each.started_unix)
    completed = reported_unix(job, clock, lambda each: each.completed_unix)
    return {
        "submitted_at": format_iso(job.accepted_unix),
        "started_at": None if started is None else format_iso(started),
        "completed_at": None if completed is None else format_iso(completed),
        "predicted_wait_time_ms": None,
        "predicted_execution_duration_ms": None,
        "execution_duration_ms": execution_ms(job, clock),
    }


def _stats(found: Found) -> dict[str, object]:
    order = found.job.order
    part = slice(None) if found.child is None else slice(found.child, found.child + 1)
    n_one, n_two = int(order.n_one[part].sum()), int(order.n_two[part].sum())
    compute_us = compute_time_us(n_one=n_one, n_two=n_two, shots=order.shots)
    return {
        "qubits": int(np.max(order.widths[part])),
        "circuits": order.n_circuits if found.child is None else 1,
        "gate_counts": {"1q": n_one, "2q": n_two},
        "predicted_quantum_compute_time_us": compute_us,
    } | ({"billed_quantum_compute_time_us": compute_us} if found.job.has_run and order.cost_model == BY_TIME else {})


def _output(found: Found) -> dict[str, object]:
    mitigation = found.job.order.settings.get("error_mitigation")
    if not isinstance(mitigation, dict) or "debiasing" not in mitigation:
        return {}
    # The service answers with an object if it debiased, and with false if it did not.
    return {"error_mitigation": {"debiasing": {"variants": 1} if mitigation["debiasing"] else False}}


def _results(found: Found, shapes: str) -> dict[str, object] | None:
    if found.status != "completed" or found.job.order.dry_run:
        return None
    results: dict[str, object] = {}
    base = f"/v0.4/jobs/{found.id}/results"
    if found.child is None and found.job.order.is_multi:
        if shapes != "artifact":
            results["probabilities"] = {"url": f"{base}/probabilities/aggregated"}
        if shapes != "url":
            results[AGGREGATE_FORMAT] = {"id": AGGREGATE, "format": AGGREGATE_FORMAT, "media_type": _JSON}
        return results
    for name, form in FORMATS.items():
        if form.is_sampled and found.job.order.is_exact:
            continue
        if shapes != "artifact" and name in _URLS:
            results[name] = {"url": f"{base}/{name}"}
        if shapes != "url":
            results[form.identifier] = {"id": form.artifact, "format": form.identifier, "media_type": _JSON}
    return results
