"""A quantum program as it was read: what happens to which qubits, what is measured, and which results are wanted."""

from dataclasses import dataclass
from typing import Literal

from qorch_providers.emulators.braket.expressions import Expression
from qorch_providers.emulators.statevector.matrices import Complexes

ResultKind = Literal["expectation", "variance", "sample", "probability", "amplitude", "statevector", "densitymatrix"]


@dataclass(frozen=True, eq=False)
class ProgramStep:
    """One gate, or noise if there are ``kraus`` operators. ``controls``: qubits with the value that they must have.

    ``matrix``: of a gate that is given as such; ``exponent``: the power to which the gate is raised.
    """

    name: str
    line: int
    targets: tuple[int, ...]
    angles: tuple[Expression, ...] = ()
    controls: tuple[tuple[int, int], ...] = ()
    exponent: float = 1.0
    matrix: Complexes | None = None
    kraus: tuple[Complexes, ...] = ()
    is_verbatim: bool = False


@dataclass(frozen=True, eq=False)
class ObservableFactor:
    """One factor of an observable: a letter or a matrix, and its qubits; no qubits: on each qubit alike."""

    targets: tuple[int, ...]
    letter: str = ""
    matrix: Complexes | None = None


@dataclass(frozen=True, eq=False)
class ResultRequest:
    """One result that a program asks for. ``targets``: of those without an observable; empty for all qubits."""

    kind: ResultKind
    factors: tuple[ObservableFactor, ...] = ()
    targets: tuple[int, ...] = ()
    states: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class SourceProgram:
    """One program. ``qubits``: their labels in ascending order; ``measured``: those of the bits, in order."""

    inputs: tuple[str, ...]
    qubits: tuple[int, ...]
    is_physical: bool
    steps: tuple[ProgramStep, ...]
    measured: tuple[int, ...]
    results: tuple[ResultRequest, ...]

    @property
    def has_noise(self) -> bool:
        """Whether any step is noise, so that a state vector does not do."""
        return any(step.kraus for step in self.steps)
