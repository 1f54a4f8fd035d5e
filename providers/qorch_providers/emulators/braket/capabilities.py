"""Devices as GetDevice and SearchDevices show them; the capabilities are JSON in a string."""

from types import MappingProxyType

import msgspec

from qorch_providers.emulators.braket.devices import EmulatedDevice
from qorch_providers.emulators.braket.settings import BraketSettings
from qorch_providers.emulators.braket.wire import PROGRAM, PROGRAM_SET
from qorch_providers.emulators.kit.clock import format_iso

_SCHEMAS = MappingProxyType(
    {
        "Amazon Braket": "simulators.gate_model_simulator",
        "IQM": "iqm.iqm",
        "IonQ": "ionq.ionq",
        "Rigetti": "rigetti.rigetti",
    }
)
_CIRCUIT_PRAGMAS = ("verbatim",)
_RESULT_PRAGMAS = tuple(f"braket_result_type_{name}" for name in ("expectation", "variance", "sample", "probability"))
_NOISE_PRAGMAS = tuple(
    f"braket_noise_{name}"
    for name in (
        "bit_flip", "phase_flip", "pauli_channel", "depolarizing", "two_qubit_depolarizing", "two_qubit_dephasing",
        "amplitude_damping", "generalized_amplitude_damping", "phase_damping", "kraus",
    )
)  # fmt: skip
MAX_SHOWN_QUEUE = 4000


def summary_document(device: EmulatedDevice, *, status: str) -> dict[str, object]:
    """One device in a list."""
    return {
        "deviceArn": device.arn,
        "deviceName": device.name,
        "deviceType": "SIMULATOR" if device.is_simulator else "QPU",
        "deviceStatus": status,
        "providerName": device.maker,
    }


