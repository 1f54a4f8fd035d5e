"""What every training workload offers to the command line."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import torch

from qorch.errors import UsageError
from qorch.gradients.methods import GRADIENTS, as_method
from qorch.model.kinds import as_whole
from qorch.run.run import Run

MAX_COUNT = 10**9
"""Largest number of epochs, samples or images that an option accepts; a larger one is a typing error."""


@dataclass(frozen=True)
class Options:
    """The options that all workloads share; None is the workload's own default.

    ``shots``: a number, or None for exact; ``limit`` None is all samples if the default is None, too. ``own`` holds
    the workload's own options as text, by name.
    """

    shots: int | None
    epochs: int | None = None
    batch_size: int | None = None
    limit: int | None = None
    gradient: str | None = None
    data_dir: Path | None = None
    seed: int = 0
    own: Mapping[str, str] = field(default_factory=dict)

    def filled(self, defaults: "Options") -> "Options":
        """These options, with a workload's defaults for what is None, but for ``shots`` and ``data_dir``."""
        return replace(
            self,
            epochs=defaults.epochs if self.epochs is None else self.epochs,
            batch_size=defaults.batch_size if self.batch_size is None else self.batch_size,
            limit=defaults.limit if self.limit is None else self.limit,
            gradient=defaults.gradient if self.gradient is None else self.gradient,
            own={**defaults.own, **self.own},
        )


@dataclass(frozen=True)
class Training:
    """What a training came to: its last metrics, and the SHA-256 of all trained weights."""

    steps: int
    metrics: dict[str, float]
    weights_sha256: str


@dataclass(frozen=True)
class Outline:
    """What a training executes, for a quote: the first step, and what follows upon each epoch.

    ``steps``: of an epoch, each of which executes as much as ``step()``. ``evaluate()``: what an epoch executes after
    its steps.
    """

    epochs: int
    steps: int
    step: Callable[[], object]
    evaluate: Callable[[], object]


class Workload(Protocol):
    """One training job, by name."""

    @property
    def name(self) -> str:
        """What the user types."""
        ...

    @property
    def summary(self) -> str:
        """One line for ``--help``."""
        ...

    @property
    def defaults(self) -> Options:
        """The defaults of the options; ``seed`` and ``data_dir`` are not read from it."""
        ...

    @property
    def own_options(self) -> Mapping[str, str]:
        """Name → explanation of the options that only this workload has."""
        ...

    def check(self, options: Options) -> None:
        """Raise UsageError for options that cannot be, and for data that is not there, before a run is started."""
        ...

    def outline(self, options: Options) -> Outline:
        """What a training with these options executes; its functions call layers, and need no run of their own.

        It needs no files. Raises UsageError for options that cannot be.
        """
        ...

    def train(self, run: Run, options: Options) -> Training:
        """Train on the run, from its last checkpoint if it has one."""
        ...


def weights_digest(model: torch.nn.Module) -> str:
    """SHA-256 of all weights of a model, in the order of its state_dict, exact bits."""
    hasher = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        hasher.update(name.encode())
        hasher.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return hasher.hexdigest()


def positive(value: int | None, name: str) -> int:
    """An option that counts something. Raises UsageError if it is not from 1 to MAX_COUNT."""
    return as_whole(value, f"--{name}", least=1, most=MAX_COUNT)


def learning_rate(options: Options) -> float:
    """The option ``--lr`` of a workload that has it. Raises UsageError if it is not a finite number above 0."""
    return positive_number(options, "lr")


def positive_number(options: Options, name: str) -> float:
    """An option that only this workload has, as a number. Raises UsageError if it is not a finite one above 0."""
    text = options.own[name]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise UsageError(f"--{name} is '{text}'; it must be a finite number above 0")
    return number


def whole_option(options: Options, name: str, *, least: int, most: int) -> int:
    """An option that only this workload has, as a number. Raises UsageError if it is not from ``least`` to ``most``."""
    text = options.own[name]
    return as_whole(int(text) if text.isascii() and text.isdecimal() else text, f"--{name}", least=least, most=most)


def parse_classes(text: str) -> tuple[int, ...]:
    """``"3,6"`` or ``"all"``. Raises UsageError for anything but two or more different digits."""
    if text == "all":
        return tuple(range(10))
    parts = [part.strip() for part in text.split(",")]
    if not all(part in set("0123456789") for part in parts) or not 2 <= len(set(parts)) == len(parts):
        raise UsageError(f"--classes is '{text}'; give two or more different digits, such as 3,6, or all")
    return tuple(sorted(int(part) for part in parts))


def gradient_method(options: Options) -> str:
    """The gradient method, by name. Raises UsageError if there is none, or it makes no sense with the shots."""
    name = options.gradient or GRADIENTS[0]
    as_method(name).check_shots(options.shots)
    return name


def accuracy(model: torch.nn.Module, data: torch.utils.data.TensorDataset) -> float:
    """The share of images whose class the model finds, all measured in one batch."""
    images, labels = data.tensors
    with torch.no_grad():
        return float((model(images).argmax(dim=1) == labels).double().mean())


def check_own_options(workload: Workload, options: Options) -> None:
    """Raise UsageError for an option that the workload does not have."""
    for name in options.own:
        if name not in workload.own_options:
            known = ", ".join(f"--{item}" for item in workload.own_options) or "none"
            raise UsageError(f"workload '{workload.name}' has no option --{name}; its own options are: {known}")
