"""What stands behind `local:`: engine, device, precision and noise, read before anything starts."""

import importlib
import importlib.util
import logging
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Literal, TypedDict

import msgspec

from qorch.errors import MissingPackageError, UsageError
from qorch_providers.options import read_options

NUMBA, TORCH = "numba", "torch"
_log = logging.getLogger("qorch")
_CHOICES = "among cuda, engine=numba|torch, precision=float32|float64, depolarizing=P, readout=P"


@dataclass(frozen=True)
class Noise:
    """``depolarizing``: probability that a gate's qubits end fully mixed; ``readout``: that a bit is read wrong."""

    depolarizing: float = 0.0
    readout: float = 0.0

    @property
    def is_none(self) -> bool:
        """Whether there is no noise at all."""
        return self.depolarizing == 0.0 and self.readout == 0.0


@dataclass(frozen=True)
class Options:
    """Parsed options. ``precision`` None: float32 for samples, float64 for exact values and gradients."""

    engine: str | None = None
    is_cuda: bool = False
    precision: str | None = None
    noise: Noise = Noise()

    @property
    def sample_precision(self) -> str:
        """The precision of states that are sampled."""
        return self.precision or "float32"

    @property
    def exact_precision(self) -> str:
        """The precision of exact values and gradients."""
        return self.precision or "float64"


Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0, description="a probability from 0 to 1")]


class _Given(TypedDict, total=False):
    cuda: bool
    engine: Literal["numba", "torch"]
    precision: Literal["float32", "float64"]
    depolarizing: Probability
    readout: Probability


def parse_options(text: str) -> Options:
    """Read ``""``, ``"cuda"``, ``"precision=float64"`` or several of them, separated by commas.

    Raises UnknownNameError for what is none of them, UsageError for values and combinations that cannot be.
    """
    given = read_options(text, _Given, backend="local", choices=_CHOICES)
    noise = Noise(given.get("depolarizing", 0.0), given.get("readout", 0.0))
    options = Options(given.get("engine"), given.get("cuda", False), given.get("precision"), noise)
    if options.is_cuda and options.engine == NUMBA:
        raise UsageError("local:cuda runs on torch; leave out engine=numba")
    if not options.noise.is_none and (options.is_cuda or options.engine == TORCH):
        raise UsageError("noise of the local backend needs its numba engine; leave out cuda and engine=torch")
    return options


def choose_engine(options: Options) -> str:
    """The engine that the options ask for, or else the fastest one that runs here. Raises MissingPackageError."""
    if options.is_cuda or options.engine == TORCH:
        return TORCH
    trouble = numba_trouble()
    if trouble is None:
        return NUMBA
    if options.engine == NUMBA or not options.noise.is_none:
        raise MissingPackageError(f"this needs numba, which {trouble}")
    if is_numba_installed():
        _log.warning("the local backend runs on torch, which is slower: numba %s", trouble)
    return TORCH


def is_numba_installed() -> bool:
    """Whether its package is here, whether or not it works."""
    return importlib.util.find_spec("numba") is not None


@cache
def numba_trouble() -> str | None:
    """Why numba cannot be used, and what helps; None if it can. Imports it, which takes a moment."""
    if not is_numba_installed():
        return "is not installed: pip install 'qorch[fast]'"
    try:
        numba = importlib.import_module("numba")
    except Exception as error:  # packages of other releases fail in many ways
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return f"cannot be imported ({reason}): pip install --upgrade 'qorch[fast]'"
    if numba.config.DISABLE_JIT:
        return "compiles nothing while NUMBA_DISABLE_JIT is set: unset it"
    return None
