"""The gates that circuits are made of, with what the shift rules need to know of each angle."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Gate:
    """One standard gate, in Qiskit's convention (first qubit of a controlled gate controls).

    ``frequencies`` holds, for each angle, the number R of equidistant frequencies with which an expectation
    value can depend on it, and their spacing: ``(1, 1.0)`` for a rotation whose generator has two eigenvalues
    at distance 1, ``(2, 0.5)`` for a controlled rotation (eigenvalue differences 1/2 and 1).
    Source: Wierichs, Izaac, Wang, Lin, Quantum 6, 677 (2022), section 3.
    """

    opcode: int
    name: str
    n_qubits: int
    frequencies: tuple[tuple[int, float], ...] = ()

    @property
    def n_angles(self) -> int:
        """How many angles the gate takes."""
        return len(self.frequencies)


ROTATION = (1, 1.0)
CONTROLLED_ROTATION = (2, 0.5)

# The opcode is part of every circuit's digest: never renumber, only append.
GATES: tuple[Gate, ...] = (
    Gate(0, "x", 1),
    Gate(1, "y", 1),
    Gate(2, "z", 1),
    Gate(3, "h", 1),
    Gate(4, "s", 1),
    Gate(5, "sdg", 1),
    Gate(6, "t", 1),
    Gate(7, "tdg", 1),
    Gate(8, "sx", 1),
    Gate(9, "sxdg", 1),
    Gate(10, "rx", 1, (ROTATION,)),
    Gate(11, "ry", 1, (ROTATION,)),
    Gate(12, "rz", 1, (ROTATION,)),
    Gate(13, "p", 1, (ROTATION,)),
    Gate(14, "u", 1, (ROTATION, ROTATION, ROTATION)),
    Gate(15, "cx", 2),
    Gate(16, "cy", 2),
    Gate(17, "cz", 2),
    Gate(18, "ch", 2),
    Gate(19, "swap", 2),
    Gate(20, "crx", 2, (CONTROLLED_ROTATION,)),
    Gate(21, "cry", 2, (CONTROLLED_ROTATION,)),
    Gate(22, "crz", 2, (CONTROLLED_ROTATION,)),
    Gate(23, "cp", 2, (ROTATION,)),
    Gate(24, "rxx", 2, (ROTATION,)),
    Gate(25, "ryy", 2, (ROTATION,)),
    Gate(26, "rzz", 2, (ROTATION,)),
    Gate(27, "rzx", 2, (ROTATION,)),
    Gate(28, "ccx", 3),
)

GATES_BY_NAME = MappingProxyType({gate.name: gate for gate in GATES})
MAX_QUBITS_PER_GATE = 3
