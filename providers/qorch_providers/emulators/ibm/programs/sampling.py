"""Draw shots from a circuit at many parameter values."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from qorch_providers.emulators.ibm.programs.circuits import ClassicalRegister, Component, DeviceCircuit
from qorch_providers.emulators.ibm.programs.noise import DeviceNoise
from qorch_providers.emulators.statevector.evolution import Operation, chunk_rows, distributions
from qorch_providers.emulators.statevector.matrices import Floats

Bits = npt.NDArray[np.uint8]
"""0 or 1: rows by shots by qubits."""
_MAX_SHOTS_AT_ONCE = 1 << 20


def sample_qubits(
    circuit: DeviceCircuit,
    values: Floats,
    qubits: Sequence[int],
    *,
    shots: int,
    noise: DeviceNoise | None,
    rng: np.random.Generator,
    rotations: Mapping[int, Operation] | None = None,
) -> Bits:
    """Shots ``(R, shots, len(qubits))`` at parameter values ``(R, P)``, as they are read.

    ``rotations``: what is done to qubits, by their number, just before they are measured. Raises CircuitError.
    """
    angles = circuit.angles_at(values)
    columns = {qubit: column for column, qubit in enumerate(qubits)}
    bits = np.zeros((len(values), shots, len(columns)), dtype=np.uint8)
    covered = {qubit for component in circuit.components for qubit in component.qubits}
    idle = [Component((qubit,), (), ()) for qubit in qubits if qubit not in covered]
    for component in (*circuit.components, *idle):
        wanted = [qubit for qubit in component.qubits if qubit in columns]
        if wanted:
            weights = partial(_read_weights, component, rotations or {}, noise, frozenset(wanted))
            states = _sample(component, angles, weights, shots, rng)
            for qubit in wanted:
                bits[:, :, columns[qubit]] = (states >> component.qubits.index(qubit)) & 1
    return bits


def _read_weights(
    component: Component,
    rotations: Mapping[int, Operation],
    noise: DeviceNoise | None,
    measured: frozenset[int],
    angles: Floats,
) -> Floats:
    """How probable each outcome of a component is, as it is read, at angles ``(B, A)``."""
    last = [
        Operation((place,), (), (), rotations[qubit].make)
        for place, qubit in enumerate(component.qubits)
        if qubit in rotations
    ]
    table = distributions((*component.operations, *last), angles, n_qubits=len(component.qubits))
    if noise is None:
        return table
    kept = noise.kept(component.gates)
    return noise.misread(kept * table + (1.0 - kept) / table.shape[1], component.qubits, measured)


def _sample(
    component: Component,
    angles: Floats,
    weights: Callable[[Floats], Floats],
    shots: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.int32]:
    """Outcomes ``(R, shots)`` of one component; bit k of an outcome is its qubit at place k."""
    states = np.empty((len(angles), shots), dtype=np.int32)
    if not len(angles):
        return states
    # A component without parameters has one distribution for all rows.
    is_fixed = all(not operation.columns for operation in component.operations)
    same = weights(angles[:1]) if is_fixed else None
    size = max(1, min(chunk_rows(len(component.qubits)), _MAX_SHOTS_AT_ONCE // max(1, shots)))
    for start in range(0, len(angles), size):
        part = angles[start : start + size]
        table = weights(part) if same is None else np.repeat(same, len(part), 0)
        states[start : start + size] = _draw(table, shots, rng)
    return states


def _draw(weights: Floats, shots: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
    counts = rng.multinomial(shots, weights / weights.sum(axis=1, keepdims=True))
    outcomes = np.tile(np.arange(weights.shape[1], dtype=np.int32), len(weights))
    drawn = np.repeat(outcomes, counts.reshape(-1)).reshape(len(weights), shots)
    return rng.permuted(drawn, axis=1)


def register_bits(register: ClassicalRegister, qubits: Sequence[int], bits: Bits) -> Bits:
    """The bits of a register ``(R, shots, size)``, bit 0 first; 0 where nothing was measured."""
    found = np.zeros((*bits.shape[:2], len(register.qubits)), dtype=np.uint8)
    columns = {qubit: column for column, qubit in enumerate(qubits)}
    for place, qubit in enumerate(register.qubits):
        if qubit is not None:
            found[:, :, place] = bits[:, :, columns[qubit]]
    return found
