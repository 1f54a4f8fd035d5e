"""A gradient of 2,080 executions on Braket: as few tasks as program sets allow, else one each; its bytes and CPU."""

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from braket_vendor import BRAKET
from forked import start_python

import qorch
from qorch.bench.shapes import Shape, all_shapes
from qorch.model.job import Payload
from qorch.ports.clock import WallClock
from qorch.testing.reference import reference_parities, reference_probabilities

pytestmark = [pytest.mark.serial, pytest.mark.flaky(reruns=2)]

EXECUTIONS, MOST_EXECUTABLES = 2_080, 100
MOST_CPU_MICROSECONDS = 150.0
"""Per packed execution, its durable row included, on a machine that is otherwise idle."""


@dataclass
class Measured:
    """What a gradient took: the accepted tasks, the bytes of every submission, CPU seconds of the client's process."""

    jobs: list[dict[str, Any]] = field(default_factory=list)
    calls: dict[str, dict[str, int]] = field(default_factory=dict)
    sent_bytes: list[int] = field(default_factory=list)
    cpu_seconds: float = 0.0

    def __str__(self) -> str:
        """Per execution."""
        executions = sum(job["rows"] for job in self.jobs)
        return (
            f"{executions} executions, {len(self.jobs)} tasks, {sum(self.sent_bytes) / executions:.0f} bytes and"
            f" {1e6 * self.cpu_seconds / executions:.0f} µs of CPU each, {self.calls['by_route']}"
        )


@contextmanager
def emulator_process(**settings: str) -> Iterator[str]:
    """``qorch emulate braket`` as a process of its own, so that its CPU time is not the client's; its URL."""
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = ["emulate", "braket", "--json", *words]
    process = start_python("qorch.cli.main", command, cwd=Path.cwd(), environment=os.environ)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.kill()
        process.communicate(timeout=30)


def shape() -> Shape:
    """Eight qubits, 32 weights, a batch of 32: 32 × 65 executions, and more than 80 gates each."""
    found = next(each for each in all_shapes() if each.name == "W3")
    assert found.n_rows == EXECUTIONS
    return found


def measure(device: str, folder: Path, *, shots: int, **settings: str) -> Measured:
    """One gradient on an emulator, after a first task that opens everything."""
    measured = Measured()
    with emulator_process(noise="off", **settings) as url:
        backend = BRAKET.open_backend(device, clock=WallClock(), environment=BRAKET.environment(url))
        submit = backend.submit

        async def count(payload: Payload) -> str:
            measured.sent_bytes.append(len(payload.content))
            return await submit(payload)

        vars(backend)["submit"] = count
        training = shape()
        with qorch.start_run("packing", backend=backend, db=folder / "q.db", seed=1, shots=shots) as run:
            run.execute(qorch.Pub(training.circuit, training.pub.parameter_values[:1], observables=["Z0"]))
            measured.sent_bytes.clear()
            before = cpu_seconds()
            [gradient] = run.gradients([training.pub], [training.wanted])
            measured.cpu_seconds = cpu_seconds() - before
        books = httpx.get(f"{url}/_emulator/jobs", trust_env=False).json()
        measured.jobs, measured.calls = books["jobs"][1:], books["calls"]
    check_values(training, gradient.forward.values, shots=shots)
    print(f"\n{device}: {measured}")
    return measured


def check_values(training: Shape, values: Any, *, shots: int) -> None:
    """The forward values are right within statistics."""
    pub = training.pub
    angles = pub.circuit.angle_map.angles(pub.parameter_values)
    table = reference_probabilities(pub.circuit.gates, angles, basis=np.zeros(8, np.uint8))
    exact = reference_parities(table, 1 << np.arange(8, dtype=np.uint64))
    assert (np.abs(values - exact) <= 6.0 / np.sqrt(shots)).all()


def cpu_seconds() -> float:
    """Of this process so far, in user and system mode."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("shots", [100, pytest.param(1024, marks=pytest.mark.soak)])
def test_a_gradient_fills_program_sets(shots: int, tmp_path: Path, slowness: Callable[[], float]) -> None:
    """2,080 executions are 21 tasks on Garnet, each of one program, at a fraction of a millisecond each."""
    measured = measure("garnet", tmp_path, shots=shots)
    assert len(measured.jobs) == -(-EXECUTIONS // MOST_EXECUTABLES)
    assert sum(job["rows"] for job in measured.jobs) == EXECUTIONS
    assert max(job["rows"] for job in measured.jobs) <= MOST_EXECUTABLES
    assert 1e6 * measured.cpu_seconds / EXECUTIONS < slowness() * MOST_CPU_MICROSECONDS


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_a_gradient_is_one_task_an_execution_on_a_simulator(tmp_path: Path) -> None:
    """2,080 tasks on SV1, at the pace of the quota: 20 a second, and never refused."""
    measured = measure("sv1", tmp_path, shots=100)
    assert [job["rows"] for job in measured.jobs] == [1] * EXECUTIONS
    assert measured.calls["by_status"].get("429", 0) <= 1
    arrivals = [job["received_at_unix"] for job in measured.jobs]
    assert arrivals[-1] - arrivals[0] < 1.3 * EXECUTIONS / 20
