"""Puts together what a backend behind a network needs of the engine, for a run or for its recovery."""

from qorch.engine.remote.adoption import Adoption
from qorch.engine.remote.delivery import Delivery
from qorch.engine.remote.finder import Finder
from qorch.engine.remote.orphans import Orphans
from qorch.engine.remote.pacer import Pacer
from qorch.engine.remote.payloads import Payloads
from qorch.engine.remote.poller import Poller
from qorch.engine.remote.queue_watch import QueueWatch
from qorch.engine.remote.reconcile import Reconciler
from qorch.engine.remote.recovery import Recovery
from qorch.engine.remote.resending import Resender
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.sender import Sender
from qorch.engine.remote.session_recovery import SessionRecovery
from qorch.engine.remote.sessions import RemoteSessions
from qorch.engine.remote.submitter import RemoteSubmitter
from qorch.engine.remote.usage_watch import MOST_EARLIER, UsageWatch
from qorch.engine.remote.window import RateWindow
from qorch.engine.run_parts import RunParts
from qorch.ports.backend import RemoteBackend


def make_remote_submitter(
    backend: RemoteBackend, run: RunParts, *, most_earlier: int = MOST_EARLIER
) -> RemoteSubmitter:
    """The submitter of a run. ``most_earlier``: of how many earlier jobs it asks what they were charged for."""
    store, journal, clock, policy = run.store, run.journal, run.clock, run.policy
    polls = RateWindow(backend.terms.poll_rate, clock=clock)
    searches = RateWindow(backend.terms.find_rate, clock=clock)
    retrier = Retrier(policy.retry, clock=clock, random=run.random, note=run.note)
    poller = Poller(backend, retrier, window=polls, clock=clock, policy=policy.poll, server_clock=run.server_clock)
    queue = QueueWatch(journal, run.recorder, clock=clock)
    usage = UsageWatch(backend, store, journal, polls=polls, clock=clock, most_earlier=most_earlier)
    reconciler = Reconciler(backend, journal, Finder(backend, retrier, window=searches), clock=clock)
    delivery = Delivery(
        backend,
        journal,
        run.recorder,
        poller=poller,
        queue=queue,
        usage=usage,
        retrier=retrier,
        clock=clock,
        server_clock=run.server_clock,
        fetches=policy.retry.fetches,
    )

    def make_recovery() -> Recovery:
        return Recovery(store, journal, reconciler=reconciler, delivery=delivery, worker=run.worker, clock=clock)

    recovery = make_recovery()
    orphans = Orphans(
        backend, store, journal, retrier=retrier, polls=polls, searches=searches, clock=clock, rebuy=policy.rebuy
    )
    sender = _make_sender(backend, run, retrier=retrier, reconciler=reconciler)
    return RemoteSubmitter(
        backend,
        run.run_id,
        journal,
        reservation=run.reservation,
        accounts=run.accounts,
        payloads=sender.payloads,
        retrier=retrier,
        poller=poller,
        queue=queue,
        usage=usage,
        pacer=sender.pacer,
        sender=sender,
        sessions=sender.sessions,
        delivery=delivery,
        recovery=recovery,
        orphans=orphans,
        adoption=Adoption(
            backend, journal, accounts=run.accounts, orphans=orphans, recovery=recovery, clock=clock, rebuy=policy.rebuy
        ),
        resender=Resender(
            recovery=recovery,
            reconciler=reconciler,
            payloads=sender.payloads,
            sender=sender,
            worker=run.worker,
        ),
        make_recovery=make_recovery,
        clock=clock,
        max_jobs=policy.retry.max_attempts,
    )


def _make_sender(backend: RemoteBackend, run: RunParts, *, retrier: Retrier, reconciler: Reconciler) -> Sender:
    return Sender(
        backend,
        run.store,
        run.journal,
        run.recorder,
        reservation=run.reservation,
        payloads=Payloads(backend, run.recorder, store_id=run.journal.store_id, worker=run.worker),
        pacer=Pacer(backend, run.store, clock=run.clock, holder=run.run_id, random=run.random),
        sessions=_make_sessions(backend, run, retrier=retrier),
        retrier=retrier,
        reconciler=reconciler,
        server_clock=run.server_clock,
        clock=run.clock,
        retry=run.policy.retry,
    )


def _make_sessions(backend: RemoteBackend, run: RunParts, *, retrier: Retrier) -> RemoteSessions:
    recovery = SessionRecovery(backend, run.store, run.journal, retrier=retrier, clock=run.clock)
    return RemoteSessions(
        backend, run.run_id, run.store, run.journal, recovery=recovery, retrier=retrier, clock=run.clock
    )
