"""Puts together what a backend behind a network needs of the engine, for a run or for its recovery."""

import numpy as np

from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.engine.remote.adoption import Adoption
from qorch.engine.remote.delivery import Delivery
from qorch.engine.remote.finder import Finder
from qorch.engine.remote.orphans import Orphans
from qorch.engine.remote.pacer import Pacer
from qorch.engine.remote.payloads import Payloads
from qorch.engine.remote.poller import Poller
from qorch.engine.remote.reconcile import Reconciler
from qorch.engine.remote.recovery import Recovery
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.sender import Sender
from qorch.engine.remote.submitter import RemoteSubmitter
from qorch.engine.remote.window import RateWindow
from qorch.engine.reservation import Reservation
from qorch.engine.worker import Worker
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import RunPolicy
from qorch.ports.store import Store


def make_remote_submitter(
    backend: RemoteBackend,
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
) -> RemoteSubmitter:
    """The submitter of a run. ``random`` draws the jitter of retries and pauses."""
    terms = backend.terms
    polls, searches = RateWindow(terms.poll_rate, clock=clock), RateWindow(terms.find_rate, clock=clock)
    retrier = Retrier(policy.retry, clock=clock, random=random)
    poller = Poller(backend, retrier, window=polls, clock=clock, policy=policy.poll)
    pacer = Pacer(backend, store, clock=clock, holder=run_id, random=random)
    reconciler = Reconciler(backend, journal, Finder(backend, retrier, window=searches), clock=clock)
    delivery = Delivery(
        backend, journal, recorder, poller=poller, retrier=retrier, clock=clock, fetches=policy.retry.fetches
    )

    def make_recovery() -> Recovery:
        return Recovery(store, journal, reconciler=reconciler, delivery=delivery, worker=worker, clock=clock)

    recovery = make_recovery()
    orphans = Orphans(
        backend,
        store,
        journal,
        retrier=retrier,
        polls=polls,
        searches=searches,
        clock=clock,
        rebuy=policy.rebuy,
    )
    payloads = Payloads(backend, recorder, store_id=journal.store_id, worker=worker)
    sender = Sender(
        backend,
        store,
        journal,
        recorder,
        reservation=reservation,
        payloads=payloads,
        pacer=pacer,
        retrier=retrier,
        reconciler=reconciler,
        clock=clock,
        retry=policy.retry,
    )
    return RemoteSubmitter(
        backend,
        run_id,
        journal,
        reservation=reservation,
        payloads=payloads,
        retrier=retrier,
        poller=poller,
        pacer=pacer,
        sender=sender,
        delivery=delivery,
        recovery=recovery,
        orphans=orphans,
        adoption=Adoption(backend, journal, orphans=orphans, recovery=recovery, clock=clock, rebuy=policy.rebuy),
        make_recovery=make_recovery,
        clock=clock,
        max_jobs=policy.retry.max_attempts,
    )
