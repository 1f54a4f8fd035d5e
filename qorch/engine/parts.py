"""Chooses the submitter for a backend: the one place that asks whether its jobs outlive this process."""

from qorch.engine.local import LocalSubmitter
from qorch.engine.remote.parts import make_remote_submitter
from qorch.engine.run_parts import RunParts
from qorch.engine.submitter import Submitter
from qorch.errors import UsageError
from qorch.ports.backend import Backend, InProcessBackend, RemoteBackend


def make_submitter(backend: Backend, run: RunParts) -> Submitter:
    """The submitter of a run on a backend. Raises UsageError if it is neither of the two kinds."""
    if isinstance(backend, RemoteBackend):
        return make_remote_submitter(backend, run)
    if isinstance(backend, InProcessBackend):
        return LocalSubmitter(
            backend,
            journal=run.journal,
            recorder=run.recorder,
            reservation=run.reservation,
            clock=run.clock,
            retry=run.policy.retry,
        )
    raise UsageError(f"{backend.name} is neither an InProcessBackend nor a RemoteBackend (qorch.ports.backend)")
