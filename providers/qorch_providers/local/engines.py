"""The one place where engines are made."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from qorch.errors import UsageError
from qorch_providers.local.options import NUMBA, Noise, Options, choose_engine
from qorch_providers.local.port import Engine

if TYPE_CHECKING:
    from qorch_providers.local.numba_engine.noise import NoisySampler


def make_engine(options: Options, *, threads: int, now_ns: Callable[[], int]) -> tuple[str, Engine]:
    """The engine and its name; ``now_ns`` is the clock.

    Raises MissingPackageError, or UsageError if there is no CUDA device.
    """
    name = choose_engine(options)
    if name == NUMBA:
        from qorch_providers.local.numba_engine.engine import NumbaEngine

        return name, NumbaEngine(threads=threads, now_ns=now_ns)
    from qorch_providers.local.torch_engine.engine import TorchEngine

    return name, TorchEngine(is_cuda=options.is_cuda)


def make_noisy_sampler(engine: Engine, noise: Noise) -> "NoisySampler | None":
    """What samples with noise on the numba engine; None without noise."""
    if noise.is_none:
        return None
    from qorch_providers.local.numba_engine.engine import NumbaEngine
    from qorch_providers.local.numba_engine.noise import NoisySampler

    if not isinstance(engine, NumbaEngine):
        raise UsageError("noise of the local backend needs its numba engine; leave out cuda and engine=torch")
    return NoisySampler(engine, noise)
