"""The training jobs that the command line offers, each an example of qorch's public API.

How to read it: ``base`` says what a workload is, and each has a module of its name: ``digits``, ``cats_vs_dogs``,
``qnn_mnist``, ``encoder_mnist`` and ``quantum_train``. Files are read by ``photographs``, ``mnist`` and ``cifar``, and
the latter two become the tensors of ``image_sets``. ``quoting`` quotes workloads, ``live_quotes`` asks the provider,
and ``script`` is a program of the user's own, which is quoted on a ``rehearsed_backend``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from qorch.errors import UnknownNameError

if TYPE_CHECKING:
    from qorch.workloads.base import Workload

WORKLOADS = (
    "digits",
    "cats-vs-dogs",
    "qnn-mnist",
    "encoder-mnist",
    "quantum-train",
)


def load_workload(name: str) -> "Workload":
    """The workload of that name. Raises UnknownNameError for another."""
    if name not in WORKLOADS:
        raise UnknownNameError(f"there is no workload '{name}'; choose one of: {', '.join(WORKLOADS)}")
    module = import_module(f"qorch.workloads.{name.replace('-', '_')}")
    workload: Workload = module.WORKLOAD
    return workload
