"""The clock of a dry run: each thread that asks has its own virtual time, the loop another."""

import asyncio
import datetime
import threading
from contextlib import AbstractContextManager

from qorch.dry_run.loop import CallerLoop
from qorch.dry_run.portal import VirtualPortal
from qorch.dry_run.recorder import CallRecorder
from qorch.ports.clock import Clock
from qorch.ports.records import RunRecord
from qorch.run.portal import LoopThread
from qorch.virtual_time import START


class CallerClock:
    """See ``Clock``, ``MeasuringClock`` and ``PortalClock``. Make it in the thread that makes the first call."""

    def __init__(self, *, compute_seconds: float | None = None, real: Clock | None = None) -> None:
        """Start the loop. ``compute_seconds``: of the model's own code in a step; None: it is measured, by ``real``.

        If it is given, nothing else that is computed takes time.
        """
        self.compute_seconds = compute_seconds
        self.loop = CallerLoop(is_frozen=compute_seconds is not None, real=real)
        self.recorders: dict[str, CallRecorder] = {}
        self._host = LoopThread(lambda: self.loop)

    def monotonic_ns(self) -> int:
        """See Clock."""
        return round(self.seconds() * 1e9)

    def now(self) -> datetime.datetime:
        """See Clock."""
        return START + datetime.timedelta(seconds=self.seconds())

    async def sleep(self, seconds: float) -> None:
        """See Clock; in the loop only."""
        await asyncio.sleep(seconds)

    def stand_still(self) -> AbstractContextManager[None]:
        """See MeasuringClock; in the loop only."""
        return self.loop.stand_still()

    def end_step(self) -> None:
        """Add what the model computes in a step, if that is given, to the time of the calling thread."""
        if self.compute_seconds:
            self.loop.callers.spend(self.compute_seconds)

    def open_portal(self, record: RunRecord) -> VirtualPortal:
        """See PortalClock. The calls of the run, or of its newest session, are recorded in ``recorders`` by its id."""
        earlier = self.recorders.get(record.run_id)
        recorder = CallRecorder(
            record,
            seconds=self.seconds,
            computed_seconds=lambda: self.loop.computed_seconds,
            stored=frozenset() if earlier is None else earlier.positions,
        )
        self.recorders[record.run_id] = recorder
        return VirtualPortal(self._host, self.loop, recorder)

    def close(self) -> None:
        """End the loop; no run may be open any more."""
        self._host.close()

    def seconds(self) -> float:
        """The virtual time of the thread that asks, since the start."""
        caller = None if threading.current_thread() is self._host.thread else self.loop.callers.find()
        return self.loop.time() if caller is None else self.loop.callers.seconds_of(caller)
