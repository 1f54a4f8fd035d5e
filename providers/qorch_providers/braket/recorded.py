"""Devices of Amazon Braket as they were described in 2026: for quotes alone, which ask nobody."""

from collections.abc import Mapping
from types import MappingProxyType

from qorch_providers.braket.circuits.rewrites import BRAKET_GATES
from qorch_providers.braket.device import BraketDevice, ProgramSetLimits

_SETS = ProgramSetLimits(100, 200_000)
"""What Amazon's own SDK declares for its local devices; the documentation speaks of close to 100 executables."""
_IONQ = frozenset(
    ["x", "y", "z", "h", "s", "si", "t", "ti", "v", "vi", "rx", "ry", "rz", "cnot", "swap", "xx", "yy", "zz"]
)
_GENERAL = frozenset(
    [
        "ccnot",
        "cnot",
        "cphaseshift",
        "cswap",
        "cz",
        "h",
        "i",
        "iswap",
        "phaseshift",
        "pswap",
        "rx",
        "ry",
        "rz",
        "s",
        "si",
        "swap",
        "t",
        "ti",
        "v",
        "vi",
        "x",
        "xx",
        "xy",
        "y",
        "yy",
        "z",
        "zz",
    ]
)


def _machine(
    place: str, name: str, *, n_qubits: int, shots: tuple[int, int], gates: frozenset[str] = _GENERAL
) -> BraketDevice:
    is_ionq = "/ionq/" in place
    return BraketDevice(
        arn=f"arn:aws:braket:{place}",
        name=name,
        schema="",
        is_simulator=False,
        n_qubits=n_qubits,
        gates=gates,
        min_shots=shots[0],
        max_shots=shots[1],
        program_sets=_SETS,
        min_debiased_shots=2500 if is_ionq else None,
        can_keep_qubits=not is_ionq,
    )


def _simulator(name: str, *, n_qubits: int) -> BraketDevice:
    return BraketDevice(
        arn=f"arn:aws:braket:::device/quantum-simulator/amazon/{name.lower()}",
        name=name,
        schema="",
        is_simulator=True,
        n_qubits=n_qubits,
        gates=frozenset(BRAKET_GATES),
        min_shots=0,
        max_shots=100_000,
        has_exact_values=True,
    )


RECORDED: Mapping[str, BraketDevice] = MappingProxyType(
    {
        device.arn.lower(): device
        for device in (
            _simulator("SV1", n_qubits=34),
            _simulator("DM1", n_qubits=17),
            _machine("eu-north-1::device/qpu/iqm/Garnet", "Garnet", n_qubits=20, shots=(1, 20_000)),
            _machine("eu-north-1::device/qpu/iqm/Emerald", "Emerald", n_qubits=54, shots=(1, 20_000)),
            _machine("eu-north-1::device/qpu/aqt/Ibex-Q1", "Ibex-Q1", n_qubits=12, shots=(1, 2_000)),
            _machine("us-east-1::device/qpu/ionq/Forte-1", "Forte 1", n_qubits=36, shots=(1, 5_000), gates=_IONQ),
            _machine(
                "us-east-1::device/qpu/ionq/Forte-Enterprise-1", "Forte Enterprise 1", n_qubits=36, shots=(1, 5_000),
                gates=_IONQ,
            ),
            _machine("us-west-1::device/qpu/rigetti/Ankaa-3", "Ankaa-3", n_qubits=82, shots=(10, 50_000)),
            _machine(
                "us-west-1::device/qpu/rigetti/Cepheus-1-108Q", "Cepheus-1-108Q", n_qubits=108, shots=(10, 50_000)
            ),
        )
    }
)  # fmt: skip
"""By ARN in lower case. A device that has program sets here and not there, or the other way round, needs other jobs."""
