"""A training run: what budgets, reports and resumes are about, and the object that executes a program's circuits."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from contextvars import Token
from dataclasses import replace
from typing import Any, Self, SupportsFloat

from qorch.engine.planner import Call
from qorch.engine.recorder import Totals
from qorch.errors import QorchError, StoreError, UsageError
from qorch.gradients.methods import GRADIENTS, CallStreams, as_method, expand_all
from qorch.gradients.recombination import Gradient, recombine
from qorch.gradients.wanted import Wanted, wanted_parameters
from qorch.limits import as_cotangents, check_exact_gradients
from qorch.model.arrays import FloatArray
from qorch.model.identity import Position
from qorch.model.kinds import as_whole
from qorch.model.pub import Batch, Pub, as_batch
from qorch.model.result import PubResult
from qorch.model.timing import Phase
from qorch.planning.quoting import Quote
from qorch.ports.backend import Backend
from qorch.ports.records import RunState, Write
from qorch.run.active import activate, deactivate
from qorch.run.idle_time import IdleTime
from qorch.run.jacobian import compute_gradients
from qorch.run.loop import LoopHooks, Loops
from qorch.run.metrics import MetricLog, Metrics, as_numbers
from qorch.run.portal import PendingCall
from qorch.run.resources import Resources, Saveable, make_engine
from qorch.run.session import SessionLog
from qorch.run.step import EndedStep, StepMeter, open_step
from qorch.run.stopping import Lifetime, StopWatcher, name_to_resume, patience_after, say_how_to_resume, state_after


class Run:
    """One training run. Use it as a context manager; made by `qorch.start_run`."""

    def __init__(self, resources: Resources) -> None:
        """Open the engine on the portal's loop, and write down that this process works on the run."""
        self._use = resources
        self._error_at_start = sys.exception()
        self._life = Lifetime(resources.record.run_id)
        self._position = Position(-1, 0)
        self._metrics = MetricLog(resources)
        self._in_step = False
        self._steps = StepMeter(resources, self._metrics)
        self._session = SessionLog(resources, self._steps, self._metrics)
        self._loops = Loops(self._make_hooks(), resources, self._metrics)
        self._idle_time = IdleTime(resources, self._life, lambda: self._position)
        self._token: Token[Run | None] | None = None
        self._engine = make_engine(resources)
        self._watch = StopWatcher(resources.store, self.run_id, stop=self._cancel)
        self._open()
        self._idle_time.begin()

    def _open(self) -> None:
        """Open the engine and record the run. After an error nothing is open or changed."""
        use = self._use
        try:
            use.portal.call(self._engine.open())
            use.store.write([use.record, replace(use.session, used_settings=use.used.encode())]).result()
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
        """The newest value of every logged name, with those of earlier sessions."""
        return dict(self._metrics.newest)

    def execute(self, pubs: Batch | Pub | Iterable[Pub]) -> list[PubResult]:
        """Execute pubs as one batch and wait: one result per pub, in order.

        From any thread, also beside a running event loop. Raises UsageError before anything runs, BackendError,
        StoreError, BudgetError or RunError.
        """
        with self._idle_time.busy():
            return self._use.portal.call(self._carry_out(self._next_call(as_batch(pubs))), self._use.meanwhile)

    async def aexecute(self, pubs: Batch | Pub | Iterable[Pub]) -> list[PubResult]:
        """The same without blocking the caller's event loop; cancelling it cancels the jobs."""
        with self._idle_time.busy():
            return await self._use.portal.acall(self._carry_out(self._next_call(as_batch(pubs))))

    def submit(self, pubs: Batch | Pub | Iterable[Pub]) -> PendingCall[list[PubResult]]:
        """Start executing pubs and return at once."""
        return self._use.portal.start(self._carry_out(self._next_call(as_batch(pubs))))

    def quote(self, pubs: Batch | Pub | Iterable[Pub]) -> Quote:
        """What executing these pubs now would buy: jobs, executions, shots and money, after what is stored.

        Nothing is bought. Raises UsageError for pubs that the backend does not take, and StoreError.
        """
        self._life.check()
        call = Call(self.run_id, self.seed, self._position, as_batch(pubs), self._use.default_shots)
        return self._use.portal.call(self._engine.quote(call))

    def gradient(self, pub: Pub, wanted: Sequence[str] | None = None, *, method: str = GRADIENTS[0]) -> Gradient:
        """The forward values of a pub and their derivatives by the wanted parameters (all by default), in one batch.

        ``method``: such as ``"spsa:directions=4"``. Raises what ``execute`` raises, and UnknownNameError.
        """
        return self.gradients([pub], [wanted_parameters(pub, wanted)], method=method)[0]

    def exact_vjp(self, pub: Pub, cotangents: FloatArray) -> FloatArray:
        """Cotangents ``(N, K)`` times the exact Jacobian of a pub, ``(N, P)``, computed by a simulator.

        Raises UsageError if the backend has no exact gradients, ParameterError for cotangents of another shape.
        """
        check_exact_gradients(self.backend)
        self._see("gradient", "exact")
        with self._idle_time.busy():
            return self._engine.vjp_blocking(pub, as_cotangents(cotangents, pub), position=self._position)

    def gradients(self, pubs: Sequence[Pub], wanted: Wanted, *, method: str = GRADIENTS[0]) -> list[Gradient]:
        """The gradients of several pubs, whose forward and shifted rows all leave as one batch; see ``gradient``."""
        chosen, shots = as_method(method), self._use.default_shots
        if chosen.is_computed:
            return compute_gradients(self, pubs, wanted)
        self._see("gradient", chosen.name)
        with self._idle_time.busy():
            with self._use.recorder.span(Phase.EXPAND, position := self._position):
                streams = CallStreams(self.seed, position)
                batch, recombinations = expand_all(pubs, wanted, method=chosen, streams=streams, default_shots=shots)
            results = self._use.portal.call(self._carry_out(self._next_call(batch)), self._use.meanwhile)
            with self._use.recorder.span(Phase.DECODE, position):
                return list(map(recombine, recombinations, results))

    async def _carry_out(self, call: Call) -> list[PubResult]:
        """Outside of steps a call is durable when it returns; inside one, when the step ends."""
        is_alone = not self._in_step
        with self._use.portal.watching(call):
            results = await self._engine.execute(call)
            if is_alone:
                with self._use.recorder.span(Phase.STORE, call.position):
                    await self._engine.flush()
        return results

    def _next_call(self, batch: Batch) -> Call:
        self._loops.store_break()
        for pub in batch.pubs[:1]:
            self._see("shots", pub.shots_or(self._use.default_shots) or "exact")
        with self._life.lock:
            self._life.check()
            position = self._position
            self._position = replace(position, call=position.call + 1)
        return Call(self.run_id, self.seed, position, batch, self._use.default_shots, self._use.is_resumed)

    def _see(self, name: str, value: str | int) -> None:
        """Record what the steps use; raises RunChangedError if earlier sessions used something else."""
        if self._in_step:
            self._loops.see(name, value)

    def _make_hooks(self) -> LoopHooks:
        return LoopHooks(
            check=self._life.check,
            is_over=lambda: self._life.is_over,
            position=lambda: self._position,
            go_to=self._go_to,
            step=self._step,
            leave_step=self._leave_step,
            flush=self.flush,
        )

    def _go_to(self, position: Position) -> None:
        self._position = position
        self._steps.go_back(position.step)

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """One training step: its calls are numbered from 0, and everything is durable when it ends.

        Raises UsageError if the number is not whole, or does not rise from step to step.
        """
        self._loops.store_break()
        with self._step(as_whole(number, "step")):
            yield

    @contextmanager
    def _step(self, number: int) -> Iterator[None]:
        with self._life.lock:
            self._life.check()
            self._check_no_step("numbers must rise, and no step stands inside of another one")
            if number <= self._position.step:
                raise UsageError(f"step {number} cannot follow step {self._position.step}: numbers must rise")
            self._position = Position(number, 0)
            self._in_step = True
            self._idle_time.begin_step()
            self._steps.begin()
        try:
            yield
        finally:
            self._in_step = False
        self._leave_step()()

    def log(self, metrics: Metrics | None = None, /, **more: SupportsFloat) -> None:
        """Store numbers by name, such as ``loss=loss`` or ``{"val/accuracy": 0.9}``; tensors of one element, too.

        They belong to the step that runs or ran last (-1 before the first) and its epoch, and are durable with that
        step, or when the run is flushed or closed, however it ends. A truth value counts as 0 or 1. Raises UsageError
        for anything else that is not a number, of which nothing is stored, and RunError if the run is closed.
        """
        numbers = as_numbers(metrics, more)
        self._loops.store_break()
        with self._life.lock:
            self._life.check()
            if not self._loops.is_repeating():
                self._metrics.add(numbers, step=self.current_step, epoch=self._loops.epoch)

    def _check_no_step(self, why: str) -> None:
        if self._in_step:
            raise open_step(self._position.step, why)

    def _leave_step(self) -> Callable[[], None]:
        ended = self._steps.end(self._position, epoch=self._loops.epoch)
        return lambda: self._end_step(ended)

    def _end_step(self, ended: EndedStep) -> None:
        record = ended.record
        if self._use.is_resumed and record.executions_from_cache:
            self.flush()
            record = ended.credited(self._use.store)
        self._steps.keep(record)
        self.flush([record])
        self._use.show(self._steps.progress(ended, self._loops.count(record.step)))

    def flush(self, writes: Sequence[Write] = ()) -> None:
        """Wait until all results so far, the spans and these writes are durable. Raises StoreError."""
        self._loops.store_break()
        with self._idle_time.busy(), self._use.recorder.span(Phase.STORE, self._position):
            self._engine.flush_blocking([*writes, *self._session.writes(self._position)])

    settle = flush  # its name in earlier versions

    def epochs(self, count: int, *, save: Sequence[Saveable] = ()) -> Iterator[int]:
        """The numbers of ``count`` epochs. Each is finished, and saved, when the body of the loop has ended.

        ``save``: a model, an optimiser, a scheduler, and plain dicts for what else the loop remembers, such as the
        best loss so far. In the body, ``run.steps(loader)`` once or more often, then what belongs to the epoch, such as
        a validation and its `run.log`. A resumed run skips finished epochs and goes on with the batch, or the
        validation, that it had reached; what stands before the loop over the steps is run again, and its numbers are
        not stored again. `break` ends the loop for good, in a resumed program too.

        Raises RunChangedError if the run was started with another number, UsageError inside of another such loop.
        """
        self._check_no_step("run.epochs cannot stand inside of a step")
        return self._loops.epochs(count, save=save)

    def steps(self, loader: Iterable[Any], *, epochs: int = 1, save: Sequence[Saveable] = ()) -> Iterator[Any]:
        """The loader's batches for some epochs, each as one step of this run.

        Restores ``save`` (a model, an optimiser, …) and the random states from the last checkpoint, skips what is
        done, saves a checkpoint after steps (at least a second apart, and after the last), and shows progress.
        Inside of `run.epochs`, ``save`` is given to that. `break` keeps the step, and ends the loop for good.
        May be called several times; a resumed program must make the same calls again.

        Raises RunChangedError if the run was started with other epochs, batches, shots or gradients.
        """
        return self._loops.steps(loader, epochs=epochs, save=save)

    def checkpoint(self, *objects: Saveable) -> None:
        """Store the states of a model, an optimiser, …, and all random states, as they are after this step.

        Atomic and durable on return. A resumed program restores the last checkpoint in the call that stored it.
        Raises UsageError inside a step, or for a state that is not a plain tree.
        """
        self._check_no_step("a checkpoint inside a step would repeat half of it; save it after the step")
        self._loops.checkpoint(objects)

    def restore(self, *objects: Saveable) -> int:
        """Put back the states of the last session's checkpoint; the number of the next step, 0 in a new run.

        Raises RunError if the checkpoint holds another number of states.
        """
        self._loops.restore(objects)
        return self.current_step + 1

    def report(self) -> Any:
        """Where the time and the money went so far; print it, or read its fields."""
        self.flush()
        return self._use.report(self._use.store, self.run_id)

    def stop(self) -> None:
        """Submit nothing more and record what is in flight; the run can be resumed."""
        self.close(state=RunState.STOPPED)

    def close(self, *, state: str = RunState.DONE, summary: str | None = None) -> None:
        """End the session: record everything and release the backend. May be called twice."""
        try:
            self._end_loops(state)
        finally:
            if self._life.begin_closing():
                self._close(state, summary)

    def _end_loops(self, state: str) -> None:
        """Record a step that was left by `break`; a step that was left by an error is repeated by a resume."""
        if state == RunState.DONE and sys.exception() is self._error_at_start and not self._life.is_over:
            self._loops.end_held()
            self._loops.store_break()
        self._loops.forget_break()

    def _close(self, state: str, summary: str | None) -> None:
        try:
            if state != RunState.DONE and self._watch.is_asked():
                self._life.cancel()
            self._use.portal.call(self._engine.close(self._life.why_stopped, patience_seconds=patience_after(state)))
            self._flush_quietly(self._life.end_in(state), summary)
        finally:
            self._watch.close()
            self._use.portal.close()
            self._use.release()
            self._life.note_closed()

    def _cancel(self) -> None:
        """End the calls in progress and then the run, as `qorch cancel` asks for; the process goes on."""
        self._life.cancel()
        with suppress(QorchError, CancelledError):
            self._use.portal.call(self._engine.stop(self._life.why_stopped))
            if self._life.wait_until_idle():
                self.close(state=RunState.CANCELLED)

    def _flush_quietly(self, state: str, summary: str | None) -> None:
        """Write the last spans and the run's state; a store that has failed has raised its error before."""
        self._idle_time.end()
        with suppress(StoreError, CancelledError):
            self._use.store.write(self._session.last_writes(self._position, state=state, summary=summary)).result()
            self._engine.trim()

    def __repr__(self) -> str:
        """The run's id, its backend and its step."""
        return f"Run({self.run_id!r}, backend={self.backend.name!r}, step {self.current_step})"

    def _repr_html_(self) -> str | None:
        """What is stored of it so far as pictures, for notebooks; None after it was closed."""
        return self._use.show_run(self._use.store, self.run_id)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """Itself: the copy of a layer executes its circuits in the same run."""
        return self

    def __enter__(self) -> Self:
        """Make this the active run."""
        self._token = activate(self)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Close the run: done, stopped by Ctrl-C, ``sys.exit()`` or a budget, or failed."""
        deactivate(self._token)
        self._token = None
        if error is None:
            self.close()
            return
        name = name_to_resume(self._use.store, self._use.record)
        state = state_after(error)
        self.close(state=state)
        if (state == RunState.STOPPED or self._position != Position(-1, 0)) and not self._use.session.is_command:
            say_how_to_resume(self.run_id, name, state=self._life.state)
