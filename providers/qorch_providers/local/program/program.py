"""Compiles a circuit for the engines: into a short list of operations over tables, the same for every row.

Adjacent turns of a qubit become one matrix, runs of CX, CZ, SWAP and CCX one signed gather, everything before the
first entangler a product state; a gather at the very end is done when the probabilities are read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList
from qorch_providers.local.program.primitives import (
    AXIS_X,
    AXIS_Y,
    AXIS_Z,
    FLIP_X,
    FLIP_Z,
    Angle,
    PairTurn,
    Primitive,
    Shuffle,
    Turn,
    basis_turns,
    lower_gates,
)

REAL, REAL_PAIR, GENERAL, DIAGONAL, ROTATE_PAIR, GATHER, FLIP, SIGN = range(8)
"""Kinds of operations; see ``Tables.operations``."""

GATHER_MAX_QUBITS = 16
"""Beyond this a table of indices per run costs more than going through the state gate by gate."""

Indices = npt.NDArray[np.int32]


class Tables(NamedTuple):
    """The arrays of a program, as the kernels take them.

    ``operations (G, 7)``: kind, then by kind ``qubit, _, matrix`` | ``high qubit, low qubit, high's matrix, low's
    matrix`` (REAL_PAIR) | ``x mask, z mask, matrix`` (ROTATE_PAIR) | ``_, _, table`` (GATHER) | ``control mask, target
    mask`` (FLIP) | ``mask`` (SIGN); the last two columns are the lowest qubit that it touches and 1 more
    than the highest. ``matrices (M, 3)``: kind and the range of turns that make it up;
    ``turns (L, 2)``: kind and angle (or noise source). ``angle_columns (S, E)``, ``angle_factors (S, E)`` and
    ``angle_constants (S,)`` make the angles; absent terms have the factor 0. ``product (n,)``: the matrix of each
    qubit's product state, empty if the program starts from |0…0>. ``gathers (T, N)``: new amplitude k is the old
    ``gathers[t, k]`` times ``signs[t, k]``; ``scatters`` are the inverse tables, and ``readout (N,)`` is the gather
    that is done when the probabilities are read, empty if there is none.
    """

    operations: npt.NDArray[np.int64]
    matrices: Indices
    turns: Indices
    angle_columns: Indices
    angle_factors: FloatArray
    angle_constants: FloatArray
    product: Indices
    gathers: Indices
    scatters: Indices
    signs: npt.NDArray[np.int8]
    readout: Indices


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled circuit. ``is_real``: all amplitudes stay real, so that the engines skip imaginary parts."""

    n_qubits: int
    n_columns: int
    is_real: bool
    tables: Tables

    @property
    def needs_scratch(self) -> bool:
        """Whether there are gathers, which cannot be done in place."""
        return bool((self.tables.operations[:, 0] == GATHER).any()) or len(self.tables.readout) > 0


def compile_program(
    gates: GateList, basis: npt.NDArray[np.uint8] | None, *, for_gradient: bool = False, is_noisy: bool = False
) -> Program:
    """Compile a gate list, with ``basis (n,)`` turned into the computational one at its end.

    ``for_gradient`` keeps the last gather in the program, and adds the inverse tables.
    """
    primitives: list[Primitive] = list(lower_gates(gates, is_noisy=is_noisy))
    if basis is not None:
        primitives += basis_turns(basis)
    steps = _merge(primitives, gates.n_qubits)
    builder = _Builder(gates.n_qubits, with_inverse=for_gradient)
    return builder.build(steps, n_columns=gates.n_columns, folds_last=not for_gradient)


@dataclass
class _Run:
    """Turns of one qubit in a row."""

    qubit: int
    turns: list[Turn]

    @property
    def is_real(self) -> bool:
        return all(turn.kind not in (AXIS_X, AXIS_Z) for turn in self.turns)

    @property
    def is_diagonal(self) -> bool:
        return all(turn.kind == AXIS_Z for turn in self.turns)


_Step = _Run | PairTurn | tuple[Shuffle, ...]


class _Merger:
    """Collects steps: keeps turns per qubit, and shuffles together, until a step follows that does not commute."""

    def __init__(self, n_qubits: int) -> None:
        self.steps: list[_Step] = []
        self._waiting: list[list[Turn]] = [[] for _ in range(n_qubits)]
        self._shuffles: list[Shuffle] = []
        self._shuffled: set[int] = set()

    def add(self, primitive: Primitive) -> None:
        if isinstance(primitive, Turn):
            _append_turn(self._waiting[primitive.qubit], primitive)
            return
        self.flush_turns(primitive.qubits)
        if isinstance(primitive, Shuffle):
            self._shuffles.append(primitive)
            self._shuffled.update(primitive.qubits)
            return
        if not self._shuffled.isdisjoint(primitive.qubits):
            self.flush_shuffles()
        self.steps.append(primitive)

    def flush_turns(self, qubits: Iterable[int]) -> None:
        """Append the kept turns of the qubits; those that no kept shuffle touches go before the shuffles."""
        for qubit in sorted(qubits, key=self._shuffled.__contains__):
            if not self._waiting[qubit]:
                continue
            if qubit in self._shuffled:
                self.flush_shuffles()
            self.steps.append(_Run(qubit, self._waiting[qubit]))
            self._waiting[qubit] = []

    def flush_shuffles(self) -> None:
        if self._shuffles:
            self.steps.append(tuple(self._shuffles))
        self._shuffles, self._shuffled = [], set()


