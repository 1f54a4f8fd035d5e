"""The loops of a run: steps, epochs and checkpoints, and how a resumed program returns to its last checkpoint."""

import inspect
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast
from weakref import WeakSet

from qorch.errors import QorchError, RunChangedError, UsageError
from qorch.model.identity import Position
from qorch.model.kinds import as_whole
from qorch.ports.records import CheckpointRecord, Write
from qorch.run.checkpoint.loop import (
    Checkpoint,
    LoopPlace,
    as_saveables,
    batch_size,
    before_loop,
    check_loader,
    count_batches,
    encode_checkpoint,
    walk,
)
from qorch.run.checkpoint.random_state import LoaderGenerators, loader_generators
from qorch.run.learning_rates import LearningRates
from qorch.run.metrics import MetricLog
from qorch.run.pace_log import LoopCount
from qorch.run.resources import Resources, Saveable

ASIDE_CALLS = 1_000_000
"""Calls that a resumed program repeats on its way to its place are numbered apart: from here on, a range a session."""
MOST_COMPARED = 32
"""How many loops of a session, and of an epoch, are compared with those that the run was started with."""

_log = logging.getLogger("qorch")


@dataclass(frozen=True)
class LoopHooks:
    """The functions of a run that its loops call.

    ``leave_step``: called in a step that was left by `break`; it returns a function that ends the step later, with the
    time and the figures of this moment.
    """

    check: Callable[[], None]
    is_over: Callable[[], bool]
    position: Callable[[], Position]
    go_to: Callable[[Position], None]
    step: Callable[[int], AbstractContextManager[None]]
    leave_step: Callable[[], Callable[[], None]]
    flush: Callable[[Sequence[Write]], None]


@dataclass
class _Epoch:
    """The epoch of `run.epochs` that is in progress."""

    ordinal: int
    epoch: int
    epochs: int
    save: Sequence[Saveable]
    loops_begun: int = 0

    @property
    def within(self) -> tuple[int, int]:
        """See LoopPlace."""
        return self.ordinal, self.epoch


@dataclass(frozen=True)
class _Left:
    """The states when a program left a loop; its next call shows whether that was a `break` or an error."""

    position: Position
    content: bytes | QorchError
    end_step: Callable[[], None] | None


