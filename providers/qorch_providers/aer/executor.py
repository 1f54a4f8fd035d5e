"""In the worker: the blocks of a job executed, rows of the same circuit together and within bounded memory."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from qiskit_aer import AerSimulator

from qorch.model.arrays import FloatArray, UIntArray
from qorch.model.circuit import GateList
from qorch.model.counts import concatenate_counts
from qorch.model.measurement import BlockResult, RowBlock
from qorch.model.samples import Samples
from qorch_providers.aer.circuits import IdealProgram
from qorch_providers.aer.noise import Noise, NoisyProgram
from qorch_providers.aer.sampling import pack_counts, sample_counts

TABLE_BYTES = 32 << 20
_MAX_PROGRAMS = 128

Program = IdealProgram | NoisyProgram


@dataclass(frozen=True)
class _Piece:
    """Rows ``start`` to ``stop`` of a block."""

    block: int
    start: int
    stop: int


class Executor:
    """Turns blocks into results; keeps the most recently used circuits compiled."""

    def __init__(self, noise: Noise | None) -> None:
        """Nothing is compiled yet."""
        self._noise = noise
        self._simulator = AerSimulator()
        self._programs: OrderedDict[bytes, Program] = OrderedDict()

    def execute(self, blocks: list[RowBlock], *, threads: int) -> list[BlockResult]:
        """One result per block, in order."""
        parts: list[list[BlockResult]] = [[] for _ in blocks]
        for pieces in _batches(blocks):
            for piece, part in zip(pieces, self._run(blocks, pieces, threads=threads), strict=True):
                parts[piece.block].append(part)
        return [_join(part) for part in parts]

    def _run(self, blocks: list[RowBlock], pieces: list[_Piece], *, threads: int) -> Iterator[BlockResult]:
        parts = [blocks[piece.block].take(slice(piece.start, piece.stop)) for piece in pieces]
        program = self._program(parts[0])
        if isinstance(program, NoisyProgram) and program.is_sampled_by_aer and parts[0].samples is not None:
            yield from (_run_trajectories(program, part, part.samples) for part in parts if part.samples is not None)
            return
        table = program.probabilities(np.concatenate([part.angles for part in parts]), threads=threads)
        start = 0
        for part in parts:
            yield _read_out(part, table[start : start + part.n_rows])
            start += part.n_rows

    def _program(self, block: RowBlock) -> Program:
        key = _circuit_key(block)
        program = self._programs.get(key)
        if program is None:
            program = self._compile(block.gates, block)
            self._programs[key] = program
            if len(self._programs) > _MAX_PROGRAMS:
                self._programs.popitem(last=False)
        self._programs.move_to_end(key)
        return program

    def _compile(self, gates: GateList, block: RowBlock) -> Program:
        if self._noise is None:
            return IdealProgram(self._simulator, gates, block.measurement.basis)
        return NoisyProgram(self._simulator, self._noise, gates, block.measurement.basis)


def _circuit_key(block: RowBlock) -> bytes:
    return block.gates.digest + block.measurement.basis.tobytes()


def _batches(blocks: list[RowBlock]) -> Iterator[list[_Piece]]:
    """Pieces that run in one call of Aer: same circuit, basis and kind, and a table within TABLE_BYTES."""
    groups: dict[tuple[bytes, bool], list[int]] = {}
    for index, block in enumerate(blocks):
        groups.setdefault((_circuit_key(block), block.measurement.is_exact), []).append(index)
    for members in groups.values():
        capacity = max(1, TABLE_BYTES >> (3 + blocks[members[0]].gates.n_qubits))
        batch: list[_Piece] = []
        room = capacity
        for index in members:
            start, n_rows = 0, blocks[index].n_rows
            while start < n_rows:
                stop = min(n_rows, start + room)
                batch.append(_Piece(index, start, stop))
                room -= stop - start
                start = stop
                if room == 0:
                    yield batch
                    batch, room = [], capacity
        if batch:
            yield batch


def _read_out(block: RowBlock, table: FloatArray) -> BlockResult:
    if block.samples is not None:
        return BlockResult(counts=sample_counts(table, block.samples))
    masks = block.measurement.masks
    return BlockResult(values=table if masks is None else parities(table, masks))


def parities(probabilities: FloatArray, masks: UIntArray) -> FloatArray:
    """Expectation values ``(R, M)`` of the parities ``masks`` under ``(R, 2**n)`` probabilities.

    Folds one qubit after the other: only element-wise sums, so that a row's bits do not depend on its neighbours.
    """
    values = np.empty((len(probabilities), len(masks)))
    n_qubits = (probabilities.shape[1] - 1).bit_length()
    for column, mask in enumerate(masks.tolist()):
        folded = probabilities
        for qubit in reversed(range(n_qubits)):
            low, high = folded[:, : 1 << qubit], folded[:, 1 << qubit :]
            folded = low - high if mask >> qubit & 1 else low + high
        values[:, column] = folded[:, 0]
    return values


def _run_trajectories(program: NoisyProgram, block: RowBlock, samples: Samples) -> BlockResult:
    rows = [
        program.trajectories(
            block.angles[row],
            stream=int(samples.streams[row]),
            ordinal=int(samples.ordinals[row]),
            shots=samples.shots,
            shot_offset=samples.offset,
        )
        for row in range(block.n_rows)
    ]
    outcomes, counts = [row[0] for row in rows], [row[1] for row in rows]
    return BlockResult(counts=pack_counts(outcomes, counts, n_qubits=block.gates.n_qubits))


def _join(parts: list[BlockResult]) -> BlockResult:
    if len(parts) == 1:
        return parts[0]
    counts = [part.counts for part in parts if part.counts is not None]
    if counts:
        return BlockResult(counts=concatenate_counts(counts))
    return BlockResult(values=np.concatenate([part.values for part in parts if part.values is not None]))
