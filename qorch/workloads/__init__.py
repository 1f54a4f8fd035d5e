"""The training jobs that the command line offers, each an example of qorch's public API."""

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
)


def load_workload(name: str) -> "Workload":
    """The workload of that name. Raises UnknownNameError for another."""
    if name not in WORKLOADS:
        raise UnknownNameError(f"there is no workload '{name}'; choose one of: {', '.join(WORKLOADS)}")
    module = import_module(f"qorch.workloads.{name.replace('-', '_')}")
    workload: Workload = module.WORKLOAD
    return workload
