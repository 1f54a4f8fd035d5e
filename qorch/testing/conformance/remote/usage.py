"""Checks of what a provider reports that jobs were charged for, of backends that tell it."""

import asyncio

import pytest

from qorch.model.usage import ReportedUsage, UsageState
from qorch.ports.backend import RemoteBackend, ReportsUsage
from qorch.testing.conformance.remote.base import LONGEST_SECONDS, WAIT_SECONDS, RemoteChecks, SentJob, long_ago
from qorch.testing.conformance.remote.harness import Behaviour


class UsageChecks(RemoteChecks):
    """What ``fetch_usage`` must do, and the usage in a status; skipped where a backend tells nothing."""

    def test_what_is_told_of_a_job_that_is_over_stays(self) -> None:
        """A final usage has all of its quantities, or the money; poll, question and another process agree on both."""

        async def work(backend: RemoteBackend) -> None:
            sent = await self.send(backend)
            told = (await self.wait(backend, sent.provider_id)).usage
            usage = await self._final_usage(_reporting(backend), sent)
            assert (usage.state is UsageState.REPORTED) is bool(usage.quantities or usage.charge is not None)
            assert usage.charge is None or usage.charge.micros >= 0, "a job cannot be charged less than nothing"
            assert told is None or not told.is_final or told == usage
            of_result = (await self.result_of(backend, sent)).usage
            assert of_result is None or of_result.state is UsageState.REPORTED, "a result tells what is final"
            later = self.make_backend()
            try:
                assert await _ask(_reporting(later), sent) == usage, "a backend that is not open tells something else"
            finally:
                await later.close()

        self.ask(work)

    @pytest.mark.parametrize("failure", [Behaviour.FAILURE_FINAL, Behaviour.HELD])
    def test_a_job_without_a_result_has_a_usage_too(self, failure: Behaviour) -> None:
        """One that failed or was cancelled may be charged; before its end nothing is reported of it."""

        async def work(backend: RemoteBackend) -> None:
            with self.server(failure):
                sent = await self.send(backend)
            if failure is Behaviour.HELD:
                before = await _ask(_reporting(backend), sent)
                assert before is None or before.state is not UsageState.REPORTED
                await backend.cancel(sent.provider_id)
            await self.wait(backend, sent.provider_id)
            assert (await self._final_usage(_reporting(backend), sent)).is_final

        self.ask(work)

    def test_many_jobs_are_asked_about_together(self) -> None:
        """Each under its own id; jobs that the provider does not know are missing, and keep no other from being told.

        Their documents are what a poll would read: not more requests than jobs, and one for the list.
        """

        async def work(backend: RemoteBackend) -> None:
            reporting = _reporting(backend)
            sent = [await self.send(backend, self.request_of(1)) for _ in range(7)]
            for job in sent:
                await self._final_usage(reporting, job)
            self.harness.forget(sent[3].provider_id)
            before = backend.calls["usage"]
            ids = [job.provider_id for job in sent]
            found = await reporting.fetch_usage([*ids, "no-such-job"], since=long_ago())
            assert backend.calls["usage"] - before <= len(ids) + 2
            assert found.keys() - {ids[3], "no-such-job"} == {*ids} - {ids[3]}
            assert all(usage.is_final for usage in found.values())
            assert found.get(ids[3], found[ids[0]]) == found[ids[0]]

        self.ask(work)

    async def _final_usage(self, reporting: ReportsUsage, sent: SentJob) -> ReportedUsage:
        """What the provider tells once it has counted."""
        async with asyncio.timeout(LONGEST_SECONDS):
            while True:
                usage = await _ask(reporting, sent)
                if usage is not None and usage.is_final:
                    return usage
                await asyncio.sleep(WAIT_SECONDS)


def _reporting(backend: RemoteBackend) -> ReportsUsage:
    """The backend; the test is skipped if it tells nothing."""
    if not isinstance(backend, ReportsUsage):
        pytest.skip("the provider reports nothing about what jobs were charged for")
    return backend


async def _ask(reporting: ReportsUsage, sent: SentJob) -> ReportedUsage | None:
    return (await reporting.fetch_usage([sent.provider_id], since=long_ago())).get(sent.provider_id)
