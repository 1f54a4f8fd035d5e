"""The mock provider as the suite of remote backends wants it: its behaviours are profiles."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from qorch.model.job import Payload
from qorch.model.latency import Latency
from qorch.model.profiles.profile import (
    ClosureFigures,
    FaultFigures,
    LatencyFigures,
    Profile,
    ProviderFacts,
    ShareFigure,
    TimeFigure,
)
from qorch.model.usage import UsageUnit
from qorch.ports.clock import WallClock
from qorch.testing.conformance.remote import Behaviour
from qorch_providers.mock import MockBackend, open_backend
from qorch_providers.mock.provider import MockProvider

Figures = TypeVar("Figures", FaultFigures, LatencyFigures)
ALWAYS = ShareFigure(1.0)
FOREVER = 1e9
FACTS = ProviderFacts(settle_seconds=0.2, at_once=100, queue_step_seconds=1.0, usage=(UsageUnit.DEVICE_SECONDS,))
SOUND = Profile("sound", "nothing takes any time", facts=FACTS)
FAULTS = {
    Behaviour.BUSY: FaultFigures(busy=ALWAYS),
    Behaviour.LIMITED: FaultFigures(busy=ALWAYS),
    Behaviour.LOST_BEFORE: FaultFigures(lost_before=ALWAYS),
    Behaviour.LOST_AFTER: FaultFigures(lost_after=ALWAYS),
    Behaviour.SILENT: FaultFigures(lost_after=ALWAYS),
    Behaviour.LOST_QUESTIONS: FaultFigures(lost=ALWAYS),
    Behaviour.FAILURE: FaultFigures(failed=ALWAYS),
    Behaviour.FAILURE_FINAL: FaultFigures(failed_for_good=ALWAYS),
    Behaviour.PARTIAL: FaultFigures(partly_failed=ALWAYS),
    Behaviour.PARTIAL_FINAL: FaultFigures(partly_failed_for_good=ALWAYS),
}
LATENCIES = {
    Behaviour.LIMITED: LatencyFigures(retry_after=TimeFigure(Latency("constant", 30.0))),
    Behaviour.SILENT: LatencyFigures(silence=TimeFigure(Latency("constant", FOREVER))),
    Behaviour.UNLISTED: LatencyFigures(listing=TimeFigure(Latency("constant", FOREVER))),
    Behaviour.HELD: LatencyFigures(queue=TimeFigure(Latency("constant", FOREVER))),
}


class RecordingProvider(MockProvider):
    """Also keeps what arrived, as a test compares it with what was sent."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.arrived: list[str] = []


class RecordingMock(MockBackend):
    """Tells its provider what it sends."""

    provider: RecordingProvider

    async def submit(self, payload: Payload) -> str:
        """See MockBackend."""
        self.provider.arrived.append(hashlib.sha256(payload.content).hexdigest())
        return await super().submit(payload)


class MockHarness:
    """A ProviderHarness. ``options``: which mock; ``facts``: what its provider does."""

    lacks = (
        Behaviour.BAD_REQUEST, Behaviour.BAD_KEY, Behaviour.ERROR_AFTER, Behaviour.GARBLED, Behaviour.CUT_ANSWER,
        Behaviour.WRONG_ANSWER,
    )  # fmt: skip

    def __init__(self, options: str = "cloud", facts: ProviderFacts = FACTS) -> None:
        self._options = options
        self._sound = replace(SOUND, facts=facts)
        self.provider = RecordingProvider(self._sound, WallClock(), 0)

    def make_backend(self) -> MockBackend:
        """See ProviderHarness."""
        opened = open_backend(self._options, clock=WallClock(), workers=1)
        return RecordingMock(opened.planner, self.provider, opened.simulation, opened.clock, opened.options)

    def behave(self, *behaviours: Behaviour) -> None:
        """See ProviderHarness."""
        day = TimeFigure(Latency("constant", 1e12))
        self.provider.profile = replace(
            self._sound,
            faults=_merge([FAULTS[each] for each in behaviours if each in FAULTS], FaultFigures()),
            latencies=_merge([LATENCIES[each] for each in behaviours if each in LATENCIES], LatencyFigures()),
            closures=ClosureFigures(day, day) if Behaviour.UNAVAILABLE in behaviours else None,
        )
        if Behaviour.UNLISTED not in behaviours:
            for job in self.provider.jobs.values():
                job.drawn = replace(job.drawn, listing_seconds=0.0)

    def accepted(self, key: str) -> int:
        """See ProviderHarness."""
        return sum(job.payload.key == key for job in self.provider.jobs.values())

    def submissions(self) -> list[str]:
        """See ProviderHarness."""
        return list(self.provider.arrived)

    def shown(self, provider_id: str) -> str:
        """See ProviderHarness."""
        return self.provider.jobs[provider_id].payload.search_text

    def forget(self, provider_id: str) -> None:
        """See ProviderHarness."""
        self.provider.forget(provider_id)


def _merge(parts: Sequence[Figures], empty: Figures) -> Figures:
    """All that one of the parts gives."""
    given = {name: value for part in parts for name, value in vars(part).items() if value != getattr(empty, name)}
    return replace(empty, **given)
