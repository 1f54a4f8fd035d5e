"""What jobs cost, line by line.

IonQ holds the price of a job back when it is accepted, charges it when the job has run, and releases it if the job
failed or was cancelled before. Circuits that failed are not charged. The simulator and dry runs cost nothing.
"""

import numpy as np

from qorch_providers.emulators.ionq.jobs import FINAL, Job
from qorch_providers.emulators.ionq.truth import job_key
from qorch_providers.emulators.kit.bills import BillLine


def job_line(job: Job, *, now_seconds: float) -> BillLine:
    """The line of one accepted job; ``now_seconds``: by the protocol's clock."""
    is_over = job.status in FINAL
    return BillLine(
        id=job.id,
        target=job.order.backend,
        state=job.status,
        created_unix=job.accepted_unix,
        ended_unix=job.completed_unix,
        is_final=is_over and job.is_cost_told(now_seconds),
        key=job_key(job),
        counted=_count(job) if is_over and job.n_charged else {},
        micros=job.price_micros if is_over else 0,
        reserved_micros=0 if is_over else job.price_micros,
    )


def _count(job: Job) -> dict[str, int]:
    order, charged = job.order, job.charged_circuits
    return {
        "circuits": len(charged),
        "shots": len(charged) * order.shots,
        "one_qubit_gate_shots": int(np.sum(order.n_one[charged])) * order.shots,
        "two_qubit_gate_shots": int(np.sum(order.n_two[charged])) * order.shots,
    }
