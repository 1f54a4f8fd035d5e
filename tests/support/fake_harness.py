"""The fake provider as the suite of remote backends wants it: its behaviours by name, in real time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from qorch.errors import JobFailedError
from qorch.model.job import JobRequest, LostRows
from qorch.ports.clock import WallClock
from qorch.testing.conformance.remote import Behaviour
from qorch.testing.fakes.provider import FakeProvider, Fault
from qorch.testing.fakes.remote import HOLD, FakeRemote
from qorch.testing.fakes.sessions import FakeSessionDesk, FakeSessionRemote

FOREVER = 1e9
SUBMISSION_FAULTS = {
    Behaviour.BUSY: Fault.BUSY,
    Behaviour.LIMITED: Fault.LIMITED,
    Behaviour.BAD_REQUEST: Fault.REJECTED,
    Behaviour.LOST_BEFORE: Fault.LOST_BEFORE,
    Behaviour.LOST_AFTER: Fault.LOST_AFTER,
    Behaviour.SILENT: Fault.LOST_AFTER,
}
OPENING_FAULTS = {
    Behaviour.OPENING_BUSY: Fault.BUSY,
    Behaviour.OPENING_LOST_BEFORE: Fault.LOST_BEFORE,
    Behaviour.OPENING_LOST_AFTER: Fault.LOST_AFTER,
}


class FakeHarness:
    """A ProviderHarness. ``make``: the backend under test, FakeRemote or one that is sabotaged."""

    lacks = (Behaviour.WRONG_ANSWER, Behaviour.ERROR_AFTER, Behaviour.GARBLED)

    def __init__(self, make: Callable[..., FakeRemote] = FakeRemote, **fields: Any) -> None:
        self._fields = fields
        self.provider = FakeProvider(WallClock(), charge_seconds=lambda: 2.5)
        self._make = make
        self._behaviours: tuple[Behaviour, ...] = ()
        self._backends: list[FakeRemote] = []
        self.behave()

    def make_backend(self) -> FakeRemote:
        """See ProviderHarness."""
        terms = replace(HOLD, settle_seconds=0.2)
        backend = self._make(
            self.provider, WallClock(), terms=terms, round_trip_seconds=0.002, faults=self._fault, **self._fields
        )
        self._backends.append(backend)
        return backend

    def behave(self, *behaviours: Behaviour) -> None:
        """See ProviderHarness."""
        self._behaviours = behaviours
        provider = self.provider
        always, never = ((0.0, FOREVER),), ()
        provider.run_seconds = lambda: FOREVER if Behaviour.HELD in behaviours else 0.0
        provider.list_seconds = lambda: FOREVER if Behaviour.UNLISTED in behaviours else 0.0
        provider.lockouts = always if Behaviour.BAD_KEY in behaviours else never
        provider.closures = always if Behaviour.UNAVAILABLE in behaviours else never
        provider.failures = self._failure
        provider.losses = self._losses
        for job in provider.jobs.values():
            job.spoiled = 10**9 if Behaviour.CUT_ANSWER in behaviours else 0
            job.seen_at = job.seen_at if Behaviour.UNLISTED in behaviours else job.accepted_at
        for backend in self._backends:
            backend.hang_seconds = FOREVER if Behaviour.SILENT in behaviours else 0.0

    def accepted(self, key: str) -> int:
        """See ProviderHarness."""
        return sum(job.key == key for job in self.provider.jobs.values())

    def submissions(self) -> list[str]:
        """See ProviderHarness."""
        return [letter.digest for letter in self.provider.letters]

    def shown(self, provider_id: str) -> str:
        """See ProviderHarness."""
        return f"name: qorch {self.provider.jobs[provider_id].key[:16]}"

    def forget(self, provider_id: str) -> None:
        """See ProviderHarness."""
        del self.provider.jobs[provider_id]

    def _fault(self, call: str) -> Fault | None:
        if call == "open_session":
            faults = (OPENING_FAULTS[each] for each in self._behaviours if each in OPENING_FAULTS)
            return next(faults, None)
        if call != "submit":
            return Fault.LOST_BEFORE if Behaviour.LOST_QUESTIONS in self._behaviours else None
        return next((fault for behaviour, fault in SUBMISSION_FAULTS.items() if behaviour in self._behaviours), None)

    def _failure(self) -> JobFailedError | None:
        failed = {Behaviour.FAILURE, Behaviour.FAILURE_FINAL} & set(self._behaviours)
        return JobFailedError("the device failed", is_repeatable=Behaviour.FAILURE in failed) if failed else None

    def _losses(self, request: JobRequest) -> tuple[tuple[LostRows, ...], ...]:
        failed = {Behaviour.PARTIAL, Behaviour.PARTIAL_FINAL} & set(self._behaviours)
        part = LostRows(np.array([1]), "the circuit failed", is_repeatable=Behaviour.PARTIAL in failed)
        return tuple((part,) for _ in request.blocks) if failed else ()


class FakeSessionHarness(FakeHarness):
    """A SessionHarness."""

    def __init__(self, make: Callable[..., FakeSessionRemote] = FakeSessionRemote) -> None:
        self.desk = FakeSessionDesk()
        super().__init__(make, desk=self.desk)

    def open_sessions(self) -> list[str]:
        """See SessionHarness."""
        return self.desk.open_ids()