def _append_turn(turns: list[Turn], turn: Turn) -> None:
    """Add a turn; a rotation about the same axis as the last one is merged with it."""
    last = turns[-1] if turns else None
    if last is not None and last.kind == turn.kind and turn.kind in (AXIS_X, AXIS_Y, AXIS_Z):
        turns[-1] = Turn(turn.qubit, turn.kind, last.angle.plus(turn.angle))
    elif last is not None and last.kind == turn.kind and turn.kind in (FLIP_X, FLIP_Z):
        turns.pop()
    else:
        turns.append(turn)


def _merge(primitives: Iterable[Primitive], n_qubits: int) -> list[_Step]:
    merger = _Merger(n_qubits)
    for primitive in primitives:
        merger.add(primitive)
    merger.flush_turns(range(n_qubits))
    merger.flush_shuffles()
    return merger.steps


class _Builder:
    """Builds the tables of a program from its steps."""

    def __init__(self, n_qubits: int, *, with_inverse: bool) -> None:
        self._n_qubits = n_qubits
        self._with_inverse = with_inverse
        self._operations: list[tuple[int, ...]] = []
        self._matrices: list[tuple[int, int, int]] = []
        self._turns: list[tuple[int, int]] = []
        self._angles: list[Angle] = []
        self._gathers = _Gathers(n_qubits)
        self._is_real = True

    def build(self, steps: list[_Step], *, n_columns: int, folds_last: bool) -> Program:
        product, start = self._product(steps)
        readout = np.empty(0, dtype=np.int32)
        last = steps[-1] if len(steps) > start else None
        if folds_last and isinstance(last, tuple) and self._n_qubits <= GATHER_MAX_QUBITS:
            readout, _ = self._gathers.compose(last)
            steps = steps[:-1]
        for chunk in _runs_together(steps[start:]):
            self._add(chunk)
        tables = self._tables(product, readout)
        return Program(self._n_qubits, n_columns, self._is_real, tables)

    def _product(self, steps: list[_Step]) -> tuple[list[int], int]:
        """The matrix of each qubit in the leading product state, and how many steps that took."""
        leading: dict[int, _Run] = {}
        for step in steps:
            if not isinstance(step, _Run) or step.qubit in leading:
                break
            leading[step.qubit] = step
        if not leading:
            return [], 0
        runs = [leading.get(qubit, _Run(qubit, [])) for qubit in range(self._n_qubits)]
        return [self._matrix(run, REAL if run.is_real else GENERAL) for run in runs], len(leading)

    def _add(self, chunk: "list[_Run] | _Step") -> None:
        if isinstance(chunk, list):
            self._add_runs(chunk)
        elif isinstance(chunk, PairTurn):
            self._is_real &= (chunk.x_mask & chunk.z_mask).bit_count() == 1
            matrix = self._fresh(DIAGONAL, [(AXIS_Z, self._angle(chunk.angle))])
            self._operations.append((ROTATE_PAIR, chunk.x_mask, chunk.z_mask, matrix, 0, *_reach(chunk.qubits)))
        elif isinstance(chunk, tuple):
            self._operations += self._gathers.add(chunk)

    def _add_runs(self, runs: list[_Run]) -> None:
        """Add runs of different qubits, which commute: real ones in pairs, low qubits together."""
        runs = sorted(runs, key=lambda run: run.qubit)
        real = [run for run in runs if run.is_real]
        for low, high in zip(real[::2], real[1::2], strict=False):
            matrices = self._matrix(high, REAL), self._matrix(low, REAL)
            self._operations.append((REAL_PAIR, high.qubit, low.qubit, *matrices, low.qubit, high.qubit + 1))
        for run in real[len(real) - len(real) % 2 :]:
            self._operations.append((REAL, run.qubit, 0, self._matrix(run, REAL), 0, run.qubit, run.qubit + 1))
        for run in runs:
            if not run.is_real:
                kind = DIAGONAL if run.is_diagonal else GENERAL
                self._operations.append((kind, run.qubit, 0, self._matrix(run, kind), 0, run.qubit, run.qubit + 1))

    def _matrix(self, run: _Run, kind: int) -> int:
        self._is_real &= kind == REAL
        return self._fresh(kind, [(turn.kind, self._operand(turn)) for turn in run.turns])

    def _fresh(self, kind: int, turns: list[tuple[int, int]]) -> int:
        start = len(self._turns)
        self._turns += turns
        self._matrices.append((kind, start, len(self._turns)))
        return len(self._matrices) - 1

    def _operand(self, turn: Turn) -> int:
        if turn.kind in (AXIS_X, AXIS_Y, AXIS_Z):
            return self._angle(turn.angle)
        return turn.source

    def _angle(self, angle: Angle) -> int:
        self._angles.append(angle)
        return len(self._angles) - 1

    def _tables(self, product: list[int], readout: Indices) -> Tables:
        width = max((len(angle.terms) for angle in self._angles), default=0)
        columns = np.zeros((len(self._angles), width), dtype=np.int32)
        factors = np.zeros((len(self._angles), width))
        for row, angle in enumerate(self._angles):
            for place, (column, factor) in enumerate(angle.terms):
                columns[row, place], factors[row, place] = column, factor
        gathers, signs = self._gathers.tables()
        return Tables(
            operations=np.array(self._operations, dtype=np.int64).reshape(-1, 7),
            matrices=_indices(self._matrices, 3),
            turns=_indices(self._turns, 2),
            angle_columns=columns,
            angle_factors=factors,
            angle_constants=np.array([angle.constant for angle in self._angles], dtype=np.float64),
            product=np.array(product, dtype=np.int32),
            gathers=gathers,
            scatters=_inverses(gathers) if self._with_inverse else np.empty((0, gathers.shape[1]), dtype=np.int32),
            signs=signs,
            readout=readout,
        )


