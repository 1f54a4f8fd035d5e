"""A toy provider in this process: HTTP on loopback, really simulated circuits, and the suite's behaviours by name."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from toy_backend import ToyBackend

from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.ports.clock import WallClock
from qorch.testing.conformance.remote import Behaviour
from qorch.testing.reference import reference_probabilities

REFUSALS = {Behaviour.BUSY: 429, Behaviour.LIMITED: 429, Behaviour.UNAVAILABLE: 409, Behaviour.BAD_REQUEST: 400}


class ToyServer(ThreadingHTTPServer):
    """The server, and the ProviderHarness over it."""

    lacks = ()
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ToyHandler)
        self.behaviours: tuple[Behaviour, ...] = ()
        self.jobs: list[dict] = []
        self.digests: list[str] = []
        self.changed = threading.Event()
        self.random = np.random.default_rng(1)

    def make_backend(self) -> ToyBackend:
        return ToyBackend(f"http://127.0.0.1:{self.server_port}", "toy-key", clock=WallClock())

    def behave(self, *behaviours: Behaviour) -> None:
        self.behaviours = behaviours
        self.changed.set()
        self.changed = threading.Event()
        if Behaviour.UNLISTED not in behaviours:
            for job in self.jobs:
                job["hidden"] = False

    def accepted(self, key: str) -> int:
        return sum(job["key"] == key for job in self.jobs)

    def submissions(self) -> list[str]:
        return list(self.digests)

    def shown(self, provider_id: str) -> str:
        return json.dumps([job["name"] for job in self.jobs if job["id"] == provider_id])

    def forget(self, provider_id: str) -> None:
        self.jobs = [job for job in self.jobs if job["id"] != provider_id]

    def accept(self, order: dict) -> dict:
        """The job of this key, which is made if there is none."""
        for job in self.jobs:
            if job["key"] == order["key"]:
                return job
        told = set(self.behaviours)
        failed = {Behaviour.FAILURE, Behaviour.FAILURE_FINAL} & told
        state = "waiting" if Behaviour.HELD in told else "failed" if failed else "done"
        job = {name: order[name] for name in ("key", "name", "label")}
        job |= {"id": f"toy:{len(self.digests)}/{order['key'][:4]}", "state": state}
        job |= {"error": "it broke" if failed else None, "retry": Behaviour.FAILURE in told}
        job |= {"hidden": Behaviour.UNLISTED in told, "rows": self._run(order)}
        self.jobs.append(job)
        return job

    def _run(self, order: dict) -> list[dict]:
        rows = [{"counts": self._sample(circuit, order["shots"])} for circuit in order["circuits"]]
        for behaviour in {Behaviour.PARTIAL, Behaviour.PARTIAL_FINAL} & set(self.behaviours):
            rows[len(rows) // 2] = {"error": "it broke", "retry": behaviour is Behaviour.PARTIAL}
        return rows

    def _sample(self, circuit: dict, shots: int) -> dict[str, int]:
        gates = [
            (GATES_BY_NAME[name].opcode, tuple(qubits), tuple(angles)) for name, qubits, angles in circuit["gates"]
        ]
        basis = np.array(["ZXY".index(letter) for letter in circuit["basis"]], dtype=np.uint8)
        listed = build_gate_list(circuit["qubits"], gates)
        [shares] = reference_probabilities(listed, np.zeros((1, 0)), basis=basis)
        counts = self.random.multinomial(shots, shares / shares.sum())
        return {str(outcome): int(count) for outcome, count in enumerate(counts) if count}


class ToyHandler(BaseHTTPRequestHandler):
    """One request."""

    server: ToyServer

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        told = set(self.server.behaviours)
        if self.path != "/jobs":
            self._cancel()
        else:
            self.server.digests.append(hashlib.sha256(body).hexdigest())
            self._submit(json.loads(body), told)

    def _submit(self, order: dict, told: set[Behaviour]) -> None:
        refusal = next((status for behaviour, status in REFUSALS.items() if behaviour in told), None)
        if Behaviour.BAD_KEY in told:
            self._answer(401, {})
        elif refusal is not None:
            self._answer(refusal, {}, {"retry-after": "2"} if Behaviour.LIMITED in told else {})
        elif Behaviour.LOST_BEFORE not in told:
            job, changed = self.server.accept(order), self.server.changed
            if Behaviour.SILENT in told:
                changed.wait(60.0)
            elif Behaviour.LOST_AFTER not in told:
                self._answer(500 if Behaviour.ERROR_AFTER in told else 201, job)

    def _cancel(self) -> None:
        for job in self.server.jobs:
            if job["id"] in self._segments() and job["state"] == "waiting":
                job["state"] = "cancelled"
        self._answer(200, {})

    def do_GET(self) -> None:
        told, segments = set(self.server.behaviours), self._segments()
        if Behaviour.LOST_QUESTIONS in told:
            return
        if Behaviour.BAD_KEY in told:
            self._answer(401, {})
        elif segments == ["device"]:
            self._answer(200, {"state": "closed" if Behaviour.UNAVAILABLE in told else "open", "revision": "7"})
        elif segments == ["jobs"]:
            ids = parse_qs(urlsplit(self.path).query).get("id")
            seen = [job for job in self.server.jobs if (job["id"] in ids if ids else not job["hidden"])]
            self._answer(200, [{name: job[name] for name in job if name != "rows"} for job in reversed(seen)])
        else:
            self._show_rows(next(job["rows"] for job in self.server.jobs if job["id"] in segments), told)

    def _show_rows(self, rows: list[dict], told: set[Behaviour]) -> None:
        if Behaviour.WRONG_ANSWER in told:
            rows = [{"counts": {"0": 1}} for _ in rows]
        self._answer(200, rows, is_cut=Behaviour.CUT_ANSWER in told)

    def _segments(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.split("/") if part]

    def _answer(self, status: int, document: object, headers: dict | None = None, *, is_cut: bool = False) -> None:
        is_garbled = Behaviour.GARBLED in self.server.behaviours
        body = b"<html>a gateway</html>" if is_garbled else json.dumps(document).encode()
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if is_cut else body)
