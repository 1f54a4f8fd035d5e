"""The `braket` backend: Amazon Braket's devices and simulators, and its SDK's simulator on this machine.

Importing this package loads nothing of AWS's; opening a backend does.
"""

from collections.abc import Mapping

from qorch.errors import MissingPackageError
from qorch.ports.backend import Backend, OfflinePlanner
from qorch.ports.clock import Clock
from qorch_providers.braket.options import parse_options

LOCAL = "local"
"""The device that is on this machine."""
_OF_SDK = ("braket", "boto3", "botocore")
"""Packages that come with Amazon's SDK, or are it."""


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str] | None = None
) -> Backend:
    """Open ``braket:<options>``, such as ``braket:sv1``, ``braket:garnet,rewiring=off`` or ``braket:local``.

    ``workers``: processes of ``braket:local``; elsewhere the option ``jobs`` bounds what is in progress. Raises
    UnknownNameError for an unknown device or option, UsageError if there is no region or a variable cannot be used, and
    MissingPackageError if Amazon's packages are not installed. Nothing is sent yet.
    """
    if options.partition(",")[0].strip().lower() == LOCAL:
        from qorch_providers.braket.local.backend import open_local_backend

        return open_local_backend(options, clock=clock, workers=workers)
    parsed = parse_options(options)
    try:
        from qorch_providers.braket.backend import open_remote
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        needed = "amazon-braket-sdk" if package in _OF_SDK else package
        raise MissingPackageError(f"braket:{options} needs {needed}: pip install 'qorch[braket]'") from error
    return open_remote(parsed, name=f"braket:{options}", clock=clock, environment=environment or {})


def plan_offline(options: str) -> OfflinePlanner | None:
    """What tells tasks and their usage without an account; None for ``braket:local``, which is opened without one.

    Raises UnknownNameError for an unknown device or option, UsageError for a device of which nothing is recorded.
    """
    if options.partition(",")[0].strip().lower() == LOCAL:
        return None
    from qorch_providers.braket.offline import plan_remote_offline

    return plan_remote_offline(options)
