"""A hostile server: gzip bombs, JSON 10,000 deep and ids that are paths cost little memory and write nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from qorch_providers.emulators.ionq import start

DRIVER = Path(__file__).parent / "ionq_hostile_driver.py"
MOST_GROWTH_BYTES = 64 << 20


class Traversal(BaseHTTPRequestHandler):
    """Accepts every job under an id that leads out of any folder."""

    protocol_version = "HTTP/1.1"
    seen: list[str]

    def do_GET(self) -> None:
        """The list, whose jobs have such ids too; results would be anywhere else."""
        self.seen.append(self.path)
        job = {"id": "../../x", "status": "completed", "metadata": {}, "child_job_ids": ["../../y", "/etc/passwd"]}
        self._answer({"jobs": [job], "next": None})

    def do_POST(self) -> None:
        """Accept."""
        self.rfile.read(int(self.headers.get("content-length", "0")))
        self._answer({"id": "../../x", "status": "ready"})

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.timeout(120)
def test_hostile_answers_cost_little_and_write_nothing(
    tmp_path: Path, serve: Callable[[type[BaseHTTPRequestHandler]], str]
) -> None:
    """As answers to a POST, a poll, a fetch and its results: asked again, below 64 MB, nothing outside the folder."""
    folder = tmp_path / "database"
    folder.mkdir()
    (tmp_path / "work").mkdir()
    seen: list[str] = []
    traversal = serve(type("Handler", (Traversal,), {"seen": seen}))
    with start() as emulator:
        places = {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-B", str(DRIVER), str(folder / "q.db")],
            env=os.environ
            | places
            | {"EMULATOR": emulator.url, "TRAVERSAL": traversal, "QORCH_DB": str(folder / "q.db")},
            cwd=tmp_path / "work",
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, done.stderr
        jobs = emulator.jobs()
    found = json.loads(done.stdout)
    print(f"{found['grown_bytes'] / 1e6:.1f} MB", found["endings"])
    held = found["endings"].pop("traversal")
    assert set(found["endings"].values()) == {"done"}
    assert held.startswith("UnknownOutcomeError")
    assert found["grown_bytes"] < MOST_GROWTH_BYTES
    assert len({job["key"] for job in jobs}) == len(jobs) == 2 * len(found["endings"])
    assert {path.split("?")[0] for path in seen} <= {"/v0.4/jobs", "/v0.4/backends/simulator"}, "an id became a path"
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents]
    assert outside == []
