"""Looks for jobs by their keys in the provider's lists, many at a time."""

import asyncio
import datetime
from dataclasses import dataclass

from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.window import RateWindow
from qorch.errors import UnknownOutcomeError
from qorch.ports.backend import RemoteBackend


@dataclass(frozen=True, eq=False)
class _Question:
    key: str
    since: datetime.datetime
    answer: "asyncio.Future[str | None]"


class Finder:
    """Questions that come while one is under way are answered together by the next."""

    def __init__(self, backend: RemoteBackend, retrier: Retrier, *, window: RateWindow) -> None:
        """Nothing is asked before ``find``. ``window``: of all searches of this process."""
        self._backend = backend
        self._retrier = retrier
        self._window = window
        self._lock = asyncio.Lock()
        self._wanted: list[_Question] = []

    async def find(self, key: str, since: datetime.datetime) -> str | None:
        """The provider's id of the job with this key, submitted after ``since``; None if the lists show none.

        Raises BusyError once the retries' patience is over, CredentialsError, InvalidResultError; UnknownOutcomeError
        if the provider answers, but nothing tells whether it has the job.
        """
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._wanted.append(_Question(key, since, answer))
        try:
            async with self._lock:
                if not answer.done():
                    await self._look()
            return await answer
        finally:
            answer.cancel()  # its caller has the answer, or has gone

    async def _look(self) -> None:
        wanted, self._wanted = [question for question in self._wanted if not question.answer.done()], []
        try:
            await self._answer(wanted)
        except asyncio.CancelledError:
            # The next caller in line asks for the others.
            self._wanted = [question for question in wanted if not question.answer.done()] + self._wanted
            raise

    async def _answer(self, wanted: list[_Question]) -> None:
        keys = {question.key for question in wanted}
        oldest = min(question.since for question in wanted)
        try:
            found = await self._retrier.repeat(
                lambda: self._window.call(lambda: self._backend.find(keys, since=oldest))
            )
        except UnknownOutcomeError as error:
            # One key in doubt must not leave the others without an answer.
            for key in sorted(keys) if len(keys) > 1 else ():
                await self._answer([question for question in wanted if question.key == key])
            _fail(wanted, error)
        except Exception as error:
            _fail(wanted, error)
        else:
            for question in wanted:
                if not question.answer.done():
                    question.answer.set_result(found.get(question.key))


def _fail(wanted: list[_Question], error: Exception) -> None:
    for question in wanted:
        if not question.answer.done():
            question.answer.set_exception(error)
            question.answer.exception()  # a caller that was cancelled meanwhile never asks for it
