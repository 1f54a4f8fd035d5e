"""IBM Quantum as the tests of whole runs know it."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from vendors import Vendor

from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch_providers.emulators.ibm import IbmSettings, start
from qorch_providers.ibm import open_backend
from qorch_providers.ibm.backend import IbmBackend

DEVICE = "ibm_guadalupe"
"""A device with 16 qubits, which is compiled for quickly."""
QUICK = IbmSettings(
    devices=DEVICE, noise="off", posts_per_minute=0, usage_delay="0", accept_delay="0..0.01", execute="0.001..0.01"
)


def environment(root: str) -> dict[str, str]:
    """What sends a backend to the emulator at this address."""
    return {
        "HOME": "/nonexistent",
        "IAM_URL": root,
        "GLOBAL_SEARCH_URL": root,
        "QISKIT_IBM_URL": f"{root}/experimental/api/v1",
        "QISKIT_IBM_TOKEN": "emulator",
        "QISKIT_IBM_INSTANCE": "first",
    }


def open_unpaced(options: str, /, *, clock: Clock, environment: Mapping[str, str]) -> RemoteBackend:
    """A backend without IBM's limit of five submissions a minute: with it, tests of many jobs would last for hours."""
    backend = open_backend(options, clock=clock, environment=environment)
    assert isinstance(backend, IbmBackend)
    backend._terms = replace(backend.terms, rate=None)
    return backend


VENDOR = IBM = Vendor(
    name="ibm",
    start=start,
    quick=QUICK,
    options=f"{DEVICE},settle=0.05,rows=2",
    environment=environment,
    open_backend=open_unpaced,
    routes=MappingProxyType(
        {
            "submit": "POST /{base}/jobs",
            "find": "GET /{base}/jobs",
            "open_session": "POST /{base}/sessions",
            "close_session": "PATCH /{base}/sessions/{id}",
        }
    ),
)
