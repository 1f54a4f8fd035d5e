"""What the tests of the emulator share: a running one with a client that sends what it is told."""

import time
from dataclasses import dataclass
from typing import Any

import httpx

from qorch_providers.emulators.ionq import RunningEmulator

Gate = dict[str, Any]
SKEWED: list[Gate] = [
    {"gate": "ry", "target": 0, "rotation": 0.8},
    {"gate": "cnot", "control": 0, "target": 2},
    {"gate": "rx", "target": 1, "rotation": 0.5},
]
"""Three qubits, of which 0 and 2 agree; every outcome tells the bit order."""


@dataclass(frozen=True)
class Bench:
    """A running emulator with a client for either version of its protocol."""

    emulator: RunningEmulator
    client: httpx.Client
    legacy: httpx.Client

    def post(self, *circuits: list[Gate], **fields: Any) -> httpx.Response:
        """Submit one circuit, or several as one job; fields replace those of the body."""
        given: dict[str, Any] = {"gateset": "qis", "qubits": 3}
        if len(circuits) == 1:
            kind = "ionq.circuit.v1"
            given["circuit"] = circuits[0]
        else:
            kind = "ionq.multi-circuit.v1"
            given["circuits"] = [{"name": f"c{index}", "circuit": each} for index, each in enumerate(circuits)]
        return self.client.post("/jobs", json={"type": kind, "backend": "simulator", "input": given} | fields)

    def submit(self, *circuits: list[Gate], **fields: Any) -> str:
        """Submit and return the id."""
        answer = self.post(*circuits, **fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def get(self, path: str, *, status: int = 200) -> Any:
        """The document at a path, which must be answered with this status."""
        answer = self.client.get(path)
        assert answer.status_code == status, answer.text
        return answer.json()

    def wait(self, job_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The job once it is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.get(f"/jobs/{job_id}")
            if job["status"] in ("completed", "failed", "canceled"):
                return job
            time.sleep(0.005)
        raise AssertionError(f"job {job_id} is still {job['status']}")

    def run(self, *circuits: list[Gate], **fields: Any) -> dict[str, Any]:
        """Submit and wait."""
        return self.wait(self.submit(*circuits, **fields))
