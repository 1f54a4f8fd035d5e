"""Checkpoints of a training loop: the user's states, the random states, and the place in the data."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from qorch.errors import RunError
from qorch.random_state import capture_random_states, restore_random_states
from qorch.resources import Stateful
from qorch.state import decode_state, encode_state


@dataclass(frozen=True)
class LoopPlace:
    """Where a loop over a loader is: ``batches`` of ``epoch`` are done; ``random`` as the epoch began."""

    epoch: int
    batches: int
    random: Any


@dataclass(frozen=True)
class Checkpoint:
    """What was saved after a step. ``loop`` is None in loops of the user's own."""

    objects: tuple[Any, ...]
    random: Any
    metrics: dict[str, float]
    loop: LoopPlace | None

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
        "loop": None if loop is None else [loop.epoch, loop.batches, loop.random],
    }
    return encode_state(tree)


def decode_checkpoint(content: bytes) -> Checkpoint:
    """The inverse. Raises RunError where the bytes were changed."""
    tree = decode_state(content)
    loop = None if tree["loop"] is None else LoopPlace(*tree["loop"])
    return Checkpoint(tuple(tree["objects"]), tree["random"], tree["metrics"], loop)


def walk(loader: Iterable[Any], *, epochs: int, checkpoint: Checkpoint | None) -> Iterator[tuple[LoopPlace, Any]]:
    """The loader's batches of all epochs, each with the place after it; what the checkpoint has done is skipped.

    A shuffling loader draws its order when an epoch begins: the random states of that moment are put back to
    draw the same order again, and those of the checkpoint once the batches that are done have gone by.
    """
    generator = getattr(loader, "generator", None)
    loop = checkpoint.loop if checkpoint else None
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
            yield LoopPlace(epoch, done, random), batch


def count_steps(loader: Iterable[Any], epochs: int) -> int | None:
    """The steps of all epochs; None for a loader without a length."""
    length = getattr(loader, "__len__", None)
    return None if length is None else int(length()) * epochs
