"""A noise model of a machine. It is an approximation, and not that of the real service.

Every gate replaces the state by the fully mixed one with its error probability, so the ideal distribution keeps the
weight ``prod(1 - p_gate)`` and the rest is spread evenly over all outcomes; then every bit is read wrongly with the
readout probability, either way. Neither cross-talk nor which qubits a gate touched matters.
"""

from dataclasses import dataclass

import numpy as np

from qorch_providers.emulators.statevector.matrices import Floats


@dataclass(frozen=True)
class NoiseRates:
    """Probabilities of an error: per one-qubit gate, per two-qubit gate, and per qubit read out."""

    one_qubit: float
    two_qubit: float
    readout: float


def add_noise(probabilities: Floats, rates: NoiseRates, *, n_one: int, n_two: int) -> Floats:
    """The outcome probabilities with noise, given those without, ``(B, 2**n)``; of the same shape."""
    kept = (1.0 - rates.one_qubit) ** n_one * (1.0 - rates.two_qubit) ** n_two
    mixed = kept * probabilities + (1.0 - kept) / probabilities.shape[1]
    return _misread(mixed, probabilities.shape[1].bit_length() - 1, rates.readout)


def _misread(probabilities: Floats, n_qubits: int, rate: float) -> Floats:
    table = probabilities.reshape((-1,) + (2,) * n_qubits)
    for axis in range(1, n_qubits + 1):
        table = (1.0 - rate) * table + rate * np.flip(table, axis=axis)
    return table.reshape(probabilities.shape)
