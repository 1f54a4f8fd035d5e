"""Amazon Braket as the tests of whole runs know it."""

from types import MappingProxyType

from vendors import Vendor

from qorch_providers.braket import open_backend
from qorch_providers.emulators.braket import BraketSettings, start

FREE = BraketSettings(noise="off", quotas="")
"""Without noise and quotas."""
QUICK = BraketSettings(noise="off", quotas="", accept_delay="0..0.01", execute="0.001..0.01")
DESTINATION = "amazon-braket-tests/qorch"


def environment(root: str) -> dict[str, str]:
    """What sends a backend to the emulator at this address."""
    return {
        "AWS_ENDPOINT_URL_BRAKET": root,
        "AWS_ENDPOINT_URL_S3": root,
        "AWS_ENDPOINT_URL_STS": root,
        "AWS_ACCESS_KEY_ID": "emulator",
        "AWS_SECRET_ACCESS_KEY": "emulator",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "QORCH_BRAKET_S3": DESTINATION,
    }


VENDOR = BRAKET = Vendor(
    name="braket",
    start=start,
    quick=QUICK,
    options="garnet,settle=0.05,rows=2",
    environment=environment,
    open_backend=open_backend,
    routes=MappingProxyType({"submit": "POST /quantum-task", "find": "POST /quantum-tasks"}),
)
