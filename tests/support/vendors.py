"""What the tests of whole runs need to know of a vendor: its emulator, and how a backend of its adapter talks to it."""

import importlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch_providers.emulators.kit.bills import Bill
from qorch_providers.emulators.kit.clock import Timer
from qorch_providers.emulators.kit.running import Truth


class VendorEmulator(Protocol):
    """A running emulator of any vendor's service."""

    root: str

    def truth(self) -> Truth:
        """Every accepted job, and the numbers of calls."""
        ...

    def jobs(self) -> list[dict[str, object]]:
        """Every accepted job, oldest first."""
        ...

    def bill(self) -> Bill:
        """What every accepted job was charged."""
        ...

    def set_faults(self, text: str) -> None:
        """Replace all faults."""
        ...


class OpenBackend(Protocol):
    """How an adapter opens a backend."""

    def __call__(self, options: str, /, *, clock: Clock, environment: Mapping[str, str]) -> RemoteBackend:
        """The backend."""
        ...


class StartEmulator(Protocol):
    """How an emulator is started."""

    def __call__(self, settings: Any, /, *, timer: Timer | None = None) -> AbstractContextManager[Any]:
        """With these settings, and in another time than the machine's if one is given; it is stopped at the end."""
        ...


@dataclass(frozen=True)
class Vendor:
    """One vendor. ``name``: of its backends and, with ``_vendor``, of the module that has this value as ``VENDOR``.

    ``start``: a running emulator with these settings. ``quick``: settings under which a job is accepted at most 10 ms
    after its submission, and executed at once; ``options``: of a backend that settles after more than that, and packs
    two rows into a job. ``environment``: of a backend, by an emulator's root. ``routes``: the emulator's name of the
    call that a method of the backend makes, by the method. ``load``: loads what a backend loads when it is opened, so
    that forks need not.
    """

    name: str
    start: StartEmulator
    quick: Any
    options: str
    environment: Callable[[str], dict[str, str]]
    open_backend: OpenBackend
    routes: Mapping[str, str]
    load: Callable[[], object] = bool


def vendor_named(name: str) -> Vendor:
    """The vendor of that name; a driver loads the adapter that it works with, and no other."""
    vendor = importlib.import_module(f"{name}_vendor").VENDOR
    assert isinstance(vendor, Vendor)
    return vendor


def completed_rows(job: Mapping[str, object]) -> int:
    """The rows of an accepted job that ran and did not fail."""
    return int(str(job["rows_completed"]))
