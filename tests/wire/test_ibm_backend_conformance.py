"""The shipped suite of remote backends over the ibm backend, against the emulator, which shares no code with it."""

from collections.abc import Iterator

import pytest
from ibm_harness import SETTINGS, IbmHarness
from ibm_vendor import DEVICE

from qorch.testing.conformance.estimates import EstimateChecks
from qorch.testing.conformance.remote import RemoteBackendConformance
from qorch.testing.conformance.remote.sessions import SessionChecks
from qorch_providers.emulators.ibm import RunningIbm, start


class OfIbm(RemoteBackendConformance):
    """What all programs share: samples are the provider's own."""

    is_seeded = False
    continues_streams = False
    shots = 2_000
    n_compared = 60
    program: str
    mode: str

    @pytest.fixture(scope="class")
    @classmethod
    def emulator(cls) -> Iterator[RunningIbm]:
        """One for all tests of a class."""
        with start(SETTINGS) as running:
            yield running

    @pytest.fixture
    def provider(self, emulator: RunningIbm) -> IbmHarness:
        """See RemoteChecks."""
        return IbmHarness(emulator, f"{DEVICE},program={self.program},mode={self.mode},settle=0.3,rows=2000")


class TestExecutor(OfIbm, SessionChecks):
    """The program of IBM's client of today; engines run all jobs in a session."""

    program = "executor"
    mode = "session"


class TestSampler(OfIbm):
    """The program of its deprecated SamplerV2."""

    program = "sampler"
    mode = "job"


class TestEstimator(EstimateChecks, OfIbm):
    """The program that answers with expectation values and standard errors of its own."""

    program = "estimator"
    mode = "job"
