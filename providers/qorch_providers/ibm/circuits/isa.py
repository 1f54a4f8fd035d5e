"""A circuit in a device's own gates on its own qubits, and the numbers that rows of angles put into it."""

from dataclasses import dataclass
from qiskit import QuantumCircuit


@dataclass(frozen=True, eq=False)
class IsaCircuit:
    """A compiled circuit, not measured yet. ``digest``: 32 bytes that change with its gates and its layout.

    ``layout``: the physical qubit on which each qubit of the circuit is at the end.
    """

    circuit: QuantumCircuit
    layout: tuple[int, ...]
    n_one_qubit: int
    n_two_qubit: int
    digest: bytes
