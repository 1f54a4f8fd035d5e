"""Amazon Braket as the tests of whole runs know it."""

from types import MappingProxyType

from vendors import Vendor

from qorch.ports.clock import WallClock
from qorch_providers.braket import open_backend
from qorch_providers.braket.aws.endpoints import resolve_bucket
from qorch_providers.braket.aws.session import open_session
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


def load() -> None:
    """Load the adapter, and what botocore knows of Braket and S3; nothing is sent."""
    variables = environment("http://127.0.0.1:1")
    open_backend("garnet", clock=WallClock(), environment=variables)
    session = open_session(variables)
    resolve_bucket(session, "bucket", region="eu-north-1", environment=variables)


VENDOR = BRAKET = Vendor(
    name="braket",
    start=start,
    quick=QUICK,
    options="garnet,settle=0.05,rows=2",
    environment=environment,
    open_backend=open_backend,
    routes=MappingProxyType({"submit": "POST /quantum-task", "find": "POST /quantum-tasks"}),
    load=load,
)
