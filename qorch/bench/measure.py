"""Times qorch's backends and the peers on one shape after the other, interleaved, so that only ratios matter."""

import os
import platform
import resource
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from qorch.bench.contenders import GRADIENT, Contender, contenders
from qorch.bench.gradient_peers import GRADIENT_PEERS
from qorch.bench.peers import Task
from qorch.bench.shapes import Shape
from qorch.ports.clock import Clock, WallClock

LARGE_QUBITS = 16
LARGE_BATCH = 8
"""The batch on circuits of 16 qubits: 776 circuits say as much as 3,104, and slow peers end within a minute."""
PACKAGES = ("qorch", "numpy", "torch", "qiskit", "qiskit-aer", "pennylane", "pennylane-lightning", "numba")


@dataclass(frozen=True)
class Rate:
    """Circuits per second (or exact gradients per second) of one contender on one shape.

    ``median``, ``lowest`` and ``highest`` are over the rounds; ``cpu_us`` is the CPU time of this process per circuit
    (or gradient), in microseconds: where the simulation runs in other processes, what the orchestration costs.
    ``ratio`` compares with the fastest peer.
    """

    shape: str
    kind: str
    contender: str
    n_rows: int
    median: float
    lowest: float
    highest: float
    cpu_us: float
    is_peer: bool
    ratio: float | None = None
    error: str | None = None


def fitting(shape: Shape) -> Shape:
    """The shape with a batch that every contender ends in reasonable time."""
    return replace(shape, batch_size=LARGE_BATCH) if shape.circuit.num_qubits >= LARGE_QUBITS else shape


def measure_shape(
    shape: Shape, kind: str, *, backends: Sequence[str], peers: Sequence[str], shots: int, rounds: int
) -> list[Rate]:
    """Rates of all contenders of one kind on one shape; one that fails has its error instead of a rate."""
    shape = fitting(shape)
    rates: list[Rate] = []
    with ExitStack() as stack:
        tasks: dict[str, Task] = {}
        for contender in contenders(shape, kind, backends=backends, peers=peers, shots=shots):
            try:
                task = stack.enter_context(contender.open())
                task()
            except Exception as error:
                rates.append(_failed(shape, kind, contender, error))
                continue
            tasks[contender.name] = task
        samples = _interleave(tasks, rounds=rounds, clock=WallClock())
    known_peers = set(peers) | set(GRADIENT_PEERS)
    measured = [_rate(shape, kind, name, samples[name], is_peer=name in known_peers) for name in samples]
    best = max((rate.median for rate in measured if rate.is_peer), default=0.0)
    return [replace(rate, ratio=rate.median / best if best else None) for rate in measured] + rates


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


def _rate(shape: Shape, kind: str, name: str, samples: list[tuple[float, float]], *, is_peer: bool) -> Rate:
    units = 1 if kind == GRADIENT else shape.n_rows
    rates = [units / wall for wall, _ in samples]
    return Rate(
        shape=shape.name,
        kind=kind,
        contender=name,
        n_rows=shape.n_rows,
        median=statistics.median(rates),
        lowest=min(rates),
        highest=max(rates),
        cpu_us=statistics.median(cpu for _, cpu in samples) / units * 1e6,
        is_peer=is_peer,
    )


def _failed(shape: Shape, kind: str, contender: Contender, error: Exception) -> Rate:
    text = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    return Rate(
        shape.name, kind, contender.name, shape.n_rows, 0.0, 0.0, 0.0, 0.0, is_peer=contender.is_peer, error=text
    )


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
