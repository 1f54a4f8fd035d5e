"""Sorts a job's gate lists into groups of circuits of one shape, so that each group is simulated as one batch."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qorch.errors import CircuitError, UsageError
from qorch_providers.emulators.ionq.gates import GATESETS, check_angles, find_kind, read_angles
from qorch_providers.emulators.ionq.wire import CircuitWire, GateWire, InputWire
from qorch_providers.emulators.statevector.evolution import Operation
from qorch_providers.emulators.statevector.matrices import Floats

MAX_CIRCUITS = 5_000
MAX_GATES = 150_000


class PreflightError(CircuitError):
    """The job was accepted, but its circuits cannot run; ``code`` is the service's word for why."""

    def __init__(self, code: str, message: str) -> None:
        """``message`` is for the user."""
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Shape:
    """A gate list without its angles. ``n_one`` and ``n_two``: one- and two-qubit gates, which are billed."""

    n_qubits: int
    operations: tuple[Operation, ...]
    n_one: int
    n_two: int


@dataclass(frozen=True)
class Group:
    """Circuits of one shape: their positions in the job ``(R,)``, and their angles ``(R, A)``."""

    shape: Shape
    rows: npt.NDArray[np.int64]
    angles: Floats


@dataclass(frozen=True)
class Workload:
    """All circuits of a job."""

    names: tuple[str | None, ...]
    groups: tuple[Group, ...]

    @property
    def n_circuits(self) -> int:
        """The number of circuits."""
        return len(self.names)

    @property
    def n_qubits(self) -> int:
        """The number of qubits of the widest circuit."""
        return max(group.shape.n_qubits for group in self.groups)


@dataclass
class _Gathering:
    """Circuits found so far that have one shape."""

    example: CircuitWire
    rows: list[int] = field(default_factory=list)
    angles: list[list[float]] = field(default_factory=list)


def read_circuits(given: InputWire) -> Workload:
    """Group the circuits of an input. Raises UsageError for what is refused, PreflightError for what fails later."""
    circuits = _list_circuits(given)
    if not 1 <= len(circuits) <= MAX_CIRCUITS:
        raise UsageError(f"a job has 1 to {MAX_CIRCUITS} circuits, not {len(circuits)}")
    n_gates = sum(len(circuit.circuit) for circuit in circuits)
    if n_gates > MAX_GATES:
        raise UsageError(f"a job has at most {MAX_GATES} gates, not {n_gates}")
    gathered: dict[Hashable, _Gathering] = {}
    for row, circuit in enumerate(circuits):
        gateset = circuit.gateset or given.gateset
        if gateset not in GATESETS:
            raise UsageError(f"'{gateset}' is not a gateset; choose one of {', '.join(GATESETS)}")
        key, angles = _split(circuit.circuit, gateset)
        gathering = gathered.setdefault((gateset, circuit.qubits, key), _Gathering(circuit))
        gathering.rows.append(row)
        gathering.angles.append(angles)
    groups = tuple(_close(gathering, given) for gathering in gathered.values())
    return Workload(tuple(circuit.name for circuit in circuits), groups)


def _list_circuits(given: InputWire) -> Sequence[CircuitWire]:
    if given.circuit is not None and given.circuits is not None:
        raise UsageError("input has both circuit and circuits; send one of them")
    if given.circuits is not None:
        return given.circuits
    if given.circuit is None:
        raise UsageError("input has neither circuit nor circuits; send one of them")
    return [CircuitWire(given.circuit)]


def _split(gates: Sequence[GateWire], gateset: str) -> tuple[Hashable, list[float]]:
    """A key that circuits of one shape have in common, and the angles."""
    is_qis = gateset == "qis"
    key: list[Hashable] = []
    angles: list[float] = []
    for gate in gates:
        # Half of a job's time is spent here, so the common case (one rotation or nothing) is decided first.
        if is_qis and gate.rotation is None and gate.terms is None:
            count = 0
        else:
            own = read_angles(gate, gateset)
            count = len(own)
            angles += own
        key.append((gate.gate, gate.target, gate.targets, gate.control, gate.controls, count, gate.terms))
    return tuple(key), angles


def _close(gathering: _Gathering, given: InputWire) -> Group:
    circuit = gathering.example
    angles = np.array(gathering.angles, dtype=np.float64)
    shape = make_shape(
        circuit.circuit, gateset=circuit.gateset or given.gateset, n_qubits=circuit.qubits or given.qubits
    )
    return Group(shape, np.array(gathering.rows), angles)


def make_shape(gates: Sequence[GateWire], *, gateset: str, n_qubits: int | None) -> Shape:
    """The shape of a gate list. Raises CircuitError for gates that do not exist, PreflightError for wrong qubits."""
    operations: list[Operation] = []
    n_angles, n_one, n_two = 0, 0, 0
    for gate in gates:
        kind = find_kind(gate, gateset)
        count = len(read_angles(gate, gateset))
        check_angles(gate, count)
        targets, controls = _qubits_of(gate)
        if kind.n_targets is None:
            continue
        _spread(
            operations,
            Operation(targets, controls, tuple(range(n_angles, n_angles + count)), kind.make),
            gate,
            kind.n_targets,
        )
        n_angles += count
        width = len(controls) + kind.n_targets
        n_one += width == 1
        n_two += 1 if width == 2 else 6 * max(0, width - 2)
    if n_qubits is None or n_qubits < 1:
        raise PreflightError("PreflightError", "input.qubits is missing; the simulator needs it")
    for operation in operations:
        _check_qubits(operation, n_qubits)
    return Shape(n_qubits, tuple(operations), n_one, n_two)


def _spread(operations: list[Operation], operation: Operation, gate: GateWire, n_targets: int) -> None:
    """Add the operation; a one-qubit gate on several targets acts on each of them."""
    if n_targets == 1 and len(operation.targets) > 1:
        operations += [
            Operation((one,), operation.controls, operation.columns, operation.make) for one in operation.targets
        ]
    elif len(operation.targets) == n_targets:
        operations.append(operation)
    else:
        raise CircuitError(f"gate '{gate.gate}' acts on {n_targets} target(s), not {len(operation.targets)}")


def _qubits_of(gate: GateWire) -> tuple[tuple[int, ...], tuple[int, ...]]:
    targets = gate.targets if gate.targets is not None else () if gate.target is None else (gate.target,)
    controls = gate.controls if gate.controls is not None else () if gate.control is None else (gate.control,)
    if gate.gate == "cnot" and not controls:
        raise CircuitError("gate 'cnot' needs a control")
    return targets, controls


def _check_qubits(operation: Operation, n_qubits: int) -> None:
    qubits = (*operation.targets, *operation.controls)
    if len(set(qubits)) != len(qubits):
        raise PreflightError("PreflightError", f"a gate acts twice on one of the qubits {qubits}")
    if not all(0 <= qubit < n_qubits for qubit in qubits):
        raise PreflightError("PreflightError", f"a gate acts on {qubits}, but there are {n_qubits} qubits")
