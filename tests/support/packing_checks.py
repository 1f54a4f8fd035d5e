"""A gradient of 2,080 executions on a vendor's emulator: the jobs that it takes, their bytes, the client's CPU time.

The emulator is a process of its own, so that its CPU time is not the client's.
"""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from forked import start_python
from vendors import Vendor

import qorch
from qorch.bench.shapes import Shape, all_shapes
from qorch.model.job import Payload
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.run.run import Run
from qorch.testing.reference import reference_parities, reference_probabilities

EXECUTIONS = 2_080
POLLS = 20
"""Of which the CPU time of one is known."""


def slack() -> float:
    """By how much an execution may exceed what an idle machine needs: more if others use this one, too."""
    return 1.2 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass
class Measured:
    """What a gradient took: the accepted jobs, the bytes of every submission, CPU seconds of the client's process.

    ``preparation_seconds``: CPU time of the first job, for which everything is opened, loaded and compiled.
    """

    jobs: list[dict[str, Any]] = field(default_factory=list)
    calls: dict[str, dict[str, int]] = field(default_factory=dict)
    sent_bytes: list[int] = field(default_factory=list)
    preparation_seconds: float = 0.0
    cpu_seconds: float = 0.0
    poll_seconds: float = 0.0
    polls: int = 0

    @property
    def microseconds(self) -> float:
        """CPU time per execution without the polls, whose number is a matter of how long the jobs take."""
        return 1e6 * (self.cpu_seconds - self.polls * self.poll_seconds) / EXECUTIONS

    def __str__(self) -> str:
        """Per execution."""
        return (
            f"{sum(job['rows'] for job in self.jobs)} executions, {len(self.jobs)} jobs; each execution"
            f" {sum(self.sent_bytes) / EXECUTIONS:.0f} bytes, {self.microseconds:.0f} µs of CPU without polls and"
            f" {1e6 * self.cpu_seconds / EXECUTIONS:.0f} µs with {self.polls} of them, after"
            f" {self.preparation_seconds:.1f} s of preparation; {self.calls['by_route']}"
        )


@contextmanager
def emulator_process(vendor: Vendor, **settings: str) -> Iterator[str]:
    """``qorch emulate`` as a process of its own; its root."""
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    command = ["emulate", vendor.name, "--json", *words]
    process = start_python("qorch.cli.main", command, cwd=Path.cwd(), environment=os.environ)
    try:
        assert process.stdout is not None
        url = urlsplit(json.loads(process.stdout.readline())["url"])
        yield f"{url.scheme}://{url.netloc}"
    finally:
        process.kill()
        process.communicate(timeout=30)


def shape() -> Shape:
    """Eight qubits, 32 weights, a batch of 32: 32 × 65 executions, and more than 80 gates each."""
    found = next(each for each in all_shapes() if each.name == "W3")
    assert found.n_rows == EXECUTIONS
    return found


def measure_gradient(vendor: Vendor, options: str, folder: Path, *, shots: int, **settings: str) -> Measured:
    """One gradient on an emulator, after a first job that opens everything; its values are right."""
    measured = Measured()
    with emulator_process(vendor, noise="off", **settings) as root:
        backend = vendor.open_backend(options, clock=WallClock(), environment=vendor.environment(root))
        submit = backend.submit

        async def count(payload: Payload) -> str:
            measured.sent_bytes.append(len(payload.content))
            return await submit(payload)

        vars(backend)["submit"] = count
        training = shape()
        begun = cpu_seconds()
        with qorch.start_run("packing", backend=backend, db=folder / "q.db", seed=1, shots=shots) as run:
            run.execute(qorch.Pub(training.circuit, training.pub.parameter_values[:1], observables=["Z0"]))
            measured.sent_bytes.clear()
            n_polls, before = backend.calls["poll"], cpu_seconds()
            [gradient] = run.gradients([training.pub], [training.wanted])
            measured.cpu_seconds = cpu_seconds() - before
            measured.preparation_seconds = before - begun
            measured.polls = backend.calls["poll"] - n_polls
            measured.poll_seconds = _measure_poll(run, backend)
        books = httpx.get(f"{root}/_emulator/jobs", trust_env=False).json()
        measured.jobs, measured.calls = books["jobs"][1:], books["calls"]
    _check_values(training, gradient.forward.values, shots=shots)
    print(f"\n{vendor.name}:{options}: {measured}")
    return measured


def cpu_seconds() -> float:
    """Of this process so far, in user and system mode."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _measure_poll(run: Run, backend: RemoteBackend) -> float:
    """CPU seconds of one question after a job that is over."""
    (job, *_) = run._use.store.jobs(run.run_id)
    before = cpu_seconds()
    for _ in range(POLLS):
        run._use.portal.call(backend.poll([str(job.provider_id)]))
    return (cpu_seconds() - before) / POLLS


def _check_values(training: Shape, values: Any, *, shots: int) -> None:
    """The forward values are right within statistics."""
    pub = training.pub
    angles = pub.circuit.angle_map.angles(pub.parameter_values)
    table = reference_probabilities(pub.circuit.gates, angles, basis=np.zeros(8, np.uint8))
    exact = reference_parities(table, 1 << np.arange(8, dtype=np.uint64))
    assert (np.abs(values - exact) <= 6.0 / np.sqrt(shots)).all()
