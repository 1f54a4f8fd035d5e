"""What is timed on a shape: qorch through its public API, its engines alone, exact gradients, and the peers."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from qorch.backends import open_backend
from qorch.bench.gradient_peers import GRADIENT_PEERS, cotangents
from qorch.bench.peers import Task, make_task
from qorch.bench.shapes import Shape
from qorch.config import read_config
from qorch.errors import UsageError
from qorch.gradients.parameter_shift import expand
from qorch.model.job import JobRequest
from qorch.model.verification import verify_result
from qorch.planning.lowering import lower
from qorch.planning.packing import pack, unexecuted
from qorch.ports.backend import Backend, InProcessBackend
from qorch.ports.clock import WallClock
from qorch.run.run import Run
from qorch.wiring import start_run

API, ENGINE, GRADIENT = "api", "engine", "gradient"
KINDS = (API, ENGINE, GRADIENT)
"""A parameter-shift gradient through the public API; its circuits on a backend alone; an exact gradient."""


@dataclass(frozen=True)
class Contender:
    """Something that can be timed: ``open`` gives its task, which runs all rows of a shape once."""

    name: str
    is_peer: bool
    open: Callable[[], AbstractContextManager[Task]]


def contenders(
    shape: Shape, kind: str, *, backends: Sequence[str], peers: Sequence[str], shots: int
) -> list[Contender]:
    """All contenders of one kind on one shape."""
    makers = {
        API: partial(_recorded_task, shape, shots=shots),
        ENGINE: partial(_engine_task, shape, shots=shots),
        GRADIENT: partial(_exact_gradient_task, shape),
    }
    own = [Contender(name, False, partial(makers[kind], name)) for name in backends]
    if kind == GRADIENT:
        return own + [
            Contender(name, True, partial(_peer_task, partial(make, shape)))
            for name, (package, peer, make) in GRADIENT_PEERS.items()
            if peer in peers and find_spec(package) is not None
        ]
    return own + [
        Contender(name, True, partial(_peer_task, partial(make_task, name, shape, shots=shots))) for name in peers
    ]


def _peer_task(make: Callable[[], Task]) -> AbstractContextManager[Task]:
    return nullcontext(make())


@contextmanager
def _open_run(backend: str, shots: int | None) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        db = str(Path(folder) / "bench.db")
        with start_run("bench", backend=backend, shots=shots, seed=1, db=db, progress=_show_nothing) as run:
            yield run


def _show_nothing(progress: object) -> None:
    """No progress line."""


@contextmanager
def _recorded_task(shape: Shape, backend: str, *, shots: int) -> Iterator[Task]:
    """One gradient as one step of a run: from parameter values to stored expectation values."""

    def step() -> object:
        with run.step(run.current_step + 1):
            return run.gradients([shape.pub], [shape.wanted])

    with _open_run(backend, shots) as run:
        yield step


@contextmanager
def _exact_gradient_task(shape: Shape, backend: str) -> Iterator[Task]:
    """The vector-Jacobian product that a layer's backward pass asks for, after its forward pass."""
    weights = cotangents(shape)
    with _open_run(backend, None) as run:
        if not run.backend.capabilities.exact_gradients:
            raise UsageError(f"{backend} has no exact gradients")
        yield lambda: run.exact_vjp(shape.pub, weights)


@contextmanager
def _engine_task(shape: Shape, backend: str, *, shots: int) -> Iterator[Task]:
    """The shifted circuits on the backend's port: no run, no store, no estimates."""
    opened = open_backend(backend, config=read_config(), clock=WallClock())
    if not isinstance(opened, InProcessBackend):
        raise UsageError(f"{backend} does not run in this process; its jobs are not timed without a run")
    requests = _requests(shape, opened, shots=shots)
    with asyncio.Runner() as runner:
        runner.run(opened.open())
        try:
            yield lambda: runner.run(_run_requests(opened, requests))
        finally:
            runner.run(opened.close())


def _requests(shape: Shape, backend: Backend, *, shots: int) -> list[JobRequest]:
    batch, _ = expand(shape.pub, wanted=shape.wanted)
    groups = lower(batch, default_shots=shots).groups
    jobs = pack(
        groups,
        [unexecuted(index, group, stream=1) for index, group in enumerate(groups)],
        capabilities=backend.capabilities,
        rows_per_job=lambda group, wanted: backend.rows_per_job(group.gates, group.measurement, shots=wanted),
    )
    return [
        JobRequest(f"bench/0.0.{ordinal}", tuple(selection.block for selection in job.selections))
        for ordinal, job in enumerate(jobs)
    ]


async def _run_requests(backend: InProcessBackend, requests: Sequence[JobRequest]) -> int:
    """How many rows came back: a runner writes out what its task returns, and arrays would cost more than circuits."""
    payloads = [backend.encode(request, key=request.job_id) for request in requests]
    answers = await asyncio.gather(*map(backend.run, payloads))
    shapes = [request.shape for request in requests]
    results = [verify_result(shape, backend.read(shape, raw)) for shape, raw in zip(shapes, answers, strict=True)]
    return sum(block.n_rows for result in results for block in result.blocks)
