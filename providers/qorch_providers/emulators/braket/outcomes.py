"""Run programs: many rows of one program, or one program with the results that it asks for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qorch.errors import CircuitError
from qorch_providers.emulators.braket.lowering import LoweredProgram
from qorch_providers.emulators.braket.observables import BasisMeasurement, combine_rotations, measurements
from qorch_providers.emulators.braket.program import ResultRequest, SourceProgram
from qorch_providers.emulators.braket.states import FinalState, marginal
from qorch_providers.emulators.statevector.evolution import chunk_rows, distributions
from qorch_providers.emulators.statevector.matrices import Floats
from qorch_providers.emulators.statevector.noise import NoiseRates, add_noise

Bits = npt.NDArray[np.int8]
"""Shots by qubits: 0 or 1."""
NOTHING = 1e-15
"""Exact numbers below this are rounding errors of what is 0."""


@dataclass(frozen=True)
class ProgramOutcome:
    """What one program gave: single shots of ``qubits`` if there were any, and the values of its results."""

    qubits: tuple[int, ...]
    bits: Bits | None
    values: tuple[object, ...] = ()


def run_exactly(program: SourceProgram, lowered: LoweredProgram) -> ProgramOutcome:
    """Without shots: exact values of the results. Raises CircuitError."""
    state = FinalState(lowered, 0)
    places = {label: index for index, label in enumerate(program.qubits)}
    values = tuple(_exact_value(request, state, places) for request in program.results)
    return ProgramOutcome(program.qubits, None, values)


def _exact_value(request: ResultRequest, state: FinalState, places: dict[int, int]) -> object:
    if request.factors:
        found = [_moments(each, state) for each in measurements(request, places)]
        numbers = [_clean(second - first**2 if request.kind == "variance" else first) for first, second in found]
        return numbers if not request.factors[0].targets else numbers[0]
    targets = tuple(places[qubit] for qubit in request.targets) or tuple(places.values())
    if request.kind == "probability":
        return [_clean(value) for value in marginal(state.probabilities([]), targets).tolist()]
    if request.kind == "densitymatrix":
        return [[_pair(entry) for entry in row] for row in state.density(targets)]
    amplitudes = state.amplitudes()
    if request.kind == "statevector":
        return [_pair(entry) for entry in amplitudes]
    if any(len(wanted) != len(places) for wanted in request.states):
        raise CircuitError(f"the states of an amplitude have {len(places)} bits")
    return {wanted: _pair(amplitudes[int(wanted, 2)]) for wanted in request.states}


def _moments(measurement: BasisMeasurement, state: FinalState) -> tuple[float, float]:
    weights = marginal(state.probabilities(list(measurement.rotations)), measurement.places)
    return float(weights @ measurement.values), float(weights @ measurement.values**2)


def _clean(value: float) -> float:
    return 0.0 if abs(value) < NOTHING else float(value)


def _pair(value: complex) -> list[float]:
    return [_clean(value.real), _clean(value.imag)]


def run_rows(
    program: SourceProgram, lowered: LoweredProgram, *, shots: int, rates: NoiseRates | None, rng: np.random.Generator
) -> list[ProgramOutcome]:
    """With shots: every row of a program, without results."""
    places = [program.qubits.index(qubit) for qubit in program.measured]
    size = chunk_rows(lowered.n_qubits)
    executed = []
    for start in range(0, len(lowered.angles), size):
        table = _distributions(lowered, lowered.angles[start : start + size])
        if rates is not None:
            table = add_noise(table, rates, n_one=lowered.n_one, n_two=lowered.n_two)
        for weights in table:
            bits = _sample(weights, shots, rng)
            executed.append(ProgramOutcome(program.measured, bits[:, places]))
    return executed


def _distributions(lowered: LoweredProgram, angles: Floats) -> Floats:
    if not lowered.is_density:
        return distributions(lowered.operations, angles, n_qubits=lowered.n_qubits)
    one = LoweredProgram(lowered.n_qubits, lowered.operations, angles, True, 0, 0)
    return np.stack([FinalState(one, row).probabilities([]).reshape(-1) for row in range(len(angles))])


def run_sampled(
    program: SourceProgram, lowered: LoweredProgram, *, shots: int, rates: NoiseRates | None, rng: np.random.Generator
) -> ProgramOutcome:
    """With shots: one row, and the values of the results from what was measured. Raises CircuitError."""
    if not program.results:
        return run_rows(program, lowered, shots=shots, rates=rates, rng=rng)[0]
    places = {label: index for index, label in enumerate(program.qubits)}
    wanted = [measurements(request, places) if request.factors else [] for request in program.results]
    rotations = combine_rotations([each for group in wanted for each in group])
    table = FinalState(lowered, 0).probabilities(rotations).reshape(1, -1)
    if rates is not None:
        table = add_noise(table, rates, n_one=lowered.n_one + len(rotations), n_two=lowered.n_two)
    bits = _sample(table[0], shots, rng)
    values = tuple(
        _sampled_value(request, group, bits, places) for request, group in zip(program.results, wanted, strict=True)
    )
    return ProgramOutcome(program.qubits, bits, values)


def _sampled_value(request: ResultRequest, group: list[BasisMeasurement], bits: Bits, places: dict[int, int]) -> object:
    if not group:
        targets = tuple(places[qubit] for qubit in request.targets) or tuple(places.values())
        counts = np.bincount(_as_integers(bits, targets), minlength=1 << len(targets))
        return (counts / len(bits)).tolist()
    found = [each.values[_as_integers(bits, each.places)] for each in group]
    if request.kind == "sample":
        listed: list[object] = [samples.tolist() for samples in found]
    else:
        listed = [float(samples.var() if request.kind == "variance" else samples.mean()) for samples in found]
    return listed if not request.factors[0].targets else listed[0]


def _as_integers(bits: Bits, places: tuple[int, ...]) -> npt.NDArray[np.int64]:
    weights = 1 << np.arange(len(places) - 1, -1, -1)
    return np.asarray(bits[:, list(places)] @ weights)


def _sample(weights: Floats, shots: int, rng: np.random.Generator) -> Bits:
    """Single shots from outcome probabilities ``(2**n,)``."""
    counts = rng.multinomial(shots, weights / weights.sum())
    states = rng.permutation(np.repeat(np.arange(len(weights)), counts))
    shifts = np.arange(len(weights).bit_length() - 2, -1, -1)
    return ((states[:, None] >> shifts) & 1).astype(np.int8)
