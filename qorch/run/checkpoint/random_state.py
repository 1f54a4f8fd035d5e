"""The process-wide random states that a training loop may use, taken and put back as plain trees."""

import random
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

Tree = Any

NEXT_LOOP = "next"
"""The scope of what an older qorch stored, which kept one generator."""
MOST_HELD = 16
"""How many loops' generators are kept: a program may make new ones for every epoch."""


def capture_random_states(generators: Sequence[Any] = ()) -> Tree:
    """The states of `random`, numpy's and torch's global generators, and of those of a loader."""
    states: dict[str, Tree] = {"python": random.getstate(), "numpy": np.random.get_state()}
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state_all()
    if generators:
        states["generators"] = [generator.get_state() for generator in generators]
    return states


def restore_random_states(states: Tree, generators: Sequence[Any] = ()) -> None:
    """Put back what was captured."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    if "torch" in states:
        import torch

        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(states["cuda"])
    older = [states["generator"]] if "generator" in states else []
    for generator, state in zip(generators, states.get("generators", older), strict=False):
        generator.set_state(state)


def loader_generators(loader: Any) -> tuple[Any, ...]:
    """The generators that draw a loader's order: its own and those of its samplers, each once."""
    batches = getattr(loader, "batch_sampler", None)
    holders = (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None))
    found = [getattr(holder, "generator", None) for holder in holders]
    return tuple(
        {id(item): item for item in found if hasattr(item, "get_state") and hasattr(item, "set_state")}.values()
    )


class LoaderGenerators:
    """The generators of several loaders, by the scope of their loop, and their states in a checkpoint.

    A resumed program gets a state back when it first reaches that loop. A generator with another seed is a new one,
    such as one for every epoch, and keeps its own.
    """

    def __init__(self) -> None:
        """No loop has begun."""
        self._held: dict[str, tuple[Any, ...]] = {}
        self._stored: dict[str, Tree] = {}
        self._met: list[Any] = []

    def hold(self, scope: str, generators: tuple[Any, ...], *, is_repeated: bool) -> None:
        """A loop begins with these. ``is_repeated``: loops of this scope come again, which the others do not."""
        self._held = {
            key: held for key, held in self._held.items() if key != scope and (is_repeated or held != generators)
        }
        if generators:
            self._held[scope] = generators
        while len(self._held) > MOST_HELD:
            del self._held[next(iter(self._held))]

    def of(self, scope: str) -> tuple[Any, ...]:
        """Those of one loop."""
        return self._held.get(scope, ())

    def capture(self) -> Tree:
        """Seeds and states, as they are now."""
        return {
            scope: [[_seed(generator), generator.get_state()] for generator in held]
            for scope, held in self._held.items()
        }

    def take(self, stored: Tree) -> None:
        """What a checkpoint holds."""
        self._stored = dict(stored)

    def put_back(self, scope: str) -> None:
        """The states of a loop that the program has come to, unless a generator was met in an earlier one."""
        states = self._stored.pop(scope, None) or self._stored.pop(NEXT_LOOP, None)
        if not states:
            return
        new = [item for item in self.of(scope) if not any(item is other for other in self._met)]
        for generator, (seed, state) in zip(self.of(scope), states, strict=False):
            if generator in new and seed in {None, _seed(generator)}:
                generator.set_state(state)
        self._met += new


def _seed(generator: Any) -> int | None:
    """With which it was seeded; only torch's generators tell."""
    seed: int | None = getattr(generator, "initial_seed", lambda: None)()
    return seed
