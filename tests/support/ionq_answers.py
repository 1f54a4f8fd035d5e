"""Documents of IonQ's server in the shapes that its API reference of October 2026 shows, and answers made of them."""

import json
from typing import Any

import numpy as np

from qorch.model.job import RawResult
from qorch_providers.ionq.results.archive import encode_answer

CHILDREN = (
    "5b6a2b0e-31f2-4b8e-9c57-0a4f0f8f4d11",
    "c2d9f3aa-7e55-4f0f-8d52-e9a1c6b7f022",
    "0f31c7d4-98b3-4c19-b6f1-7d3f5a2e9c33",
)

MULTI_JOB = {
    "id": "617a1f8b-59d4-435d-aa33-695433d7155e",
    "status": "completed",
    "type": "ionq.multi-circuit.v1",
    "backend": "simulator",
    "dry_run": False,
    "submitter_id": "u1",
    "project_id": "p1",
    "parent_job_id": None,
    "child_job_ids": list(CHILDREN),
    "session_id": None,
    "name": "qorch 0123456789abcdef",
    "metadata": {"qorch_key": "0123456789abcdef" * 4},
    "submitted_at": "2026-06-11T20:47:05.440Z",
    "started_at": "2026-06-11T20:47:06.440Z",
    "completed_at": "2026-06-11T20:47:10.640Z",
    "predicted_wait_time_ms": None,
    "predicted_execution_duration_ms": None,
    "execution_duration_ms": 4200,
    "shots": 1000,
    "noise": {"model": "ideal"},
    "failure": None,
    "cost_model": "QCT",
    "settings": {},
    "stats": {
        "qubits": 2,
        "circuits": 3,
        "gate_counts": {"1q": 4, "2q": 1},
        "predicted_quantum_compute_time_us": 5000,
        "billed_quantum_compute_time_us": 5200,
    },
    "output": {"error_mitigation": {"debiasing": False}},
    "results": {
        "probabilities": {"url": "/v0.4/jobs/617a1f8b-59d4-435d-aa33-695433d7155e/results/probabilities/aggregated"},
        "ionq.result.probabilities-aggregate.json.v1": {
            "id": "probabilities-aggregate",
            "format": "ionq.result.probabilities-aggregate.json.v1",
            "media_type": "application/json",
        },
    },
}

OLD_JOB = {
    "id": "aa54e783-0a9b-4f73-ad2f-63983b6aa4a8",
    "status": "running",
    "name": "qorch 0123456789abcdef",
    "metadata": {"qorch_key": "0123456789abcdef" * 4},
    "target": "qpu.aria-1",
    "request": 1490932820,
    "start": 1490932821,
    "response": None,
    "execution_time": None,
    "predicted_execution_time": 13000,
    "cost_usd": 12.41,
    "gate_counts": {"1q": 8, "2q": 2},
    "qubits": 4,
    "circuits": 3,
    "children": list(CHILDREN),
    "results_url": "/v0.3/jobs/aa54e783-0a9b-4f73-ad2f-63983b6aa4a8/results",
}


def job(base: dict[str, Any] = MULTI_JOB, **changes: Any) -> bytes:
    """A job's document, changed in some fields."""
    return json.dumps({**base, **changes}).encode()


def single(**changes: Any) -> bytes:
    """The document of a job with one circuit."""
    return job(type="ionq.circuit.v1", **{"child_job_ids": [], **changes})


def flat(row: Any) -> dict[str, float]:
    """Probabilities with decimal keys, zeros left out."""
    return {str(outcome): float(share) for outcome, share in enumerate(np.asarray(row).tolist()) if share}


def registered(row: Any) -> dict[str, Any]:
    """The same with bitstrings, per register."""
    n_qubits = (len(row) - 1).bit_length()
    bits = {format(int(outcome), f"0{n_qubits}b"): share for outcome, share in flat(row).items()}
    return {"probabilities": {"registers": {"output_all": bits}}}


def whole(rows: Any, *, children: tuple[str, ...] = CHILDREN) -> bytes:
    """The probabilities of all children together."""
    return json.dumps({child: flat(row) for child, row in zip(children, rows, strict=True)}).encode()


def answer(*documents: bytes) -> RawResult:
    """What fetch would keep."""
    return RawResult(encode_answer(documents))
