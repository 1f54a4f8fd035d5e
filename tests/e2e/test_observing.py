"""A user's program with a logger of its own, a log file, and OpenTelemetry that sends to a collector on loopback."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PROGRAM = """
import qorch
from qiskit.circuit import Parameter, QuantumCircuit


class Loss(qorch.RunObserver):
    def run_started(self, start):
        print("begins", start.run.name)

    def metric_logged(self, metric):
        print(metric.step, metric.name, metric.value)

    def job_changed(self, job):
        raise RuntimeError("a mistake")

    def run_ended(self, move):
        print("ends", move.state)


if __name__ == "__main__":
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)
    pub = qorch.Pub(circuit, {"a": [0.0, 1.0]}, observables=["Z"], shots=100)
    with qorch.start_run("mine", backend="aer", seed=1, db="runs.db", progress="off", observers=[Loss()]) as run:
        for number in range(2):
            with run.step(number):
                run.execute(pub)
                run.log(loss=1 / (1 + number))
"""


@contextmanager
def collector() -> Iterator[tuple[str, dict[str, list[bytes]]]]:
    """A collector on loopback: its address, and the bodies that came, by path."""
    bodies: dict[str, list[bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.setdefault(self.path, []).append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


def span_names(bodies: list[bytes]) -> list[str]:
    """The names of the spans that the collector got."""
    requests = [ExportTraceServiceRequest.FromString(body) for body in bodies]
    return [
        span.name
        for request in requests
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_a_program_is_observed_in_three_ways(tmp_path: Path) -> None:
    """Its own logger, which has a mistake, the log of the environment, and traces and metrics at the collector."""
    (tmp_path / "program.py").write_text(PROGRAM)
    with collector() as (address, bodies):
        ended = subprocess.run(
            [sys.executable, "program.py"],
            cwd=tmp_path,
            env=os.environ
            | {
                "QORCH_LOG_FILE": "run.jsonl",
                "QORCH_OBSERVERS": "otel",
                "OTEL_EXPORTER_OTLP_ENDPOINT": address,
                "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
                "QORCH_WORKERS": "1",
            },
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["begins mine", "0 loss 1.0", "1 loss 0.5", "ends done"]
    assert ended.stderr.splitlines() == ["observer Loss raised RuntimeError; the run goes on"]
    events = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert [each["step"] for each in events if each["event"] == "step"] == [0, 1]
    names = span_names(bodies["/v1/traces"])
    assert [names.count(name) for name in ("qorch.run", "qorch.step", "qorch.job")] == [1, 2, 2]
    assert any(b"qorch.executions" in body for body in bodies["/v1/metrics"])
