"""Circuits per second of the local engine and its peers on W1 to W5, interleaved: `python tests/bench/local_rate.py`.

Every round gives each contender a tenth of a second; the medians over the rounds and their ratios are printed. Set
OMP_WAIT_POLICY=PASSIVE, or the peers' threads go on spinning in the turns of the others.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pennylane as qml
from qiskit import transpile
from qiskit_aer import AerSimulator

from qorch.model.arrays import FloatArray
from qorch.model.qiskit_circuit import compile_circuit
from qorch.ports import WallClock
from qorch_providers.local.engines import Sample
from qorch_providers.local.limits import available_cores
from qorch_providers.local.numba_engine import NumbaEngine
from qorch_providers.local.program import compile_program

sys.path.insert(0, str(Path(__file__).parent))
from local_workloads import SHAPES, Shape

SHOTS = 1_024
PEER_ROWS = 32
TURN_NS = 100_000_000
Contender = Callable[[], int]


def make_local(shape: Shape, values: FloatArray, *, threads: int) -> Contender:
    """The engine alone: rows of angles to histograms."""
    circuit = compile_circuit(shape.circuit)
    program = compile_program(circuit.gates, np.zeros(circuit.n_qubits, dtype=np.uint8))
    angles = np.ascontiguousarray(circuit.angle_map.angles(values))
    engine = NumbaEngine(threads=threads)
    ordinals = np.arange(len(angles), dtype=np.uint64)
    sample = Sample(np.ones_like(ordinals), ordinals, first_shot=0, shots=SHOTS, scalar=np.float32)
    return lambda: engine.sample(program, angles, sample).n_rows


def make_aer(shape: Shape, values: FloatArray) -> Contender:
    """Aer with parameter_binds, counts."""
    simulator = AerSimulator(method="statevector", max_parallel_threads=1)
    circuit = transpile(shape.circuit.measure_all(inplace=False), simulator)
    few = values[:PEER_ROWS]
    binds = [{parameter: few[:, column].tolist() for column, parameter in enumerate(shape.circuit.parameters)}]

    def run() -> int:
        simulator.run(circuit, parameter_binds=binds, shots=SHOTS).result().get_counts()
        return len(few)

    return run


@dataclass(frozen=True)
class Pennylane:
    """PennyLane on one of its devices: with ``is_broadcast`` all rows in one tape, else one tape per row."""

    device: str
    is_broadcast: bool

    def make(self, shape: Shape, values: FloatArray) -> Contender:
        """Relative frequencies of the first rows; tapes are built in every round, as a training step has to."""
        device = qml.device(self.device, wires=shape.circuit.num_qubits)
        few = values[:PEER_ROWS]
        places = {parameter: column for column, parameter in enumerate(shape.circuit.parameters)}
        rotations = {"rx": qml.RX, "ry": qml.RY, "rz": qml.RZ}

        def tape(rows: FloatArray) -> "qml.tape.QuantumScript":
            operations = []
            for item in shape.circuit.data:
                wires = [shape.circuit.find_bit(qubit).index for qubit in item.qubits]
                if item.operation.params:
                    angle = rows[..., places[item.operation.params[0]]]
                    operations.append(rotations[item.operation.name](angle, wires=wires[0]))
                else:
                    operations.append(qml.CNOT(wires=wires))
            return qml.tape.QuantumScript(operations, [qml.probs()], shots=SHOTS)

        def run() -> int:
            qml.execute([tape(few)] if self.is_broadcast else [tape(row) for row in few], device)
            return len(few)

        return run


def rate_of(run: Contender, clock: WallClock) -> float:
    """Rows per second over at least TURN_NS: one small job would mostly measure waking threads up."""
    rows, started_ns = 0, clock.monotonic_ns()
    while (elapsed_ns := clock.monotonic_ns() - started_ns) < TURN_NS:
        rows += run()
    return rows * 1e9 / elapsed_ns


def measure(shape: Shape, *, rounds: int, threads: int) -> None:
    """Print the rates of one shape."""
    values = shape.values(shape.rows)
    present: dict[str, Contender] = {
        "local": make_local(shape, values, threads=threads),
        "aer": make_aer(shape, values),
        "lightning": Pennylane("lightning.qubit", is_broadcast=False).make(shape, values),
    }
    if shape.circuit.num_qubits <= 10:
        present["default.qubit"] = Pennylane("default.qubit", is_broadcast=True).make(shape, values)
    rates: dict[str, list[float]] = {name: [] for name in present}
    clock = WallClock()
    for run in present.values():
        run()
    for _ in range(rounds):
        for name, run in present.items():
            rates[name].append(rate_of(run, clock))
    medians = {name: float(np.median(rate)) for name, rate in rates.items()}
    best = max(rate for name, rate in medians.items() if name != "local")
    shown = "  ".join(f"{name} {rate:,.0f}/s" for name, rate in medians.items())
    print(f"{shape.name}: {shown}  local is {medians['local'] / best:.0f} times the best peer here")


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=available_cores())
    arguments = parser.parse_args()
    for name in arguments.shapes:
        measure(SHAPES[name](), rounds=arguments.rounds, threads=arguments.threads)


if __name__ == "__main__":
    main()
