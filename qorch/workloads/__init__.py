"""The training jobs that the command line offers, each an example of qorch's public API, and those that others add.

A package adds one by an entry point of the group ``qorch.workloads``: its name, and the object that is the workload.

How to read it: ``base`` says what a workload is, and each has a module of its name: ``digits``, ``cats_vs_dogs``,
``qnn_mnist``, ``quantum_train``, ``qrnn_ks`` and ``encoder_mnist``. Files are read by ``photographs``, ``mnist`` and
``cifar``, and the latter two become the tensors of ``image_sets``; the series of ``qrnn_ks`` are those of
``kuramoto_sivashinsky``. ``quoting`` quotes workloads, ``live_quotes`` asks the provider; a ``program`` of the user's
own is run as it is, and ``script`` quotes one on a ``rehearsed_backend``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from qorch.errors import MissingPackageError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from qorch.workloads.base import Workload

WORKLOADS = (
    "digits",
    "cats-vs-dogs",
    "qnn-mnist",
    "quantum-train",
    "qrnn-ks",
    "encoder-mnist",
)
GROUP = "qorch.workloads"
_PARTS = ("name", "summary", "defaults", "own_options", "check", "outline", "train")
"""What a workload has, see ``qorch.workloads.base.Workload``."""


def workload_names() -> list[str]:
    """The workloads that come with qorch, then those that other packages add, of which nothing is loaded."""
    return [*WORKLOADS, *sorted(_entries().keys() - set(WORKLOADS))]


def load_workload(name: str) -> "Workload":
    """The workload of that name. Raises UnknownNameError for another.

    Raises MissingPackageError if another package's workload needs one that is not installed, UsageError if it cannot
    be loaded, or is none.
    """
    if name in WORKLOADS:
        module = import_module(f"qorch.workloads.{name.replace('-', '_')}")
        workload: Workload = module.WORKLOAD
        return workload
    entry = _entries().get(name)
    if entry is None:
        raise UnknownNameError(f"there is no workload '{name}'; choose one of: {', '.join(workload_names())}")
    return _load(entry)


def _entries() -> "dict[str, EntryPoint]":
    # Loaded here, as the help of a command should not wait for it.
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _load(entry: "EntryPoint") -> "Workload":
    origin = f"workload '{entry.name}' ({entry.value}{_package_of(entry)})"
    try:
        workload: Workload = entry.load()
    except ImportError as error:
        missing = error.name or str(error)
        raise MissingPackageError(f"{origin} needs {missing}, which cannot be imported: install it") from error
    except Exception as error:
        sentence = " ".join(f"{type(error).__name__}: {error}".split())
        raise UsageError(f"{origin} cannot be loaded ({sentence}); mend it, or uninstall its package") from error
    missing_parts = [part for part in _PARTS if not hasattr(workload, part)]
    if missing_parts:
        raise UsageError(
            f"{origin} is of type {type(workload).__name__}, without '{missing_parts[0]}', and no workload:"
            " its entry point must name an object as qorch.workloads.base.Workload describes it"
        )
    if workload.name != entry.name:
        raise UsageError(f"{origin} calls itself '{workload.name}'; its entry point must have that name")
    return workload


def _package_of(entry: "EntryPoint") -> str:
    return f" of {entry.dist.name}" if entry.dist is not None else ""
