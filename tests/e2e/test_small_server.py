"""A server that speaks no more of IonQ's protocol than a job needs: POST it, GET it, GET its results."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from small_server import Framework, ThreeRoutes


@pytest.mark.parametrize("server", [ThreeRoutes, Framework])
@pytest.mark.parametrize("target", ["simulator,rows=400", "qpu.forte-1,rows=400"])
def test_a_training_needs_three_routes(
    target: str,
    server: type[BaseHTTPRequestHandler],
    typed: Any,
    serve: Callable[[type[BaseHTTPRequestHandler]], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several jobs side by side, without a list of jobs and without a description of the machine."""
    monkeypatch.setenv("IONQ_API_URL", serve(server) + "/v0.4")
    monkeypatch.setenv("IONQ_API_KEY", "dummy")
    done = typed("train", "digits", "--backend", f"ionq:{target}", "--limit", "20", "--epochs", "1", "--json")
    assert done.code == 0, done.err
    assert done.document["rows_executed"] > 20
    assert done.document["calls"]["submit"] > 1
