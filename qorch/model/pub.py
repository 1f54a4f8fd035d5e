"""Pubs: one circuit, many parameter rows, what is wanted of them; and batches of pubs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args, overload

import numpy as np
import numpy.typing as npt

from qorch.errors import ShotsError, UsageError
from qorch.model.arrays import FloatArray, as_parameter_values
from qorch.model.bindings import as_array
from qorch.model.circuit import Circuit
from qorch.model.observable import Distribution, Observables, ObservablesLike, as_observables

RunDefault = Literal["run"]
Shots = int | None | RunDefault
"""A number of shots, None for exact values, or ``"run"`` for the run's own setting."""

MAX_SHOTS = 10**9
CircuitLike = Circuit | Any
"""A compiled Circuit or a Qiskit QuantumCircuit."""


def as_shots(shots: Shots) -> Shots:
    """Check a number of shots. Raises ShotsError unless it is None, ``"run"`` or from 1 to 10^9."""
    if shots is None or (isinstance(shots, str) and shots in get_args(RunDefault)):
        return shots
    if isinstance(shots, bool) or not isinstance(shots, int | np.integer):
        raise ShotsError(f"shots is {shots!r}; give a whole number of at least 1, or None for exact values")
    if not 1 <= int(shots) <= MAX_SHOTS:
        raise ShotsError(f"shots is {shots}; it must be from 1 to {MAX_SHOTS}, or None for exact values")
    return int(shots)


def as_circuit(circuit: CircuitLike) -> Circuit:
    """The compiled circuit; a Qiskit circuit is compiled. Raises CircuitError if it cannot be."""
    if isinstance(circuit, Circuit):
        return circuit
    from qorch.model.qiskit.compile import compile_circuit

    return compile_circuit(circuit)


ParameterValues = npt.ArrayLike | Mapping[Any, npt.ArrayLike] | Any | None
"""An array, values by parameter, or a Qiskit BindingsArray."""


def _as_values(values: ParameterValues, parameters: tuple[str, ...]) -> npt.ArrayLike:
    if values is None:
        return np.zeros(0)
    if isinstance(values, np.ndarray):
        return values
    if isinstance(values, Mapping):
        return as_array(values, parameters=parameters)
    data = getattr(values, "data", None)
    if hasattr(values, "as_array") and isinstance(data, Mapping):  # a BindingsArray
        return as_array(data, parameters=parameters)
    return cast("npt.ArrayLike", values)


@dataclass(frozen=True, eq=False, init=False)
class Pub:
    """Primitive unified bloc: a circuit at N parameter points, with K observables or counts, and shots.

    Parameter values have shape ``(…, P)`` in the order of ``circuit.parameters`` (Qiskit's own order): ``(P,)`` is
    one row; they may be left out for a circuit without parameters. Or they are given by parameter, as Qiskit's
    primitives take them: ``{"x": (…, n), Parameter: (…)}`` (see ``qorch.model.bindings``), or a BindingsArray.
    ``parameter_values (N, P)`` are the rows, with ``shape`` their leading shape ``(…)`` and N its product. Rows are in
    NumPy's own order, so ``result.values.reshape(*pub.shape, -1)`` has the shape of what was given. Every row is
    measured for every observable; they are not broadcast against each other.

    Raises CircuitError, ParameterError, ObservableError or ShotsError: everything is checked here, before anything
    runs.
    """

    circuit: Circuit
    parameter_values: FloatArray
    shape: tuple[int, ...]
    observables: Observables
    shots: Shots

    def __init__(
        self,
        circuit: CircuitLike,
        parameter_values: ParameterValues = None,
        *,
        observables: ObservablesLike = None,
        shots: Shots = "run",
    ) -> None:
        """Compile, check and freeze."""
        compiled = as_circuit(circuit)
        rows, shape = as_parameter_values(
            _as_values(parameter_values, compiled.parameters), parameters=compiled.parameters
        )
        object.__setattr__(self, "circuit", compiled)
        object.__setattr__(self, "parameter_values", rows)
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "observables", as_observables(observables, n_qubits=compiled.n_qubits))
        object.__setattr__(self, "shots", as_shots(shots))

    def __repr__(self) -> str:
        """Its size, without the arrays."""
        observables = self.observables
        wanted = "probabilities" if isinstance(observables, Distribution) else f"{len(observables)} observables"
        return f"Pub({self.n_rows} rows, {self.circuit!r}, {wanted}, shots={self.shots})"

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.parameter_values)

    @overload
    def shots_or(self, default: int | None) -> int | None: ...

    @overload
    def shots_or(self, default: Shots) -> Shots: ...

    def shots_or(self, default: Shots) -> Shots:
        """Its own shots, or these if they are the run's."""
        return default if isinstance(self.shots, str) else self.shots

    def with_shots(self, shots: Shots) -> "Pub":
        """The same pub with other shots. Raises ShotsError."""
        return self._with("shots", as_shots(shots))

    def with_first_row(self) -> "Pub":
        """The same pub with the values of its first row in every row, which take the memory of one."""
        rows = np.broadcast_to(self.parameter_values[:1].copy(), self.parameter_values.shape)
        return self._with("parameter_values", rows)

    def _with(self, name: str, value: object) -> "Pub":
        other = object.__new__(Pub)
        vars(other).update(vars(self) | {name: value})
        return other


@dataclass(frozen=True)
class Batch:
    """The pubs that leave together in one call."""

    pubs: tuple[Pub, ...]

    def __repr__(self) -> str:
        """Its size, without the pubs."""
        return f"Batch({len(self.pubs)} pubs, {self.n_rows} rows)"

    @property
    def n_rows(self) -> int:
        """The rows of all pubs."""
        return sum(pub.n_rows for pub in self.pubs)


def as_batch(pubs: Batch | Pub | Iterable[Pub]) -> Batch:
    """A batch from one pub or several. Raises UsageError if there is none."""
    if isinstance(pubs, Batch):
        return pubs
    try:
        items = (pubs,) if isinstance(pubs, Pub) else tuple(pubs)
    except TypeError as error:
        raise UsageError(f"there is nothing to execute in a {type(pubs).__name__}; give pubs") from error
    if not items:
        raise UsageError("there is nothing to execute: the list of pubs is empty")
    for item in items:
        if not isinstance(item, Pub):
            raise UsageError(f"{item!r} is not a qorch.Pub")
    return Batch(items)
