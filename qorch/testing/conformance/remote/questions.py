"""Checks of questions: polls, searches and lists, lost answers, and jobs that the provider does not know."""

from collections.abc import Awaitable, Callable

import pytest

from qorch.errors import BusyError, CredentialsError, InvalidResultError, JobMissingError, QorchError
from qorch.ports.backend import RemoteBackend, ReportsUsage
from qorch.testing.conformance.remote.base import RemoteChecks, SentJob, long_ago
from qorch.testing.conformance.remote.harness import Behaviour

Question = Callable[[RemoteBackend, SentJob], Awaitable[object]]
QUESTIONS: dict[str, Question] = {
    "poll": lambda backend, sent: backend.poll([sent.provider_id]),
    "find": lambda backend, sent: backend.find([sent.key], since=long_ago()),
    "list_keys": lambda backend, sent: backend.list_keys(since=long_ago(), known=()),
    "fetch": lambda backend, sent: _fetch_and_read(backend, sent),
    "fetch_usage": lambda backend, sent: _fetch_usage(backend, sent),
    "availability": lambda backend, sent: backend.availability(),
}


class QuestionChecks(RemoteChecks):
    """What ``poll``, ``find``, ``list_keys``, ``fetch`` and ``availability`` must do."""

    @pytest.mark.parametrize("loss", [Behaviour.LOST_QUESTIONS, Behaviour.GARBLED])
    @pytest.mark.parametrize("name", QUESTIONS)
    def test_a_lost_question_is_busy_and_no_job_is_lost_over_it(self, name: str, loss: Behaviour) -> None:
        """Nothing is known, so nothing is answered: not that the job is missing, has failed, or is in doubt."""

        async def work(backend: RemoteBackend) -> None:
            sent = await self.send(backend)
            await self.wait(backend, sent.provider_id)
            with self.server(loss):
                answer = await _outcome(QUESTIONS[name](backend, sent))
            # Some have nothing to ask: no list, no usage, or no question about the device.
            is_unasked = name in ("list_keys", "availability", "fetch_usage") and not isinstance(answer, QorchError)
            is_unread = name == "fetch" and loss is Behaviour.GARBLED and isinstance(answer, InvalidResultError)
            assert is_unasked or is_unread or isinstance(answer, BusyError), f"a lost {name} became {answer!r}"
            assert not isinstance(await _outcome(QUESTIONS[name](backend, sent)), QorchError)
            assert not (await self.result_of(backend, sent)).lost

        self.ask(work)

    @pytest.mark.parametrize("name", ["poll", "fetch"])
    def test_a_question_with_a_refused_key_says_so(self, name: str) -> None:
        """The user has to replace the key; no job is lost meanwhile."""

        async def work(backend: RemoteBackend) -> None:
            sent = await self.send(backend)
            await self.wait(backend, sent.provider_id)
            with self.server(Behaviour.BAD_KEY):
                answer = await _outcome(QUESTIONS[name](backend, sent))
            assert isinstance(answer, CredentialsError), f"a refused key became {answer!r}"
            assert not (await self.result_of(backend, sent)).lost

        self.ask(work)

    def test_several_jobs_are_polled_and_found_at_once(self) -> None:
        """Those that are asked for, each under its own id or key, and no others; unknown ones are missing."""

        async def work(backend: RemoteBackend) -> None:
            jobs = [await self.send(backend, self.request_of(1)) for _ in range(4)]
            for sent in jobs:
                await self.wait(backend, sent.provider_id)
            self.harness.forget(jobs[3].provider_id)
            wanted = [jobs[0].key, jobs[2].key, "f" * 64]
            ids = {sent.key: sent.provider_id for sent in jobs}
            found = await backend.find(wanted, since=long_ago())
            assert found == {key: ids[key] for key in wanted[:2]}
            statuses = await backend.poll([sent.provider_id for sent in jobs])
            assert set(statuses) == {sent.provider_id for sent in jobs[:3]}
            assert await backend.find([], since=long_ago()) == {}
            assert await backend.poll([]) == {}

        self.ask(work)

    def test_the_list_of_keys_has_every_job_back_to_a_known_one(self) -> None:
        """Each with the job id of its label; a provider without a list says so with None."""

        async def work(backend: RemoteBackend) -> None:
            older, known, newer = [await self.send(backend, self.request_of(1)) for _ in range(3)]
            keys = await backend.list_keys(since=long_ago(), known=())
            if keys is None:
                pytest.skip("the provider has no list of jobs")
            for sent in (older, known, newer):
                assert keys[sent.key] in (None, sent.payload.request.job_id)
            assert newer.key in (await backend.list_keys(since=long_ago(), known=[known.provider_id]) or {})

        self.ask(work)

    def test_a_forgotten_job_is_missing(self) -> None:
        """``fetch`` raises JobMissingError for a job that the provider does not know any more; ``poll`` lacks it."""

        async def work(backend: RemoteBackend) -> None:
            sent = await self.send(backend)
            await self.wait(backend, sent.provider_id)
            self.harness.forget(sent.provider_id)
            assert await backend.poll([sent.provider_id]) == {}
            with pytest.raises(JobMissingError):
                await backend.fetch(sent.provider_id)

        self.ask(work)


async def _fetch_and_read(backend: RemoteBackend, sent: SentJob) -> object:
    """What cannot be read may be seen as late as here."""
    return backend.read(sent.payload.request.shape, await backend.fetch(sent.provider_id))


async def _outcome(question: Awaitable[object]) -> object:
    """The answer, or the error instead of one."""
    try:
        return await question
    except QorchError as error:
        return error


async def _fetch_usage(backend: RemoteBackend, sent: SentJob) -> object:
    if isinstance(backend, ReportsUsage):
        return await backend.fetch_usage([sent.provider_id], since=long_ago())
    return None
