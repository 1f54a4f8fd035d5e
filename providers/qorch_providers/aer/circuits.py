"""In the worker: gate lists as Qiskit circuits, and their outcome probabilities at many rows of angles by Aer."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_aer import AerSimulator

from qorch.errors import BackendError
from qorch.model.arrays import FloatArray, IntArray
from qorch.model.circuit import FIXED, GateList
from qorch.model.observable import X, Y
from qorch_providers.aer.rewrites import native_gates

LABEL = "qorch"
# From here on fusing gates gains more than binding each row to a fresh circuit costs (W1, W3 against W4).
FUSION_MIN_QUBITS = 14
RunOption = str | int | bool | Any


@dataclass(frozen=True, eq=False)
class BoundCircuit:
    """A Qiskit circuit with E parameters: parameter e stands for ``factors[e] * angles[columns[e]]``."""

    circuit: QuantumCircuit
    parameters: tuple[Any, ...]
    columns: IntArray
    factors: FloatArray

    def replaced_by(self, circuit: QuantumCircuit) -> "BoundCircuit":
        """Another circuit over the same parameters."""
        return BoundCircuit(circuit, self.parameters, self.columns, self.factors)

    def binds(self, angles: FloatArray) -> list[dict[Any, list[float]]] | None:
        """Angles ``(R, D)`` as Aer wants them; None if the circuit has no parameters left."""
        present = set(self.circuit.parameters)
        values = (angles[:, self.columns] * self.factors).T.tolist()
        pairs = zip(self.parameters, values, strict=True)
        columns = {parameter: column for parameter, column in pairs if parameter in present}
        return [columns] if columns else None

    def row(self, angles: FloatArray) -> QuantumCircuit:
        """The circuit at one row of angles ``(D,)``."""
        binds = self.binds(angles[None, :]) or [{}]
        return self.circuit.assign_parameters({parameter: value for parameter, (value,) in binds[0].items()})


def build_circuit(gates: GateList, basis: npt.NDArray[np.uint8]) -> BoundCircuit:
    """The gates, then the rotations that turn ``basis (n,)`` into the computational one."""
    circuit = QuantumCircuit(gates.n_qubits)
    native = list(native_gates(gates))
    free = [angle for _, _, angles in native for angle in angles if angle[0] != FIXED]
    parameters = ParameterVector("angle", len(free))
    unused = iter(parameters)
    for name, qubits, angles in native:
        values = [value if column == FIXED else next(unused) for column, value in angles]
        getattr(circuit, name)(*values, *qubits)
    for qubit, letter in enumerate(basis.tolist()):
        if letter == Y:
            circuit.sdg(qubit)
        if letter in (X, Y):
            circuit.h(qubit)
    columns = np.array([column for column, _ in free], dtype=np.int64)
    return BoundCircuit(circuit, tuple(parameters), columns, np.array([factor for _, factor in free]))


def with_probabilities(bound: BoundCircuit, qubits: list[int]) -> BoundCircuit:
    """The circuit with the probabilities of ``qubits`` saved at its end, the first as the lowest bit."""
    circuit = bound.circuit.copy()
    circuit.save_probabilities(qubits=qubits, label=LABEL)
    return bound.replaced_by(circuit)


def run_probabilities(
    simulator: AerSimulator, bound: BoundCircuit, angles: FloatArray, **options: RunOption
) -> FloatArray:
    """Outcome probabilities ``(R, 2**n)`` of a circuit that saves them. Raises BackendError if Aer fails."""
    binds = bound.binds(angles)
    result = simulator.run(bound.circuit, parameter_binds=binds, shots=1, **options).result()
    if not result.success:
        raise BackendError(f"Aer could not simulate the circuit: {result.status}")
    table = np.stack([getattr(experiment.data, LABEL) for experiment in result.results])
    if binds is None:
        table = np.repeat(table, len(angles), axis=0)
    if len(table) != len(angles):
        raise BackendError(f"Aer simulated {len(table)} of {len(angles)} rows; it lost parameters of the circuit")
    return np.asarray(table, dtype=np.float64)


class IdealProgram:
    """A circuit without noise, ready to run."""

    def __init__(self, simulator: AerSimulator, gates: GateList, basis: npt.NDArray[np.uint8]) -> None:
        """Translate the gates."""
        self._simulator = simulator
        self._n_qubits = gates.n_qubits
        self._bound = with_probabilities(build_circuit(gates, basis), list(range(gates.n_qubits)))

    def probabilities(self, angles: FloatArray, *, threads: int) -> FloatArray:
        """Outcome probabilities ``(R, 2**n)`` at angles ``(R, D)``."""
        return run_probabilities(
            self._simulator,
            self._bound,
            angles,
            method="statevector",
            max_parallel_threads=threads,
            runtime_parameter_bind_enable=self._n_qubits < FUSION_MIN_QUBITS,
        )
