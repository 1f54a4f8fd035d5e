"""Checks of backends with sessions: opened once, found again without an answer, closed, and what jobs in them keep."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar, cast

import pytest

from qorch.errors import BusyError, SessionEndedError, UnknownOutcomeError
from qorch.model.job import RemoteState
from qorch.ports.backend import RemoteBackend
from qorch.ports.provider_sessions import (
    ProviderSessionRecord,
    ProviderSessions,
    ProviderSessionState,
    SessionPlan,
)
from qorch.testing.conformance.remote.adoption import RUN, AdoptionChecks
from qorch.testing.conformance.remote.base import LONGEST_SECONDS, SentJob
from qorch.testing.conformance.remote.harness import Behaviour, ProviderHarness

T = TypeVar("T")


class SessionHarness(ProviderHarness, Protocol):
    """A loopback server whose jobs may run in sessions; its backends want them."""

    def open_sessions(self) -> list[str]:
        """The ids of all sessions that are not closed."""
        ...


class SessionBackend(RemoteBackend, ProviderSessions, Protocol):
    """A remote backend with sessions."""


class SessionChecks(AdoptionChecks):
    """What every backend must do that is a ProviderSessions; the fixture ``provider`` gives a SessionHarness."""

    def test_a_session_is_opened_takes_jobs_and_is_closed(self) -> None:
        """Once closed it takes no more; closing it again, or one that does not exist, is no error."""

        async def work(backend: SessionBackend) -> None:
            session_id = await backend.open_session(self._plan(backend))
            assert session_id in self._open_sessions()
            payload = replace(await self.payload_of(backend), session_id=session_id)
            sent = SentJob(payload, await backend.submit(payload))
            assert (await self.wait(backend, sent.provider_id)).state is RemoteState.DONE
            for _ in range(2):
                await backend.close_session(session_id)
            assert session_id not in self._open_sessions()
            late = replace(await self.payload_of(backend), session_id=session_id)
            with pytest.raises(SessionEndedError):
                await backend.submit(late)
            assert self.harness.accepted(late.key) == 0
            await backend.close_session("no-such-session")
            assert not (await self.result_of(backend, sent)).lost

        self._ask_sessions(work)

    def test_a_job_outlives_the_closing_of_its_session(self) -> None:
        """It was accepted before, so it runs, and its results are fetched; the session then ends."""

        async def work(backend: SessionBackend) -> None:
            session_id = await backend.open_session(self._plan(backend))
            payload = replace(await self.payload_of(backend), session_id=session_id)
            sent = SentJob(payload, await backend.submit(payload))
            await backend.close_session(session_id)
            assert not (await self.result_of(backend, sent)).lost
            await self.until(lambda: session_id not in self._open_sessions())

        self._ask_sessions(work)

    def test_the_same_payload_goes_into_any_session(self) -> None:
        """The session is no part of the content: refused in one that is closed, the job is accepted in the next."""

        async def work(backend: SessionBackend) -> None:
            first = await backend.open_session(self._plan(backend))
            await backend.close_session(first)
            payload = await self.payload_of(backend)
            with pytest.raises(SessionEndedError):
                await backend.submit(replace(payload, session_id=first))
            second = await backend.open_session(self._plan(backend))
            again = replace(payload, session_id=second)
            assert (again.digest, again.content, again.key) == (payload.digest, payload.content, payload.key)
            await backend.submit(again)
            assert self.harness.accepted(payload.key) == 1
            await backend.close_session(second)

        self._ask_sessions(work)

    @pytest.mark.parametrize("loss", [Behaviour.OPENING_LOST_BEFORE, Behaviour.OPENING_LOST_AFTER])
    def test_a_session_is_found_whose_answer_was_lost(self, loss: Behaviour) -> None:
        """It may be open, so it is no refusal; the list tells, also another backend, and never of another session."""

        async def lose(backend: SessionBackend) -> None:
            others.append(await backend.open_session(self._plan(backend)))
            with self.server(loss), pytest.raises(UnknownOutcomeError):
                await backend.open_session(plan := self._plan(backend))
            plans.append(plan)

        async def find(backend: SessionBackend) -> None:
            found = await backend.find_session(plans[0], known=others)
            opened = [session for session in self._open_sessions() if session not in before]
            assert sorted(opened) == sorted([*others, *([] if found is None else [found])])
            assert (found is not None) is (loss is Behaviour.OPENING_LOST_AFTER)
            assert await self._find(backend, plans[0]) in (None, found), "another session was taken for it"
            if found is not None:
                assert await backend.find_session(plans[0], known=[*others, found]) is None
            for session_id in opened:
                await backend.close_session(session_id)

        before, others, plans = self._open_sessions(), list[str](), list[SessionPlan]()
        self._ask_sessions(lose)
        self._ask_sessions(find)

    def test_a_refused_opening_opens_nothing(self) -> None:
        """It is busy, provably, and may be tried again."""

        async def work(backend: SessionBackend) -> None:
            before = self._open_sessions()
            with self.server(Behaviour.OPENING_BUSY), pytest.raises(BusyError):
                await backend.open_session(self._plan(backend))
            assert self._open_sessions() == before
            await backend.close_session(await backend.open_session(self._plan(backend)))

        self._ask_sessions(work)

    def test_lost_questions_about_sessions_are_busy(self) -> None:
        """A search or a closing without an answer says nothing, and is tried again."""

        async def work(backend: SessionBackend) -> None:
            plan = self._plan(backend)
            session_id = await backend.open_session(plan)
            with self.server(Behaviour.LOST_QUESTIONS):
                with pytest.raises(BusyError):
                    await backend.find_session(plan, known=())
                with pytest.raises(BusyError):
                    await backend.close_session(session_id)
            assert await backend.find_session(plan, known=()) == session_id
            await backend.close_session(session_id)
            assert session_id not in self._open_sessions()

        self._ask_sessions(work)

    def test_an_engine_opens_one_session_for_all_jobs_and_closes_it(self) -> None:
        """Not before its first job, and it is written down."""

        async def work() -> None:
            before = self._open_sessions()
            async with self._engine(store) as engine:
                assert self._open_sessions() == before
                await engine.execute(self._call())
                [record] = store.open_provider_sessions(RUN)
                assert record.provider_id in self._open_sessions()
            assert self._open_sessions() == before
            assert [record.state for record in store.provider_sessions(RUN)] == [ProviderSessionState.CLOSED]

        store = self._new_store()
        asyncio.run(asyncio.wait_for(work(), LONGEST_SECONDS))

    @pytest.mark.parametrize("loss", [Behaviour.OPENING_LOST_BEFORE, Behaviour.OPENING_LOST_AFTER])
    def test_an_engine_that_follows_a_dead_one_closes_its_session(self, loss: Behaviour) -> None:
        """Whatever became of the opening: the next engine of the run leaves nothing open."""

        async def die(backend: SessionBackend) -> None:
            plan, account = self._plan(backend), backend.terms.account
            opening = ProviderSessionRecord(plan, RUN, account, ProviderSessionState.OPENING, plan.planned_at)
            store.write([opening]).result()
            with self.server(loss), pytest.raises(UnknownOutcomeError):
                await backend.open_session(plan)

        async def follow() -> None:
            async with self._engine(store) as engine:
                await engine.execute(self._call())
                await self.until(lambda: len(store.open_provider_sessions(RUN)) == 1)
                await self.until(lambda: len(self._open_sessions()) == len(before) + 1)
            assert store.open_provider_sessions(RUN) == []
            assert self._open_sessions() == before

        store, before = self._new_store(), self._open_sessions()
        self._ask_sessions(die)
        assert (self._open_sessions() != before) is (loss is Behaviour.OPENING_LOST_AFTER)
        asyncio.run(asyncio.wait_for(follow(), LONGEST_SECONDS))

    async def _find(self, backend: SessionBackend, plan: SessionPlan) -> str | None:
        """What is found if no other session is known to be another; None as well if the provider cannot tell."""
        try:
            return await backend.find_session(plan, known=())
        except UnknownOutcomeError:
            return None

    def _open_sessions(self) -> list[str]:
        return sorted(cast("SessionHarness", self.harness).open_sessions())

    def _plan(self, backend: SessionBackend) -> SessionPlan:
        return backend.plan_session(key=secrets.token_hex(32))

    def _ask_sessions(self, work: Callable[[SessionBackend], Awaitable[T]]) -> T:
        async def narrow(backend: RemoteBackend) -> T:
            assert isinstance(backend, ProviderSessions)
            assert backend.session_mode
            return await work(cast("SessionBackend", backend))

        return self.ask(narrow)
