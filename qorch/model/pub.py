"""Pubs: one circuit, many parameter rows, what is wanted of them; and batches of pubs."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from qorch.errors import ShotsError, UsageError
from qorch.model.arrays import FloatArray, as_parameter_values
from qorch.model.circuit import Circuit
from qorch.model.observable import Observables, ObservablesLike, as_observables

RunDefault = Literal["run"]
Shots = int | None | RunDefault
"""A number of shots, None for exact values, or ``"run"`` for the run's own setting."""

MAX_SHOTS = 10**9
CircuitLike = Circuit | Any
"""A compiled Circuit or a Qiskit QuantumCircuit."""


def as_shots(shots: Shots) -> Shots:
    """Check a number of shots. Raises ShotsError unless it is None, ``"run"`` or from 1 to 10^9."""
    if shots is None or shots in get_args(RunDefault):
        return shots
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer):
        raise ShotsError(f"shots is {shots!r}; give a whole number of at least 1, or None for exact values")
    if not 1 <= int(shots) <= MAX_SHOTS:
        raise ShotsError(f"shots is {shots}; it must be from 1 to {MAX_SHOTS}, or None for exact values")
    return int(shots)


def as_circuit(circuit: CircuitLike) -> Circuit:
    """The compiled circuit; a Qiskit circuit is compiled. Raises CircuitError where it cannot be."""
    if isinstance(circuit, Circuit):
        return circuit
    from qorch.model.qiskit_circuit import compile_circuit

    return compile_circuit(circuit)


@dataclass(frozen=True, eq=False, init=False)
class Pub:
    """Primitive unified bloc: a circuit at N parameter points, with K observables or counts, and shots.

    ``parameter_values (N, P)`` in the order of ``circuit.parameters`` (Qiskit's own order); a single row
    may be given as ``(P,)``, and may be left out for a circuit without parameters. Raises CircuitError,
    ParameterError, ObservableError or ShotsError: everything is checked here, before anything runs.
    """

    circuit: Circuit
    parameter_values: FloatArray
    observables: Observables
    shots: Shots

    def __init__(
        self,
        circuit: CircuitLike,
        parameter_values: npt.ArrayLike | None = None,
        *,
        observables: ObservablesLike = None,
        shots: Shots = "run",
    ) -> None:
        """Compile, check and freeze."""
        compiled = as_circuit(circuit)
        values = np.zeros((1, 0)) if parameter_values is None else parameter_values
        object.__setattr__(self, "circuit", compiled)
        object.__setattr__(self, "parameter_values", as_parameter_values(values, parameters=compiled.parameters))
        object.__setattr__(self, "observables", as_observables(observables, n_qubits=compiled.n_qubits))
        object.__setattr__(self, "shots", as_shots(shots))

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.parameter_values)

    def with_shots(self, shots: Shots) -> "Pub":
        """The same pub with other shots. Raises ShotsError."""
        other = object.__new__(Pub)
        for name, value in vars(self).items():
            object.__setattr__(other, name, value)
        object.__setattr__(other, "shots", as_shots(shots))
        return other


@dataclass(frozen=True)
class Batch:
    """The pubs that leave together in one call."""

    pubs: tuple[Pub, ...]

    @property
    def n_rows(self) -> int:
        """The rows of all pubs."""
        return sum(pub.n_rows for pub in self.pubs)


def as_batch(pubs: Batch | Pub | Iterable[Pub]) -> Batch:
    """A batch from one pub or several. Raises UsageError where there is none."""
    if isinstance(pubs, Batch):
        return pubs
    if not isinstance(pubs, Pub | Iterable):
        raise UsageError(f"there is nothing to execute in a {type(pubs).__name__}; give pubs")
    items = (pubs,) if isinstance(pubs, Pub) else tuple(pubs)
    if not items:
        raise UsageError("there is nothing to execute: the list of pubs is empty")
    for item in items:
        if not isinstance(item, Pub):
            raise UsageError(f"{item!r} is no qorch.Pub")
    return Batch(items)
