"""Emulators in threads for the tests of this folder."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ssl import PROTOCOL_TLS_CLIENT, SSLContext
from typing import Any

import httpx
import pytest
from emulator_bench import SKEWED, Bench, Gate
from hand_timer import HandTimer

from qorch_providers.emulators.ionq import Settings, start


@pytest.fixture
def open_bench() -> Iterator[Callable[..., Bench]]:
    """Start emulators with these settings, and a timer of the test's own if it wants; all are stopped at the end."""
    with ExitStack() as stack:

        def open_one(timer: HandTimer | None = None, **settings: Any) -> Bench:
            emulator = stack.enter_context(start(Settings(**settings), timer=timer))
            headers = {"Authorization": "apiKey canary"}
            # Loading the machine's certificates, which nothing here needs, would take longer than most tests.
            options: dict[str, Any] = {"headers": headers, "timeout": 60.0, "verify": SSLContext(PROTOCOL_TLS_CLIENT)}
            client = stack.enter_context(httpx.Client(base_url=emulator.url, **options))
            url = emulator.url.replace("v0.4", "v0.3")
            legacy = stack.enter_context(httpx.Client(base_url=url, **options))
            return Bench(emulator, client, legacy)

        yield open_one


@pytest.fixture
def bench(open_bench: Callable[..., Bench]) -> Bench:
    """An emulator without latencies or faults."""
    return open_bench()


@pytest.fixture
def skewed() -> list[Gate]:
    """A circuit on three qubits whose outcomes tell the bit order."""
    return list(SKEWED)
