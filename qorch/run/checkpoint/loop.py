"""Checkpoints of a training loop: the user's states, the random states, and the place in the data."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self

from qorch.errors import RunError, UsageError
from qorch.model.kinds import as_items
from qorch.run.checkpoint.codec import decode_state, encode_state
from qorch.run.checkpoint.random_state import (
    NEXT_LOOP,
    capture_random_states,
    loader_generators,
    restore_random_states,
)
from qorch.run.resources import Saveable


@dataclass(frozen=True)
class LoopPlace:
    """A place in the loops of a program. A resumed program runs all its loops again, in the same order.

    ``ordinal``: the number of the loop, from 0; inside of `run.epochs`, within the epoch. ``batches``: how many of its
    ``epoch`` are done. ``random``: the random states when that epoch began, None before the loop. ``within``: ordinal
    and epoch of the `run.epochs` around it. ``saves``: how many checkpoints the user has made since the last loop
    began. ``is_ended``: the program left the loop by `break`; the loop of `run.epochs` if ``random`` is None.
    """

    epoch: int
    batches: int
    random: Any
    ordinal: int = 0
    within: tuple[int, int] | None = None
    saves: int = 0
    is_ended: bool = False

    @property
    def top(self) -> int:
        """The ordinal of the outermost loop."""
        return self.within[0] if self.within else self.ordinal

    @property
    def key(self) -> tuple[int, int, int]:
        """The sort key of loops: outermost loop, its epoch, loop in that epoch."""
        return loop_key(self.within, self.ordinal)

    @property
    def begins_epoch(self) -> bool:
        """Whether the epoch of `run.epochs` has only begun."""
        return self.random is None and self.ordinal == 0 and self.saves == 0

    def inside_epochs(self) -> "LoopPlace":
        """The same place for a program that has replaced ``run.steps(epochs=n)`` by `run.epochs` around `run.steps`."""
        if self.within is not None or self.random is None:
            return self
        return replace(self, epoch=0, ordinal=0, within=(self.ordinal, self.epoch))


def loop_key(within: tuple[int, int] | None, ordinal: int) -> tuple[int, int, int]:
    """See LoopPlace.key."""
    return (*within, ordinal) if within else (ordinal, -1, -1)


def before_loop(ordinal: int, *, within: tuple[int, int] | None = None, saves: int = 0) -> LoopPlace:
    """The place before the loop ``ordinal``."""
    return LoopPlace(0, 0, None, ordinal, within, saves)


def _decode_place(items: Sequence[Any]) -> LoopPlace:
    place = LoopPlace(*items)
    if len(items) <= 4 and place.random is None:  # of an older qorch, which did not count what is saved by hand
        return replace(place, saves=1)
    return place


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint. ``loop`` is None if all loops are the user's own.

    ``logged``: how many numbers the step had logged, None in older checkpoints. ``rates``: the learning rates that
    the program had set when its first loop began. ``generators``: those of loaders, see LoaderGenerators.
    """

    objects: tuple[Any, ...]
    random: Any
    metrics: dict[str, float]
    loop: LoopPlace | None
    logged: int | None = None
    epoch: int | None = None
    rates: list[float] | None = None
    generators: Any = field(default_factory=dict)

    @classmethod
    def decode(cls, content: bytes) -> Self:
        """The inverse of ``encode_checkpoint``. Raises RunError if the bytes were changed."""
        tree = decode_state(content)
        loop = None if tree["loop"] is None else _decode_place(tree["loop"])
        rest = {name: tree[name] for name in ("logged", "epoch", "rates", "generators") if name in tree}
        if "generators" not in tree and "generator" in tree["random"]:
            rest["generators"] = {NEXT_LOOP: [[None, tree["random"]["generator"]]]}
        return cls(tuple(tree["objects"]), tree["random"], tree["metrics"], loop, **rest)

    def restore(self, objects: Sequence[Saveable]) -> None:
        """Put all states back. Raises RunError if the number of objects differs, or one does not take its state."""
        if len(self.objects) != len(objects):
            raise RunError(f"the checkpoint holds {len(self.objects)} states; {len(objects)} were given to restore")
        load_states(objects, self.objects)
        restore_random_states(self.random)


