"""IonQ as the tests of whole runs know it."""

from types import MappingProxyType

from vendors import Vendor

from qorch_providers.emulators.ionq import Settings, start
from qorch_providers.ionq import open_backend

QUICK = Settings(accept_delay="0..0.01", execute="0.001..0.01")


def environment(root: str) -> dict[str, str]:
    """What sends a backend to the emulator at this address."""
    return {"IONQ_API_URL": root, "IONQ_API_KEY": "dummy"}


VENDOR = IONQ = Vendor(
    name="ionq",
    start=start,
    quick=QUICK,
    options="simulator,settle=0.05,rows=2",
    environment=environment,
    open_backend=open_backend,
    routes=MappingProxyType(
        {
            "submit": "POST /v0.4/jobs",
            "find": "GET /v0.4/jobs",
            "open_session": "POST /v0.4/sessions",
            "close_session": "POST /v0.4/sessions/{id}/end",
        }
    ),
)
