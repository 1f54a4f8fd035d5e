"""qorch: hybrid quantum-classical training on any quantum backend.

The public names are loaded when they are first used, so that ``import qorch`` loads neither an SDK nor torch.

How to read it: ``wiring`` has ``start_run``, which puts a run together from the rooms below; ``torch`` the layer whose
circuits it executes, ``optimizers`` trains without gradients. ``backends`` and ``stores`` open what is named,
``prices`` loads what backends cost, ``limits`` says what they do not take. ``config`` reads the environment,
``config_file`` the user's file; ``environment`` and ``machine`` describe where a run works. ``stored_run`` reads runs,
``recovery`` ends what they left at their providers, ``virtual_time`` has the clock of dry runs, and ``errors`` is the
tree of all that is raised.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qorch.errors import QorchError
    from qorch.gradients.recombination import Gradient
    from qorch.model.circuit import Circuit
    from qorch.model.money import Money
    from qorch.model.observable import Observable, probabilities
    from qorch.model.pub import Batch, Pub
    from qorch.model.qiskit.compile import compile_circuit
    from qorch.model.result import PubResult
    from qorch.observers.run_observer import RunObserver
    from qorch.optimizers import SPSA
    from qorch.ports.policy import CachePolicy
    from qorch.run.run import Run
    from qorch.stored_run import open_run, runs
    from qorch.torch import QuantumLayer
    from qorch.wiring import start_run

__version__ = "0.1.0"

_HOMES = {
    "SPSA": "qorch.optimizers",
    "Batch": "qorch.model.pub",
    "CachePolicy": "qorch.ports.policy",
    "Circuit": "qorch.model.circuit",
    "Gradient": "qorch.gradients.recombination",
    "Money": "qorch.model.money",
    "Observable": "qorch.model.observable",
    "Pub": "qorch.model.pub",
    "PubResult": "qorch.model.result",
    "QorchError": "qorch.errors",
    "QuantumLayer": "qorch.torch",
    "Run": "qorch.run.run",
    "RunObserver": "qorch.observers.run_observer",
    "compile_circuit": "qorch.model.qiskit.compile",
    "open_run": "qorch.stored_run",
    "probabilities": "qorch.model.observable",
    "runs": "qorch.stored_run",
    "start_run": "qorch.wiring",
}

__all__ = [
    "SPSA",
    "Batch",
    "CachePolicy",
    "Circuit",
    "Gradient",
    "Money",
    "Observable",
    "Pub",
    "PubResult",
    "QorchError",
    "QuantumLayer",
    "Run",
    "RunObserver",
    "compile_circuit",
    "open_run",
    "probabilities",
    "runs",
    "start_run",
]


def __getattr__(name: str) -> Any:
    """Load a public name from its module on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'qorch' has no attribute '{name}'")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    """The public names, for completion."""
    return [*__all__, "__version__"]
