"""Executes layers without a run, on a free backend of this machine; nothing is recorded."""

import itertools
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, closing, contextmanager
from typing import Literal, cast

from qorch.backends import find_backend
from qorch.config import read_config
from qorch.engine.engine import Engine
from qorch.engine.planner import Call
from qorch.engine.recorder import Recorder
from qorch.errors import RunError, ShotsError, UsageError
from qorch.gradients.methods import GRADIENTS, CallStreams, as_method, expand_all
from qorch.gradients.recombination import Gradient, recombine
from qorch.gradients.wanted import Wanted
from qorch.limits import as_cotangents, check_exact_gradients
from qorch.model.arrays import FloatArray
from qorch.model.identity import Position
from qorch.model.kinds import as_whole
from qorch.model.ledger import LedgerRecord
from qorch.model.pub import Batch, Pub, as_batch, as_shots
from qorch.model.result import PubResult
from qorch.ports.backend import Backend, RemoteBackend
from qorch.ports.clock import Clock, WallClock
from qorch.ports.policy import CachePolicy, RunPolicy
from qorch.ports.records import Write
from qorch.ports.store import Store
from qorch.run.active import activate, deactivate
from qorch.run.jacobian import compute_gradients
from qorch.run.portal import Portal

EvaluationShots = int | None | Literal["layer"]
"""A number of shots for every layer, None for exact values, or ``"layer"`` for what each layer says itself."""


class _Nowhere:
    """The store of an evaluation, which forgets writes. With a free backend and no cache an engine reads nothing."""

    store_id = "nowhere"

    def write(self, writes: Sequence[Write]) -> "Future[None]":
        """Forget them."""
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def job_ledger(self, _job_id: str) -> Sequence[LedgerRecord]:
        """A free backend books nothing."""
        return ()


class Evaluation:
    """Executes pubs on one backend. Made by ``evaluate_on``; see there."""

    def __init__(
        self,
        engine: Engine,
        backend: Backend,
        *,
        portal: Portal,
        recorder: Recorder,
        shots: EvaluationShots,
        seed: int,
    ) -> None:
        """Take over an engine, and close it."""
        self._engine = engine
        self._portal = portal
        self._recorder = recorder
        self._calls = itertools.count()
        self._is_over = False
        self._shots = shots
        self._backend = backend
        self._seed = seed

    def __repr__(self) -> str:
        """Where it executes."""
        return f"Evaluation({self.backend.name!r})"

    @property
    def backend(self) -> Backend:
        """Where the rows execute."""
        return self._backend

    def execute(self, pubs: Batch | Pub | Iterable[Pub]) -> list[PubResult]:
        """One result per pub, in order. Raises UsageError or BackendError, and RunError once the evaluation is over."""
        self._assert_open()
        return self._execute(self._with_shots(pubs), Position(0, next(self._calls)))

    def _with_shots(self, pubs: Batch | Pub | Iterable[Pub]) -> Batch:
        batch = as_batch(pubs)
        if self._shots == "layer":
            return batch
        return Batch(tuple(pub.with_shots(self._shots) for pub in batch.pubs))

    def _execute(self, batch: Batch, position: Position) -> list[PubResult]:
        call = Call("evaluation", self._seed, position, batch, default_shots=None)
        try:
            return self._portal.call(self._engine.execute(call))
        finally:
            self._engine.flush_blocking([])
            self._recorder.drain()

    def gradients(self, pubs: Sequence[Pub], wanted: Wanted, *, method: str = GRADIENTS[0]) -> list[Gradient]:
        """The gradients of several pubs by their wanted parameters; see ``Run.gradients``."""
        self._assert_open()
        chosen = as_method(method)
        if chosen.is_computed:
            return compute_gradients(self, pubs, wanted)
        asked, position = self._with_shots(pubs), Position(0, next(self._calls))
        streams = CallStreams(self._seed, position)
        batch, recombinations = expand_all(asked.pubs, wanted, method=chosen, streams=streams, default_shots=None)
        return list(map(recombine, recombinations, self._execute(batch, position)))

    def exact_vjp(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        """Cotangents ``(N, K)`` times the exact Jacobian, ``(N, P)``; see ``Run.exact_vjp``."""
        self._assert_open()
        check_exact_gradients(self.backend)
        numbers = as_cotangents(cotangents, pub)
        try:
            return self._engine.vjp_blocking(pub, numbers, position=Position(0, next(self._calls)))
        finally:
            self._recorder.drain()

    def _assert_open(self) -> None:
        if self._is_over:
            raise RunError(f"the evaluation on {self.backend.name} is over; execute layers inside of its `with` block")

    def close(self) -> None:
        """Release the backend."""
        self._is_over = True
        self._portal.call(self._engine.close())


@contextmanager
def evaluate_on(
    backend: str | Backend,
    *,
    shots: EvaluationShots = "layer",
    seed: int | None = None,
    clock: Clock | None = None,
) -> Iterator[Evaluation]:
    """Inside of this block every layer executes on this backend, without a run, and nothing is recorded.

    ``backend``: of this machine and free, such as ``"local"``; a Backend that is given is closed with the block.
    ``shots``: a number for all layers, None for exact values, ``"layer"`` for each layer's own (exact if that is the
    run's). ``seed``: of the samples; drawn if it is None.

    Raises UsageError for a backend that charges or runs jobs at a provider, ShotsError for other shots.
    """
    clock = clock or WallClock()
    device = find_backend(backend, config=read_config(), clock=clock)
    _check_free(device)
    checked_shots = _as_shots(shots)
    chosen_seed = secrets.randbelow(2**32) if seed is None else as_whole(seed, "seed")
    recorder = Recorder(clock)
    with ExitStack() as stack:
        portal = stack.enter_context(closing(Portal()))
        engine = Engine(
            device,
            cast("Store", _Nowhere()),
            clock=clock,
            policy=RunPolicy(cache=CachePolicy.OFF),
            recorder=recorder,
            run_id="evaluation",
        )
        evaluation = Evaluation(engine, device, portal=portal, recorder=recorder, shots=checked_shots, seed=chosen_seed)
        stack.callback(evaluation.close)
        portal.call(engine.open())
        stack.callback(deactivate, activate(evaluation))
        yield evaluation


def _as_shots(shots: EvaluationShots) -> EvaluationShots:
    checked = shots if isinstance(shots, str) and shots == "layer" else as_shots(shots)
    if checked == "run":
        raise ShotsError("there is no run here; give a number of shots, None for exact values, or 'layer'")
    return checked


def _check_free(device: Backend) -> None:
    if device.capabilities.charges:
        raise UsageError(
            f"{device.name} charges money, and an evaluation has no budget and records nothing;"
            " use `with qorch.start_run(...) as run:`"
        )
    if isinstance(device, RemoteBackend):
        raise UsageError(
            f"{device.name} runs jobs at a provider, which a run must record; use `with qorch.start_run(...) as run:`,"
            " or a backend of this machine, such as local"
        )
