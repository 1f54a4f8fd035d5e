"""The checks of backends in `qorch doctor`: their providers are asked, in bounded time, and nothing is paid."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from qorch.backends import open_backend
from qorch.config import read_config
from qorch.errors import QorchError
from qorch.ports.backend import Backend, Diagnosable, Finding, FindingStatus, RemoteBackend
from qorch.ports.clock import WallClock

PATIENCE_SECONDS = 10.0
"""How long the checks of one backend may take; those of several are made at the same time."""
_CLOSING_SECONDS = 2.0


def examine_backends(names: Sequence[str]) -> list[Finding]:
    """What is found out about each of the backends, in order."""
    return asyncio.run(_examine_all(names)) if names else []


async def _examine_all(names: Sequence[str]) -> list[Finding]:
    found = await asyncio.gather(*map(_examine, dict.fromkeys(names)))
    return [finding for findings in found for finding in findings]


async def _examine(name: str) -> list[Finding]:
    try:
        backend = open_backend(name, config=read_config(), clock=WallClock())
    except QorchError as error:
        return [Finding(name, FindingStatus.FAIL, str(error))]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await _look_at(name, backend)
    except QorchError as error:
        return [Finding(name, FindingStatus.FAIL, str(error))]
    except TimeoutError:
        sentence = f"no answer within {PATIENCE_SECONDS:.0f} s: look at its address, and at the network"
        return [Finding(name, FindingStatus.FAIL, sentence)]
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_SECONDS):
                await backend.close()


async def _look_at(name: str, backend: Backend) -> list[Finding]:
    """What the backend finds out itself; of one that has no checks of its own, what `qorch backends` says."""
    if isinstance(backend, Diagnosable):
        return [replace(finding, name=f"{name} {finding.name}") for finding in await backend.diagnose()]
    if not isinstance(backend, RemoteBackend):
        return [
            Finding(name, FindingStatus.OK, f"runs on this machine, up to {backend.capabilities.max_qubits} qubits")
        ]
    await backend.open()
    status = await backend.availability()
    return [Finding(name, FindingStatus.OK if status.is_open else FindingStatus.WARN, str(status))]
