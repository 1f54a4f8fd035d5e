"""Large calls: bounded memory, and event loops that go on."""

import asyncio
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch

ROWS = 100_000
pytestmark = [pytest.mark.serial, pytest.mark.flaky(reruns=2)]


def chain() -> QuantumCircuit:
    """Four qubits, eight angles."""
    angles = ParameterVector("a", 8)
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.ry(angles[qubit], qubit)
        circuit.cx(qubit, (qubit + 1) % 4)
        circuit.rz(angles[4 + qubit], qubit)
    return circuit


def peak_bytes() -> int:
    """The most memory that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


async def longest_stall(stop: asyncio.Event) -> float:
    """The longest time, in seconds, that a loop's 1 ms ticker was kept waiting."""
    longest, last = 0.0, time.monotonic()
    while not stop.is_set():
        await asyncio.sleep(0.001)
        now = time.monotonic()
        longest, last = max(longest, now - last - 0.001), now
    return longest


async def execute_watched(run: qorch.Run, pub: qorch.Pub) -> tuple[qorch.PubResult, float]:
    """The result, and the longest stall of the caller's loop or the engine's."""
    stop, engine_stop = asyncio.Event(), asyncio.Event()
    ticker = asyncio.create_task(longest_stall(stop))
    in_engine = run._use.portal.submit(longest_stall(engine_stop))
    (result,) = await run.aexecute(pub)
    stop.set()
    run._use.portal.submit(_set(engine_stop)).result()
    return result, max(await ticker, in_engine.result())


def test_a_hundred_thousand_rows(tmp_path: Path) -> None:
    """100,000 rows in one call stay within 250 MB, results and copies included, and stall no loop for 50 ms.

    The stall is the best of three: on a busy machine any process may be kept waiting.
    """
    values = np.random.default_rng(1).uniform(-3, 3, (ROWS, 8))
    pub = qorch.Pub(chain(), values, observables=["Z0", "Z1 Z2"], shots=64)
    with qorch.start_run("large", backend="aer", seed=1, db=str(tmp_path / "runs.db"), progress=_quiet) as run:
        run.execute(qorch.Pub(chain(), values[:10], observables="Z0", shots=64))
        before = peak_bytes()
        result, stall = asyncio.run(execute_watched(run, pub))
        assert peak_bytes() - before < 250e6
        for _ in range(2):
            if stall >= 0.05:
                stall = asyncio.run(execute_watched(run, pub))[1]
    assert result.values.shape == (ROWS, 2)
    assert (result.samples[0].shots == 64).all()
    assert stall < 0.05


async def _set(event: asyncio.Event) -> None:
    event.set()


def _quiet(progress: object) -> None:
    """Shows nothing."""


def test_the_engine_costs_little_per_row(tmp_path: Path) -> None:
    """Everything but simulation, recording included, takes less than 20 µs of CPU time per row."""
    values = np.random.default_rng(1).uniform(-3, 3, (4000, 8))
    pub = qorch.Pub(chain(), values, observables=["Z0", "Z1 Z2"], shots=1024)
    with qorch.start_run("cost", backend="aer", seed=1, db=str(tmp_path / "runs.db"), progress=_quiet) as run:
        costs = []
        for step in range(4):
            with run.step(step):
                started = time.process_time()
                run.execute(pub)
            costs.append((time.process_time() - started) / 4000 * 1e6)
    assert min(costs[1:]) < 20.0
