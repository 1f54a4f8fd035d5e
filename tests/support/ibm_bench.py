"""What the tests of the IBM emulator share: a running one with a client that sends what it is told."""

import base64
import io
import math
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any

import httpx
import numpy as np
from hand_timer import HandTimer
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import Parameter

from qorch_providers.emulators.ibm import IbmSettings, RunningIbm, start

QUICK: dict[str, Any] = {"posts_per_minute": 0, "noise": "off", "usage_delay": "0", "devices": "ibm_lagos,ibm_manila"}
GRANT = "urn:ibm:params:oauth:grant-type:apikey"
THETA = Parameter("theta")


def skewed(n_qubits: int = 7, qubits: tuple[int, int, int] = (0, 1, 2)) -> QuantumCircuit:
    """Three qubits in gates of ibm_lagos, of which the first two agree; every outcome tells the bit order.

    The register `meas` has the bits in the order of ``qubits``.
    """
    circuit = QuantumCircuit(n_qubits)
    first, second, third = qubits
    _ry(circuit, THETA, first)
    circuit.cx(first, second)
    _ry(circuit, 0.5, third)
    from qiskit import ClassicalRegister

    register = ClassicalRegister(3, "meas")
    circuit.add_register(register)
    circuit.measure(qubits, register)
    return circuit


def _ry(circuit: QuantumCircuit, angle: Any, qubit: int) -> None:
    """A rotation about Y out of rz and sx, up to a phase."""
    circuit.sx(qubit)
    circuit.rz(angle, qubit)
    circuit.sx(qubit)
    circuit.x(qubit)
    circuit.rz(np.pi, qubit)
    circuit.rz(np.pi, qubit)


def skewed_weights(theta: float) -> dict[str, float]:
    """The exact probabilities of `skewed`; keys have the first qubit on the right."""
    both, third = math.sin(theta / 2) ** 2, math.sin(0.25) ** 2
    return {
        "000": (1 - both) * (1 - third),
        "011": both * (1 - third),
        "100": (1 - both) * third,
        "111": both * third,
    }


def is_near(counts: dict[str, int], exact: dict[str, float]) -> bool:
    """Whether counts agree with probabilities within five standard deviations."""
    shots = sum(counts.values())
    return all(
        abs(counts.get(state, 0) - shots * exact.get(state, 0.0))
        <= 5 * math.sqrt(shots * max(exact.get(state, 0.0), 1 / shots))
        for state in counts.keys() | exact.keys()
    )


def circuit_value(circuit: QuantumCircuit) -> dict[str, Any]:
    """A circuit as clients send it."""
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer, version=17)
    return {"__type__": "QuantumCircuit", "__value__": base64.b64encode(zlib.compress(buffer.getvalue())).decode()}


def array_value(array: Any) -> dict[str, Any]:
    """An array as clients send it."""
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(array, dtype=np.float64))
    return {"__type__": "ndarray", "__value__": base64.b64encode(zlib.compress(buffer.getvalue())).decode()}


def read_array(value: dict[str, Any]) -> Any:
    """An array of a result."""
    assert value["__type__"] == "ndarray"
    return np.load(io.BytesIO(zlib.decompress(base64.b64decode(value["__value__"]))))


def read_counts(result: dict[str, Any], pub: int = 0, row: int = 0, register: str = "meas") -> dict[str, int]:
    """Counts of one row of a sampler's result."""
    data = result["__value__"]["pub_results"][pub]["__value__"]["data"]["__value__"]
    value = data["fields"][register]["__value__"]
    packed = read_array(value["array"])
    packed = packed.reshape(-1, *packed.shape[-2:])[row]
    counts: dict[str, int] = {}
    for shot in packed:
        text = "".join(f"{byte:08b}" for byte in shot)[-value["num_bits"] :]
        counts[text] = counts.get(text, 0) + 1
    return counts


class IbmBench:
    """A running emulator, with a client of its first instance."""

    def __init__(self, emulator: RunningIbm, instance: str = "first") -> None:
        """``instance``: its name."""
        self.emulator = emulator
        # Loading the machine's certificates, which nothing here needs, would take longer than most tests.
        self.root = httpx.Client(base_url=emulator.root, timeout=60.0, verify=SSLContext(PROTOCOL_TLS_CLIENT))
        self.headers = {"Service-CRN": emulator.crns[instance], "IBM-API-Version": "2026-04-15"}
        self._token = ""

    def token(self) -> str:
        """A token, asked for once."""
        self._token = self._token or self.ask_for_token().json()["access_token"]
        return self._token

    def ask_for_token(self, key: str = "canary") -> httpx.Response:
        """IAM's answer."""
        return self.root.post(
            "/identity/token", data={"grant_type": GRANT, "apikey": key, "response_type": "cloud_iam"}
        )

    def send(self, method: str, path: str, **fields: Any) -> httpx.Response:
        """A call of the API."""
        headers = {"Authorization": f"Bearer {self.token()}"} | self.headers | fields.pop("headers", {})
        return self.root.request(method, f"/api/v1{path}", headers=headers, **fields)

    def get(self, path: str, *, status: int = 200, **params: Any) -> Any:
        """The document at a path, which must be answered with this status."""
        answer = self.send("GET", path, params=params)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def post(self, *, circuit: QuantumCircuit | None = None, values: Any = (0.8,), **fields: Any) -> httpx.Response:
        """Submit one PUB to the sampler; fields replace those of the body."""
        pub = [circuit_value(circuit or skewed()), array_value(values), 200]
        params = {"pubs": [pub], "options": {}, "version": 2, "support_qiskit": True}
        body = {"program_id": "sampler", "backend": "ibm_lagos", "params": params, "log_level": "WARNING"}
        return self.send("POST", "/jobs", json=body | fields)

    def submit(self, **fields: Any) -> str:
        """Submit and return the id."""
        answer = self.post(**fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def wait(self, job_id: str, *, seconds: float = 60.0) -> dict[str, Any]:
        """The job once it is over."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.get(f"/jobs/{job_id}", exclude_params="true")
            if job["state"]["status"] in ("Completed", "Failed", "Cancelled"):
                return job
            time.sleep(0.005)
        raise AssertionError(f"job {job_id} is still {job['status']}")

    def run(self, **fields: Any) -> dict[str, Any]:
        """Submit, wait, and return the result."""
        job_id = self.submit(**fields)
        job = self.wait(job_id)
        assert job["status"] == "Completed", job
        result: dict[str, Any] = self.get(f"/jobs/{job_id}/results")
        return result

    def open_session(self, mode: str = "dedicated", **fields: Any) -> str:
        """Open a session or batch and return its id."""
        answer = self.send("POST", "/sessions", json={"mode": mode, "backend": "ibm_lagos"} | fields)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])


@contextmanager
def opened(timer: HandTimer | None = None, **settings: Any) -> Iterator[IbmBench]:
    """An emulator with these settings beside the quick ones, and a bench for it."""
    with start(IbmSettings(**QUICK | settings), timer=timer) as emulator:
        bench = IbmBench(emulator)
        with bench.root:
            yield bench
