"""Depolarising and readout noise: which gates fail in which shots, and histograms of noisy shots."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import FloatArray, IntArray, UIntArray
from qorch.model.circuit import GateList
from qorch.model.counts import Counts, concatenate_counts, smallest_unsigned
from qorch.model.gates import GATES
from qorch.model.samples import Samples
from qorch_providers.local.numba_engine.engine import NumbaEngine, RowCounter
from qorch_providers.local.numba_engine.noise_kernels import FAILED, run_trajectories, sample_ideal_shots
from qorch_providers.local.numba_engine.workspace import Purpose, Work
from qorch_providers.local.options import Noise
from qorch_providers.local.program.cache import measured_program, noisy_program
from qorch_providers.local.program.program import Program

_SHOTS_AT_A_TIME = 1 << 21
_TRAJECTORY_BYTES = 64 << 20


@dataclass(frozen=True, eq=False)
class NoiseSites:
    """The gates at which noise can occur. ``sites (G, 2)``: first source and number of qubits of every gate.

    ``survival (G,)``: the logarithm of the probability that gates 0 to g all work. Depolarising with the probability p
    is one of the 4^k - 1 Paulis with the probability ``p (1 - 4^-k)`` (Aer's convention).
    """

    sites: IntArray
    survival: FloatArray
    n_sources: int


def find_sites(gates: GateList, noise: Noise) -> NoiseSites:
    """The noise sites of a gate list, in the order of its gates; none without depolarising noise."""
    if noise.depolarizing == 0.0:
        return NoiseSites(np.empty((0, 2), dtype=np.int64), np.empty(0), 0)
    touched = np.array([GATES[opcode].n_qubits for opcode in gates.opcodes.tolist()], dtype=np.int64)
    starts = np.cumsum(touched) - touched
    failing = noise.depolarizing * (1.0 - 0.25**touched)
    return NoiseSites(np.stack([starts, touched], axis=1), np.cumsum(np.log1p(-failing)), int(touched.sum()))


@dataclass(frozen=True, eq=False)
class NoisyProgram:
    """A circuit with and without its sources of noise."""

    ideal: Program
    noisy: Program
    sites: NoiseSites


class NoisySampler:
    """Samples noisy rows on the numba engine."""

    def __init__(self, engine: NumbaEngine, noise: Noise) -> None:
        """``engine`` may be used by others too."""
        self._engine = engine
        self._noise = noise
        with np.errstate(divide="ignore"):
            self._log_correct = float(np.log1p(-noise.readout))

    def program(self, gates: GateList, basis: npt.NDArray[np.uint8]) -> NoisyProgram:
        """The programs of a circuit with this noise."""
        return NoisyProgram(measured_program(gates, basis), noisy_program(gates, basis), find_sites(gates, self._noise))

    def sample(self, program: NoisyProgram, angles: FloatArray, samples: Samples, *, scalar: npt.DTypeLike) -> Counts:
        """Histograms of all rows."""
        step = max(1, _SHOTS_AT_A_TIME // samples.shots)
        pieces = []
        for start in range(0, len(angles), step):
            rows = slice(start, start + step)
            outcomes = self._read(program, angles[rows], samples.take(rows), scalar)
            pieces.append(count_rows(outcomes, n_qubits=program.ideal.n_qubits))
        return concatenate_counts(pieces) if len(pieces) > 1 else pieces[0]

    def _read(self, program: NoisyProgram, angles: FloatArray, samples: Samples, scalar: npt.DTypeLike) -> UIntArray:
        """The outcome read in every shot, ``(R, S)``."""
        outcomes = np.empty((len(angles), samples.shots), dtype=np.uint64)
        ideal, survival = program.ideal, program.sites.survival

        def task(counter: RowCounter, work: Work) -> None:
            sample_ideal_shots(
                counter, ideal.tables, ideal.is_real, angles, samples.streams, samples.ordinals, samples.offset,
                survival, self._log_correct, ideal.n_qubits, work, outcomes,
            )  # fmt: skip

        self._engine.run(ideal, len(angles), scalar, Purpose("noise-ideal", samples=True), task)
        rows, places = np.nonzero(outcomes == FAILED)
        step = max(1, _TRAJECTORY_BYTES // (8 * max(1, angles.shape[1])))
        for start in range(0, len(rows), step):
            some, where = rows[start : start + step], places[start : start + step]
            outcomes[some, where] = self._run_trajectories(
                program, angles[some], samples.streams[some], samples.ordinals[some], where + samples.offset, scalar
            )  # fmt: skip
        return outcomes

    def _run_trajectories(
        self,
        program: NoisyProgram,
        angles: FloatArray,
        streams: UIntArray,
        ordinals: UIntArray,
        shots: IntArray,
        scalar: npt.DTypeLike,
    ) -> UIntArray:
        outcomes = np.empty(len(angles), dtype=np.uint64)
        noisy, sites = program.noisy, program.sites

        def task(counter: RowCounter, work: Work) -> None:
            run_trajectories(
                counter, noisy.tables, noisy.is_real, angles, streams, ordinals, shots, sites.sites,
                sites.survival, self._log_correct, noisy.n_qubits, work, outcomes,
            )  # fmt: skip

        purpose = Purpose("noise", samples=True, noise_sources=sites.n_sources)
        self._engine.run(noisy, len(angles), scalar, purpose, task)
        return outcomes


def count_rows(outcomes: UIntArray, *, n_qubits: int) -> Counts:
    """Histograms of ``outcomes (R, S)``."""
    ordered = np.sort(outcomes, axis=1)
    is_first = np.ones(ordered.shape, dtype=bool)
    is_first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts = np.flatnonzero(is_first)
    counts = np.diff(starts, append=ordered.size)
    return Counts(
        n_qubits,
        ordered.reshape(-1)[starts].astype(smallest_unsigned((1 << n_qubits) - 1)),
        counts.astype(smallest_unsigned(int(counts.max(initial=0)))),
        np.concatenate(([0], np.cumsum(is_first.sum(axis=1)))).astype(np.int64),
    )
