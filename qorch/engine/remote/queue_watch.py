"""Notes where jobs stand in their provider's queue: written when it changes, and waited for by nothing."""

import asyncio
from contextlib import suppress

from qorch.engine.journal import Journal
from qorch.engine.recorder import Recorder
from qorch.errors import StoreError
from qorch.model.job import JobStatus, QueuePlace, RemoteState
from qorch.ports.clock import Clock
from qorch.ports.records import JobRecord, QueueMove

WRITE_SECONDS = 1.0
"""Shortest time between two writes, each of all that has changed: a submission waits for at most one of them."""


class QueueWatch:
    """The places of the jobs that an engine waits for; the best of them is the recorder's."""

    def __init__(self, journal: Journal, recorder: Recorder, *, clock: Clock) -> None:
        """Nothing is written before a job is seen in the queue."""
        self._journal = journal
        self._recorder = recorder
        self._clock = clock
        self._places: dict[str, QueuePlace | None] = {}
        self._moves: dict[str, QueueMove] = {}
        self._task: asyncio.Task[None] | None = None

    def see(self, record: JobRecord, status: JobStatus) -> None:
        """Note where a job that is not over stands now. Returns at once."""
        known = self._places.get(record.job_id, record.queue_place)
        place = _place_of(status, self._clock)
        self._places[record.job_id] = place
        self._note_best(known, place)
        if _is_same(place, known):
            return
        self._moves[record.job_id] = QueueMove(record.job_id, record.run_id, place)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write())

    def leave(self, record: JobRecord) -> None:
        """Forget a job that is over, or that nothing waits for any more; its stored place stays."""
        place = self._places.pop(record.job_id, None)
        self._moves.pop(record.job_id, None)
        self._note_best(place, None)

    async def close(self) -> None:
        """Write nothing more: what has changed within the last second is left out."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _write(self) -> None:
        while self._moves:
            moves, self._moves = list(self._moves.values()), {}
            # A place is worth no error: what has to be stored meets the same one, and raises it.
            with suppress(StoreError):
                await self._journal.record(moves)
            await self._clock.sleep(WRITE_SECONDS)

    def _note_best(self, before: QueuePlace | None, now: QueuePlace | None) -> None:
        """A job has moved: only if it had the best place may another one's be the best now."""
        best = self._recorder.queue_place
        if now is not None and (best is None or now.order <= best.order):
            self._recorder.queue_place = now
        elif best is not None and _is_same(before, best):
            places = [place for place in self._places.values() if place is not None]
            self._recorder.queue_place = min(places, key=lambda place: place.order, default=None)


def _place_of(status: JobStatus, clock: Clock) -> QueuePlace | None:
    if status.state is not RemoteState.QUEUED or status.queue_position is None:
        return None
    return QueuePlace(status.queue_position, clock.now(), status.queue_position_is_least)


def _is_same(one: QueuePlace | None, other: QueuePlace | None) -> bool:
    return one is other if one is None or other is None else one.order == other.order
