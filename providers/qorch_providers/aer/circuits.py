"""In the worker: gate lists as Qiskit circuits, and their outcome probabilities by Aer without noise."""

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit_aer import AerSimulator

from qorch.model.arrays import FloatArray
from qorch.model.circuit import FIXED, GateList
from qorch.model.observable import X, Y
from qorch_providers.aer.rewrites import native_gates
from qorch_providers.aer_engine.circuits import BoundCircuit, run_probabilities, with_probabilities

# From here on fusing gates gains more than binding each row to a fresh circuit costs (W1, W3 against W4).
FUSION_MIN_QUBITS = 14


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
    factors = np.array([factor for _, factor in free])
    return BoundCircuit(circuit, tuple(parameters), lambda angles: angles[:, columns] * factors)


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
