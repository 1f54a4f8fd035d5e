"""Prices of jobs, in millionths of a dollar: per gate and shot with a minimum for each job, or per shot and circuit.

The service's own prices are a matter of contract. The defaults for QPUs are what another reseller published for the
same machines in December 2024, by gates; the minimum is a least price, not an addend. The simulator is free unless told
otherwise.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from qorch.errors import UsageError

Gates = npt.NDArray[np.int64]
"""A number for each circuit of a job."""

MICROS = 1_000_000
BY_TIME, BY_GATES = "QCT", "2QGE_operations"
"""What the service says that it counts."""
_PRICE = re.compile(r"(?:(simulator|qpu|gate1|gate2|minimum|mitigated)=)?([0-9]+(?:\.[0-9]{1,6})?)")
_OF_GATES = frozenset({"gate1", "gate2", "minimum", "mitigated"})
_ONE_QUBIT_US, _TWO_QUBIT_US, _SHOT_US = 130, 970, 300


@dataclass(frozen=True)
class GatePrices:
    """Of QPUs, in micro-dollars: a gate on one and on two qubits in one shot, and the least for a job.

    ``mitigated_minimum``: the least for a job with error mitigation.
    """

    one: int
    two: int
    minimum: int = 0
    mitigated_minimum: int = 0


PUBLISHED = GatePrices(one=220, two=975, minimum=12_416_600, mitigated_minimum=97_500_000)


@dataclass(frozen=True)
class Prices:
    """Micro-dollars per shot and circuit; ``gates``: what QPUs charge instead, None if they charge by shots."""

    simulator_micros: int = 0
    qpu_micros: int = 0
    gates: GatePrices | None = PUBLISHED

    @property
    def cost_model(self) -> str:
        """The service's word for what it counts on QPUs."""
        return BY_TIME if self.gates is None else BY_GATES

    def per_shot_micros(self, backend: str) -> int:
        """The price per shot and circuit on a backend."""
        return self.simulator_micros if backend == "simulator" else self.qpu_micros

    def circuits_micros(self, backend: str, *, n_one: Gates, n_two: Gates, shots: int) -> Gates:
        """What each circuit of a job costs; ``n_one`` and ``n_two``: its gates on one and on more qubits."""
        if self.gates is None or backend == "simulator":
            return np.full(len(n_one), self.per_shot_micros(backend) * shots, dtype=np.int64)
        return (n_one * self.gates.one + n_two * self.gates.two) * shots

    def least_micros(self, backend: str, *, is_mitigated: bool) -> int:
        """What a job costs at least that is charged at all."""
        if self.gates is None or backend == "simulator":
            return 0
        return max(self.gates.minimum, self.gates.mitigated_minimum if is_mitigated else 0)

    def estimate_micros(self, backend: str, *, n_one: int, n_two: int, shots: int, is_mitigated: bool) -> int:
        """What a job of one circuit would cost."""
        of_circuits = self.circuits_micros(backend, n_one=np.array([n_one]), n_two=np.array([n_two]), shots=shots)
        return max(self.least_micros(backend, is_mitigated=is_mitigated), int(of_circuits[0]))


def parse_prices(text: str) -> Prices:
    """Prices such as ``0.01`` (of QPUs) or ``simulator=0.001,qpu=0.08``, in dollars. Raises UsageError.

    ``gate1=0.00022,gate2=0.000975,minimum=12.4166,mitigated=97.5``: QPUs charge gates times shots, for which these are
    the default; if one of them is named, the others are 0.
    """
    found: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _PRICE.fullmatch(part)
        if match is None:
            raise UsageError(
                f"'{part}' is not a price; write dollars per shot and circuit, such as 0.01 or qpu=0.08, or of gates,"
                " such as gate1=0.00022,gate2=0.000975,minimum=12.4166"
            )
        found[match[1] or "qpu"] = int(Decimal(match[2]) * MICROS)
    gates = None if "qpu" in found else PUBLISHED
    if found.keys() & _OF_GATES:
        gates = GatePrices(*(found.get(name, 0) for name in ("gate1", "gate2", "minimum", "mitigated")))
    return Prices(found.get("simulator", 0), found.get("qpu", 0), gates)


def as_dollars(micros: int) -> dict[str, object]:
    """An amount of money in the service's JSON."""
    return {"value": micros / MICROS, "unit": "usd"}


def compute_time_us(*, n_one: int, n_two: int, shots: int) -> int:
    """Quantum compute time of a circuit in microseconds, from round figures for gates and readout of trapped ions."""
    return shots * (_SHOT_US + _ONE_QUBIT_US * n_one + _TWO_QUBIT_US * n_two)


ESTIMATE_DEFAULTS = MappingProxyType({"qubits": 25, "shots": 1000, "1q_gates": 0, "2q_gates": 0})


def estimate_document(
    context: dict[str, object],
    *,
    gates: GatePrices | None,
    price_micros: int,
    estimated_at: str,
    queue_ms: int,
    compute_us: int,
) -> dict[str, object]:
    """``GET /jobs/estimate``, with the keys of its present and of its earlier shape. ``gates``: None: not charged."""
    asked = gates or GatePrices(0, 0)
    least = max(asked.minimum, asked.mitigated_minimum if context["error_mitigation"] else 0)
    rate: dict[str, object] = {
        "sku": "emulator-gates",
        "unit": "gates",
        "cost_1q_gate": asked.one / MICROS,
        "cost_2q_gate": asked.two / MICROS,
        "job_cost_minimum": least / MICROS,
    }
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
