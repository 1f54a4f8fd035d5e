"""Prices of jobs: per shot and circuit, in millionths of a dollar.

The default for QPUs, 0.08 USD, is what another reseller publishes per shot on the same machines; the service's own
prices are a matter of contract. The simulator is free unless told otherwise.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType

from qorch.errors import UsageError

MICROS = 1_000_000
DEFAULT_QPU_MICROS = 80_000
_PRICE = re.compile(r"(?:(simulator|qpu)=)?([0-9]+(?:\.[0-9]{1,6})?)")
_ONE_QUBIT_US, _TWO_QUBIT_US, _SHOT_US = 130, 970, 300


@dataclass(frozen=True)
class Prices:
    """Micro-dollars per shot and circuit."""

    simulator_micros: int = 0
    qpu_micros: int = DEFAULT_QPU_MICROS

    def per_shot_micros(self, backend: str) -> int:
        """The price per shot and circuit on a backend."""
        return self.simulator_micros if backend == "simulator" else self.qpu_micros


def parse_prices(text: str) -> Prices:
    """Prices such as ``0.01`` (of QPUs) or ``simulator=0.001,qpu=0.08``, in dollars. Raises UsageError."""
    found = {"simulator": 0, "qpu": DEFAULT_QPU_MICROS}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PRICE.fullmatch(part)
        if match is None:
            raise UsageError(f"'{part}' is not a price; write dollars per shot and circuit, such as 0.01 or qpu=0.08")
        found[match[1] or "qpu"] = round(float(match[2]) * MICROS)
    return Prices(found["simulator"], found["qpu"])


def as_dollars(micros: int) -> dict[str, object]:
    """An amount of money in the service's JSON."""
    return {"value": micros / MICROS, "unit": "usd"}


def compute_time_us(*, n_one: int, n_two: int, shots: int) -> int:
    """Quantum compute time of a circuit in microseconds, from round figures for gates and readout of trapped ions."""
    return shots * (_SHOT_US + _ONE_QUBIT_US * n_one + _TWO_QUBIT_US * n_two)


ESTIMATE_DEFAULTS = MappingProxyType({"qubits": 25, "shots": 1000, "1q_gates": 0, "2q_gates": 0})


def estimate_document(
    context: dict[str, object], *, price_micros: int, estimated_at: str, queue_ms: int, compute_us: int
) -> dict[str, object]:
    """``GET /jobs/estimate``, with the keys of its present and of its earlier shape."""
    rate = {"sku": "emulator-gates", "unit": "gates", "cost_1q_gate": 0.0, "cost_2q_gate": 0.0, "job_cost_minimum": 0.0}
    return {
        "estimate_context": {"organization": None, "project": None, **context},
        "estimated_at": estimated_at,
        "estimated_unit": "usd",
        "rate_card": {"id": "emulator", "rates": [rate]},
        "estimated_total_cost": price_micros / MICROS,
        "estimated_execution_time": compute_us // 1000,
        "estimated_quantum_compute_time_us": compute_us,
        "current_predicted_queue_time": queue_ms,
        "input_values": context,
        "cost_unit": "usd",
        "rate_information": {name: rate[name] for name in ("job_cost_minimum", "cost_2q_gate", "cost_1q_gate")},
        "estimated_cost": price_micros / MICROS,
    }
