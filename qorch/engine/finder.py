"""Looks for jobs by their keys in the provider's lists, many at a time."""

import asyncio
import datetime

from qorch.engine.retrying import Retrier
from qorch.ports import RemoteBackend


class Finder:
    """Questions that come while one is under way are answered together by the next."""

    def __init__(self, backend: RemoteBackend, retrier: Retrier) -> None:
        """Nothing is asked before ``find``."""
        self._backend = backend
        self._retrier = retrier
        self._lock = asyncio.Lock()
        self._wanted: dict[str, tuple[datetime.datetime, asyncio.Future[str | None]]] = {}

    async def find(self, key: str, since: datetime.datetime) -> str | None:
        """The provider's id of the job with this key, submitted after ``since``; None where the lists show none.

        Raises BusyError once the retries' patience is over, CredentialsError, InvalidResultError.
        """
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._wanted[key] = (since, answer)
        async with self._lock:
            if not answer.done():
                await self._look()
        return await answer

    async def _look(self) -> None:
        wanted, self._wanted = self._wanted, {}
        oldest = min(since for since, _ in wanted.values())
        try:
            found = await self._retrier.repeat(lambda: self._backend.find(wanted.keys(), since=oldest))
        except asyncio.CancelledError:
            # Whoever is next in line asks for the others.
            self._wanted = {**wanted, **self._wanted}
            raise
        except Exception as error:
            for _, answer in wanted.values():
                _fail(answer, error)
            return
        for key, (_, answer) in wanted.items():
            if not answer.done():
                answer.set_result(found.get(key))


def _fail(answer: "asyncio.Future[str | None]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # whoever was cancelled meanwhile never asks for it
