"""Jobs, sessions, backends and usage as the service shows them."""

from collections.abc import Mapping

from qorch_providers.emulators.ibm.calibrations import Calibration
from qorch_providers.emulators.ibm.devices import IbmMachine
from qorch_providers.emulators.ibm.instances import Instance
from qorch_providers.emulators.ibm.jobs import IbmJob
from qorch_providers.emulators.ibm.money import UsageModel, whole_seconds
from qorch_providers.emulators.ibm.sessions import IbmSession
from qorch_providers.emulators.kit.clock import ScaledClock, format_iso

QISKIT_VERSION = "2.0.0"
_ACTIVE_SECONDS = 28_800


def job_document(job: IbmJob, *, clock: ScaledClock, usage: UsageModel) -> dict[str, object]:
    """One job, without its inputs."""
    order = job.order
    document: dict[str, object] = {
        "id": job.id,
        "backend": order.backend,
        "state": _state(job),
        "status": job.status,
        "program": {"id": order.program_id},
        "created": format_iso(job.accepted_unix),
        "runtime": order.runtime,
        "cost": order.max_seconds,
        "tags": list(job.tags),
        "user_id": "emulator",
        "private": order.is_private,
        "usage": usage_document(job, now_seconds=clock.protocol_seconds()),
    }
    if order.session_id is not None:
        document["session_id"] = order.session_id
    if order.calibration_id is not None:
        document["calibration_id"] = order.calibration_id
    if job.executions:
        document["estimated_running_time_seconds"] = usage.seconds(job.executions)
    if job.ended_unix is not None and job.is_over:
        document["ended"] = format_iso(clock.project(job.accepted_unix, job.ended_unix))
    return document


def _state(job: IbmJob) -> dict[str, object]:
    state: dict[str, object] = {"status": job.status}
    if job.reason is not None:
        state["reason"] = job.reason
    if job.reason_code is not None:
        state["reason_code"] = job.reason_code
    return state


def usage_document(job: IbmJob, *, now_seconds: float) -> dict[str, object]:
    """What a job used: 0 and pending until it is complete."""
    due = job.usage_due_seconds
    if due is None or now_seconds < due:
        return {"qpu_charge_time_seconds": 0, "status": "pending"}
    return {"qpu_charge_time_seconds": job.usage_seconds, "status": "complete"}


def metrics_document(job: IbmJob, *, clock: ScaledClock, usage: UsageModel) -> dict[str, object]:
    """``GET /jobs/{id}/metrics``."""
    times = {"created": job.accepted_unix, "running": job.started_unix, "finished": job.ended_unix}
    return {
        "timestamps": {
            name: None if unix is None else format_iso(clock.project(job.accepted_unix, unix))
            for name, unix in times.items()
        },
        "usage": usage_document(job, now_seconds=clock.protocol_seconds()),
        "circuits_execution_time_ns": usage.circuits_ns(job.executions) if job.is_over else None,
        "qiskit_version": QISKIT_VERSION,
        "caller": "emulator",
    }


def session_document(
    session: IbmSession, *, clock: ScaledClock, interactive_seconds: float, used_seconds: float
) -> dict[str, object]:
    """``GET /sessions/{id}``. ``used_seconds``: what it is charged for so far."""

    def at(unix: float | None) -> str | None:
        return None if unix is None else format_iso(clock.project(session.created_unix, unix))

    return {
        "id": session.id,
        "backend_name": session.backend,
        "mode": session.mode,
        "state": session.state,
        "accepting_jobs": session.accepting_jobs,
        "interactive_ttl": interactive_seconds,
        "max_ttl": session.max_ttl,
        "active_ttl": min(session.max_ttl, _ACTIVE_SECONDS),
        "started_at": at(session.created_unix),
        "activated_at": at(session.activated_unix),
        "closed_at": at(session.closed_unix),
        "last_job_started": at(session.last_started_unix),
        "last_job_completed": at(session.last_completed_unix),
        "elapsed_time": whole_seconds(used_seconds),
        "timestamps": [{"status": state, "timestamp": at(unix)} for state, unix in session.history],
    }


def backend_document(
    device: IbmMachine, *, status: Mapping[str, str], queue_length: int, calibration: Calibration
) -> dict[str, object]:
    """One device of ``GET /backends``."""
    configuration = device.configuration
    return {
        "name": device.name,
        "class": "mock" if device.is_mock else "quantum",
        "status": status,
        "is_simulator": False,
        "qubits": device.n_qubits,
        "physical_qubits": device.n_qubits,
        "processor_type": configuration.get("processor_type"),
        "clops": {"type": "hardware", "value": configuration.get("clops_h")},
        "queue_length": queue_length,
        "calibration_id": calibration.id,
        "last_updated": format_iso(calibration.made_unix),
    }


def status_document(device: IbmMachine, *, state: bool, status: str, queue_length: int) -> dict[str, object]:
    """``GET /backends/{name}/status``."""
    return {
        "backend_version": device.configuration["backend_version"],
        "state": state,
        "status": status,
        "message": "available" if status == "active" else status,
        "length_queue": queue_length,
    }


def instance_usage_document(instance: Instance, *, consumed_seconds: int) -> dict[str, object]:
    """``GET /instances/usage``."""
    limit = instance.limit_seconds
    document: dict[str, object] = {
        "instance_id": instance.crn,
        "plan_id": instance.plan.id,
        "usage_consumed_seconds": consumed_seconds,
        "usage_limit_reached": limit is not None and consumed_seconds >= limit,
    }
    return document if limit is None else document | {"usage_limit_seconds": limit, "usage_allocation_seconds": limit}


def workload_document(
    found: IbmJob | IbmSession, *, clock: ScaledClock, usage: Mapping[str, object]
) -> dict[str, object]:
    """One line of ``GET /workloads``: a session, a batch, or a job outside of them."""
    if isinstance(found, IbmJob):
        created, ended, mode = found.accepted_unix, found.ended_unix, "job"
        backend, instance, status, tags = found.order.backend, found.order.instance, found.status, list(found.tags)
    else:
        created, ended, mode = found.created_unix, found.closed_unix, "session" if found.is_dedicated else "batch"
        backend, instance, tags = found.backend, found.instance, []
        status = {"closed": "Completed", "open": "Pending"}.get(found.state, "In progress")
    document: dict[str, object] = {
        "id": found.id,
        "mode": mode,
        "created": format_iso(created),
        "ended": None if ended is None else format_iso(clock.project(created, ended)),
        "backend": backend,
        "instance": instance.crn,
        "user_id": "emulator",
        "status": status,
        "tags": tags,
        "usage": usage,
    }
    if isinstance(found, IbmSession):
        document["accepting_jobs"] = found.accepting_jobs
    return document
