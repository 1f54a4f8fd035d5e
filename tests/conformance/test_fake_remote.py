"""The suite of remote backends over the fake provider; and adapters with one fault each, which it has to catch."""

import datetime
import itertools
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import numpy as np
import pytest
from fake_harness import FakeHarness, FakeSessionHarness

from qorch.errors import BusyError, QorchError, RejectedError, UnknownOutcomeError
from qorch.model.job import JobRequest, JobResult, JobShape, JobStatus, Payload, RawResult
from qorch.model.measurement import BlockResult
from qorch.model.money import Money
from qorch.model.usage import PENDING_USAGE, ReportedUsage
from qorch.testing.conformance.backend import counts_of
from qorch.testing.conformance.remote import Behaviour, RemoteBackendConformance
from qorch.testing.conformance.remote.base import long_ago
from qorch.testing.conformance.remote.sessions import SessionChecks
from qorch.testing.fakes.provider import AcceptedJob
from qorch.testing.fakes.remote import FakeRemote


class TestFakeRemote(RemoteBackendConformance):
    """The fake, without a fault of its own."""

    @pytest.fixture
    def provider(self) -> FakeHarness:
        """A provider of its own for every test."""
        return FakeHarness()


class TestFakeSessions(SessionChecks):
    """The same with sessions."""

    @pytest.fixture
    def provider(self) -> FakeSessionHarness:
        """A provider of its own for every test."""
        return FakeSessionHarness()


class LostPollIsNoJob(FakeRemote):
    """Takes a poll without an answer for one that shows no job."""

    async def poll(self, provider_ids: Sequence[str]) -> dict[str, JobStatus]:
        """See the class."""
        try:
            return await super().poll(provider_ids)
        except BusyError:
            return {}


class LostSearchIsNoJob(FakeRemote):
    """Takes a search without an answer for one that found nothing."""

    async def find(self, keys: Collection[str], *, since: datetime.datetime) -> dict[str, str]:
        """See the class."""
        try:
            return await super().find(keys, since=since)
        except BusyError:
            return {}


class LostFetchIsDoubt(FakeRemote):
    """Takes a fetch without an answer for a submission without one."""

    async def fetch(self, provider_id: str) -> RawResult:
        """See the class."""
        try:
            return await super().fetch(provider_id)
        except BusyError as error:
            raise UnknownOutcomeError(str(error)) from error


class EncodesItsTries(FakeRemote):
    """Counts its tries in what it sends."""

    tries = itertools.count()

    def encode(self, request: JobRequest, *, key: str) -> Payload:
        """See the class."""
        payload = super().encode(request, key=key)
        return replace(payload, content=payload.content + b" try %d" % next(self.tries))


class SendsAnything(FakeRemote):
    """Sends other bytes than the payload's, with a time in them."""

    async def submit(self, payload: Payload) -> str:
        """See the class."""
        return await super().submit(replace(payload, content=payload.content + b" %d" % self.clock.monotonic_ns()))


class ReadsPartsAsWhole(FakeRemote):
    """Puts another row's counts into the place of one that failed."""

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See the class."""
        result = super().read(shape, raw)
        counts = counts_of(result.blocks[0])
        filled = np.minimum(np.arange(shape.blocks[0].n_rows), counts.n_rows - 1)
        return JobResult((BlockResult(counts=counts.take(filled)),))


class ForgetsWhatFailed(FakeRemote):
    """Returns the rows that are there, and does not say that others are not."""

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See the class."""
        return JobResult(super().read(shape, raw).blocks)


