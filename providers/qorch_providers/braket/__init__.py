"""The `braket` backend: Amazon Braket's devices and simulators, and its SDK's simulator on this machine."""

import importlib.util
from collections.abc import Mapping

from qorch.errors import MissingPackageError
from qorch.ports.backend import Backend
from qorch.ports.clock import Clock


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str] | None = None
) -> Backend:
    """The backend ``braket:<options>``: ``local…`` is the SDK's simulator on this machine, all else a device.

    Sends and starts nothing yet. Raises MissingPackageError without Amazon's SDK, UnknownNameError for an unknown
    device or option, UsageError for a value that an option cannot have. Imported late: the SDK takes seconds to load.
    """
    is_local = options.partition(",")[0].strip().lower() == "local"
    if not _is_installed("braket.default_simulator" if is_local else "braket.aws"):
        name = f"braket:{options}" if options else "braket"
        raise MissingPackageError(f"{name} needs amazon-braket-sdk: pip install 'qorch[braket]'")
    if is_local:
        from qorch_providers.braket.local.backend import open_local_backend

        return open_local_backend(options, clock=clock, workers=workers)
    from qorch_providers.braket.backend import open_device_backend

    return open_device_backend(options, clock=clock, environment=environment or {})


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:  # of a package above it
        return False
