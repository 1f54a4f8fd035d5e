"""The suite of remote backends over mocks, whose provider is in this process."""

from dataclasses import replace

import pytest
from mock_harness import FACTS, MockHarness

from qorch.ports.backend import Metered, RemoteBackend, ReportsUsage
from qorch.testing.conformance.remote import RemoteBackendConformance
from qorch.testing.conformance.remote.base import RemoteChecks
from qorch.testing.conformance.remote.submission import SubmissionChecks


class TestMockOfMachine(RemoteBackendConformance):
    """A mock of a machine that charges, and whose provider makes two jobs of one key."""

    @pytest.fixture
    def provider(self) -> MockHarness:
        """A provider of its own for every test."""
        return MockHarness("ionq.qpu.forte-1")


class TestMockThatRemembersKeys(RemoteChecks):
    """A mock whose provider takes a key that it remembers for the same job."""

    test_a_remembered_key = SubmissionChecks.test_a_key_that_is_remembered_makes_no_second_job

    @pytest.fixture
    def provider(self) -> MockHarness:
        """A provider of its own for every test."""
        return MockHarness("braket.garnet", replace(FACTS, remembers_keys_seconds=600.0))


def test_a_mock_is_what_its_tests_open() -> None:
    """It is a remote backend that says what is billed, and reports usage."""
    backend = MockHarness().make_backend()
    assert isinstance(backend, RemoteBackend)
    assert isinstance(backend, Metered)
    assert isinstance(backend, ReportsUsage)
