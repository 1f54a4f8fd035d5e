"""What every backend at a provider must do, as a pytest class that adapters of third parties can subclass too.

A vendor's tests supply a ``ProviderHarness``, a loopback server of the protocol with switches for its behaviour::

    class TestMine(RemoteBackendConformance):
        @pytest.fixture
        def provider(self) -> Iterator[ProviderHarness]:
            with MyServer() as server:
                yield MyHarness(server)

Read ``harness.py`` first: it says what a server can be told to do. ``submission.py``, ``questions.py``, ``results.py``,
``usage.py`` and ``adoption.py`` are the checks, ``sessions.py`` those of backends with sessions; ``base.py`` is what
they share; every check of ``BackendConformance`` runs too, each job over the wire. A backend that estimates expectation
values itself has ``EstimateChecks`` of ``estimates.py``, too.
"""

from qorch.testing.conformance.remote.adoption import AdoptionChecks
from qorch.testing.conformance.remote.harness import Behaviour, ProviderHarness
from qorch.testing.conformance.remote.questions import QuestionChecks
from qorch.testing.conformance.remote.results import ResultChecks
from qorch.testing.conformance.remote.sessions import SessionChecks, SessionHarness
from qorch.testing.conformance.remote.submission import SubmissionChecks
from qorch.testing.conformance.remote.usage import UsageChecks

__all__ = ["Behaviour", "ProviderHarness", "RemoteBackendConformance", "SessionConformance", "SessionHarness"]


class RemoteBackendConformance(SubmissionChecks, QuestionChecks, ResultChecks, UsageChecks, AdoptionChecks):
    """Subclass it and give the fixture ``provider``; see BackendConformance and SubmissionChecks for the attributes."""


class SessionConformance(RemoteBackendConformance, SessionChecks):
    """The same for a backend that is a ``ProviderSessions``; its ``provider`` is a SessionHarness."""
