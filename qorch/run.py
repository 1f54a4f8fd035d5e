"""A training run: what budgets, reports and resumes are about, and the door through which circuits are executed."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from contextvars import Token
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from qorch.accounting import add_session, credit_bought, finished_step, logged_metrics, session_so_far
from qorch.active import activate, deactivate
from qorch.checkpoint import Checkpoint, LoopPlace, before_loop, count_steps_left, encode_checkpoint, walk
from qorch.engine.engine import Call, Engine
from qorch.engine.recorder import Totals
from qorch.errors import QorchError, StoreError, UsageError
from qorch.gradients.parameter_shift import Gradient, expand, recombine, wanted_parameters
from qorch.limits import check_exact_gradients
from qorch.model.arrays import FloatArray
from qorch.model.identity import Position
from qorch.model.money import NOTHING
from qorch.model.pub import Batch, Pub, as_batch
from qorch.model.result import PubResult
from qorch.model.timing import Phase
from qorch.model.whole import as_whole
from qorch.portal import PendingCall
from qorch.ports import Backend, RemoteBackend
from qorch.records import CheckpointRecord, RunMove, RunState, SpanRecord, Write
from qorch.resources import Pace, Progress, Resources, Stateful
from qorch.stopping import Lifetime, StopWatch, name_to_resume, say_how_to_resume


class Run:
    """One training run. Use it as a context manager; made by `qorch.start_run`."""

    def __init__(self, resources: Resources) -> None:
        """Open the engine on the portal's loop, and write down that this process works on the run."""
        self._use = resources
        self._life = Lifetime(resources.record.run_id)
        self._lock = self._life.lock
        self._position = Position(-1, 0)
        self._metrics: dict[str, float] = {}
        self._all_metrics: dict[str, float] = {}
        self._in_step = False
        self._has_stepped = False
        self._pace = Pace(resources.clock)
        self._total_steps: int | None = None
        self._loops_begun = 0
        self._generator: Any = None
        self._idle_since_ns = 0
        self._step_totals = Totals()
        self._step_begun_at = resources.clock.now()
        self._token: Token[Run | None] | None = None
        self._engine = Engine(
            resources.backend,
            resources.store,
            clock=resources.clock,
            policy=resources.policy,
            recorder=resources.recorder,
            run_id=resources.record.run_id,
        )
        self._watch = StopWatch(resources.store, self.run_id, stop=self._cancel)
        self._open()
        now_ns = resources.clock.monotonic_ns()
        resources.recorder.add(Phase.START, resources.recorder.origin_ns, now_ns, self._position)
        self._idle_since_ns = now_ns

    def _open(self) -> None:
        """What fails here leaves nothing open, no new run behind, and a resumed one in the state that it had."""
        use = self._use
        try:
            use.portal.call(self._engine.open())
            use.store.write([use.record, use.session]).result()
            self._life.open()
        except BaseException:
            with suppress(QorchError, CancelledError):
                use.portal.call(self._engine.close())
            self._life.begin_closing()
            self._watch.close()
            raise

    @property
    def run_id(self) -> str:
        """The run's unique id, which ``--resume``, ``show`` and ``report`` take."""
        return self._use.record.run_id

    @property
    def name(self) -> str:
        """The name that the user gave."""
        return self._use.record.name

    @property
    def seed(self) -> int:
        """What every random number of the backend derives from."""
        return self._use.record.seed

    @property
    def backend(self) -> Backend:
        """Where the rows execute."""
        return self._use.backend

    @property
    def is_cancelled(self) -> bool:
        """Whether `qorch cancel` has ended the run, which then cannot be resumed."""
        return self._life.is_cancelled

    @property
    def totals(self) -> Totals:
        """Rows and jobs of this session so far."""
        return self._use.recorder.totals

    @property
    def current_step(self) -> int:
        """The number of the step that runs, or ran last; -1 before the first."""
        return self._position.step

    @property
    def metrics(self) -> dict[str, float]:
        """The newest value of every figure that was logged, earlier sessions of the run included."""
        return dict(self._all_metrics)

    def execute(self, pubs: Batch | Pub | Iterable[Pub]) -> list[PubResult]:
        """Execute pubs as one batch and wait: one result per pub, in order.

        Outside of a step every call waits for a commit of its own (about 11 ms on a local disk). To avoid that, give
        many pubs to one call, or call inside of ``with run.step(n):``, which commits once, when the step ends.
        From any thread, also beside a running event loop. Raises UsageError before anything runs, BackendError,
        StoreError, BudgetError or RunError.
        """
        batch = as_batch(pubs)
        with self._busy():
            return self._use.portal.call(self._carry_out(self._next_call(batch)))

    async def aexecute(self, pubs: Batch | Pub | Iterable[Pub]) -> list[PubResult]:
        """The same without blocking the caller's event loop; cancelling it cancels the jobs."""
        batch = as_batch(pubs)
        with self._busy():
            future = self._use.portal.submit(self._carry_out(self._next_call(batch)))
            return await asyncio.wrap_future(future)

    def submit(self, pubs: Batch | Pub | Iterable[Pub]) -> PendingCall[list[PubResult]]:
        """Start executing pubs and return at once."""
        batch = as_batch(pubs)
        with self._lock:
            return PendingCall(self._use.portal.submit(self._carry_out(self._next_call(batch))))

    def gradient(self, pub: Pub, wanted: Sequence[str] | None = None) -> Gradient:
        """The forward values of a pub and their derivatives by the wanted parameters (all by default), in one batch.

        Raises what ``execute`` raises, and UnknownNameError for a parameter that the circuit does not have.
        """
        return self.gradients([pub], [wanted_parameters(pub, wanted)])[0]

    def exact_vjp(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        """Cotangents ``(N, K)`` times the exact Jacobian of a pub, ``(N, P)``, computed by a simulator.

        Raises UsageError where the backend has no exact gradients.
        """
        check_exact_gradients(self.backend)
        with self._busy(), self._use.recorder.span(Phase.EXECUTE, self._position):
            return self.backend.exact_vjp(pub, cotangents)

    def gradients(self, pubs: Sequence[Pub], wanted: Sequence[npt.NDArray[np.bool_] | None]) -> list[Gradient]:
        """The gradients of several pubs, whose forward and shifted rows all leave as one batch."""
        with self._busy():
            position = self._position
            with self._use.recorder.span(Phase.EXPAND, position):
                expanded = [expand(pub, wanted=mask) for pub, mask in zip(pubs, wanted, strict=True)]
                batch = Batch(tuple(part for small, _ in expanded for part in small.pubs))
            results = self._use.portal.call(self._carry_out(self._next_call(batch)))
            with self._use.recorder.span(Phase.DECODE, position):
                return [
                    recombine(recombination, result)
                    for (_, recombination), result in zip(expanded, results, strict=True)
                ]

    async def _carry_out(self, call: Call) -> list[PubResult]:
        """Outside of steps a call is durable when it returns; inside one, when the step ends."""
        is_alone = not self._in_step
        results = await self._engine.execute(call)
        if is_alone:
            with self._use.recorder.span(Phase.STORE, call.position):
                await self._engine.settle()
        return results

    def _next_call(self, batch: Batch) -> Call:
        with self._lock:
            self._life.check()
            position = self._position
            self._position = replace(position, call=position.call + 1)
        return Call(
            run_id=self.run_id,
            seed=self.seed,
            position=position,
            batch=batch,
            default_shots=self._use.default_shots,
            is_replayed=self._use.is_resumed,
        )

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """While this is open, the caller waits for qorch; what lies between is the training loop's own time."""
        with self._lock:
            if self._life.begin_call():
                now_ns = self._use.clock.monotonic_ns()
                self._use.recorder.add(Phase.MODEL, self._idle_since_ns, now_ns, self._position)
        try:
            yield
        finally:
            with self._lock:
                self._idle_since_ns = self._use.clock.monotonic_ns()
                self._life.end_call()

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """One training step: its calls are numbered from 0, and everything is durable when it ends.

        Raises UsageError where the number is no whole one, or does not rise from step to step.
        """
        number = as_whole(number, "step")
        with self._lock:
            self._life.check()
            if self._in_step or number <= self._position.step:
                raise UsageError(f"step {number} cannot follow step {self._position.step}: numbers must rise")
            if not self._has_stepped:
                self._has_stepped = True
                self._end_preparation()
            self._position = Position(number, 0)
            self._in_step = True
            self._metrics = {}
            self._step_begun_at = self._use.clock.now()
            self._step_totals = self.totals
            self._pace.begin_step()
        try:
            yield
        finally:
            self._in_step = False
        self._end_step()

    def _end_preparation(self) -> None:
        """What the program did since the run began, such as loading its data, is not time of a step."""
        now_ns = self._use.clock.monotonic_ns()
        self._use.recorder.add(Phase.PREPARE, self._idle_since_ns, now_ns, self._position)
        self._idle_since_ns = now_ns

    def log(self, **metrics: float) -> None:
        """Note figures of the current step, such as ``loss=0.3``; they are shown and stored with it."""
        self._metrics.update({name: float(value) for name, value in metrics.items()})
        self._all_metrics.update(self._metrics)

    def _end_step(self) -> None:
        done, now = self.totals - self._step_totals, self._use.clock.now()
        begun_at = self._step_begun_at
        record = finished_step(self._use.session, self.current_step, begun_at=begun_at, ended_at=now, done=done)
        if self._use.is_resumed and record.rows_from_cache:
            self.settle()
            record = credit_bought(record, self._use.store, calls=self._position.call)
        self.settle([record, *logged_metrics(self.run_id, self.current_step, self._metrics, logged_at=now)])
        self._use.show(
            Progress(
                step=self._position.step,
                total_steps=self._total_steps,
                seconds_per_step=self._pace.end_step(),
                elapsed_seconds=self._use.recorder.elapsed_ns() / 1e9,
                metrics=dict(self._metrics),
                totals=self.totals,
                spend=None if self.backend.capabilities.charges else NOTHING,
                run=self.name,
            )
        )

    def settle(self, writes: Sequence[Write] = ()) -> None:
        """Wait until all results so far, the spans and these writes are durable. Raises StoreError."""
        with self._busy(), self._use.recorder.span(Phase.STORE, self._position):
            self._engine.settle_blocking([*writes, *self._session_writes()])

    def _session_writes(self) -> list[Write]:
        """The session as it is now, and the spans since the last time."""
        session = session_so_far(self._use.session, self._use.recorder)
        spans = self._use.recorder.drain()
        return [*(SpanRecord(self.run_id, session.ordinal, span) for span in spans), session]

    def steps(self, loader: Iterable[Any], *, epochs: int = 1, save: Sequence[Stateful] = ()) -> Iterator[Any]:
        """The loader's batches for some epochs, each as one step of this run.

        Restores ``save`` (a model, an optimiser, …) and the random states from the last checkpoint, skips what is
        done, saves a checkpoint after steps (at least a second apart, and after the last), and shows progress.
        May be called several times, as for every epoch; a resumed program must make the same calls again.
        """
        self._generator = getattr(loader, "generator", None)
        ordinal, self._loops_begun = self._loops_begun, self._loops_begun + 1
        checkpoint = self._load_checkpoint(save, ordinal=ordinal)
        left = count_steps_left(loader, epochs, checkpoint=checkpoint)
        self._total_steps = None if left is None else self.current_step + 1 + left
        saved_ns = self._use.clock.monotonic_ns()
        place: LoopPlace | None = None
        is_saved = True
        for place, batch in walk(loader, epochs=epochs, ordinal=ordinal, checkpoint=checkpoint):
            with self.step(self.current_step + 1):
                yield batch
            now_ns = self._use.clock.monotonic_ns()
            is_saved = now_ns - saved_ns >= self._use.policy.checkpoint_seconds * 1e9
            if is_saved:
                saved_ns = now_ns
                self._save_checkpoint(save, place)
        if not is_saved:
            self._save_checkpoint(save, place)

    def checkpoint(self, *objects: Stateful) -> None:
        """Store the states of a model, an optimiser, …, and all random states, as they are after this step.

        Atomic and durable on return. Raises UsageError inside a step, or for a state that is no plain tree.
        """
        if self._in_step:
            raise UsageError("a checkpoint inside a step would repeat half of it; save it after the step")
        # All loops that began are over, or this would be inside one of their steps.
        self._save_checkpoint(objects, before_loop(self._loops_begun) if self._loops_begun else None)

    def restore(self, *objects: Stateful) -> int:
        """Put back the states of the last session's checkpoint; the number of the next step, 0 in a new run.

        Raises RunError where the checkpoint holds another number of states.
        """
        self._load_checkpoint(objects)
        return self.current_step + 1

    def _save_checkpoint(self, objects: Sequence[Stateful], loop: LoopPlace | None) -> None:
        content = encode_checkpoint(objects, metrics=self._all_metrics, loop=loop, generator=self._generator)
        self.settle([CheckpointRecord(self.run_id, self._position, content, self._use.clock.now())])

    @cached_property
    def _resumed_from(self) -> CheckpointRecord | None:
        """What the run had come to when this session first asked; it saves newer ones, which it must not go back to."""
        return self._use.store.last_checkpoint(self.run_id) if self._use.is_resumed else None

    def _load_checkpoint(self, objects: Sequence[Stateful], *, ordinal: int = 0) -> Checkpoint | None:
        """Restore the state before each loop that the checkpoint reaches: what the program did in between is undone."""
        record = self._resumed_from
        if record is None:
            return None
        checkpoint = Checkpoint.decode(record.content)
        if not checkpoint.reaches(ordinal):
            self._resumed_from = None
            return None
        checkpoint.restore(objects, self._generator)
        self._position = record.position
        self._all_metrics = dict(checkpoint.metrics)
        return checkpoint

    def report(self) -> Any:
        """Where the time and the money went so far; print it, or read its fields."""
        self.settle()
        return self._use.report(self._use.store, self.run_id)

    def stop(self) -> None:
        """Submit nothing more and record what is in flight; the run can be resumed."""
        self.close(state=RunState.STOPPED)

    def close(self, *, state: str = RunState.DONE, summary: str | None = None) -> None:
        """End the session: record everything and release the backend. May be called twice."""
        if not self._life.begin_closing():
            return
        try:
            if state != RunState.DONE and self._watch.is_asked():
                self._life.cancel()
            self._use.portal.call(self._engine.close(self._life.why_stopped))
            self._settle_quietly(self._life.end_in(state), summary)
        finally:
            self._watch.close()
            self._use.portal.close()
            self._use.release()
            self._life.note_closed()

    def _cancel(self) -> None:
        """End the calls that wait, and then the run: `qorch cancel` asks for it. The process goes on."""
        self._life.cancel()
        with suppress(QorchError, CancelledError):
            self._use.portal.call(self._engine.stop(self._life.why_stopped))
            if self._life.wait_until_idle():
                self.close(state=RunState.CANCELLED)

    def _settle_quietly(self, state: str, summary: str | None) -> None:
        """Write the last spans and the run's state; where the store has failed, it has said so before."""
        self._use.recorder.add(Phase.MODEL, self._idle_since_ns, self._use.clock.monotonic_ns(), self._position)
        calls = self.backend.calls if isinstance(self.backend, RemoteBackend) else None
        whole = add_session(self._use.record.summary, own=summary, calls=calls)
        try:
            self._use.store.write([*self._session_writes(), RunMove(self.run_id, state, whole)]).result()
            self._engine.trim()
        except (StoreError, CancelledError):
            return

    def __repr__(self) -> str:
        """Which run it is, and where."""
        return f"Run({self.run_id!r}, backend={self.backend.name!r}, step {self.current_step})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: the copy of a layer executes its circuits in the same run."""
        return self

    def __enter__(self) -> Self:
        """Make this the active run."""
        self._token = activate(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the run: done, stopped by Ctrl-C, or failed."""
        if self._token is not None:
            deactivate(self._token)
            self._token = None
        if error is None:
            self.close()
            return
        is_interrupted = isinstance(error, KeyboardInterrupt)
        name = name_to_resume(self._use.store, self._use.record)
        self.close(state=RunState.STOPPED if is_interrupted else RunState.FAILED)
        has_begun = is_interrupted or self._position != Position(-1, 0)
        if has_begun and not self._use.session.is_command:
            say_how_to_resume(self.run_id, name, state=self._life.state)
