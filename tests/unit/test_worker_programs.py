"""Worker processes run any executor: the pool is not Aer's own."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from qorch.errors import BackendError
from qorch.model.gates import GATES_BY_NAME
from qorch.model.job import JobRequest
from qorch.model.verification import verify_result
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import angles_for, assert_same_counts, block_of, circuit_of_gate, counts_of
from qorch.testing.fakes.simulation import simulate_block
from qorch_providers.answers import read_answer
from qorch_providers.workers.pool import Pool
from qorch_providers.workers.process import WorkerProgram

PROGRAM = """
from qorch.testing.fakes.simulation import simulate_block
from qorch_providers.workers.serving import run_worker

class Reference:
    def __init__(self, arguments):
        (self.most_rows,) = map(int, arguments)

    def execute(self, blocks, *, threads):
        if sum(block.n_rows for block in blocks) > self.most_rows:
            raise ValueError(f"more than {self.most_rows} rows")
        return [simulate_block(block) for block in blocks]

run_worker(Reference)
"""


def test_a_pool_runs_the_program_that_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference simulator behind the pool gives its own bits, and its errors name the job and the program."""
    (tmp_path / "reference_worker.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    gates = circuit_of_gate(GATES_BY_NAME["crx"])
    block = block_of(gates, angles_for(gates, 3), shots=50)

    async def work() -> None:
        program = WorkerProgram("reference", "reference_worker", ("3",))
        pool = Pool(program, size=1, now_ns=WallClock().monotonic_ns)
        request = JobRequest("small", (block,))
        raw = await pool.run(request)
        found = verify_result(request.shape, read_answer(request.shape, raw.content))
        assert_same_counts(counts_of(found.blocks[0]), counts_of(simulate_block(block)))
        with pytest.raises(BackendError, match="job large failed in its worker: ValueError: more than 3 rows"):
            await pool.run(JobRequest("large", (block, block)))
        await pool.close()
        with pytest.raises(BackendError, match="this reference backend is closed"):
            await pool.run(request)

    asyncio.run(work())


def test_a_program_that_is_not_there_says_so() -> None:
    """The error has the backend's name and what Python printed."""

    async def work() -> None:
        pool = Pool(WorkerProgram("absent", "no_such_module"), size=1, now_ns=WallClock().monotonic_ns)
        gates = circuit_of_gate(GATES_BY_NAME["crx"])
        with pytest.raises(BackendError, match=r"absent workers do not start.*no_such_module"):
            await pool.run(JobRequest("one", (block_of(gates, np.zeros((1, gates.n_columns)), shots=5),)))
        await pool.close()

    asyncio.run(work())
