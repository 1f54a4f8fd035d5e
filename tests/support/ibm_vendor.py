"""IBM Quantum as the tests of whole runs know it."""

from types import MappingProxyType

from vendors import Vendor

from qorch_providers.emulators.ibm import IbmSettings, start
from qorch_providers.ibm import open_backend

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


VENDOR = IBM = Vendor(
    name="ibm",
    start=start,
    quick=QUICK,
    options=f"{DEVICE},settle=0.05,rows=2",
    environment=environment,
    open_backend=open_backend,  # type: ignore[arg-type]
    routes=MappingProxyType({"submit": "POST /{base}/jobs", "find": "GET /{base}/jobs"}),
)
