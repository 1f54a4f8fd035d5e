"""A third party's backend over a toy server, written from providers/README.md alone, passes the suite."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import toy_backend
from toy_server import ToyServer

from qorch.ports.backend import RemoteBackend
from qorch.testing.conformance.remote import RemoteBackendConformance


@pytest.fixture(scope="module")
def toy() -> Iterator[ToyServer]:
    """One server for all tests of this file."""
    with ToyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class TestToy(RemoteBackendConformance):
    """Samples of the provider's own, without seeds; it remembers keys."""

    is_seeded = False
    continues_streams = False

    @pytest.fixture
    def provider(self, toy: ToyServer) -> ToyServer:
        """The server is its own harness."""
        return toy


def test_the_adapter_is_small(toy: ToyServer) -> None:
    """A whole adapter has fewer than 250 lines, and all members of a remote backend."""
    assert isinstance(toy.make_backend(), RemoteBackend)
    assert len(Path(toy_backend.__file__).read_text().splitlines()) < 250
