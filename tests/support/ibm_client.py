"""What the tests of IBM's client share: one of the emulator, or of a server that answers as it is told."""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ibm_bench import IbmBench
from ibm_vendor import environment
from scripted_server import Request, ScriptedServer, reply

from qorch.model.label import JobLabel
from qorch.ports.clock import WallClock
from qorch_providers.ibm.access import read_access
from qorch_providers.ibm.connection import Connector
from qorch_providers.ibm.jobs.memory import JobMemory
from qorch_providers.ibm.jobs.status import JobWatch
from qorch_providers.ibm.labels import tags_of
from qorch_providers.ibm.options import parse_options
from qorch_providers.ibm.wire.client import IbmClient

LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
CRN = "crn:v1:bluemix:public:quantum-computing:us-east:a/1:2::"
TOKEN = reply(200, {"access_token": "a-token-of-iam", "expires_in": 3600})


def key_of(number: int) -> str:
    """A key of 64 digits."""
    return f"{number:064x}"


@asynccontextmanager
async def connected(root: str, crn: str) -> AsyncIterator[IbmClient]:
    """A client of an instance."""
    options = parse_options(f"ibm_lagos,instance={crn}")
    connector = Connector(read_access(environment(root), options), options, clock=WallClock())
    try:
        yield await connector.connect()
    finally:
        await connector.close()


def asked(bench: IbmBench, work: Callable[[IbmClient], Any]) -> Any:
    """Run with a client of the emulator."""

    async def main() -> Any:
        async with connected(bench.emulator.root, bench.emulator.crns["first"]) as client:
            return await work(client)

    return asyncio.run(main())


def scripted(answer: Callable[[Request], Any], work: Callable[[IbmClient], Any]) -> Any:
    """Run with a client of a server that answers like this, once it has its token."""

    async def main() -> Any:
        def serve(request: Request) -> Any:
            return TOKEN if request.path == "/identity/token" else answer(request)

        async with ScriptedServer(serve) as server, connected(server.url, CRN) as client:
            return await work(client)

    return asyncio.run(main())


def watch_of(client: IbmClient, memory: JobMemory | None = None, *, settle_seconds: float = 1.0) -> JobWatch:
    """What polls."""
    memory = memory or JobMemory()
    return JobWatch(client, memory, clock=WallClock(), settle_seconds=settle_seconds, max_seconds=600)


def document(number: int, *, status: str = "Queued", minutes: float = 0.0, **fields: Any) -> dict[str, Any]:
    """A job in IBM's words, made so many minutes before a time."""
    made = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC) - datetime.timedelta(minutes=minutes)
    return {"id": f"d{number}", "state": {"status": status}, "status": status, "created": made.isoformat(),
            "tags": tags_of(key_of(number), JobLabel(f"job-{number}"))} | fields  # fmt: skip
