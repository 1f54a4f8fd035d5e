"""The numba engine: runs compiled kernels in a few threads, each on blocks of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from qorch.machine import memory_bytes
from qorch.model.arrays import FloatArray, UIntArray
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.samples import Samples
from qorch_providers.local.limits import LANE_QUBITS, LANES
from qorch_providers.local.numba_engine.buffers import BufferPool
from qorch_providers.local.numba_engine.jit import Compilations
from qorch_providers.local.numba_engine.kernels import differentiate_rows, evaluate_rows, sample_large_rows, sample_rows
from qorch_providers.local.numba_engine.sampling import NARROW, WIDE, pack_entries
from qorch_providers.local.numba_engine.threads import ThreadTeam
from qorch_providers.local.numba_engine.workspace import Entries, Purpose, Work, make_work
from qorch_providers.local.observables import WeightedStrings
from qorch_providers.local.program.program import Program

FINE_QUBITS = 20
"""Beyond this number of qubits 32-bit thresholds are too coarse, and too large."""
SINGLE_ROW_QUBITS = 10
"""Below this number of qubits a single row is fast even with seven idle lanes."""
_NO_MASKS = np.empty(0, dtype=np.int64)
KEPT_BYTES = 4 << 20
"""Work spaces with larger states are not kept for the next job."""
_ENTRY_BYTES = 64 << 20

RowCounter = npt.NDArray[np.int64]


class NumbaEngine:
    """Runs programs at rows of angles. A row's bits depend on nothing but the row."""

    def __init__(self, *, threads: int, now_ns: Callable[[], int]) -> None:
        """No thread is started yet. ``now_ns``: the clock that measures how long kernels are compiled."""
        self._team = ThreadTeam(threads)
        self._memory_bytes = memory_bytes()
        self._compilations = Compilations(now_ns)
        self._works: BufferPool[Work] = BufferPool(keys=2)
        self._entries: BufferPool[Entries] = BufferPool(keys=2)

    def close(self) -> None:
        """End the threads, and release the memory kept for the next job."""
        self._team.close()
        self._works.clear()
        self._entries.clear()

    def sample(self, program: Program, angles: FloatArray, samples: Samples, *, scalar: npt.DTypeLike) -> Counts:
        """See Engine."""
        capacity = min(1 << program.n_qubits, samples.shots)
        step = max(1, _ENTRY_BYTES // (8 * capacity))
        pieces = []
        for start in range(0, len(angles), step):
            rows = slice(start, start + step)
            piece = self.fill_entries(program, angles[rows], samples.take(rows), capacity=capacity, scalar=scalar)
            pieces.append(piece)
        counts = _pack(program.n_qubits, pieces)
        for piece in pieces[:1]:
            self._entries.put((program.n_qubits, len(piece.lengths), samples.shots), piece)
        return counts

    def fill_entries(
        self, program: Program, angles: FloatArray, samples: Samples, *, capacity: int, scalar: npt.DTypeLike
    ) -> Entries:
        """Histograms of all rows, up to ``capacity`` outcomes each, before they are packed."""
        is_large = program.n_qubits > FINE_QUBITS
        lanes = choose_lanes(program.n_qubits, len(angles))
        entries = self._entries.take(
            (program.n_qubits, len(angles), samples.shots),
            lambda: _make_entries(program, len(angles), samples, capacity=capacity, lanes=lanes),
        )
        purpose = Purpose(
            "large-samples" if is_large else "samples",
            samples=not is_large,
            fine_shots=samples.shots if is_large else 0,
        )
        kernel = sample_large_rows if is_large else sample_rows

        def task(counter: RowCounter, work: Work) -> None:
            kernel(
                counter, program.tables, program.is_real, angles, samples.streams, samples.ordinals,
                samples.offset, samples.shots, work, entries,
            )  # fmt: skip

        self.run(program, len(angles), scalar, purpose, task)
        return entries

    def evaluate(
        self, program: Program, angles: FloatArray, masks: UIntArray | None, *, scalar: npt.DTypeLike
    ) -> FloatArray:
        """Exact parities of the masks ``(R, M)``, or all probabilities ``(R, 2^n)`` if masks is None."""
        chosen = _NO_MASKS if masks is None else masks.astype(np.int64)
        values = np.empty((len(angles), 1 << program.n_qubits if masks is None else len(chosen)))

        def task(counter: RowCounter, work: Work) -> None:
            evaluate_rows(counter, program.tables, program.is_real, angles, chosen, masks is None, work, values)

        self.run(program, len(angles), scalar, Purpose("values"), task)
        return values

    def differentiate(
        self, program: Program, angles: FloatArray, strings: WeightedStrings, *, scalar: npt.DTypeLike
    ) -> FloatArray:
        """Derivatives ``(R, D)`` of each row's own weighted sum by the row's angles."""
        gradients = np.zeros((len(angles), program.n_columns))

        def task(counter: RowCounter, work: Work) -> None:
            differentiate_rows(
                counter,
                program.tables,
                program.is_real,
                angles,
                strings.layers,
                strings.z_masks,
                strings.weights,
                strings.wants_all,
                work,
                gradients,
            )

        self.run(program, len(angles), scalar, Purpose("gradients", gradient=True), task)
        return gradients

    def run(
        self,
        program: Program,
        rows: int,
        scalar: npt.DTypeLike,
        purpose: Purpose,
        task: Callable[[RowCounter, Work], None],
    ) -> None:
        """Let the threads work on blocks of ``rows`` rows, each in a work space of its own."""
        lanes = choose_lanes(program.n_qubits, rows)
        counter = np.zeros(1, dtype=np.int64)
        variant = f"{purpose.name}-{np.dtype(scalar).name}-{lanes}"

        key = (program, variant, purpose)

        def member(_: int) -> None:
            work = self._works.take(key, lambda: make_work(program, scalar=scalar, lanes=lanes, purpose=purpose))
            task(counter, work)
            if work.re.nbytes <= KEPT_BYTES:
                self._works.put(key, work)

        with self._compilations.first_use(variant):
            self._team.run(member, members=min(-(-rows // lanes), self._states_in_memory(program, lanes, scalar)))

    def take_compile_intervals(self) -> list[tuple[int, int]]:
        """See Engine."""
        return self._compilations.take_intervals()

    def _states_in_memory(self, program: Program, lanes: int, scalar: npt.DTypeLike) -> int:
        """How many threads may hold states of their own at the same time, at least 1."""
        state_bytes = (8 * np.dtype(scalar).itemsize * lanes) << program.n_qubits
        return max(1, self._memory_bytes // 2 // state_bytes)


def _make_entries(program: Program, rows: int, samples: Samples, *, capacity: int, lanes: int) -> Entries:
    is_large = program.n_qubits > FINE_QUBITS
    is_narrow = program.n_qubits <= 8 * NARROW and samples.shots < 1 << 8 * NARROW
    width = NARROW if is_narrow else WIDE
    places = -(-rows // lanes) * lanes * capacity
    return Entries(
        lanes,
        lanes * capacity,
        width,
        np.empty(places, dtype=np.uint64) if is_large else np.empty(places * width, dtype=np.uint8),
        np.empty(places, dtype=np.uint32) if is_large else np.empty(places * width, dtype=np.uint8),
        np.empty(rows, dtype=np.int64),
        np.empty(rows, dtype=np.uint32),
    )


def choose_lanes(n_qubits: int, rows: int) -> int:
    """How many rows are computed side by side; this affects speed only, not the results.

    Sixteen are no faster than eight (within 4 % on W1 to W5, AVX-512), and each number needs kernels of its own.
    """
    return 1 if n_qubits > LANE_QUBITS or (rows == 1 and n_qubits >= SINGLE_ROW_QUBITS) else LANES


def _pack(n_qubits: int, pieces: list[Entries]) -> Counts:
    """All histograms as one ``Counts``, in compact types."""
    lengths = np.concatenate([piece.lengths for piece in pieces])
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    largest = max(int(piece.largest.max(initial=0)) for piece in pieces)
    outcomes = np.empty(offsets[-1], dtype=smallest_unsigned((1 << n_qubits) - 1))
    counts = np.empty(offsets[-1], dtype=smallest_unsigned(largest))
    row = 0
    for piece in pieces:
        places = offsets[row : row + len(piece.lengths) + 1]
        for source, target in ((piece.outcomes, outcomes), (piece.counts, counts)):
            pack_entries(places, piece.lanes, piece.capacity, _numbers(source, piece.width), target)
        row += len(piece.lengths)
    return Counts(n_qubits, outcomes, counts, offsets)


def _numbers(memory: npt.NDArray[Any], width: int) -> npt.NDArray[Any]:
    return memory.view(f"u{width}") if memory.dtype == np.uint8 else memory
