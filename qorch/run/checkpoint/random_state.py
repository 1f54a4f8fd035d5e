"""The process-wide random states that a training loop may use, taken and put back as plain trees."""

import random
import sys
from typing import Any

import numpy as np

Tree = Any


def capture_random_states(generator: Any = None) -> Tree:
    """The states of `random`, numpy's and torch's global generators, and of a DataLoader's own where given."""
    states: dict[str, Tree] = {"python": random.getstate(), "numpy": np.random.get_state()}
    torch = sys.modules.get("torch")
    if torch is not None:
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available():
            states["cuda"] = torch.cuda.get_rng_state_all()
    if generator is not None:
        states["generator"] = generator.get_state()
    return states


def restore_random_states(states: Tree, generator: Any = None) -> None:
    """Put back what was captured."""
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    if "torch" in states:
        import torch

        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(states["cuda"])
    if generator is not None and "generator" in states:
        generator.set_state(states["generator"])
