"""Random circuits over the whole gate list, and one-block jobs: what the tests of the local backend share."""

import asyncio

import numpy as np

from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList, build_gate_list
from qorch.model.gates import GATES
from qorch.model.measurement import BlockResult, RowBlock
from qorch.model.pub import Pub
from qorch.ports.clock import WallClock
from qorch.testing.conformance.in_process import run_job
from qorch_providers.local import LocalBackend, open_backend


def random_gates(rng: np.random.Generator, n_qubits: int, n_gates: int) -> GateList:
    """Gates of every kind on random qubits; two thirds of the angles are free."""
    gates = []
    fitting = [gate for gate in GATES if gate.n_qubits <= n_qubits]
    for index in rng.integers(len(fitting), size=n_gates):
        gate = fitting[index]
        qubits = tuple(int(qubit) for qubit in rng.permutation(n_qubits)[: gate.n_qubits])
        angles = tuple(None if rng.random() < 0.67 else float(rng.uniform(-4, 4)) for _ in range(gate.n_angles))
        gates.append((gate.opcode, qubits, angles))
    return build_gate_list(n_qubits, gates)


def open_local(options: str = "", *, threads: int = 2) -> LocalBackend:
    """The backend with so many threads."""
    return open_backend(options, clock=WallClock(), workers=threads)


def run_blocks(backend: LocalBackend, *blocks: RowBlock) -> tuple[BlockResult, ...]:
    """Run one job as the engine would, and close the backend."""

    async def work() -> tuple[BlockResult, ...]:
        await backend.open()
        result = await run_job(backend, *blocks)
        await backend.close()
        return result.blocks

    return asyncio.run(work())


def run_vjp(backend: LocalBackend, pub: Pub, cotangents: FloatArray) -> FloatArray:
    """The exact vector-Jacobian product; the backend stays open."""
    return backend.vjp(pub, cotangents, check=lambda: None)
