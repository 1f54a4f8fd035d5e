"""Checkpoints of a training loop: the user's states, the random states, and the place in the data."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

from qorch.errors import RunError
from qorch.random_state import capture_random_states, restore_random_states
from qorch.resources import Stateful
from qorch.state import decode_state, encode_state


@dataclass(frozen=True)
class LoopPlace:
    """Where a loop over a loader is: ``batches`` of ``epoch`` are done; ``random`` as the epoch began, None before.

    ``ordinal``: which of the session's loops it is, from 0. A program that is run again comes by all of them again.
    """

    epoch: int
    batches: int
    random: Any
    ordinal: int = 0


def before_loop(ordinal: int) -> LoopPlace:
    """Between two loops: ``ordinal`` is the one that comes next."""
    return LoopPlace(0, 0, None, ordinal)


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after a step. ``loop`` is None where all loops are the user's own."""

    objects: tuple[Any, ...]
    random: Any
    metrics: dict[str, float]
    loop: LoopPlace | None

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """The inverse of ``encode_checkpoint``. Raises RunError where the bytes were changed."""
        tree = decode_state(content)
        loop = None if tree["loop"] is None else LoopPlace(*tree["loop"])
        return cls(tuple(tree["objects"]), tree["random"], tree["metrics"], loop)

    def reaches(self, ordinal: int) -> bool:
        """Whether the loop of that number was done, or to go on from here; the first one is restored in any case."""
        return ordinal <= (self.loop.ordinal if self.loop else 0)

    def restore(self, objects: Sequence[Stateful], generator: Any = None) -> None:
        """Put all states back. Raises RunError where the number of objects differs."""
        if len(self.objects) != len(objects):
            raise RunError(f"the checkpoint holds {len(self.objects)} states; {len(objects)} were given to restore")
        for item, state in zip(objects, self.objects, strict=True):
            item.load_state_dict(state)
        restore_random_states(self.random, generator)


def encode_checkpoint(
    objects: Sequence[Stateful], *, metrics: dict[str, float], loop: LoopPlace | None, generator: Any
) -> bytes:
    """The states as they are now. Raises UsageError where one is no plain tree."""
    tree = {
        "objects": [item.state_dict() for item in objects],
        "random": capture_random_states(generator),
        "metrics": metrics,
        "loop": None if loop is None else [loop.epoch, loop.batches, loop.random, loop.ordinal],
    }
    return encode_state(tree)


def walk(
    loader: Iterable[Any], *, epochs: int, ordinal: int, checkpoint: Checkpoint | None
) -> Iterator[tuple[LoopPlace, Any]]:
    """The loader's batches of all epochs, each with the place after it; what the checkpoint has done is skipped.

    A shuffling loader draws its order when an epoch begins: the random states of that moment are put back to
    draw the same order again, and those of the checkpoint once the batches that are done have gone by.
    """
    generator = getattr(loader, "generator", None)
    loop = checkpoint.loop if checkpoint else None
    if loop and ordinal < loop.ordinal:
        return
    if loop and loop.random is None:
        loop = None
    for epoch in range(loop.epoch if loop else 0, epochs):
        if loop:
            restore_random_states(loop.random, generator)
        random = capture_random_states(generator)
        batches = iter(loader)
        done = loop.batches if loop else 0
        if loop and checkpoint:
            for _ in range(done):
                next(batches, None)
            restore_random_states(checkpoint.random, generator)
            loop = None
        for batch in batches:
            done += 1
            yield LoopPlace(epoch, done, random, ordinal), batch


def count_steps_left(loader: Iterable[Any], epochs: int, *, checkpoint: Checkpoint | None) -> int | None:
    """The steps of all epochs without those that the checkpoint has done; None for a loader without a length."""
    try:
        length = len(loader)  # type: ignore[arg-type]
    except TypeError:  # also of a torch loader, over data without a length
        return None
    loop = checkpoint.loop if checkpoint else None
    return length * epochs - (loop.epoch * length + loop.batches if loop else 0)
