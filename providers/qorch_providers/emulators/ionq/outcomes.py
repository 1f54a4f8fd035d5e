"""Results of a job, stored compactly, and the formats in which they are served."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import msgspec
import numpy as np
import numpy.typing as npt

from qorch_providers.emulators.ionq.circuits import Workload
from qorch_providers.emulators.statevector.evolution import chunk_rows, distributions
from qorch_providers.emulators.statevector.matrices import Floats
from qorch_providers.emulators.statevector.noise import NoiseRates, add_noise

NOTHING = 1e-18
"""Exact probabilities below this are rounding errors of what is 0."""


@dataclass(frozen=True)
class Outcomes:
    """Distributions of a job's circuits, without zeros: circuit i has the entries ``offsets[i]:offsets[i + 1]``.

    ``states``: outcome integers. ``values``: probabilities; with ``shots``, multiples of ``1 / shots``.
    """

    offsets: npt.NDArray[np.int64]
    states: npt.NDArray[np.uint32]
    values: Floats
    widths: tuple[int, ...]
    shots: int | None

    @property
    def n_bytes(self) -> int:
        """The memory of the arrays."""
        return self.offsets.nbytes + self.states.nbytes + self.values.nbytes

    def row(self, index: int) -> tuple[list[int], list[float]]:
        """Outcomes of a circuit and their probabilities."""
        part = slice(int(self.offsets[index]), int(self.offsets[index + 1]))
        return self.states[part].tolist(), self.values[part].tolist()


def simulate(workload: Workload, *, rates: NoiseRates | None, shots: int | None, rng: np.random.Generator) -> Outcomes:
    """Run all circuits: exactly if ``shots`` is None, else sampled from the distribution with noise."""
    rows: list[tuple[npt.NDArray[np.uint32], Floats]] = [_NO_ROW] * workload.n_circuits
    widths = [0] * workload.n_circuits
    for group in workload.groups:
        size = chunk_rows(group.shape.n_qubits)
        for start in range(0, len(group.rows), size):
            angles = group.angles[start : start + size]
            table = distributions(group.shape.operations, angles, n_qubits=group.shape.n_qubits)
            if rates is not None:
                table = add_noise(table, rates, n_one=group.shape.n_one, n_two=group.shape.n_two)
            table = _sample(table, shots, rng) if shots is not None else np.where(table < NOTHING, 0.0, table)
            for row, values in zip(group.rows[start : start + size].tolist(), table, strict=True):
                states = np.flatnonzero(values)
                rows[row] = (states.astype(np.uint32), values[states])
                widths[row] = group.shape.n_qubits
    return _pack(rows, widths, shots)


_NO_ROW = (np.zeros(0, dtype=np.uint32), np.zeros(0))


def _sample(table: Floats, shots: int, rng: np.random.Generator) -> Floats:
    table = np.clip(table, 0.0, None)
    return rng.multinomial(shots, table / table.sum(axis=1, keepdims=True)) / shots


def _pack(rows: Sequence[tuple[npt.NDArray[np.uint32], Floats]], widths: list[int], shots: int | None) -> Outcomes:
    offsets = np.cumsum([0, *(len(states) for states, _ in rows)])
    states = np.concatenate([states for states, _ in rows])
    return Outcomes(offsets, states, np.concatenate([values for _, values in rows]), tuple(widths), shots)


def _probabilities(outcomes: Outcomes, index: int) -> dict[str, float]:
    states, values = outcomes.row(index)
    # The service writes a certain outcome as the integer 1.
    certain: list[float] = [1 if value == 1.0 else value for value in values] if len(values) == 1 else values
    return dict(zip(map(str, states), certain, strict=True))


def _histogram(outcomes: Outcomes, index: int) -> dict[str, int]:
    states, values = outcomes.row(index)
    return {str(state): round(value * (outcomes.shots or 0)) for state, value in zip(states, values, strict=True)}


def _shots(outcomes: Outcomes, index: int) -> list[str]:
    """The outcome of every shot, in an order that is random but the same at every call."""
    histogram = _histogram(outcomes, index)
    order = np.random.default_rng(index).permutation(sum(histogram.values()))
    listed = [state for state, count in histogram.items() for _ in range(count)]
    return [listed[place] for place in order.tolist()]


def _registers(outcomes: Outcomes, index: int) -> dict[str, object]:
    states, values = outcomes.row(index)
    width = outcomes.widths[index]
    named = {format(state, f"0{width}b"): value for state, value in zip(states, values, strict=True)}
    return {"probabilities": {"registers": {"output_all": named}}}


@dataclass(frozen=True)
class ResultFormat:
    """One way to serve the result of a circuit. ``is_sampled``: only for sampled jobs."""

    identifier: str
    artifact: str
    make: Callable[[Outcomes, int], object]
    is_sampled: bool = False


FORMATS = MappingProxyType(
    {
        "probabilities": ResultFormat("ionq.result.probabilities.json.v1", "probabilities", _probabilities),
        "probabilities-v2": ResultFormat("ionq.result.probabilities.json.v2", "probabilities-v2", _registers),
        "histogram": ResultFormat("ionq.result.histogram.json.v1", "histogram", _histogram, is_sampled=True),
        "shots": ResultFormat("ionq.result.shots.json.v1", "shots", _shots, is_sampled=True),
    }
)
AGGREGATE = "probabilities-aggregate"
AGGREGATE_FORMAT = "ionq.result.probabilities-aggregate.json.v1"


def encode_row(outcomes: Outcomes, index: int, format_name: str) -> bytes:
    """The result of one circuit as JSON, in one of `FORMATS`."""
    return msgspec.json.encode(FORMATS[format_name].make(outcomes, index))


def encode_all(outcomes: Outcomes, ids: Sequence[tuple[int, str]]) -> bytes:
    """The probabilities of these circuits (position and child id) as one JSON object, in the order given."""
    return msgspec.json.encode({child: _probabilities(outcomes, index) for index, child in ids})
