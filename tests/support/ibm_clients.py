"""A client of the adapter's own for the emulator of IBM Quantum, or for a scripted server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ibm_bench import IbmBench
from ibm_vendor import environment

from qorch.ports.clock import WallClock
from qorch_providers.ibm.access import read_access
from qorch_providers.ibm.connection import Connector
from qorch_providers.ibm.options import parse_options
from qorch_providers.ibm.wire.client import IbmClient


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