def encode_checkpoint(
    objects: Sequence[Saveable],
    *,
    metrics: dict[str, float],
    loop: LoopPlace | None,
    own_generators: Sequence[Any] = (),
    logged: int = 0,
    epoch: int | None = None,
    rates: list[float] | None = None,
    generators: Any = None,
) -> bytes:
    """The states as they are now. Raises UsageError if one is not a plain tree.

    ``own_generators``: of the loader whose loop runs; ``generators``: the states of those of all loaders.
    """
    tree = {
        "objects": [item if isinstance(item, dict) else item.state_dict() for item in objects],
        "random": capture_random_states(own_generators),
        "metrics": metrics,
        "loop": None if loop is None else [getattr(loop, item.name) for item in fields(loop)],
        "logged": logged,
        "epoch": epoch,
        "rates": rates,
        "generators": generators or {},
    }
    return encode_state(tree)


def walk(
    loader: Iterable[Any], place: LoopPlace, *, epochs: int, checkpoint: Checkpoint | None
) -> Iterator[tuple[LoopPlace, Any]]:
    """The loader's batches of all epochs, each with the place after it.

    ``place``: before the loop. ``checkpoint``: one that was made in this loop, whose batches are skipped, or None. A
    shuffling loader draws its order when an epoch begins: the random states of that moment are put back to draw the
    same order again, and those of the checkpoint after the batches that are done.
    """
    generators = loader_generators(loader)
    loop = checkpoint.loop if checkpoint else None
    for epoch in range(loop.epoch if loop else 0, epochs):
        if loop:
            restore_random_states(loop.random, generators)
        random = capture_random_states(generators)
        batches = iter(loader)
        done = loop.batches if loop else 0
        if loop and checkpoint:
            for _ in range(done):
                next(batches, None)
            restore_random_states(checkpoint.random, generators)
            loop = None
        for batch in batches:
            done += 1
            yield replace(place, epoch=epoch, batches=done, random=random), batch


def load_states(objects: Sequence[Saveable | None], states: Sequence[Any]) -> None:
    """Give objects their states, except to None. Raises RunError, with the place, for one that does not take it."""
    for ordinal, (item, state) in enumerate(zip(objects, states, strict=True)):
        try:
            if isinstance(item, dict):
                fresh = dict(state)
                item.clear()
                item.update(fresh)
            elif item is not None:
                item.load_state_dict(state)
        except Exception as error:  # torch and its optimisers raise whatever they like
            problem = f"object {ordinal}, a {type(item).__name__}, does not take state {ordinal} of the checkpoint"
            raise RunError(f"{problem}: {' '.join(str(error).split())}") from error


def as_saveables(objects: Sequence[Saveable]) -> tuple[Saveable, ...]:
    """The objects to save. Raises UsageError for one that has no state."""
    items = as_items(objects, "save", wanted="a list, such as save=(model, optimizer)")
    for item in items:
        if not isinstance(item, dict) and not (hasattr(item, "state_dict") and hasattr(item, "load_state_dict")):
            raise UsageError(
                f"a {type(item).__name__} cannot be saved; give what has state_dict and load_state_dict, such as a"
                " model and an optimizer, and plain dicts"
            )
    return items


def check_loader(loader: Iterable[Any]) -> None:
    """Raise UsageError for what no loop can go over."""
    has_items = hasattr(loader, "__iter__") or hasattr(loader, "__getitem__")
    if not has_items or getattr(loader, "ndim", None) == 0:
        raise UsageError(f"run.steps got a {type(loader).__name__}; give a loader, or a list of batches")


def count_batches(loader: Iterable[Any]) -> int | None:
    """The batches of an epoch; None for a loader without a length."""
    try:
        return len(loader)  # type: ignore[arg-type]
    except (TypeError, NotImplementedError):  # also of a torch loader, over data without a length
        return None


def batch_size(loader: Any) -> int | None:
    """The samples of a batch, from the attributes of a torch loader; None for any other loader."""
    size = getattr(loader, "batch_size", None) or getattr(getattr(loader, "batch_sampler", None), "batch_size", None)
    return size if isinstance(size, int) else None


def optimizer_groups(objects: Sequence[Saveable]) -> list[dict[str, Any]]:
    """The parameter groups of all optimisers that have a learning rate."""
    groups = [group for item in objects for group in getattr(item, "param_groups", ())]
    return [group for group in groups if "lr" in group]
