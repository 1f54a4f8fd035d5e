"""Fakes that estimate expectation values themselves, held to the contract; and adapters with one fault each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from fake_harness import FakeHarness

from qorch.model.arrays import FloatArray
from qorch.model.job import JobResult, JobShape, RawResult
from qorch.model.measurement import BlockResult
from qorch.ports.backend import Backend, Capabilities
from qorch.testing.conformance.backend import estimates_of
from qorch.testing.conformance.estimates import EstimateChecks
from qorch.testing.conformance.in_process import InProcessConformance
from qorch.testing.conformance.remote import RemoteBackendConformance
from qorch.testing.fakes.backend import ESTIMATES, FakeBackend
from qorch.testing.fakes.remote import ESTIMATES as REMOTE_ESTIMATES
from qorch.testing.fakes.remote import FakeRemote


class TestFakeEstimates(EstimateChecks, InProcessConformance):
    """In this process."""

    def make_backend(self) -> Backend:
        """A free fake."""
        return FakeBackend(capabilities=ESTIMATES)


@dataclass(eq=False)
class EstimatingRemote(FakeRemote):
    """Answers with values and variances."""

    capabilities: Capabilities = REMOTE_ESTIMATES


class TestRemoteFakeEstimates(EstimateChecks, RemoteBackendConformance):
    """At a provider."""

    @pytest.fixture
    def provider(self) -> FakeHarness:
        """A provider of its own for every test."""
        return FakeHarness(EstimatingRemote)


@dataclass(eq=False)
class Altered(FakeBackend):
    """Reads values and variances that are altered."""

    capabilities: Capabilities = ESTIMATES
    alter: Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]] = lambda *both: both

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See the class."""
        parts = (self.alter(*estimates_of(block)) for block in super().read(shape, raw).blocks)
        return JobResult(tuple(BlockResult(values=values, variances=variances) for values, variances in parts))


ALTERED = {
    "of_a_shot": (lambda v, s: (v, s * 256), EstimateChecks.test_variances_are_those_of_the_values),
    "of_no_noise": (
        lambda v, s: (v, np.maximum(1 - v**2, 0) / 256),
        EstimateChecks.test_variances_are_those_of_the_values,
    ),
    "errors": (lambda v, s: (v, np.sqrt(s)), EstimateChecks.test_variances_are_those_of_the_values),
    "rows_turned": (lambda v, s: (v[::-1], s[::-1]), EstimateChecks.test_rows_and_sums_keep_their_order),
    "sums_turned": (lambda v, s: (v[:, ::-1], s[:, ::-1]), EstimateChecks.test_rows_and_sums_keep_their_order),
    "clipped": (lambda v, s: (np.clip(v, -1, 1), s), EstimateChecks.test_estimates_are_right),
}


@pytest.mark.parametrize("name", ALTERED)
def test_a_sabotaged_adapter_is_caught(name: str) -> None:
    """The check fails for the sabotaged adapter, and passes for the sound one."""
    alter, check = ALTERED[name]

    class Suite(TestFakeEstimates):
        backend: FakeBackend

        def make_backend(self) -> Backend:
            return self.backend

    sound, sabotaged = Suite(), Suite()
    sound.backend, sabotaged.backend = FakeBackend(capabilities=ESTIMATES), Altered(alter=alter)
    check(sound)
    with pytest.raises(AssertionError):
        check(sabotaged)
