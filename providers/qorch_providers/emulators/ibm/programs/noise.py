"""The noise of a device, from its calibration. It is an approximation.

A gate that goes wrong leaves its component fully mixed, so the ideal distribution keeps the weight with which all gates
work; then every bit is misread with the qubit's own two probabilities. T1, T2 and cross-talk do not matter, and neither
does how long a circuit takes.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from qorch_providers.emulators.ibm.calibrations import Calibration
from qorch_providers.emulators.statevector.matrices import Floats

GateAt = tuple[str, tuple[int, ...]]


@dataclass(frozen=True)
class DeviceNoise:
    """``gate_errors``: mean infidelities; ``readout_errors``: ``(qubits, 2)``, the misreadings of 0 and of 1.

    ``signal``: which share of every distribution is not noise, however few gates there are.
    """

    gate_errors: Mapping[GateAt, float]
    readout_errors: Floats
    signal: float = 1.0

    def kept(self, gates: Iterable[GateAt]) -> float:
        """The probability that all these gates work."""
        kept = self.signal
        for name, qubits in gates:
            # A mean infidelity e is that of a Pauli error with the probability e (d + 1) / d.
            error = self.gate_errors.get((name, qubits), 0.0) * (1.0 + 0.5 ** len(qubits))
            kept *= 1.0 - min(1.0, error)
        return kept

    def misread(self, probabilities: Floats, qubits: tuple[int, ...], measured: Collection[int]) -> Floats:
        """Outcome probabilities ``(B, 2**n)`` of these qubits, of which some are measured, as they are read."""
        table = probabilities.reshape((-1,) + (2,) * len(qubits))
        for place, qubit in enumerate(qubits):
            if qubit in measured:
                axis = len(qubits) - place
                zero, one = np.moveaxis(table, axis, 0)
                rate_zero, rate_one = self.readout_errors[qubit]
                read_as_one = rate_zero * zero + (1.0 - rate_one) * one
                table = np.stack([zero + one - read_as_one, read_as_one], axis=axis)
        return table.reshape(probabilities.shape)

    def symmetric(self) -> "DeviceNoise":
        """The same noise with both misreadings equally probable, as measurement twirling makes it."""
        mean = self.readout_errors.mean(axis=1, keepdims=True)
        return DeviceNoise(self.gate_errors, np.repeat(mean, 2, axis=1), self.signal)

    def amplified(self, factor: float) -> "DeviceNoise":
        """The noise if every gate on two qubits is folded so many times; those on one qubit are not."""
        errors = {
            gate: error if len(gate[1]) < 2 else _folded(error, factor) for gate, error in self.gate_errors.items()
        }
        return DeviceNoise(errors, self.readout_errors, self.signal)


def _folded(error: float, factor: float) -> float:
    """The mean infidelity of a gate on two qubits that happens so many times (see ``DeviceNoise.kept``)."""
    scale = 1.25
    return (1.0 - math.pow(1.0 - min(1.0, scale * error), factor)) / scale


def noise_of(calibration: Calibration) -> DeviceNoise:
    """The noise at a calibration."""
    return DeviceNoise(calibration.gate_errors, calibration.readout_errors)


def pure_noise(n_qubits: int) -> DeviceNoise:
    """Nothing but noise: all outcomes are equally probable."""
    return DeviceNoise({}, np.zeros((n_qubits, 2)), signal=0.0)
