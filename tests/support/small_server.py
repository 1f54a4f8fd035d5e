"""A server that speaks no more of IonQ's protocol than a job needs: POST it, GET it, GET its results."""

import itertools
import json
from http.server import BaseHTTPRequestHandler
from typing import ClassVar


class ThreeRoutes(BaseHTTPRequestHandler):
    """Every circuit always gives zeros. Jobs are done when they are asked after; anything else is not there."""

    protocol_version = "HTTP/1.1"
    jobs: ClassVar[dict[str, int]] = {}
    numbers = itertools.count()

    def do_POST(self) -> None:
        """Accept a job."""
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v0.4/jobs":
            self._answer(404, "no such route")
            return
        name = f"job-{next(self.numbers)}"
        self.jobs[name] = len(sent["input"].get("circuits", [None]))
        self._answer(201, {"id": name, "status": "submitted"})

    def do_GET(self) -> None:
        """One job or its results."""
        name, _, rest = self.path.removeprefix("/v0.4/jobs/").partition("/")
        if self.path.partition("?")[0] == "/v0.4/jobs":
            self._answer(405, "Method Not Allowed")
        elif name not in self.jobs:
            self._answer(404, "<h1>Not Found</h1>")
        elif not rest:
            children = [f"{name}-{row}" for row in range(self.jobs[name])] if self.jobs[name] > 1 else []
            self._answer(200, {"id": name, "status": "completed", "child_job_ids": children})
        elif self.jobs[name] == 1:
            self._answer(200, {"0": 1})
        else:
            self._answer(200, {f"{name}-{row}": {"0": 1} for row in range(self.jobs[name])})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, document: object) -> None:
        body = document.encode() if isinstance(document, str) else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Framework(ThreeRoutes):
    """The same behind a framework that wants a slash at the end, and has words of its own for what is not there."""

    jobs: ClassVar[dict[str, int]] = {}

    def do_POST(self) -> None:
        """Accept a job, at the path with the slash."""
        if not self._moves():
            super().do_POST()

    def do_GET(self) -> None:
        """The same."""
        if self.path.partition("?")[0].removesuffix("/") == "/v0.4/jobs":
            self._answer(404, {"detail": "Not Found"})
        elif not self._moves():
            super().do_GET()

    def _moves(self) -> bool:
        if self.path.endswith("/"):
            self.path = self.path.removesuffix("/")
            return False
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self.send_response(307)
        self.send_header("Location", f"http://{self.headers['host']}{self.path}/")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True
