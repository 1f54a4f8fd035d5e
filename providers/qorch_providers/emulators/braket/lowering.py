"""From a program and its inputs to operations on states: once for all rows of inputs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from qorch.errors import CircuitError
from qorch_providers.emulators.braket.expressions import evaluate
from qorch_providers.emulators.braket.gates import GATES, Make, invert, raise_to
from qorch_providers.emulators.braket.program import ProgramStep, SourceProgram
from qorch_providers.emulators.statevector import matrices
from qorch_providers.emulators.statevector.evolution import Operation
from qorch_providers.emulators.statevector.matrices import Complexes, Floats


class RowRefusedError(CircuitError):
    """One row of the inputs cannot run."""

    def __init__(self, row: int, message: str) -> None:
        """``row``: its number, from 0."""
        super().__init__(message)
        self.row = row


@dataclass(frozen=True)
class LoweredProgram:
    """Operations of ``n_qubits``, and the angles ``(R, A)`` of all rows.

    Qubit i in the order of labels is qubit ``n_qubits - 1 - i`` of the state vector, so that an outcome's integer has
    the first qubit as its most significant bit. With ``is_density`` the state is a density matrix, written as a state
    of twice as many qubits: first those of the rows, then those of the columns. ``n_one``, ``n_two``: gates by size.
    """

    n_qubits: int
    operations: tuple[Operation, ...]
    angles: Floats
    is_density: bool
    n_one: int
    n_two: int


def lower(program: SourceProgram, inputs: Mapping[str, Floats], *, n_rows: int, is_density: bool) -> LoweredProgram:
    """The operations of a program. ``inputs``: ``(R,)`` each. Raises CircuitError for a missing or unknown input."""
    for name in program.inputs:
        if name not in inputs:
            raise CircuitError(f"input '{name}' has no value")
    place = {label: index for index, label in enumerate(program.qubits)}
    columns: list[Floats] = []
    operations: list[Operation] = []
    for step in program.steps:
        start = len(columns)
        for angle in step.angles:
            column = np.asarray(evaluate(angle, inputs), dtype=np.float64)
            columns.append(np.broadcast_to(column, (n_rows,)))
        operations += _operations(step, place, tuple(range(start, len(columns))), is_density=is_density)
    angles = np.array(columns).T if columns else np.zeros((n_rows, 0))
    if not np.isfinite(angles).all():
        row = int(np.flatnonzero(~np.isfinite(angles).all(axis=1))[0])
        raise RowRefusedError(row, "an angle is not a finite number")
    sizes = [len(step.targets) + len(step.controls) for step in program.steps if not step.kraus]
    n_two = sum(1 if size == 2 else 6 * max(0, size - 2) for size in sizes)
    return LoweredProgram(len(place), tuple(operations), angles, is_density, sizes.count(1), n_two)


def _operations(
    step: ProgramStep, place: Mapping[int, int], columns: tuple[int, ...], *, is_density: bool
) -> list[Operation]:
    n_qubits = len(place)
    width = 2 * n_qubits if is_density else n_qubits
    targets = [place[qubit] for qubit in step.targets]
    controls = [(place[qubit], value) for qubit, value in step.controls]
    if step.kraus:
        both = (*targets, *(index + n_qubits for index in targets))
        return [_place(both, (), (), _constant(_superoperator(step.kraus)), width)]
    make = _make(step)
    if not targets:
        # A phase of the whole state, or of that part of it in which the controls hold.
        targets, make = _give_phase_a_target(controls, make)
        controls = controls[:-1]
    flips = [_place((index,), (), (), lambda _: matrices.fixed("x"), width) for index, value in controls if not value]
    done = [*flips, _place(targets, [index for index, _ in controls], columns, make, width), *flips]
    if not is_density:
        return done
    return [*done, *(_mirror(operation, n_qubits) for operation in done)]


def _place(
    targets: Sequence[int], controls: Sequence[int], columns: tuple[int, ...], make: Make, width: int
) -> Operation:
    return Operation(
        tuple(width - 1 - index for index in targets), tuple(width - 1 - index for index in controls), columns, make
    )


def _mirror(operation: Operation, n_qubits: int) -> Operation:
    """The same on the columns of a density matrix."""
    make = operation.make
    return Operation(
        tuple(index - n_qubits for index in operation.targets),
        tuple(index - n_qubits for index in operation.controls),
        operation.columns,
        lambda angles: make(angles).conj(),
    )


def _make(step: ProgramStep) -> Make:
    make = GATES[step.name].make if step.matrix is None else _constant(step.matrix)
    if step.exponent < 0.0:
        make = invert(make)
    return make if abs(step.exponent) == 1.0 else raise_to(make, abs(step.exponent))


def _constant(matrix: Complexes) -> Make:
    return lambda _angles: matrix[:, :, None]


def _superoperator(kraus: tuple[Complexes, ...]) -> Complexes:
    return np.asarray(np.sum([np.kron(each, each.conj()) for each in kraus], axis=0))


def _give_phase_a_target(controls: list[tuple[int, int]], make: Make) -> tuple[list[int], Make]:
    """A phase is a diagonal gate on its last control, or on any qubit if it has none."""
    if not controls:
        return [0], lambda angles: make(angles) * np.eye(2)[:, :, None]
    index, value = controls[-1]

    def diagonal(angles: Floats) -> Complexes:
        phase = make(angles)[0, 0]
        table = np.zeros((2, 2, len(phase)), dtype=np.complex128)
        table[0, 0] = table[1, 1] = 1.0
        table[value, value] = phase
        return table

    return [index], diagonal