def _runs_together(steps: Sequence[_Step]) -> list["list[_Run] | _Step"]:
    """Runs of different qubits that follow each other, in one list each."""
    chunks: list[list[_Run] | _Step] = []
    for step in steps:
        last = chunks[-1] if chunks else None
        if not isinstance(step, _Run):
            chunks.append(step)
        elif isinstance(last, list) and all(run.qubit != step.qubit for run in last):
            last.append(step)
        else:
            chunks.append([step])
    return chunks


@dataclass
class _Gathers:
    """The gathers of a program; equal runs of shuffles share a table."""

    n_qubits: int
    _indices: list[Indices] = field(default_factory=list)
    _signs: list[npt.NDArray[np.int8]] = field(default_factory=list)
    _known: dict[tuple[Shuffle, ...], int] = field(default_factory=dict)

    def add(self, shuffles: tuple[Shuffle, ...]) -> list[tuple[int, ...]]:
        """The operations for a run of shuffles."""
        if self.n_qubits > GATHER_MAX_QUBITS:
            return [_shuffle_operation(shuffle) for shuffle in shuffles]
        if shuffles not in self._known:
            indices, signs = self.compose(shuffles)
            self._indices.append(indices)
            self._signs.append(signs)
            self._known[shuffles] = len(self._indices) - 1
        return [(GATHER, 0, 0, self._known[shuffles], 0, 0, self.n_qubits)]

    def compose(self, shuffles: tuple[Shuffle, ...]) -> tuple[Indices, npt.NDArray[np.int8]]:
        """New amplitude k is the old one at ``indices[k]`` times ``signs[k]``."""
        places = np.arange(1 << self.n_qubits, dtype=np.int32)
        indices, signs = places, np.ones(len(places), dtype=np.int8)
        for shuffle in shuffles:
            controls = sum(1 << qubit for qubit in shuffle.controls)
            is_on = (places & controls) == controls
            if shuffle.target is None:
                signs = np.where(is_on, -signs, signs)
            else:
                source = np.where(is_on, places ^ (1 << shuffle.target), places)
                indices, signs = indices[source], signs[source]
        return indices.astype(np.int32), signs.astype(np.int8)

    def tables(self) -> tuple[Indices, npt.NDArray[np.int8]]:
        """All tables, ``(T, N)`` each."""
        if not self._indices:
            return np.empty((0, 1), dtype=np.int32), np.empty((0, 1), dtype=np.int8)
        return np.stack(self._indices), np.stack(self._signs)


def _shuffle_operation(shuffle: Shuffle) -> tuple[int, ...]:
    controls = sum(1 << qubit for qubit in shuffle.controls)
    if shuffle.target is None:
        return (SIGN, controls, 0, 0, 0, *_reach(shuffle.qubits))
    return (FLIP, controls, 1 << shuffle.target, 0, 0, *_reach(shuffle.qubits))


def _reach(qubits: tuple[int, ...]) -> tuple[int, int]:
    return min(qubits), max(qubits) + 1


def _inverses(gathers: Indices) -> Indices:
    inverses = np.empty_like(gathers)
    places = np.arange(gathers.shape[1], dtype=np.int32)
    for gather, inverse in zip(gathers, inverses, strict=True):
        inverse[gather] = places
    return inverses


def _indices(rows: Sequence[Sequence[int]], width: int) -> Indices:
    return np.array(rows, dtype=np.int32).reshape(-1, width)
