"""Addresses where no IonQ is: told soon, in real seconds, with what to look at, and with nothing in doubt."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import pytest

import qorch
from qorch.backends import open_backend
from qorch.config import Config
from qorch.errors import QorchError, UnreachableError
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.pub import Pub
from qorch.ports.clock import WallClock

MOST_SECONDS = 15.0
TARGETS = ("simulator", "qpu.forte-1")


@contextmanager
def answering(content: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A port where every connection is answered with these bytes and closed; and what came first on each."""
    heard: list[bytes] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, suppress(OSError):
                    heard.append(connection.recv(65536))
                    connection.sendall(content)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)


def closed_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def execute(url: str, target: str) -> tuple[QorchError, float]:
    """What a script of two circuits meets at this address, with all of qorch's defaults, and after how long."""
    gates = build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))])
    pub = Pub(free_circuit(gates), np.array([[0.1], [0.2]]), observables=["Z0"], shots=100)
    config = Config("unused", environment={"IONQ_API_URL": url, "IONQ_API_KEY": "dummy"})
    started = time.monotonic()
    backend = open_backend(f"ionq:{target}", config=config, clock=WallClock())
    with pytest.raises(QorchError) as caught, qorch.start_run("wrong", backend=backend) as run:
        run.execute(pub)
    return caught.value, time.monotonic() - started


@pytest.mark.timeout(120)
def test_a_wrong_address_fails_within_fifteen_seconds() -> None:
    """A closed port, an unknown host name, and the wrong one of http and https, on a simulator and on a machine."""
    alert = b"\x15\x03\x01\x00\x02\x02\x46"  # TLS: this version of the protocol is not spoken here
    page = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\nThe plain HTTP request was sent to HTTPS port"
    plain = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with answering(alert) as (tls, _), answering(page) as (nginx, asked), answering(plain) as (http, _):
        urls = {
            "closed port": f"http://127.0.0.1:{closed_port()}",
            "no such host": "https://no-such-host.invalid",
            "http to a port for https": f"http://127.0.0.1:{tls}",
            "http to nginx's port for https": f"http://127.0.0.1:{nginx}/v0.4",
            "https to a port for http": f"https://127.0.0.1:{http}",
        }
        with ThreadPoolExecutor(len(urls) * len(TARGETS)) as pool:
            asking = {
                (name, target): pool.submit(execute, url, target) for name, url in urls.items() for target in TARGETS
            }
            found = {name: future.result() for name, future in asking.items()}
    for (name, target), (error, seconds) in found.items():
        print(f"{seconds:5.1f} s {name}, {target}: {error}")
        assert type(error) is UnreachableError, (name, target, error)
        assert urls[name].removesuffix("/v0.4") in str(error)
        assert all(word in str(error) for word in ("IONQ_API_URL", "host name", "port", "https or http", "proxy"))
        assert seconds < MOST_SECONDS, (name, target)
    # Nothing but questions left, few of them.
    assert all(request.startswith(b"GET /v0.4/backends/") for request in asked)
    assert len(asked) <= 2 * 20


@pytest.mark.parametrize("target", ["simulator", pytest.param("qpu.forte-1", marks=pytest.mark.soak)])
def test_a_training_at_a_wrong_address_ends_soon(
    target: str, typed: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """``qorch train`` ends within 15 seconds of its first try, with one line of an error that says what to look at."""
    pytest.importorskip("torch")
    monkeypatch.setenv("IONQ_API_URL", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("IONQ_API_KEY", "dummy")
    outcome = typed("train", "digits", *typed.small, "--backend", f"ionq:{target}")
    # What is imported before takes seconds of its own.
    first = next(record for record in caplog.records if "trying again" in record.getMessage())
    seconds = WallClock().now().timestamp() - first.created
    print(f"{seconds:.1f} s")
    assert outcome.code == 1
    last = outcome.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert "IONQ_API_URL" in last
    assert seconds < MOST_SECONDS
