"""In the worker: OpenQASM read once by the SDK, and simulated by it at many rows of inputs.

The SDK's own LocalSimulator reads the text of a program again for every row, which takes far longer than the
simulation. Its interpreter hands over each gate that it has read, so a row only puts numbers into them; the SDK's
simulation of these gates gives the same bits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from braket.default_simulator import DensityMatrixSimulator, StateVectorSimulator
from braket.default_simulator.gate_operations import BRAKET_GATES
from braket.default_simulator.openqasm.interpreter import Interpreter
from braket.default_simulator.openqasm.program_context import ProgramContext

from qorch.model.arrays import FloatArray
from qorch_providers.braket.circuits.programs import Program
from qorch_providers.braket.device import BraketDevice
from qorch_providers.braket.local.options import DENSITY_MATRIX, STATE_VECTOR

_SIMULATORS = MappingProxyType({STATE_VECTOR: StateVectorSimulator, DENSITY_MATRIX: DensityMatrixSimulator})
_OPENQASM = "braket.ir.openqasm.program"


def describe_simulator(name: str) -> BraketDevice:
    """The simulator as a device: its gates are those that the SDK says it takes."""
    properties = _SIMULATORS[name]().properties
    return BraketDevice(
        arn=f"local/{name}",
        name=name,
        schema="",
        is_simulator=True,
        n_qubits=properties.paradigm.qubitCount,
        gates=frozenset(gate.lower() for gate in properties.action[_OPENQASM].supportedOperations),
        min_shots=0,
        max_shots=0,
        has_exact_values=True,
    )


@dataclass(frozen=True, eq=False)
class _GateCall:
    """A gate of a program: the SDK's class for it, and of each argument the number, or the input by its column."""

    kind: Any
    qubits: tuple[int, ...]
    arguments: tuple[tuple[float, int | None], ...]

    def at(self, numbers: Sequence[float]) -> Any:
        """The SDK's operation at the inputs ``(S,)`` of a row."""
        values = (number if column is None else numbers[column] for number, column in self.arguments)
        return self.kind(self.qubits, *values)


class _GateReader(ProgramContext):  # type: ignore[misc]
    """Collects the gates of a program, whose inputs stay symbols, instead of building the SDK's own circuit."""

    def __init__(self, columns: Mapping[str, int]) -> None:
        super().__init__()
        self.calls: list[_GateCall] = []
        self._columns = columns

    def add_gate_instruction(
        self, gate_name: str, target: tuple[int, ...], params: Any, ctrl_modifiers: list[int], power: float
    ) -> None:
        if ctrl_modifiers or power != 1:
            raise AssertionError(f"a program of ours has a modifier of {gate_name}")
        arguments = tuple(map(self._argument, params))
        self.calls.append(_GateCall(BRAKET_GATES[gate_name], target, arguments))

    def _argument(self, value: Any) -> tuple[float, int | None]:
        column = self._columns.get(str(value))
        return (float(value), None) if column is None else (0.0, column)


class CompiledProgram:
    """A program that was read by the SDK, ready to run at any rows."""

    def __init__(self, program: Program, *, simulator: str, n_qubits: int) -> None:
        """Read the text."""
        self._program = program
        self._n_qubits = n_qubits
        self._simulator = _SIMULATORS[simulator]()
        reader = _GateReader({name: column for column, name in enumerate(program.names)})
        Interpreter(reader).run(program.source)
        self._calls = reader.calls

    def probabilities(self, angles: FloatArray) -> FloatArray:
        """Outcome probabilities ``(R, 2**n)`` at angles ``(R, D)``, with qubit 0 as the lowest bit."""
        inputs = self._program.values(angles).tolist()
        table = np.empty((len(angles), 1 << self._n_qubits))
        for row, numbers in enumerate(inputs):
            table[row] = self._simulate(numbers)
        axes = (0, *range(self._n_qubits, 0, -1))
        turned = table.reshape(len(angles), *(2,) * self._n_qubits).transpose(axes)
        return np.ascontiguousarray(turned).reshape(table.shape)

    def _simulate(self, numbers: Sequence[float]) -> Any:
        """The probabilities ``(2**n,)`` of a row, with qubit 0 as the highest bit."""
        simulation = self._simulator.initialize_simulation(qubit_count=self._n_qubits, shots=0, batch_size=1)
        simulation.evolve([call.at(numbers) for call in self._calls])
        return simulation.probabilities