class RepeatsForEver(FakeRemote):
    """Calls every failure one that may be repeated."""

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See the class."""
        result = super().read(shape, raw)
        return replace(result, lost=tuple(tuple(replace(p, is_repeatable=True) for p in b) for b in result.lost))


class BelievesLists(FakeRemote):
    """Takes a job that no list shows for one that was not accepted."""

    async def submit(self, payload: Payload) -> str:
        """See the class."""
        try:
            return await super().submit(payload)
        except UnknownOutcomeError as error:
            found = await self.find([payload.key], since=long_ago())
            if payload.key in found:
                raise
            raise BusyError("the job is not in the list, so it was not accepted") from error


class SendsUnlistedAgain(FakeRemote):
    """Sends a job again that no list shows."""

    async def submit(self, payload: Payload) -> str:
        """See the class."""
        try:
            return await super().submit(payload)
        except UnknownOutcomeError:
            if payload.key in await self.find([payload.key], since=long_ago()):
                raise
            return await super().submit(payload)


class DoubtsRefusals(FakeRemote):
    """Takes a refusal for an answer that says nothing."""

    async def submit(self, payload: Payload) -> str:
        """See the class."""
        try:
            return await super().submit(payload)
        except RejectedError as error:
            raise UnknownOutcomeError(str(error)) from error


class BelievesSilence(FakeRemote):
    """Takes a lost answer for a refusal."""

    async def submit(self, payload: Payload) -> str:
        """See the class."""
        try:
            return await super().submit(payload)
        except UnknownOutcomeError as error:
            raise BusyError(str(error)) from error


class ChargesLessThanNothing(FakeRemote):
    """Tells a charge that cannot be."""

    def _usage(self, job: AcceptedJob) -> ReportedUsage:
        usage = super()._usage(job)
        return usage.with_charge(Money("USD", -1)) if usage.is_final else usage


class ChargesMoreEachTime(FakeRemote):
    """Tells another charge whenever it is asked."""

    charges = itertools.count()

    def _usage(self, job: AcceptedJob) -> ReportedUsage:
        usage = super()._usage(job)
        return usage.with_charge(Money("USD", next(self.charges))) if usage.is_final else usage


class ResultsArePending(FakeRemote):
    """Says in its results that it has not counted yet."""

    def read(self, shape: JobShape, raw: RawResult) -> JobResult:
        """See the class."""
        return replace(super().read(shape, raw), usage=PENDING_USAGE)


Check = Callable[[RemoteBackendConformance], None]
Suite = RemoteBackendConformance
SABOTAGE: list[tuple[type[FakeRemote], Check]] = [
    (
        LostPollIsNoJob,
        lambda s: s.test_a_lost_question_is_busy_and_no_job_is_lost_over_it("poll", Behaviour.LOST_QUESTIONS),
    ),
    (
        LostSearchIsNoJob,
        lambda s: s.test_a_lost_question_is_busy_and_no_job_is_lost_over_it("find", Behaviour.LOST_QUESTIONS),
    ),
    (
        LostFetchIsDoubt,
        lambda s: s.test_a_lost_question_is_busy_and_no_job_is_lost_over_it("fetch", Behaviour.LOST_QUESTIONS),
    ),
    (EncodesItsTries, Suite.test_a_job_is_sent_again_with_the_same_bytes),
    (EncodesItsTries, Suite.test_encoding_is_repeatable),
    (SendsAnything, Suite.test_a_job_is_sent_again_with_the_same_bytes),
    (ReadsPartsAsWhole, lambda s: s.test_rows_that_failed_are_lost_and_the_others_are_right(Behaviour.PARTIAL)),
    (ForgetsWhatFailed, lambda s: s.test_rows_that_failed_are_lost_and_the_others_are_right(Behaviour.PARTIAL)),
    (RepeatsForEver, lambda s: s.test_rows_that_failed_are_lost_and_the_others_are_right(Behaviour.PARTIAL_FINAL)),
    (BelievesLists, Suite.test_a_job_that_no_list_shows_yet_is_not_believed_to_be_absent),
    (SendsUnlistedAgain, Suite.test_a_job_that_no_list_shows_yet_is_not_believed_to_be_absent),
    (ChargesLessThanNothing, Suite.test_what_is_told_of_a_job_that_is_over_stays),
    (ChargesMoreEachTime, Suite.test_what_is_told_of_a_job_that_is_over_stays),
    (ResultsArePending, Suite.test_what_is_told_of_a_job_that_is_over_stays),
    (DoubtsRefusals, lambda suite: suite.test_each_refusal_is_an_error_that_says_what_to_do(Behaviour.BUSY)),
    (DoubtsRefusals, lambda suite: suite.test_each_refusal_is_an_error_that_says_what_to_do(Behaviour.BAD_REQUEST)),
    (
        BelievesSilence,
        lambda suite: suite.test_a_lost_answer_is_unknown_until_the_job_is_found(Behaviour.LOST_AFTER),
    ),
]


@pytest.mark.parametrize(("adapter", "check"), SABOTAGE, ids=[adapter.__name__ for adapter, _ in SABOTAGE])
def test_a_sabotaged_adapter_is_caught(adapter: type[FakeRemote], check: Check) -> None:
    """The check fails for the sabotaged adapter, and passes for the sound one."""
    sound, sabotaged = RemoteBackendConformance(), RemoteBackendConformance()
    sound.harness, sabotaged.harness = FakeHarness(), FakeHarness(adapter)
    check(sound)
    with pytest.raises((AssertionError, pytest.fail.Exception, QorchError)):
        check(sabotaged)
