"""Groups operations of a program that run together on one part of the state, which then stays in the nearest cache."""

import numpy as np
import numpy.typing as npt

from qorch_providers.local.program.program import GATHER, Program

MIN_RUN_QUBITS = 2
"""Parts of high qubits consist of runs of at least 4 amplitudes that lie together."""


def plan_passes(program: Program, *, block_qubits: int) -> npt.NDArray[np.int64]:
    """The passes of a program over states of which ``2^block_qubits`` amplitudes fit into the nearest cache.

    Rows ``(Q, 5)``: a gather that comes first (or -1), the range of operations, log2 of the amplitudes in a part, and
    the lowest qubit if parts consist of the values of all qubits from there on (or -1: of low qubits).
    """
    operations = program.tables.operations.tolist()
    n_qubits, block = program.n_qubits, min(block_qubits, program.n_qubits)
    passes: list[list[int]] = []
    index = 0
    while index < len(operations):
        table = operations[index][3] if operations[index][0] == GATHER else -1
        first = index + (table >= 0)
        stop = _low_end(operations, first, block)
        lowest, size = -1, block
        if stop == first and table < 0:
            stop, lowest = _high_end(operations, first, n_qubits, block)
        if stop - first < 2:
            lowest = -1
            size = block if stop > first and table >= 0 else n_qubits
        passes.append([table, first, stop, size, lowest])
        index = stop
    return np.array(passes, dtype=np.int64).reshape(-1, 5)


def _low_end(operations: list[list[int]], first: int, block: int) -> int:
    """The first operation from ``first`` on that does not act on low qubits only."""
    stop = first
    while stop < len(operations) and operations[stop][0] != GATHER and operations[stop][6] <= block:
        stop += 1
    return stop


def _high_end(operations: list[list[int]], first: int, n_qubits: int, block: int) -> tuple[int, int]:
    """The first operation that does not fit into a part of high qubits (after at least one), and the lowest qubit."""
    stop, lowest = first + 1, operations[first][5]
    while stop < len(operations) and operations[stop][0] != GATHER and operations[stop][6] > block:
        reached = min(lowest, operations[stop][5])
        if n_qubits - reached + MIN_RUN_QUBITS > block:
            break
        stop, lowest = stop + 1, reached
    is_fitting = n_qubits - lowest + MIN_RUN_QUBITS <= block
    return (stop, lowest) if is_fitting else (first + 1, -1)