class Loops:
    """The loops of one session, in the order in which the program begins them."""

    def __init__(self, hooks: LoopHooks, resources: Resources, log: MetricLog) -> None:
        """No loop has begun. A resumed program has returned once it reaches the place of the last checkpoint."""
        self._run = hooks
        self._use = resources
        self._metrics = log
        self._is_back = not resources.is_resumed
        self._outer: _Epoch | None = None
        self._left: _Left | None = None
        self._open: WeakSet[Generator[Any, None, None]] = WeakSet()
        self._loops_begun = 0
        self._epochs_begun = 0
        self._saves = 0
        self._generators = LoaderGenerators()
        is_allowed = resources.used.allows("learning_rate")
        self._rates = LearningRates(resources.record.run_id, is_change_allowed=is_allowed)
        self._is_restored_by_hand = False
        self._has_told = False
        self.total_steps: int | None = None
        self.steps_per_epoch: int | None = None
        self.epoch: int | None = None

    def count(self, step: int) -> LoopCount:
        """Where the loop is after a step."""
        return LoopCount(step, self.total_steps, self.steps_per_epoch)

    def see(self, name: str, value: Any) -> None:
        """Record a setting of the loop in progress (or the last one), and compare it with that of earlier sessions.

        Raises RunChangedError. Of very many loops, only the first ones are recorded.
        """
        if max(self._loops_begun, self._outer.loops_begun if self._outer else 0) <= MOST_COMPARED:
            self._use.used.see(name, value, scope=self._scope)

    @property
    def _scope(self) -> str:
        """Which loop runs or ran last; loops of the epochs of `run.epochs` have the same ones."""
        if self._outer is not None:
            return f"{self._outer.ordinal}.{self._outer.loops_begun - 1}"
        return str(self._loops_begun - 1) if self._loops_begun else "own"

    def epochs(self, count: int, *, save: Sequence[Saveable]) -> Iterator[int]:
        """See Run.epochs."""
        self._enter()
        count, save = as_whole(count, "epochs"), as_saveables(save)
        if self._outer is not None:
            raise UsageError("run.epochs cannot stand inside of run.epochs; use range for the inner loop")
        ordinal, self._loops_begun = self._loops_begun, self._loops_begun + 1
        self._use.used.see("epochs", count, scope=str(ordinal))
        for epoch in range(self._first_epoch(ordinal, count, save), count):
            self._outer = _Epoch(ordinal, epoch, count, save)
            self.epoch, self._saves = epoch, 0
            end = before_loop(0, within=(ordinal, epoch + 1))
            try:
                yield epoch
            except GeneratorExit:
                self.end_held()
                self._outer = None
                self._leave(save, replace(end, is_ended=True))
                raise
            self.end_held()
            self._enter()
            self._outer, self._is_back = None, True
            self._save(save, end)

    def steps(self, loader: Iterable[Any], *, epochs: int, save: Sequence[Saveable]) -> Iterator[Any]:
        """See Run.steps."""
        loop = self._steps(loader, epochs, save)
        self._open.add(loop)
        return loop

    def end_held(self) -> None:
        """Close loops that were left by `break`, and that a variable still holds, such as a progress bar."""
        for loop in list(self._open):
            if inspect.getgeneratorstate(loop) == inspect.GEN_SUSPENDED:
                loop.close()

    def _steps(self, loader: Iterable[Any], epochs: int, save: Sequence[Saveable]) -> Generator[Any, None, None]:
        self._enter()
        epochs, save = as_whole(epochs, "epochs"), as_saveables(save)
        check_loader(loader)
        if self._outer is not None and save:
            raise UsageError("inside of run.epochs, give save to it: run.epochs(5, save=(model, optimizer))")
        before = self._begin_loop(loader, epochs)
        objects = self._outer.save if self._outer else save
        is_done, checkpoint = self._come_to(before, objects)
        self._generators.put_back(self._scope)
        if is_done:
            return
        self._count_steps(loader, epochs, done=checkpoint.loop if checkpoint else None)
        first_epoch, saved_ns = self._epochs_begun - epochs, self._use.clock.monotonic_ns()
        place, is_saved = before, True
        for place, batch in walk(loader, before, epochs=epochs, checkpoint=checkpoint):
            self.epoch = self._outer.epoch if self._outer else first_epoch + place.epoch
            try:
                with self._run.step(self._run.position().step + 1):
                    yield batch
            except GeneratorExit:
                self._leave(objects, replace(place, is_ended=True), end_step=self._run.leave_step)
                raise
            now_ns = self._use.clock.monotonic_ns()
            is_saved = now_ns - saved_ns >= self._use.policy.checkpoint_seconds * 1e9
            if is_saved:
                saved_ns = now_ns
                self._save(objects, place)
        if not is_saved:
            self._save(objects, place)

    def checkpoint(self, objects: Sequence[Saveable]) -> None:
        """See Run.checkpoint. A resumed program saves nothing before it has returned to the last checkpoint."""
        self._enter()
        objects = as_saveables(objects)
        self._saves += 1
        here = self._here()
        ahead = self._ahead
        if ahead is None:
            self._save(objects, here)
        elif here is not None and ahead.random is None and (ahead.key, ahead.saves) == (here.key, here.saves):
            self._restore(objects)
            self._is_back = True

    def restore(self, objects: Sequence[Saveable]) -> None:
        """See Run.restore."""
        self._enter()
        objects = as_saveables(objects)
        if self._saved is not None:
            self._restore(objects)
        self._is_restored_by_hand = True

    def is_repeating(self) -> bool:
        """Whether the program is between loops of an earlier session: its numbers there are stored already."""
        if self._is_back or not self._loops_begun or self._ahead is None:
            return False
        if self._outer is None and not self._has_told:
            self._has_told = True
            _log.warning(
                "numbers that are logged between loops that are done already are not stored again: the model is that of"
                " the last checkpoint. Use `for epoch in run.epochs(...)` around run.steps, which skips finished epochs"
            )
        return True

    def store_break(self) -> None:
        """Store the step in which a loop was left by `break`, now that the run is used further. Raises QorchError."""
        left, self._left = self._left, None
        if left is None:
            return
        if left.end_step is not None:
            left.end_step()
        if isinstance(left.content, QorchError):
            raise left.content
        self._run.flush([self._record(left.position, left.content)])

    def forget_break(self) -> None:
        """Drop the step in which a loop was left by an error: a resume repeats it."""
        self._left = None

    def _enter(self) -> None:
        self._run.check()
        self.store_break()

    def _begin_loop(self, loader: Iterable[Any], epochs: int) -> LoopPlace:
        outer = self._outer
        if outer is not None:
            before = before_loop(outer.loops_begun, within=outer.within)
            outer.loops_begun += 1
        else:
            before = before_loop(self._loops_begun)
            self._loops_begun += 1
            self._epochs_begun += epochs
        self._saves = 0
        self.see("epochs", epochs)
        self.see("batch_size", batch_size(loader))
        self.see("batches", count_batches(loader))
        self._generators.hold(self._scope, loader_generators(loader), is_repeated=outer is not None)
        return before

    def _count_steps(self, loader: Iterable[Any], epochs: int, *, done: LoopPlace | None) -> None:
        batches = count_batches(loader)
        if batches is None:
            self.total_steps = self.steps_per_epoch = None
            return
        self.steps_per_epoch = batches if self._outer is None else batches * epochs
        left = batches * epochs - (done.epoch * batches + done.batches if done else 0)
        if self._outer is not None:
            left += batches * epochs * (self._outer.epochs - self._outer.epoch - 1)
        self.total_steps = self._run.position().step + 1 + left

    def _here(self) -> LoopPlace | None:
        """The place between two loops; None before the first, as in a program with loops of its own."""
        if self._outer is not None:
            return before_loop(self._outer.loops_begun, within=self._outer.within, saves=self._saves)
        return before_loop(self._loops_begun, saves=self._saves) if self._loops_begun else None

    @cached_property
    def _saved(self) -> CheckpointRecord | None:
        """The last checkpoint of earlier sessions, read once: this session never returns to its own."""
        return self._use.store.last_checkpoint(self._use.record.run_id) if self._use.is_resumed else None

    @cached_property
    def _saved_place(self) -> LoopPlace | None:
        return None if self._saved is None else Checkpoint.decode(self._saved.content).loop

    @property
    def _ahead(self) -> LoopPlace | None:
        """The place of the last checkpoint, until the program has returned to it; None afterwards."""
        is_own = self._is_restored_by_hand and not self._loops_begun
        return None if self._is_back or is_own else self._saved_place

    def _first_epoch(self, ordinal: int, count: int, save: Sequence[Saveable]) -> int:
        """The epoch with which `run.epochs` goes on; ``count`` if all are done. Restores what was saved."""
        self._rates.note(save)
        place = self._ahead
        if place is None or place.top < ordinal:
            self._come_back(save, restores=place is None)
            return 0
        self._restore(save)
        if place.top > ordinal:
            return count
        self._saved_place = place = place.inside_epochs()
        is_left = place.is_ended and place.random is None and not self._use.used.allows("epochs")
        epoch = place.within[1] if place.within else 0
        self._is_back = is_left or place.begins_epoch or place.within is None or epoch >= count
        if not self._is_back:
            self._step_aside(0)
        return count if is_left else epoch

    def _come_to(self, before: LoopPlace, save: Sequence[Saveable]) -> tuple[bool, Checkpoint | None]:
        """Whether a loop is done already, and the checkpoint that was made in it. Restores what was saved."""
        self._rates.note(save)
        place = self._ahead
        if place is None or place.key < before.key:
            self._come_back(save, restores=place is None)
            return False, None
        if place.top == before.top and (place.within is None) != (before.within is None):
            raise RunChangedError(
                f"run {self._use.record.run_id} was started with run.epochs around this loop, and the program has"
                " run.steps alone now; restore what it was, or start a new run without resume"
            )
        aside = self._run.position().call
        checkpoint = self._restore(save)
        if place.key > before.key:
            if place.within is not None:
                self._step_aside(aside)
            return True, None
        self._is_back = True
        if place.random is None:
            return False, None
        return place.is_ended and not self._use.used.allows("epochs"), replace(checkpoint, loop=place)

    def _come_back(self, objects: Sequence[Saveable], *, restores: bool) -> None:
        """The program has returned. ``restores``: to a checkpoint without a place in loops, which is restored now."""
        if restores and not self._is_back and self._saved is not None:
            self._restore(objects)
        self._is_back = True

    def _step_aside(self, call: int) -> None:
        """What is run again in an epoch, up to the place, must not take the positions of what comes after the place.

        ``call``: after those that were run again so far.
        """
        place = self._run.position()
        aside = place.call + ASIDE_CALLS * self._use.session.ordinal
        self._run.go_to(replace(place, call=max(call, aside)))

    def _restore(self, objects: Sequence[Saveable]) -> Checkpoint:
        """Restore the states of the last checkpoint, over whatever the program did since it began."""
        record = cast("CheckpointRecord", self._saved)
        self._rates.note(objects)
        checkpoint = Checkpoint.decode(record.content)
        checkpoint.restore(objects)
        self._generators.take(checkpoint.generators)
        self._rates.keep(objects, checkpoint.rates)
        self._run.go_to(record.position)
        self._metrics.go_back(checkpoint.metrics, self._count_logged(record, checkpoint))
        self.epoch = checkpoint.epoch
        return checkpoint

    def _count_logged(self, record: CheckpointRecord, checkpoint: Checkpoint) -> int:
        if checkpoint.logged is not None:
            return checkpoint.logged
        return sum(metric.step == record.position.step for metric in self._use.store.metrics(record.run_id))

    def _save(self, objects: Sequence[Saveable], place: LoopPlace | None) -> None:
        self._run.flush([self._record(self._run.position(), self._encode(objects, place))])

    def _record(self, position: Position, content: bytes) -> CheckpointRecord:
        return CheckpointRecord(self._use.record.run_id, position, content, self._use.clock.now())

    def _encode(self, objects: Sequence[Saveable], place: LoopPlace | None) -> bytes:
        return encode_checkpoint(
            objects,
            metrics=self._metrics.newest,
            loop=place,
            own_generators=self._generators.of(self._scope),
            generators=self._generators.capture(),
            logged=self._metrics.count,
            epoch=self.epoch,
            rates=self._rates.noted,
        )

    def _leave(
        self, objects: Sequence[Saveable], place: LoopPlace, *, end_step: Callable[[], Callable[[], None]] | None = None
    ) -> None:
        """Keep the states of this moment until it is known whether the loop was left by a `break` or an error."""
        if self._run.is_over():
            return
        inner = self._left
        try:
            content: bytes | QorchError = self._encode(objects, place)
        except QorchError as error:
            content = error
        ending = end_step() if end_step is not None else inner.end_step if inner is not None else None
        self._is_back = True
        self._left = _Left(self._run.position(), content, ending)
