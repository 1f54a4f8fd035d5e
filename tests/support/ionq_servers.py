"""What the tests of the ionq backend share: a backend on a scripted server, requests, and documents of jobs."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from scripted_server import Answer, Request, ScriptedServer, reply

from qorch.model.circuit import build_gate_list
from qorch.model.job import JobRequest, JobResult
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.backend import block_of, gate_triple
from qorch_providers.ionq import IonqBackend, open_backend

T = TypeVar("T")
Routes = Mapping[str, Answer | Callable[[Request], Answer]]

CANARY = "canary-4c1d0be6aa"
KEY = "ab" * 32
SINCE = datetime.datetime(2026, 11, 20, 12, 0, tzinfo=datetime.UTC)


def open_ionq(url: str, options: str = "simulator,deadline=2") -> IonqBackend:
    """A backend whose key is the canary."""
    environment = {"IONQ_API_URL": url, "IONQ_API_KEY": CANARY}
    backend = open_backend(options, clock=WallClock(), environment=environment)
    assert isinstance(backend, IonqBackend)
    return backend


def request_of(n_rows: int, *, shots: int = 100) -> JobRequest:
    """Rows of one qubit."""
    gates = build_gate_list(1, [gate_triple("ry", (0,), None)])
    return JobRequest("job 1", (block_of(gates, np.full((n_rows, 1), 0.5), shots=shots),))


async def submit(backend: RemoteBackend, request: JobRequest, *, key: str = KEY) -> str:
    """Encode a job and send it once."""
    return await backend.submit(backend.encode(request, key=key))


def lost_rows(result: JobResult) -> list[list[int]]:
    """The rows of every block that failed; empty if all are there."""
    return [result.lost_in(index).tolist() for index in range(len(result.lost))]


def routed(routes: Routes) -> Callable[[Request], Answer]:
    """Answers by ``"METHOD path"``; whatever else is asked for is IonQ's own 404."""

    def answer(request: Request) -> Answer:
        found = routes.get(f"{request.method} {request.path}")
        if found is None:
            return not_found()
        # A route is an answer, which takes a writer, or decides on the request and is named so.
        return found(request) if getattr(found, "__name__", "") == "decide" else found  # type: ignore[arg-type, return-value]

    return answer


def not_found() -> Answer:
    """IonQ's own 404."""
    return reply(404, {"error": "Not Found Error", "message": "no such thing", "statusCode": 404})


def drive(
    script: Callable[[Request], Answer],
    work: Callable[[IonqBackend, ScriptedServer], Awaitable[T]],
    *,
    options: str = "simulator,deadline=2",
) -> T:
    """Work with a backend on a server that answers so."""

    async def main() -> T:
        async with ScriptedServer(script) as server:
            backend = open_ionq(server.url, options)
            try:
                return await work(backend, server)
            finally:
                await backend.close()

    return asyncio.run(main())


def job_document(job_id: str, status: str = "completed", **more: object) -> dict[str, object]:
    """A job as v0.4 shows it."""
    return {"id": job_id, "status": status, "type": "ionq.circuit.v1", "metadata": {}, "results": None, **more}


def submitted(seconds: float) -> str:
    """A time so many seconds after SINCE, as IonQ writes it."""
    moment = SINCE + datetime.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def page(jobs: Sequence[object], cursor: str | None = None) -> dict[str, object]:
    """A page of the list."""
    return {"jobs": list(jobs), "next": cursor}


def serve_offsets(jobs: list[dict[str, object]], *, growth: int = 0) -> Callable[[Request], Answer]:
    """The list with the offset of the next page for a cursor; ``growth``: new jobs at its head with every page."""

    def decide(request: Request) -> Answer:
        start = int(dict(request.query).get("next", "0"))
        answer = reply(200, page(jobs[start : start + 25], str(start + 25) if start + 25 < len(jobs) else None))
        for _ in range(growth):
            jobs.insert(0, job_document(f"new{len(jobs)}", submitted_at=submitted(10_000.0 + len(jobs))))
        return answer

    return decide
