"""The emulator of Amazon Braket as the suite of remote backends wants it: its behaviours by name."""

import json
from collections.abc import Collection

from braket_vendor import environment

from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.remote import Behaviour
from qorch_providers.braket import open_backend
from qorch_providers.emulators.braket import BraketSettings, RunningBraket

SETTINGS = BraketSettings(seed=1, noise="off", quotas="", retry_after="seconds", concurrent=10_000)
"""Amazon is not known to say until when it refuses; here it does, so that it is seen to be read."""
QUESTIONS = ("list", "get", "results", "device")
FAULTS = {
    Behaviour.BUSY: "post:402-before",
    Behaviour.LIMITED: "post:429-before",
    Behaviour.UNAVAILABLE: "post:unavailable",
    Behaviour.BAD_REQUEST: "post:400-before",
    Behaviour.BAD_KEY: "any:token-expiry-before",
    Behaviour.LOST_BEFORE: "post:reset-before",
    Behaviour.LOST_AFTER: "post:reset-after",
    Behaviour.ERROR_AFTER: "post:500-after",
    Behaviour.GARBLED: "post:html," + ",".join(f"{route}:html" for route in QUESTIONS),
    Behaviour.SILENT: "post:hang-after",
    Behaviour.LOST_QUESTIONS: ",".join(f"{route}:reset-before" for route in QUESTIONS),
    Behaviour.UNLISTED: "post:unlisted",
    Behaviour.HELD: "post:stuck",
    Behaviour.FAILURE: "post:failure",
    Behaviour.FAILURE_FINAL: "post:invalid",
    Behaviour.PARTIAL: "post:child-failure",
    Behaviour.PARTIAL_FINAL: "post:child-broken",
    Behaviour.CUT_ANSWER: "results:truncated",
    Behaviour.WRONG_ANSWER: "results:wrong-rows",
}
IN_SETS = (Behaviour.PARTIAL, Behaviour.PARTIAL_FINAL)
"""Of devices with program sets alone: elsewhere a task has one row."""


class BraketHarness:
    """A ProviderHarness for the backend ``braket:<options>``."""

    def __init__(self, emulator: RunningBraket, options: str, *, lacks: Collection[Behaviour] = ()) -> None:
        self.lacks = lacks
        self._emulator = emulator
        self._options = options

    def make_backend(self) -> RemoteBackend:
        """See ProviderHarness."""
        variables = environment(self._emulator.root)
        return open_backend(f"{self._options},settle=0.3", clock=WallClock(), environment=variables)

    def behave(self, *behaviours: Behaviour) -> None:
        """See ProviderHarness."""
        self._emulator.set_faults(",".join(FAULTS[behaviour] for behaviour in behaviours))

    def accepted(self, key: str) -> int:
        """See ProviderHarness: by the client token, which is the key."""
        return sum(job["client_token"] == key for job in self._emulator.jobs())

    def submissions(self) -> list[str]:
        """See ProviderHarness."""
        return self._emulator.submissions()

    def shown(self, provider_id: str) -> str:
        """See ProviderHarness."""
        return next(json.dumps(job) for job in self._emulator.jobs() if job["id"] == provider_id)

    def forget(self, provider_id: str) -> None:
        """See ProviderHarness."""
        self._emulator.forget(provider_id)
