"""The `ibm` backend: IBM Quantum's devices, and recorded ones simulated on this machine.

Importing this package loads nothing of IBM's; opening a backend does.
"""

import importlib.util
from collections.abc import Mapping

from qorch.errors import MissingPackageError
from qorch.ports.backend import Backend
from qorch.ports.clock import Clock
from qorch_providers.ibm.options import parse_options


def open_backend(
    options: str, *, clock: Clock, workers: int | None = None, environment: Mapping[str, str] | None = None
) -> Backend:
    """Open ``ibm:<options>``, such as ``ibm:ibm_fez``, ``ibm:least-busy,optimization=3`` or ``ibm:fake_fez``.

    ``workers``: processes of a fake device; elsewhere the option ``jobs`` bounds what is in progress. Raises
    UnknownNameError for an unknown device or option, CredentialsError if there is no account, UsageError if a variable
    or the account file cannot be used, and MissingPackageError if a package is not installed. Nothing is sent yet.
    """
    parsed = parse_options(options)
    if parsed.is_fake:
        from qorch_providers.ibm.local.backend import open_fake_backend

        return open_fake_backend(options, clock=clock, workers=workers)
    _require_package(options)
    from qorch_providers.ibm.backend import open_remote

    return open_remote(parsed, name=f"ibm:{options}", clock=clock, environment=environment or {})


def _require_package(options: str) -> None:
    """Raise MissingPackageError without IBM's package, which only the transpiler's process imports."""
    if importlib.util.find_spec("qiskit_ibm_runtime") is None:
        raise MissingPackageError(f"ibm:{options} needs qiskit-ibm-runtime: pip install 'qorch[ibm]'")
