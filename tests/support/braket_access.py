"""The adapter's own clients on an emulator of Amazon Braket, without a backend around them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from qorch.ports.clock import Clock, WallClock
from qorch_providers.braket.access import read_access
from qorch_providers.braket.aws.credentials import AwsCredentials
from qorch_providers.braket.aws.endpoints import resolve_bucket
from qorch_providers.braket.aws.session import open_session
from qorch_providers.braket.aws.signing import AwsSignature
from qorch_providers.braket.options import parse_options
from qorch_providers.braket.tasks.memory import TaskMemory
from qorch_providers.braket.wire.client import BraketClient
from qorch_providers.braket.wire.objects import ResultObjects
from qorch_providers.braket.wire.quotas import BraketQuotas
from qorch_providers.http import HttpClient, Origin


@dataclass(frozen=True)
class BraketAccess:
    """Clients of the control plane and of the objects, and what is remembered of tasks."""

    client: BraketClient
    objects: ResultObjects
    memory: TaskMemory


@asynccontextmanager
async def connected(
    environment: Mapping[str, str], device: str = "sv1", *, most_bytes: int = 1 << 24, clock: Clock | None = None
) -> AsyncIterator[BraketAccess]:
    """Clients with these variables, closed at the end."""
    clock = clock or WallClock()
    access = read_access(environment, parse_options(device))
    credentials = AwsCredentials(
        lambda: open_session(environment).get_component("credential_provider").load_credentials(), clock=clock
    )

    def connect(url: str, service: str) -> HttpClient:
        signature = AwsSignature(credentials, service, region=access.region, clock=clock)
        return HttpClient(Origin(url, auth=signature), clock=clock, deadline_seconds=20.0, most_bytes=most_bytes)

    client = BraketClient(
        connect(access.endpoint, "braket"), endpoint=access.endpoint, quotas=BraketQuotas(clock=clock)
    )

    def connect_bucket(bucket: str) -> HttpClient:
        return connect(resolve_bucket(access.session, bucket, region=access.region, environment=environment), "s3")

    objects = ResultObjects(connect_bucket, calls=client.calls, region=access.region)
    try:
        yield BraketAccess(client, objects, TaskMemory())
    finally:
        await client.aclose()
        await objects.aclose()
