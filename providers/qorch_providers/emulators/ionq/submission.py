"""Reads and checks the body of ``POST /jobs``."""

from dataclasses import dataclass

import numpy as np

from qorch.errors import UsageError
from qorch_providers.emulators.ionq.backends import MACHINES, NOISE_MODELS, Machine, known_machines
from qorch_providers.emulators.ionq.circuits import PreflightError, Workload, read_circuits
from qorch_providers.emulators.ionq.jobs import Failure, Order
from qorch_providers.emulators.ionq.money import Prices
from qorch_providers.emulators.ionq.wire import InputWire, JobWire, NoiseWire

SINGLE, MULTI = "ionq.circuit.v1", "ionq.multi-circuit.v1"
DEFAULT_SHOTS = 100
MAX_SHOTS = 1_000_000
DEBIASING_SHOTS = 500
MAX_SIMULATED_QUBITS = 20
"""Jobs with more qubits are accepted if the backend has them, but fail, as the emulator has too little memory."""


@dataclass(frozen=True)
class Submission:
    """A job that passed the checks: its content, and its circuits or the reason why they cannot run."""

    order: Order
    workload: Workload | None
    failure: Failure | None


def read_submission(wire: JobWire, *, version: str, submitter_id: str, prices: Prices) -> Submission:
    """Check a job as the service does. Raises UsageError for what it answers with 400."""
    machine = _find_machine(wire, version)
    kind = _read_kind(wire, version)
    shots = read_shots(wire.shots)
    settings = _read_settings(wire, machine, shots)
    _check_metadata(wire.metadata, version)
    noise = _read_noise(wire.noise, machine)
    workload, failure = _read_workload(wire.input, machine)
    n_circuits = len(wire.input.circuits or [None])
    gates = _measure(workload, n_circuits)
    order = Order(
        version=version,
        kind=kind,
        backend=machine.name,
        shots=shots,
        name=wire.name,
        metadata=wire.metadata,
        noise_model=noise.model,
        noise_seed=noise.seed,
        settings=settings,
        # The simulator ignores dry_run, as its jobs are free.
        dry_run=bool(wire.dry_run) and not machine.is_simulator,
        session_id=wire.session_id,
        submitter_id=submitter_id,
        circuit_names=(None,) * n_circuits if workload is None else workload.names,
        circuit_micros=prices.circuits_micros(machine.name, n_one=gates["n_one"], n_two=gates["n_two"], shots=shots),
        least_micros=prices.least_micros(machine.name, is_mitigated=_is_debiased(settings)),
        cost_model=prices.cost_model,
        **gates,
    )
    return Submission(order, workload, failure)


def read_shots(shots: int | str | None) -> int:
    """A number of shots; one client sends it as text. Raises UsageError."""
    try:
        number = DEFAULT_SHOTS if shots is None else int(shots)
    except ValueError:
        raise UsageError(f"shots must be a number, not '{shots}'") from None
    if not 1 <= number <= MAX_SHOTS:
        raise UsageError(f"shots must be from 1 to {MAX_SHOTS}, not {number}")
    return number


def _find_machine(wire: JobWire, version: str) -> Machine:
    name = wire.target if version == "v0.3" else wire.backend
    known = {machine.name for machine in known_machines(version)}
    if name not in known:
        word = "target" if version == "v0.3" else "backend"
        raise UsageError(f"{word} must be one of {', '.join(sorted(known))}, not '{name}'")
    return MACHINES[name]


def _read_kind(wire: JobWire, version: str) -> str:
    is_multi = wire.input.circuits is not None
    if version == "v0.3":
        if wire.input.format not in (None, "ionq.circuit.v0"):
            raise UsageError(f"input.format '{wire.input.format}' is not supported here; send ionq.circuit.v0")
        return MULTI if is_multi else SINGLE
    if wire.type not in (SINGLE, MULTI):
        raise UsageError(f"type '{wire.type}' is not supported by this emulator; send {SINGLE} or {MULTI}")
    if is_multi is not (wire.type == MULTI):
        raise UsageError(f"type '{wire.type}' does not fit its input; {SINGLE} has circuit, {MULTI} has circuits")
    return wire.type


def _read_settings(wire: JobWire, machine: Machine, shots: int) -> dict[str, object]:
    settings = dict(wire.settings or {})
    if wire.error_mitigation is not None:
        settings["error_mitigation"] = {"debiasing": bool(wire.error_mitigation.get("debias"))}
    if _is_debiased(settings) and not machine.is_simulator and shots < DEBIASING_SHOTS:
        raise UsageError(f"debiasing needs at least {DEBIASING_SHOTS} shots, not {shots}")
    return settings


def _is_debiased(settings: dict[str, object]) -> bool:
    mitigation = settings.get("error_mitigation")
    return isinstance(mitigation, dict) and bool(mitigation.get("debiasing"))


def _check_metadata(metadata: dict[str, str] | None, version: str) -> None:
    if version == "v0.3" and metadata and (len(metadata) > 10 or max(map(len, metadata)) > 40):
        raise UsageError("metadata has at most 10 keys of at most 40 characters")


def _read_noise(noise: NoiseWire | None, machine: Machine) -> NoiseWire:
    if noise is None or not machine.is_simulator:
        return NoiseWire(model=machine.noise_model)
    if noise.model not in NOISE_MODELS:
        raise UsageError(f"noise.model must be one of {', '.join(NOISE_MODELS)}, not '{noise.model}'")
    if noise.seed is not None and noise.seed < 0:
        raise UsageError(f"noise.seed must be 0 or more, not {noise.seed}")
    return noise


def _read_workload(given: InputWire, machine: Machine) -> tuple[Workload | None, Failure | None]:
    try:
        workload = read_circuits(given)
        _check_fit(given, workload, machine)
    except PreflightError as error:
        return None, Failure(error.code, str(error))
    return workload, None


def _check_fit(given: InputWire, workload: Workload, machine: Machine) -> None:
    if workload.n_qubits > machine.qubits:
        raise PreflightError("NotEnoughQubits", f"{machine.name} has {machine.qubits} qubits, not {workload.n_qubits}")
    if workload.n_qubits > MAX_SIMULATED_QUBITS:
        raise PreflightError("SimulationError", f"this emulator simulates at most {MAX_SIMULATED_QUBITS} qubits")
    lists = [entry.circuit for entry in given.circuits or [] if (entry.gateset or given.gateset) == "native"]
    if given.circuit is not None and given.gateset == "native":
        lists = [given.circuit]
    missing = {gate.gate for gates in lists for gate in gates} - {*machine.native_gates, "nop"}
    if missing:
        raise PreflightError("UnsupportedGate", f"{machine.name} has no native gate '{min(missing)}'")


def _measure(workload: Workload | None, n_circuits: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Gates and qubits of each circuit."""
    n_one, n_two, widths = (np.zeros(n_circuits, dtype=np.int64) for _ in range(3))
    for group in () if workload is None else workload.groups:
        n_one[group.rows], n_two[group.rows] = group.shape.n_one, group.shape.n_two
        widths[group.rows] = group.shape.n_qubits
    return {"n_one": n_one, "n_two": n_two, "widths": widths}
