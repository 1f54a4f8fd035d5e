"""The emulator of IonQ as the suite of remote backends wants it: its behaviours by name."""

import httpx

from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import WallClock
from qorch.testing.conformance.remote import Behaviour
from qorch_providers.emulators.ionq import RunningEmulator
from qorch_providers.ionq import open_backend

FAULTS = {
    Behaviour.LIMITED: "post:429-before",
    Behaviour.UNAVAILABLE: "post:unavailable",
    Behaviour.BAD_REQUEST: "post:400-before",
    Behaviour.BAD_KEY: "any:token-expiry-before",
    Behaviour.LOST_BEFORE: "post:reset-before",
    Behaviour.LOST_AFTER: "post:reset-after",
    Behaviour.ERROR_AFTER: "post:503-after",
    Behaviour.GARBLED: "post:html,list:html,get:html,results:html,backends:html",
    Behaviour.SILENT: "post:hang-after",
    Behaviour.LOST_QUESTIONS: (
        "list:reset-before,get:reset-before,results:reset-before,backends:reset-before,sessions:reset-before"
    ),
    Behaviour.OPENING_BUSY: "open:429-before",
    Behaviour.OPENING_LOST_BEFORE: "open:reset-before",
    Behaviour.OPENING_LOST_AFTER: "open:reset-after",
    Behaviour.UNLISTED: "post:unlisted",
    Behaviour.HELD: "post:stuck",
    Behaviour.FAILURE: "post:failure",
    Behaviour.FAILURE_FINAL: "post:invalid",
    Behaviour.PARTIAL: "post:child-failure",
    Behaviour.PARTIAL_FINAL: "post:child-invalid",
    Behaviour.CUT_ANSWER: "results:truncated",
    Behaviour.WRONG_ANSWER: "results:nan",
}


class IonqHarness:
    """A SessionHarness for the backend ``ionq:<options>``."""

    # IonQ refuses for now with 429 alone, and the emulator always says until when.
    lacks = (Behaviour.BUSY,)

    def __init__(self, emulator: RunningEmulator, options: str) -> None:
        self._emulator = emulator
        self._options = options

    def make_backend(self) -> RemoteBackend:
        """See ProviderHarness."""
        environment = {"IONQ_API_URL": self._emulator.root, "IONQ_API_KEY": "dummy"}
        return open_backend(f"{self._options},settle=0.3", clock=WallClock(), environment=environment)

    def behave(self, *behaviours: Behaviour) -> None:
        """See ProviderHarness."""
        self._emulator.set_faults(",".join(FAULTS[behaviour] for behaviour in behaviours))

    def accepted(self, key: str) -> int:
        """See ProviderHarness."""
        return sum(job["key"] == key for job in self._emulator.jobs())

    def submissions(self) -> list[str]:
        """See ProviderHarness."""
        return self._emulator.submissions()

    def shown(self, provider_id: str) -> str:
        """See ProviderHarness."""
        return self._call("GET", provider_id)

    def forget(self, provider_id: str) -> None:
        """See ProviderHarness."""
        self._call("DELETE", provider_id)

    def open_sessions(self) -> list[str]:
        """See SessionHarness."""
        return [str(each["id"]) for each in self._emulator.truth()["sessions"] if each["active"]]

    def _call(self, method: str, provider_id: str) -> str:
        url = f"{self._emulator.url}/jobs/{provider_id}"
        answer = httpx.request(method, url, headers={"Authorization": "apiKey dummy"}, trust_env=False)
        return answer.raise_for_status().text
