"""Rows per second of the aer backend at its port against Aer's own SamplerV2: `python tests/bench/aer_rate.py`.

Both run interleaved on the same cores at 1,024 shots, the peer with its default threads and with one, on the
shapes of `reference/performance.md`; medians are printed as one JSON document. The engine's own cost comes on top
of what is measured here.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector
from qiskit_aer.primitives import SamplerV2

from qorch.model.arrays import FloatArray
from qorch.model.circuit import FIXED, GateList, build_gate_list
from qorch.model.gates import GATES, GATES_BY_NAME
from qorch.model.job import JobRequest
from qorch.model.measurement import Measurement, RowBlock
from qorch.ports import Backend, WallClock
from qorch_providers.aer import open_backend

SHOTS = 1_024
Triple = tuple[int, tuple[int, ...], tuple[float | None, ...]]


@dataclass(frozen=True)
class Shape:
    """A circuit, how many rows are measured of it, and the ratio that is wanted."""

    name: str
    gates: GateList
    rows: int
    target: float


def rotations(name: str, n: int) -> list[Triple]:
    """One free rotation on every qubit."""
    return [(GATES_BY_NAME[name].opcode, (qubit,), (None,)) for qubit in range(n)]


def entanglers(n: int, *, distance: int = 1, count: int | None = None) -> list[Triple]:
    """CNOTs from each of the first ``count`` qubits to the one ``distance`` further, cyclic."""
    pairs = [(qubit, (qubit + distance) % n) for qubit in range(n if count is None else count)]
    return [(GATES_BY_NAME["cx"].opcode, pair, ()) for pair in pairs]


def shapes() -> list[Shape]:
    """W1, W3, W4 and a cell of W5."""
    w1 = rotations("rx", 10) + entanglers(10, count=9) + rotations("rx", 10) + rotations("ry", 10)
    layer = rotations("ry", 8) + rotations("rz", 8)
    w3 = rotations("ry", 8)
    for _ in range(2):
        w3 += layer + entanglers(8) + entanglers(8, distance=2) + entanglers(8, distance=3) + entanglers(8, count=4)
    w4 = rotations("rx", 16)
    for _ in range(3):
        w4 += rotations("ry", 16) + entanglers(16)
    w5 = rotations("ry", 8) + rotations("ry", 8) + entanglers(8) + rotations("ry", 8) + entanglers(8)
    return [
        Shape("W1", build_gate_list(10, w1), 984, 3.0),
        Shape("W3", build_gate_list(8, w3), 2_080, 3.0),
        Shape("W4", build_gate_list(16, w4), 64, 1.0),
        Shape("W5", build_gate_list(8, w5), 1_568, 3.0),
    ]


def qiskit_circuit(gates: GateList) -> QuantumCircuit:
    """The same circuit for the peer, measured."""
    circuit = QuantumCircuit(gates.n_qubits)
    angles = ParameterVector("angle", gates.n_columns)
    for opcode, wires, columns in zip(gates.opcodes, gates.qubits, gates.columns, strict=True):
        gate = GATES[opcode]
        values = [angles[int(column)] for column in columns if column != FIXED]
        getattr(circuit, gate.name)(*values, *(int(wire) for wire in wires[: gate.n_qubits]))
    circuit.measure_all()
    return circuit


async def run_port(backend: Backend, shape: Shape, angles: FloatArray, *, stream: int) -> None:
    """All rows through submit, fetch and decode, split into jobs as the planner would."""
    measurement = Measurement(np.zeros(shape.gates.n_qubits, dtype=np.uint8), is_exact=False)
    size = backend.rows_per_job(shape.gates, measurement, shots=SHOTS)
    size = min(size, -(-shape.rows // backend.capabilities.slots))
    ordinals = np.arange(shape.rows, dtype=np.uint64)
    streams = np.full(shape.rows, stream, dtype=np.uint64)

    async def run_job(start: int) -> None:
        rows = slice(start, start + size)
        block = RowBlock(shape.gates, measurement, angles[rows], SHOTS, streams[rows], ordinals[rows])
        request = JobRequest(f"bench/{shape.name}/{start}", (block,))
        backend.decode(request, await backend.fetch(await backend.submit(request, key="")))

    await asyncio.gather(*(run_job(start) for start in range(0, shape.rows, size)))


async def measure(backend: Backend, shape: Shape, *, rounds: int) -> dict[str, float | str]:
    """Median rows per second of both, interleaved."""
    width = shape.gates.n_columns
    angles = np.random.default_rng(0).uniform(0.0, 2.0 * np.pi, (shape.rows, width))
    circuit = qiskit_circuit(shape.gates)
    columns = sorted(circuit.parameters, key=lambda parameter: parameter.index)
    pub = (circuit, {tuple(columns): angles[: shape.rows // 4]})
    peers = {
        "default": SamplerV2(seed=1),
        "one_thread": SamplerV2(seed=1, options={"backend_options": {"max_parallel_threads": 1}}),
    }
    await run_port(backend, shape, angles, stream=0)
    rates: dict[str, list[float]] = {name: [] for name in ("ours", *peers)}
    for round_ in range(rounds):
        started = time.perf_counter()
        await run_port(backend, shape, angles, stream=round_ + 1)
        rates["ours"].append(shape.rows / (time.perf_counter() - started))
        for name, sampler in peers.items():
            rates[name].append(shape.rows // 4 / seconds_of(partial(run_peer, sampler, pub)))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    best = max(medians["default"], medians["one_thread"])
    return {
        "shape": shape.name,
        "rows_per_second": round(medians["ours"]),
        "sampler_v2_rows_per_second": round(medians["default"]),
        "sampler_v2_one_thread_rows_per_second": round(medians["one_thread"]),
        "ratio_to_the_better": round(medians["ours"] / best, 2),
        "target": shape.target,
    }


def run_peer(sampler: SamplerV2, pub: tuple[QuantumCircuit, dict[tuple[Parameter, ...], FloatArray]]) -> None:
    """One array PUB."""
    sampler.run([pub], shots=SHOTS).result()


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


async def main() -> None:
    """Measure all shapes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    backend = open_backend("", clock=WallClock(), workers=arguments.workers)
    try:
        results = [await measure(backend, shape, rounds=arguments.rounds) for shape in shapes()]
    finally:
        await backend.close()
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    asyncio.run(main())
