"""What the tests of Braket's wire share: devices, requests, and programs as the SDK's own matrices see them."""

import json
import re
from dataclasses import replace
from typing import Any

import braket.circuits.gates as sdk_gates
import numpy as np

from qorch.model.circuit import GateList
from qorch.model.job import JobRequest
from qorch.model.measurement import Measurement
from qorch_providers.braket.circuits.programs import Program, program_of
from qorch_providers.braket.circuits.rewrites import BRAKET_GATES
from qorch_providers.braket.circuits.task_body import Destination, encode_task
from qorch_providers.braket.device import BraketDevice, ProgramSetLimits
from qorch_providers.braket.options import Options, parse_options

FORTE = "x y z h s si t ti v vi rx ry rz cnot swap xx yy zz"
RIGETTI = "cz xy ccnot cnot cphaseshift cswap h i iswap phaseshift pswap rx ry rz s si swap t ti x y z"
GATE_SETS = {
    "sv1": frozenset(BRAKET_GATES),
    "forte": frozenset(FORTE.split()),
    "forte-native": frozenset({"gpi", "gpi2", "zz"}),
    "aria-native": frozenset({"gpi", "gpi2", "ms"}),
    "garnet-native": frozenset({"cz", "prx"}),
    "rigetti": frozenset(RIGETTI.split()),
    "ankaa-native": frozenset({"rx", "rz", "iswap"}),
    "aspen-native": frozenset({"rx", "rz", "cz", "cphaseshift", "xy"}),
    "aqt-native": frozenset({"rz", "prx", "xx"}),
    "bare": frozenset({"ry", "rz", "cnot"}),
    "turned": frozenset({"rx", "rz", "xy"}),
}
"""Gates as devices declare them, and sets that need every rewrite."""

_GATE = re.compile(r"(\w+)(?:\(([^)]*)\))? ([^;]+);")
_SDK_NAMES = {"cnot": "CNot", "ccnot": "CCNot", "gpi": "GPi", "gpi2": "GPi2", "prx": "PRx", "iswap": "ISwap"} | {
    "phaseshift": "PhaseShift", "cphaseshift": "CPhaseShift", "swap": "Swap"
}  # fmt: skip
_UPPER = {"xx", "yy", "zz", "xy", "ms", "cy", "cz"}


def device_of(gates: str | frozenset[str] = "sv1", **changes: Any) -> BraketDevice:
    """A device with one of GATE_SETS that takes program sets of 100 executables."""
    names = GATE_SETS[gates] if isinstance(gates, str) else gates
    device = BraketDevice(
        arn="arn:aws:braket:::device/quantum-simulator/amazon/sv1",
        name="SV1",
        schema="braket.device_schema.simulators.gate_model_simulator_device_capabilities",
        is_simulator=True,
        n_qubits=34,
        gates=names,
        min_shots=0,
        max_shots=100_000,
        has_exact_values=True,
        program_sets=ProgramSetLimits(100, 200_000),
    )
    return replace(device, **changes)


SV1 = parse_options("sv1")
DESTINATION = Destination("amazon-braket-eu-north-1-123456789012", "tasks")
KEY = "0123456789abcdef" * 4


def encode(request: JobRequest, device: BraketDevice, options: Options = SV1, **changes: Any) -> dict[str, Any]:
    """The body of a task, its strings of JSON read, too."""
    named = {"key": KEY, "destination": DESTINATION} | changes
    body = json.loads(encode_task(request, device=device, options=options, **named))
    for name in ("action", "deviceParameters"):
        if name in body:
            body[name] = json.loads(body[name])
    return dict(body)


def program(gates: GateList, measurement: Measurement, device: BraketDevice, options: Options = SV1) -> Program:
    """The program that the adapter writes."""
    return program_of(gates, measurement, device=device, options=options)


def sdk_matrix(name: str, angles: tuple[float, ...]) -> np.ndarray:
    """A gate's matrix as the SDK has it."""
    known = _SDK_NAMES.get(name) or (name.upper() if name in _UPPER else name.capitalize())
    return np.asarray(getattr(sdk_gates, known)(*angles).to_matrix())


def gate_lines(found: Program, row: np.ndarray) -> list[tuple[str, tuple[float, ...], list[int]]]:
    """(gate, angles, qubits) of every gate, with the inputs of one row of angles ``(D,)`` in place."""
    inputs = dict(zip(found.names, found.values(row[np.newaxis])[0].tolist(), strict=True))
    lines = []
    for line in found.source.splitlines():
        match = _GATE.fullmatch(line)
        if match is None or match[1] not in BRAKET_GATES:
            continue
        angles = tuple(inputs[part] if part in inputs else float(part) for part in _split(match[2]))
        lines.append((match[1], angles, [int(number) for number in re.findall(r"\d+", match[3])]))
    return lines


def _split(text: str | None) -> list[str]:
    return text.split(", ") if text else []


def unitary(found: Program, row: np.ndarray, n_qubits: int) -> np.ndarray:
    """The matrix of a program without its ending; bit k of an index is qubit k."""
    columns = np.eye(1 << n_qubits, dtype=complex).reshape((2,) * n_qubits + (-1,))
    for name, angles, qubits in gate_lines(found, row):
        axes = [n_qubits - 1 - qubit for qubit in qubits]
        matrix = sdk_matrix(name, angles).reshape((2,) * (2 * len(qubits)))
        moved = np.tensordot(matrix, columns, axes=(range(len(qubits), 2 * len(qubits)), axes))
        columns = np.moveaxis(moved, range(len(qubits)), axes)
    return columns.reshape(1 << n_qubits, -1)
