"""Random circuits over the whole gate list, and one-block jobs: what the tests of the local backend share."""

import asyncio

import numpy as np

from qorch.model.circuit import GateList, build_gate_list
from qorch.model.gates import GATES
from qorch.model.job import JobRequest
from qorch.model.measurement import BlockResult, RowBlock
from qorch.ports.backend import Backend
from qorch.ports.clock import WallClock
from qorch_providers.local import open_backend


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


def open_local(options: str = "", *, threads: int = 2) -> Backend:
    """The backend with so many threads."""
    return open_backend(options, clock=WallClock(), workers=threads)


def run_blocks(backend: Backend, *blocks: RowBlock) -> tuple[BlockResult, ...]:
    """Run one job from submit to decode, and close the backend."""

    async def work() -> tuple[BlockResult, ...]:
        request = JobRequest("unit/0.0.0", blocks)
        await backend.open()
        raw = await backend.fetch(await backend.submit(request, key="unit"))
        await backend.close()
        return backend.decode(request, raw).blocks

    return asyncio.run(work())
