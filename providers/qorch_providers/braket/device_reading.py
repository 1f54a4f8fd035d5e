"""Reads a device from the document of GetDevice: its limits, whether it takes tasks, how many wait, its calibration."""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from qorch.errors import InvalidResultError, UnknownNameError
from qorch_providers.braket.device import BraketDevice, ProgramSetLimits
from qorch_providers.http import clean

PROGRAM, PROGRAM_SET = "braket.ir.openqasm.program", "braket.ir.openqasm.program_set"
ONLINE, RETIRED = "ONLINE", "RETIRED"
_EXACT = frozenset({"expectation", "probability"})


@dataclass(frozen=True)
class SeenDevice:
    """A device at one moment. ``status``: Braket's word; ``waiting``: its queue of tasks, as text, "" if not known."""

    device: BraketDevice
    status: str
    waiting: str = ""

    @property
    def is_online(self) -> bool:
        """Whether it takes tasks."""
        return self.status == ONLINE


class _QueueWire(msgspec.Struct, rename="camel"):
    queue: str = ""
    queue_size: str = ""
    queue_priority: str = ""


class _DeviceWire(msgspec.Struct, rename="camel"):
    device_arn: str
    device_name: str
    device_type: str
    device_status: str
    device_capabilities: str
    device_queue_info: list[_QueueWire] = []


class _HeaderWire(msgspec.Struct):
    name: str


class _ServiceWire(msgspec.Struct, rename="camel"):
    shots_range: tuple[int, int]


class _ConnectivityWire(msgspec.Struct, rename="camel"):
    fully_connected: bool = False
    connectivity_graph: dict[str, list[str]] = {}


class _ParadigmWire(msgspec.Struct, rename="camel"):
    qubit_count: int
    native_gate_set: list[str] = []
    connectivity: _ConnectivityWire | None = None


class _ResultTypeWire(msgspec.Struct, rename="camel"):
    name: str
    min_shots: int | None = None


class _ActionWire(msgspec.Struct, rename="camel"):
    supported_operations: list[str] | None = None
    supported_result_types: list[_ResultTypeWire] | None = None
    supported_pragmas: list[str] | None = None
    disabled_qubit_rewiring_supported: bool | None = False
    maximum_executables: int | None = None
    maximum_total_shots: int | None = None
    minimum_total_shots: int | None = None


class _ActionsWire(msgspec.Struct):
    action: dict[str, msgspec.Raw]


class _CapabilitiesWire(msgspec.Struct, rename="camel"):
    braket_schema_header: _HeaderWire
    service: _ServiceWire
    action: dict[str, _ActionWire]
    paradigm: _ParadigmWire
    provider: msgspec.Raw = msgspec.Raw(b"null")


class _MitigationWire(msgspec.Struct, rename="camel"):
    minimum_shots: int


class _ProviderWire(msgspec.Struct, rename="camel"):
    error_mitigation: dict[str, _MitigationWire] | None = None


def read_device(document: bytes) -> SeenDevice:
    """The device of a document. Raises InvalidResultError if it cannot be read, UnknownNameError if it has no gates."""
    try:
        wire = msgspec.json.decode(document, type=_DeviceWire)
        _check_program(wire)
        capabilities = msgspec.json.decode(wire.device_capabilities, type=_CapabilitiesWire)
        everything = msgspec.json.decode(wire.device_capabilities)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidResultError(f"expected a device for circuits of gates: {error}") from error
    is_simulator = wire.device_type == "SIMULATOR"
    device = _describe(wire, capabilities, calibration="" if is_simulator else _digest(everything))
    return SeenDevice(device, wire.device_status, _waiting(wire.device_queue_info))


def _check_program(wire: _DeviceWire) -> None:
    if PROGRAM not in msgspec.json.decode(wire.device_capabilities, type=_ActionsWire).action:
        raise UnknownNameError(f"the device {clean(wire.device_name)} does not run circuits of gates; choose another")


def _describe(wire: _DeviceWire, capabilities: _CapabilitiesWire, *, calibration: str) -> BraketDevice:
    action = capabilities.action[PROGRAM]
    least, most = capabilities.service.shots_range
    results = action.supported_result_types or []
    return BraketDevice(
        arn=wire.device_arn,
        name=wire.device_name,
        schema=capabilities.braket_schema_header.name,
        is_simulator=wire.device_type == "SIMULATOR",
        n_qubits=capabilities.paradigm.qubit_count,
        gates=frozenset(name.lower() for name in action.supported_operations or []),
        min_shots=max(1, least),
        max_shots=most,
        has_exact_values=any(each.name.lower() in _EXACT and each.min_shots == 0 for each in results),
        program_sets=_read_limits(capabilities.action.get(PROGRAM_SET)),
        calibration=calibration,
        min_debiased_shots=_read_debiasing(capabilities.provider),
        can_keep_qubits=bool(action.disabled_qubit_rewiring_supported),
        has_verbatim_boxes="verbatim" in (action.supported_pragmas or []),
        native_gates=frozenset(name.lower() for name in capabilities.paradigm.native_gate_set),
        qubits=_read_qubits(capabilities.paradigm.connectivity),
    )


def _read_qubits(connectivity: _ConnectivityWire | None) -> tuple[int, ...]:
    """The numbers of the physical qubits; empty if nothing names them."""
    if connectivity is None or connectivity.fully_connected:
        return ()
    graph = connectivity.connectivity_graph
    named = {*graph, *(neighbour for neighbours in graph.values() for neighbour in neighbours)}
    return tuple(sorted(int(name) for name in named if name.isdecimal()))


def _read_limits(action: _ActionWire | None) -> ProgramSetLimits | None:
    if action is None or not action.maximum_executables or not action.maximum_total_shots:
        return None
    return ProgramSetLimits(action.maximum_executables, action.maximum_total_shots, action.minimum_total_shots or 1)


def _read_debiasing(provider: msgspec.Raw) -> int | None:
    try:
        wire = msgspec.json.decode(provider, type=_ProviderWire | None)
    except msgspec.DecodeError:
        return None  # other makers describe other things
    schemes = {} if wire is None else wire.error_mitigation or {}
    return next((scheme.minimum_shots for name, scheme in schemes.items() if name.endswith(".Debias")), None)


def _digest(capabilities: dict[str, Any]) -> str:
    """64 hexadecimal digits of all that is said of the device itself; prices and hours of service change nothing."""
    kept = {name: part for name, part in capabilities.items() if name != "service"}
    return hashlib.sha256(msgspec.json.encode(kept, order="sorted")).hexdigest()


def _waiting(queues: list[_QueueWire]) -> str:
    sizes = [
        each.queue_size for each in queues if each.queue == "QUANTUM_TASKS_QUEUE" and each.queue_priority != "Priority"
    ]
    return clean(sizes[0], limit=12) if sizes else ""
