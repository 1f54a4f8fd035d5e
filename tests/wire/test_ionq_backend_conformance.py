"""The shipped suite of remote backends over the ionq backend, against the emulator, which shares no code with it."""

from collections.abc import Iterator

import pytest
from ionq_harness import IonqHarness

from qorch.ports.backend import ExactGradients, RemoteBackend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.remote import RemoteBackendConformance
from qorch.testing.conformance.remote.base import RemoteChecks
from qorch.testing.conformance.remote.sessions import SessionChecks
from qorch_providers.emulators.ionq import RunningEmulator, Settings, start
from qorch_providers.ionq import IonqBackend, open_backend


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    """One for all tests of this file."""
    with start(Settings()) as running:
        yield running


class OfIonq(RemoteChecks):
    """What all targets share."""

    options = "simulator"

    @pytest.fixture
    def provider(self, emulator: RunningEmulator) -> IonqHarness:
        """The emulator, and backends with the options of the class."""
        return IonqHarness(emulator, self.options)


class TestSimulator(OfIonq, RemoteBackendConformance):
    """The ideal simulator with QIS gates: exact probabilities on the wire, shots drawn by the adapter."""


class TestNativeGates(OfIonq):
    """The same rows through GPi, GPi2 and ZZ: what becomes of jobs has nothing to do with gates."""

    options = "simulator,gateset=native,two_qubit=zz"


class TestOldVersion(OfIonq, RemoteBackendConformance):
    """The ideal simulator in version 0.3 of the protocol."""

    options = "simulator,version=v0.3"


class TestMachine(OfIonq, RemoteBackendConformance):
    """A machine: noisy samples of the provider's own, in a job that was checked against its limits."""

    options = "qpu.forte-1"
    is_ideal = False
    is_seeded = False
    continues_streams = False


class TestSession(OfIonq, SessionChecks):
    """Jobs in sessions with limits that the suite does not reach."""

    options = "qpu.forte-1,mode=session,max_cost=1000000USD,max_jobs=100000,max_ttl=86400"
    is_ideal = False
    is_seeded = False
    continues_streams = False


def test_the_backend_is_what_its_tests_open() -> None:
    """The tests add nothing to the adapter; it is a remote backend without gradients of its own."""
    environment = {"IONQ_API_KEY": "dummy", "IONQ_API_URL": "http://127.0.0.1:1"}
    backend = open_backend("simulator", clock=WallClock(), environment=environment)
    assert isinstance(backend, IonqBackend)
    assert isinstance(backend, RemoteBackend)
    assert not isinstance(backend, ExactGradients)
