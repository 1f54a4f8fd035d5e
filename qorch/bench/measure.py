"""Times qorch's backends and the peers on one shape after the other, interleaved, so that only ratios matter."""

import os
import platform
import resource
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from qorch.bench.peers import Task, make_task
from qorch.bench.shapes import Shape
from qorch.ports import Clock, WallClock
from qorch.run import Run
from qorch.wiring import start_run

LARGE_QUBITS = 16
LARGE_BATCH = 8
"""The batch on circuits of 16 qubits: 776 circuits say as much as 3,104, and slow peers end within a minute."""
PACKAGES = ("qorch", "numpy", "torch", "qiskit", "qiskit-aer", "pennylane", "pennylane-lightning", "numba")


@dataclass(frozen=True)
class Rate:
    """Circuits per second of one contender on one shape: the median over the rounds, the least and the most.

    ``engine_cpu_us``: CPU time of this process per circuit, in microseconds; for backends whose simulation runs in
    other processes that is what the orchestration costs. ``ratio`` compares with the fastest peer.
    """

    shape: str
    contender: str
    n_rows: int
    median: float
    lowest: float
    highest: float
    engine_cpu_us: float
    is_peer: bool
    ratio: float | None = None
    error: str | None = None


def fitting(shape: Shape) -> Shape:
    """The shape with a batch that every contender ends in reasonable time."""
    return replace(shape, batch_size=LARGE_BATCH) if shape.circuit.num_qubits >= LARGE_QUBITS else shape


def measure_shape(
    shape: Shape, *, backends: Sequence[str], peers: Sequence[str], shots: int, rounds: int, clock: Clock | None = None
) -> list[Rate]:
    """Rates of all contenders on one shape; a contender that fails has its error instead of a rate."""
    timer = clock or WallClock()
    shape = fitting(shape)
    with ExitStack() as stack:
        tasks: dict[str, Task] = {}
        errors: dict[str, str] = {}
        for name in [*backends, *peers]:
            try:
                if name in peers:
                    tasks[name] = make_task(name, shape, shots=shots)
                else:
                    tasks[name] = stack.enter_context(_qorch_task(shape, name, shots=shots))
                tasks[name]()
            except Exception as error:
                tasks.pop(name, None)
                errors[name] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        samples = _interleave(tasks, rounds=rounds, clock=timer)
    rates = [_rate(shape, name, samples[name], is_peer=name in peers) for name in samples]
    best = max((rate.median for rate in rates if rate.is_peer), default=0.0)
    rates = [replace(rate, ratio=rate.median / best if best else None) for rate in rates]
    return rates + [_failed(shape, name, error, is_peer=name in peers) for name, error in errors.items()]


@contextmanager
def _qorch_task(shape: Shape, backend: str, *, shots: int) -> Iterator[Task]:
    """One gradient as one step of a recorded run: from parameter values to stored expectation values."""
    with (
        tempfile.TemporaryDirectory() as folder,
        start_run(
            "bench", backend=backend, shots=shots, seed=1, db=str(Path(folder) / "bench.db"), progress=_quiet
        ) as run,
    ):
        yield lambda: _step(run, shape)


def _quiet(progress: object) -> None:
    """Shows nothing."""


def _step(run: Run, shape: Shape) -> object:
    with run.step(run.current_step + 1):
        return run.gradients([shape.pub], [shape.wanted])


def _interleave(tasks: dict[str, Task], *, rounds: int, clock: Clock) -> dict[str, list[tuple[float, float]]]:
    """(wall seconds, CPU seconds of this process) of every round of every task."""
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            cpu_seconds = _cpu_seconds()
            started_ns = clock.monotonic_ns()
            task()
            seconds = (clock.monotonic_ns() - started_ns) / 1e9
            samples[name].append((seconds, _cpu_seconds() - cpu_seconds))
    return samples


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _rate(shape: Shape, name: str, samples: list[tuple[float, float]], *, is_peer: bool) -> Rate:
    rates = [shape.n_rows / wall for wall, _ in samples]
    return Rate(
        shape=shape.name,
        contender=name,
        n_rows=shape.n_rows,
        median=statistics.median(rates),
        lowest=min(rates),
        highest=max(rates),
        engine_cpu_us=statistics.median(cpu for _, cpu in samples) / shape.n_rows * 1e6,
        is_peer=is_peer,
    )


def _failed(shape: Shape, name: str, error: str, *, is_peer: bool) -> Rate:
    return Rate(shape.name, name, shape.n_rows, 0.0, 0.0, 0.0, 0.0, is_peer, error=error)


def describe_environment() -> dict[str, Any]:
    """What the figures were measured on."""
    packages: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = None
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": os.cpu_count(),
        "packages": packages,
    }
