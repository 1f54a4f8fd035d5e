"""In the worker: circuits that are run by Aer at many rows of angles, and their outcome probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator

from qorch.errors import BackendError
from qorch.model.arrays import FloatArray

LABEL = "qorch"
RunOption = str | int | bool | Any


@dataclass(frozen=True, eq=False)
class BoundCircuit:
    """A Qiskit circuit with E parameters; ``values`` makes what they stand for, ``(R, E)``, of angles ``(R, D)``."""

    circuit: QuantumCircuit
    parameters: tuple[Any, ...]
    values: Callable[[FloatArray], FloatArray]

    def replaced_by(self, circuit: QuantumCircuit) -> "BoundCircuit":
        """Another circuit over the same parameters."""
        return BoundCircuit(circuit, self.parameters, self.values)

    def binds(self, angles: FloatArray) -> list[dict[Any, list[float]]] | None:
        """Angles ``(R, D)`` as Aer wants them; None if the circuit has no parameters left."""
        present = set(self.circuit.parameters)
        pairs = zip(self.parameters, self.values(angles).T.tolist(), strict=True)
        columns = {parameter: column for parameter, column in pairs if parameter in present}
        return [columns] if columns else None

    def row(self, angles: FloatArray) -> QuantumCircuit:
        """The circuit at one row of angles ``(D,)``."""
        binds = self.binds(angles[None, :]) or [{}]
        return self.circuit.assign_parameters({parameter: value for parameter, (value,) in binds[0].items()})


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