def device_document(
    device: EmulatedDevice, settings: BraketSettings, *, status: str, has_sets: bool, queued: int, updated_unix: float
) -> dict[str, object]:
    """``GET /device/{arn}``. ``queued``: how many tasks wait; ``has_sets``: whether it declares program sets."""
    capabilities = _capabilities(device, settings, has_sets=has_sets, updated_at=format_iso(updated_unix))
    size = str(queued) if queued <= MAX_SHOWN_QUEUE else f">{MAX_SHOWN_QUEUE}"
    queues = [
        {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": size, "queuePriority": "Normal"},
        {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "0", "queuePriority": "Priority"},
        {"queue": "JOBS_QUEUE", "queueSize": "0"},
    ]
    return {
        **summary_document(device, status=status),
        "deviceCapabilities": msgspec.json.encode(capabilities).decode(),
        "deviceQueueInfo": queues,
    }


def _capabilities(
    device: EmulatedDevice, settings: BraketSettings, *, has_sets: bool, updated_at: str
) -> dict[str, object]:
    action: dict[str, object] = {PROGRAM: _circuit_action(device)}
    if has_sets:
        action[PROGRAM_SET] = {
            "actionType": PROGRAM_SET,
            "version": ["1"],
            "maximumExecutables": settings.max_executables,
            "maximumTotalShots": settings.max_total_shots,
        }
    document = {
        "braketSchemaHeader": _header(f"{_SCHEMAS[device.maker]}_device_capabilities"),
        "service": _service(device, settings, updated_at),
        "action": action,
        "paradigm": _paradigm(device),
        "deviceParameters": {},
    }
    if device.debias_shots is not None and device.noise is not None:
        document["provider"] = _ionq_properties(device)
    return document


def _header(name: str) -> dict[str, str]:
    return {"name": f"braket.device_schema.{name}", "version": "1"}


def _service(device: EmulatedDevice, settings: BraketSettings, updated_at: str) -> dict[str, object]:
    price = device.price
    cost = {"price": price.minute_micros / 1e6, "unit": "minute"}
    if not device.is_simulator:
        cost = {"price": price.shot_micros / 1e6, "unit": "shot"}
    return {
        "braketSchemaHeader": _header("device_service_properties"),
        "executionWindows": [{"executionDay": "Everyday", "windowStartHour": "00:00:00", "windowEndHour": "23:59:59"}],
        "shotsRange": device.shots,
        "deviceCost": cost,
        "deviceDocumentation": {"summary": "an emulated device on this machine"},
        "deviceLocation": "loopback",
        "updatedAt": updated_at,
        "getTaskPollIntervalMillis": settings.poll_milliseconds,
    }


def _circuit_action(device: EmulatedDevice) -> dict[str, object]:
    least, most = device.shots
    results: list[dict[str, object]] = []
    for name in device.sampled_results:
        is_exact = name in device.exact_results and name != "sample"
        fewest = 0 if is_exact else max(1, least)
        entry: dict[str, object] = {"name": _result_name(name), "minShots": fewest, "maxShots": most}
        results.append(entry if name == "probability" else entry | {"observables": device.observables})
    results += [
        {"name": _result_name(name), "minShots": 0, "maxShots": 0}
        for name in device.exact_results
        if name not in device.sampled_results
    ]
    return {
        "actionType": PROGRAM,
        "version": ["1"],
        "supportedOperations": device.gates,
        "supportedModifiers": _modifiers() if device.is_simulator else [],
        "supportedPragmas": _pragmas(device),
        "forbiddenPragmas": [] if device.has_noise_gates else _NOISE_PRAGMAS,
        "supportedResultTypes": results,
        "requiresAllQubitsMeasurement": False,
        "supportPhysicalQubits": not device.is_simulator,
        "requiresContiguousQubitIndices": device.is_simulator,
        "disabledQubitRewiringSupported": not device.is_simulator,
    }


def _result_name(name: str) -> str:
    return {"statevector": "StateVector", "densitymatrix": "DensityMatrix"}.get(name, name.capitalize())


def _modifiers() -> list[dict[str, object]]:
    return [
        {"name": "ctrl", "max_qubits": None},
        {"name": "negctrl", "max_qubits": None},
        {"name": "pow", "exponent_types": ["int", "float"]},
        {"name": "inv"},
    ]


def _pragmas(device: EmulatedDevice) -> list[str]:
    own = ("braket_unitary_matrix",) if device.is_simulator else _CIRCUIT_PRAGMAS
    return [*own, *_RESULT_PRAGMAS, *(_NOISE_PRAGMAS if device.has_noise_gates else ())]


def _paradigm(device: EmulatedDevice) -> dict[str, object]:
    if device.is_simulator:
        header = _header("simulators.gate_model_simulator_paradigm_properties")
        return {"braketSchemaHeader": header, "qubitCount": len(device.qubits)}
    graph: dict[str, list[str]] = {}
    for first, second in device.edges or ():
        graph.setdefault(str(first), []).append(str(second))
        graph.setdefault(str(second), []).append(str(first))
    return {
        "braketSchemaHeader": _header("gate_model_qpu_paradigm_properties"),
        "qubitCount": len(device.qubits),
        "nativeGateSet": device.native_gates,
        "connectivity": {"fullyConnected": device.edges is None, "connectivityGraph": graph},
    }


def _ionq_properties(device: EmulatedDevice) -> dict[str, object]:
    rates = device.noise
    assert rates is not None  # noqa: S101 -- the caller has checked
    return {
        "braketSchemaHeader": _header("ionq.ionq_provider_properties"),
        "fidelity": {
            "1Q": {"mean": 1.0 - rates.one_qubit},
            "2Q": {"mean": 1.0 - rates.two_qubit},
            "spam": {"mean": 1.0 - rates.readout},
        },
        "timing": {"T1": 100.0, "T2": 1.0, "1Q": 0.00013, "2Q": 0.00097, "readout": 0.00025, "reset": 0.00003},
        "errorMitigation": {
            "braket.device_schema.error_mitigation.debias.Debias": {"minimumShots": device.debias_shots}
        },
    }
