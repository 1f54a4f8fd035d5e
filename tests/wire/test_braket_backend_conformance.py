"""The shipped suite of remote backends over the braket backend, against the emulator, which shares no code with it."""

from collections.abc import Iterator

import pytest
from braket_harness import IN_SETS, SETTINGS, BraketHarness

from qorch.testing.conformance.remote import RemoteBackendConformance
from qorch_providers.emulators.braket import RunningBraket, start


class OfBraket(RemoteBackendConformance):
    """What both kinds of devices share: samples are the provider's own, and it remembers keys."""

    is_seeded = False
    continues_streams = False
    shots = 1_000
    n_compared = 30

    @pytest.fixture(scope="class")
    @classmethod
    def emulator(cls) -> Iterator[RunningBraket]:
        """One for all tests of a class."""
        with start(SETTINGS) as running:
            yield running


class TestSimulator(OfBraket):
    """SV1: one task for each row, and exact values."""

    @pytest.fixture
    def provider(self, emulator: RunningBraket) -> BraketHarness:
        """See RemoteChecks."""
        return BraketHarness(emulator, "sv1", lacks=IN_SETS)


class TestMachine(OfBraket):
    """Garnet without noise: one program set for many rows, and no exact values."""

    @pytest.fixture
    def provider(self, emulator: RunningBraket) -> BraketHarness:
        """See RemoteChecks."""
        return BraketHarness(emulator, "garnet")
