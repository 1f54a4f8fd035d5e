"""Chooses the submitter for a backend: the one place that asks whether its jobs outlive this process."""

import numpy as np

from qorch.engine.journal import Journal
from qorch.engine.local import LocalSubmitter
from qorch.engine.recorder import Recorder
from qorch.engine.remote.parts import make_remote_submitter
from qorch.engine.reservation import Reservation
from qorch.engine.submitter import Submitter
from qorch.engine.worker import Worker
from qorch.errors import UsageError
from qorch.ports.backend import Backend, InProcessBackend, RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import RunPolicy
from qorch.ports.store import Store


def make_submitter(
    backend: Backend,
    store: Store,
    *,
    journal: Journal,
    reservation: Reservation,
    worker: Worker,
    recorder: Recorder,
    clock: Clock,
    policy: RunPolicy,
    run_id: str,
    random: np.random.Generator,
) -> Submitter:
    """The submitter of a run on a backend. Raises UsageError if it is neither of the two kinds."""
    if isinstance(backend, RemoteBackend):
        return make_remote_submitter(
            backend,
            store,
            journal=journal,
            reservation=reservation,
            worker=worker,
            recorder=recorder,
            clock=clock,
            policy=policy,
            run_id=run_id,
            random=random,
        )
    if isinstance(backend, InProcessBackend):
        return LocalSubmitter(
            backend, journal=journal, recorder=recorder, reservation=reservation, clock=clock, retry=policy.retry
        )
    raise UsageError(f"{backend.name} is neither an InProcessBackend nor a RemoteBackend (qorch.ports.backend)")
