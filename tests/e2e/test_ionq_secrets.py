"""The key of an account appears nowhere: not in the database, logs at DEBUG, reports, tracebacks or standard output."""

import base64
import itertools
import json
import os
from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from forked import start_python

from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch_providers.emulators.ionq import start

CANARY = "canary-7f3a91c04e5d2b68"
DRIVER = Path(__file__).parents[1] / "support" / "ionq_secrets_driver.py"
FLOWS = 40
REFUSALS = itertools.count()
"""How often the server said 429; after some it says 400, so that there is an end."""


class Echo(BaseHTTPRequestHandler):
    """Answers with the request's own key in every place there is; the first segment of the path says how."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """The job, its results or a list."""
        kind, is_results = self.path.split("/")[1], "results" in self.path
        if "backends" in self.path:
            self._answer(200, {"backend": "simulator", "status": "available", "qubits": 29, "location": self._key})
            return
        status = "failed" if kind == "failed" else "completed"
        failure = {"code": self._key, "message": f"apiKey {self._key} is wrong"}
        last = self.path.split("?")[0].rpartition("/")[2]
        job = {"id": "a-job" if last == "jobs" else last, "status": status, "type": self._key, "name": self._key,
               "failure": failure, "child_job_ids": ["c1", "c2"] if last == "a-job" else [],
               "metadata": {self._key: self._key}}  # fmt: skip
        one = {"jobs": [job], "next": None} if last == "jobs" else job
        self._answer(200, {"c1": {"0": 1}, "c2": {"0": 0.5, self._key: 0.5}} if is_results else one)

    def do_POST(self) -> None:
        """Refuse or accept it, loudly."""
        self.rfile.read(int(self.headers.get("content-length", "0")))
        kind = self.path.split("/")[1]
        if kind == "429" and next(REFUSALS) > 3:
            kind = "400"
        if kind == "302":
            self._answer(302, {}, {"Location": f"/elsewhere?token={self._key}"})
        elif kind.isdecimal() and kind != "201":
            self._answer(int(kind), {"error": self._key, "message": f"the key apiKey {self._key} is not known"})
        else:
            self._answer(201, {"id": self._key if kind == "201" else "a-job", "status": self._key})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    @property
    def _key(self) -> str:
        return self.headers.get("authorization", "").split(" ")[-1]

    def _answer(self, status: int, document: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(document).encode()
        self.send_response(status, self._key)
        fields = {"Content-Length": str(len(body)), "X-Request-Id": self._key, "Retry-After": "0", **(headers or {})}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def leaks(content: bytes) -> bool:
    """Whether the key stands there, as it is or in base64, wherever that starts."""
    plain = CANARY.encode()
    coded = [base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3)]
    return any(text in content for text in (plain, plain[::-1], plain.hex().encode(), *coded))


@pytest.mark.timeout(200)
def test_the_key_appears_nowhere(tmp_path: Path, serve: Callable[[type[BaseHTTPRequestHandler]], str]) -> None:
    """Forty flows and more, good and bad: no byte of what they leave behind has it."""
    database = tmp_path / "secrets.db"
    with start() as emulator:
        environment = {"IONQ_API_KEY": CANARY, "EMULATOR": emulator.url, "ECHO": serve(Echo), "QORCH_DB": str(database)}
        environment = os.environ | environment | {"PYTHONASYNCIODEBUG": "1"}
        process = start_python(str(DRIVER), [str(tmp_path)], cwd=tmp_path, environment=environment)
        out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err[-3000:]
    endings = json.loads(out.splitlines()[-1])
    print(len(endings), "flows:", endings)
    assert len(endings) >= FLOWS
    kinds = {"done", "RejectedError", "CredentialsError", "UnknownOutcomeError", "JobFailedError", "InvalidResultError"}
    assert kinds <= set(endings.values())
    (tmp_path / "stdout").write_text(out)
    (tmp_path / "stderr").write_text(err)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"secrets.db", "secrets.db-wal", "debug.log", "stdout", "stderr"} <= {path.name for path in files}
    log = (tmp_path / "debug.log").read_bytes()
    assert b"sqlalchemy" in log
    assert b"asyncio" in log
    assert "Traceback" in err
    assert [path.name for path in files if leaks(path.read_bytes())] == []
    with closing(open_store(database, clock=WallClock())) as store:
        kept = [store.raw_result(job.job_id) for job in store.jobs()]
    assert any(raw is not None for raw in kept)
    assert not any(leaks(raw.content) for raw in kept if raw is not None)
