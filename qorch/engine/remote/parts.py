"""Puts together what a backend behind a network needs of the engine, for a run or for its recovery."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.engine.remote.adoption import Adoption
from qorch.engine.remote.delivery import Delivery
from qorch.engine.remote.finder import Finder
from qorch.engine.remote.orphans import Orphans
from qorch.engine.remote.pacer import Pacer
from qorch.engine.remote.poller import Poller
from qorch.engine.remote.reconcile import Settlement
from qorch.engine.remote.recovery import Ending, Recovery
from qorch.engine.remote.retrying import Retrier
from qorch.engine.remote.submitter import RemoteSubmitter
from qorch.errors import UnknownOutcomeError
from qorch.ports.backend import RemoteBackend
from qorch.ports.clock import Clock
from qorch.ports.policy import RunPolicy
from qorch.ports.store import Store


@dataclass(frozen=True, eq=False)
class RemoteParts:
    """One of each, sharing one pace, one poller and one budget of retries."""

    backend: RemoteBackend
    submitter: RemoteSubmitter
    recovery: Recovery
    orphans: Orphans
    adoption: Adoption
    pacer: Pacer
    poller: Poller
    retrier: Retrier
    make_recovery: Callable[[], Recovery]

    async def open(self, run_id: str) -> None:
        """Open the backend, however long that takes, and adopt what an earlier life of the run left there.

        Raises what ``RemoteBackend.open`` raises once the retries' patience is over.
        """
        await self.retrier.prepare(self.backend.open)
        self.orphans.start(run_id)
        self.recovery.start(run_id)

    async def settle_run(self, run_id: str) -> None:
        """Bring to an end what a dead run left at the provider.

        Raises UnknownOutcomeError where one of its jobs is held, and BackendError where the provider cannot be asked.
        """
        recovery = self.make_recovery()
        recovery.start(run_id)
        held = [recovered for recovered in await recovery.wait() if recovered.ending is Ending.HELD]
        if held:
            raise UnknownOutcomeError(held[0].reason)

    async def close(self) -> None:
        """Stop asking and submitting; what is at the provider stays there, to be adopted."""
        await self.orphans.close()
        await self.recovery.close()
        await self.poller.close()
        await self.pacer.leave()


def make_remote_parts(
    backend: RemoteBackend,
    store: Store,
    *,
    journal: Journal,
    recorder: Recorder,
    clock: Clock,
    policy: RunPolicy,
    run_id: str,
    random: np.random.Generator,
) -> RemoteParts:
    """``random`` draws the jitter of retries and pauses."""
    retrier = Retrier(policy.retry, clock=clock, random=random)
    poller = Poller(backend, retrier, clock=clock, policy=policy.poll)
    pacer = Pacer(backend, store, clock=clock, holder=run_id, random=random)
    settlement = Settlement(backend, journal, Finder(backend, retrier), clock=clock)
    delivery = Delivery(
        backend, journal, recorder, poller=poller, retrier=retrier, clock=clock, fetches=policy.retry.fetches
    )
    submitter = RemoteSubmitter(
        backend,
        journal,
        recorder,
        pacer=pacer,
        retrier=retrier,
        settlement=settlement,
        delivery=delivery,
        clock=clock,
        retry=policy.retry,
    )

    def make_recovery() -> Recovery:
        return Recovery(store, journal, settlement=settlement, delivery=delivery, clock=clock)

    recovery = make_recovery()
    orphans = Orphans(backend, store, journal, retrier=retrier, clock=clock, rebuy=policy.rebuy)
    adoption = Adoption(backend, journal, orphans=orphans, recovery=recovery, clock=clock, rebuy=policy.rebuy)
    return RemoteParts(backend, submitter, recovery, orphans, adoption, pacer, poller, retrier, make_recovery)
