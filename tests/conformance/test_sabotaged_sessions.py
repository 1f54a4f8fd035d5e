"""Backends with sessions and one fault each, which the suite has to catch."""

from collections.abc import Callable, Collection
from dataclasses import replace

import pytest
from fake_harness import FakeSessionHarness

from qorch.errors import BusyError, QorchError, RejectedError, SessionEndedError, UnknownOutcomeError
from qorch.model.job import Payload
from qorch.ports.provider_sessions import SessionPlan
from qorch.testing.conformance.remote.harness import Behaviour
from qorch.testing.conformance.remote.sessions import SessionChecks
from qorch.testing.fakes.sessions import FakeSessionRemote


class TakesAnySession(FakeSessionRemote):
    """Takes whatever session is new for its own."""

    async def find_session(self, plan: SessionPlan, *, known: Collection[str]) -> str | None:
        """See the class."""
        del plan
        return next((name for name in self.desk.open_ids() if name not in known), None)


class FindsNothing(FakeSessionRemote):
    """Looks into no list."""

    async def find_session(self, plan: SessionPlan, *, known: Collection[str]) -> str | None:
        """See the class."""
        await super().find_session(plan, known=known)
        return None


class BelievesLostOpenings(FakeSessionRemote):
    """Takes an opening without an answer for a refusal."""

    async def open_session(self, plan: SessionPlan) -> str:
        """See the class."""
        try:
            return await super().open_session(plan)
        except UnknownOutcomeError as error:
            raise BusyError(str(error)) from error


class ClosesNothing(FakeSessionRemote):
    """Says that it has closed a session."""

    async def close_session(self, session_id: str) -> None:
        """See the class."""
        await self._ask("close_session")


class ForgetsTheSession(FakeSessionRemote):
    """Sends every job by itself."""

    async def submit(self, payload: Payload) -> str:
        """See the class."""
        return await super().submit(replace(payload, session_id=""))


class EndsTheJob(FakeSessionRemote):
    """Takes a session that is over for a refusal of the job."""

    async def submit(self, payload: Payload) -> str:
        """See the class."""
        try:
            return await super().submit(payload)
        except SessionEndedError as error:
            raise RejectedError(str(error)) from error


Check = Callable[[SessionChecks], None]
LOST_AFTER = Behaviour.OPENING_LOST_AFTER
SABOTAGE: list[tuple[type[FakeSessionRemote], Check]] = [
    (TakesAnySession, lambda suite: suite.test_a_session_is_found_whose_answer_was_lost(LOST_AFTER)),
    (FindsNothing, lambda suite: suite.test_a_session_is_found_whose_answer_was_lost(LOST_AFTER)),
    (BelievesLostOpenings, lambda suite: suite.test_a_session_is_found_whose_answer_was_lost(LOST_AFTER)),
    (ClosesNothing, SessionChecks.test_a_session_is_opened_takes_jobs_and_is_closed),
    (ClosesNothing, SessionChecks.test_an_engine_opens_one_session_for_all_jobs_and_closes_it),
    (ForgetsTheSession, SessionChecks.test_a_session_is_opened_takes_jobs_and_is_closed),
    (EndsTheJob, SessionChecks.test_the_same_payload_goes_into_any_session),
]


@pytest.mark.parametrize(("adapter", "check"), SABOTAGE, ids=[adapter.__name__ for adapter, _ in SABOTAGE])
def test_a_sabotaged_adapter_is_caught(adapter: type[FakeSessionRemote], check: Check) -> None:
    """The check fails for the sabotaged adapter, and passes for the sound one."""
    sound, sabotaged = SessionChecks(), SessionChecks()
    sound.harness, sabotaged.harness = FakeSessionHarness(), FakeSessionHarness(adapter)
    check(sound)
    with pytest.raises((AssertionError, pytest.fail.Exception, QorchError)):
        check(sabotaged)
