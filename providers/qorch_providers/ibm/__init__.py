"""The `ibm` backend: IBM Quantum's devices, and recorded ones simulated on this machine.

Importing this package loads nothing of IBM's; opening a backend does.

How to read it: ``options`` say which device, how circuits are compiled, which program runs them, and with which
``mitigation``. The ``access`` is an ``account`` and one of its ``instances``, to which the ``connection`` is made. The
``backend`` puts ``circuits``, ``wire``, ``jobs`` and ``results`` together; ``labels`` are tags that IBM keeps. A
``device`` is looked at by the ``device_watch``, and a ``compiled_device`` is one that circuits are compiled for;
``diagnosis`` is for `qorch doctor`, and ``invoices`` for `qorch audit reconcile`. ``local`` simulates recorded devices;
``offline`` plans jobs without asking IBM.
"""

import importlib.util
from collections.abc import Mapping

from qorch.errors import MissingPackageError
from qorch.ports.backend import Backend, OfflinePlanner
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


def plan_offline(options: str) -> OfflinePlanner | None:
    """What tells jobs and their usage without an account; None for a fake device, which is opened without one.

    Raises UnknownNameError or UsageError as ``open_backend`` does.
    """
    if parse_options(options).is_fake:
        return None
    from qorch_providers.ibm.offline import plan_remote_offline

    return plan_remote_offline(options)


def _require_package(options: str) -> None:
    """Raise MissingPackageError without IBM's package, which only the transpiler's process imports."""
    if importlib.util.find_spec("qiskit_ibm_runtime") is None:
        raise MissingPackageError(f"ibm:{options} needs qiskit-ibm-runtime: pip install 'qorch[ibm]'")
