"""The emulated backends and noise models: how they are listed, and the error rates that represent the machines.

The rates are round figures of the size that IonQ published for each generation. They are an approximation, as is how
they are used: see `qorch_providers.emulators.statevector.noise`.
"""

import uuid
from dataclasses import dataclass
from types import MappingProxyType

from qorch_providers.emulators.kit.clock import format_iso
from qorch_providers.emulators.statevector.noise import NoiseRates

QIS_GATES = (
    "x", "y", "z", "rx", "ry", "rz", "h", "s", "si", "v", "vi", "t", "ti",
    "not", "cnot", "swap", "xx", "yy", "zz", "pauliexp",
)  # fmt: skip


NOISE_MODELS = MappingProxyType(
    {
        "ideal": None,
        "harmony": NoiseRates(0.004, 0.027, 0.0018),
        "harmony-1": NoiseRates(0.004, 0.027, 0.0018),
        "harmony-2": NoiseRates(0.004, 0.027, 0.0018),
        "aria-1": NoiseRates(0.0005, 0.0133, 0.0025),
        "aria-2": NoiseRates(0.0005, 0.0133, 0.0025),
        "forte-1": NoiseRates(0.0002, 0.0074, 0.005),
        "forte-enterprise-1": NoiseRates(0.0002, 0.0060, 0.005),
    }
)


@dataclass(frozen=True)
class Machine:
    """One backend. ``is_listed``: v0.4 knows it; v0.3 knows all of them."""

    name: str
    qubits: int
    native_gates: tuple[str, ...]
    noise_model: str
    is_listed: bool = True

    @property
    def is_simulator(self) -> bool:
        """Whether it is the simulator, which is free and takes a noise model from the job."""
        return self.name == "simulator"

    @property
    def characterization_id(self) -> str:
        """The id of its one characterization, the same in every emulator."""
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{self.name}.emulator.invalid"))


MACHINES = MappingProxyType(
    {
        machine.name: machine
        for machine in (
            Machine("simulator", 29, ("gpi", "gpi2", "ms", "zz"), "ideal"),
            Machine("qpu.forte-1", 36, ("gpi", "gpi2", "zz"), "forte-1"),
            Machine("qpu.forte-enterprise-1", 36, ("gpi", "gpi2", "zz"), "forte-enterprise-1"),
            Machine("qpu.aria-1", 25, ("gpi", "gpi2", "ms"), "aria-1", is_listed=False),
        )
    }
)


def known_machines(version: str) -> list[Machine]:
    """The backends that a version of the protocol knows."""
    return [machine for machine in MACHINES.values() if machine.is_listed or version == "v0.3"]


def backend_document(
    machine: Machine, *, is_available: bool, queue_seconds: float, updated_unix: float
) -> dict[str, object]:
    """One item of ``GET /backends``; ``average_queue_time`` is in milliseconds."""
    document: dict[str, object] = {
        "backend": machine.name,
        "status": "available" if is_available else "unavailable",
        "degraded": False,
        "qubits": machine.qubits,
        "average_queue_time": round(1000 * queue_seconds),
        "last_updated": format_iso(updated_unix),
        "location": "loopback",
        "supported_gates": QIS_GATES,
        "supported_native_gates": machine.native_gates,
        "supported_error_mitigations": [] if machine.is_simulator else ["debiasing"],
    }
    if not machine.is_simulator:
        document |= {"characterization_id": machine.characterization_id, "kw": 4.9}
    return document


def characterization_document(machine: Machine, *, date_unix: float) -> dict[str, object]:
    """The one characterization of a machine: medians that repeat its noise rates, times in seconds."""
    rates = NOISE_MODELS[machine.noise_model] or NoiseRates(0.0, 0.0, 0.0)
    return {
        "id": machine.characterization_id,
        "backend": machine.name,
        "status": "available",
        "date": format_iso(date_unix),
        "qubits": machine.qubits,
        "connectivity": [[a, b] for a in range(machine.qubits) for b in range(a + 1, machine.qubits)],
        "fidelity": {
            "1q": {"median": 1.0 - rates.one_qubit},
            "2q": {"median": 1.0 - rates.two_qubit},
            "spam": {"median": 1.0 - rates.readout},
        },
        "timing": {"readout": 0.00025, "reset": 0.00003, "1q": 0.00013, "2q": 0.00097, "t1": 100, "t2": 1},
    }
