"""The emulator of IBM Quantum as the suite of remote backends wants it: its behaviours by name."""

import json
from collections.abc import Collection

from ibm_vendor import DEVICE, environment

from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.remote import Behaviour
from qorch_providers.emulators.ibm import IbmSettings, RunningIbm
from qorch_providers.ibm import open_backend
from qorch_providers.ibm.labels import key_tag

SETTINGS = IbmSettings(devices=DEVICE, noise="off", posts_per_minute=0, usage_delay="0", retry_after="seconds")
QUESTIONS = ("list", "get", "results", "device", "backends", "session", "workloads")
KEYED = ("post", "metrics", *QUESTIONS)
FAULTS = {
    Behaviour.BUSY: "post:429-before",
    Behaviour.LIMITED: "post:429-before",
    Behaviour.UNAVAILABLE: "post:unavailable",
    Behaviour.BAD_REQUEST: "post:400-before",
    # Not of IAM itself: a key that it refuses is not tried again for half a minute.
    Behaviour.BAD_KEY: ",".join(f"{route}:token-expiry-before" for route in KEYED),
    Behaviour.LOST_BEFORE: "post:reset-before",
    Behaviour.LOST_AFTER: "post:reset-after",
    Behaviour.ERROR_AFTER: "post:500-after",
    Behaviour.GARBLED: "post:html," + ",".join(f"{route}:html" for route in QUESTIONS),
    Behaviour.SILENT: "post:hang-after",
    Behaviour.LOST_QUESTIONS: ",".join(f"{route}:reset-before" for route in QUESTIONS),
    Behaviour.UNLISTED: "post:unlisted",
    Behaviour.OPENING_BUSY: "open:429-before",
    Behaviour.OPENING_LOST_BEFORE: "open:reset-before",
    Behaviour.OPENING_LOST_AFTER: "open:reset-after",
    Behaviour.HELD: "post:stuck",
    Behaviour.FAILURE: "post:failure",
    Behaviour.FAILURE_FINAL: "post:invalid",
    Behaviour.CUT_ANSWER: "results:truncated",
    Behaviour.WRONG_ANSWER: "results:wrong-rows",
}
LACKS = (Behaviour.PARTIAL, Behaviour.PARTIAL_FINAL)
"""A job of IBM's fails as a whole."""


class IbmHarness:
    """A SessionHarness for the backend ``ibm:<options>``."""

    lacks: Collection[Behaviour] = LACKS

    def __init__(self, emulator: RunningIbm, options: str) -> None:
        self._emulator = emulator
        self._options = options

    def make_backend(self) -> RemoteBackend:
        """See ProviderHarness."""
        backend = open_backend(self._options, clock=WallClock(), environment=environment(self._emulator.root))
        assert isinstance(backend, RemoteBackend)
        return backend

    def behave(self, *behaviours: Behaviour) -> None:
        """See ProviderHarness."""
        self._emulator.set_faults(",".join(FAULTS[behaviour] for behaviour in behaviours))

    def accepted(self, key: str) -> int:
        """See ProviderHarness: by the tag of the key."""
        return sum(key_tag(key) in job["tags"] for job in self._emulator.jobs())  # type: ignore[operator]

    def submissions(self) -> list[str]:
        """See ProviderHarness."""
        return self._emulator.submissions()

    def shown(self, provider_id: str) -> str:
        """See ProviderHarness."""
        return next(json.dumps(job) for job in self._emulator.jobs() if job["id"] == provider_id)

    def forget(self, provider_id: str) -> None:
        """See ProviderHarness."""
        self._emulator.forget(provider_id)

    def open_sessions(self) -> list[str]:
        """See SessionHarness."""
        return [str(each["id"]) for each in self._emulator.truth()["sessions"] if each["state"] != "closed"]
