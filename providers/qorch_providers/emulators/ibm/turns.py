"""Whose turn it is on a device: first come, first served, except that an active session has it for itself."""

import asyncio
from dataclasses import dataclass, field

from qorch_providers.emulators.ibm.sessions import IbmSession


@dataclass(eq=False)
class _Ticket:
    """A job that waits."""

    session: IbmSession | None
    granted: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class DeviceTurns:
    """The queue of one device. ``workers``: jobs that run side by side, 0 for any number."""

    def __init__(self, workers: int) -> None:
        """Begin empty."""
        self._workers = workers
        self._running = 0
        self._waiting: list[_Ticket] = []
        self._holder: IbmSession | None = None

    async def take(self, session: IbmSession | None) -> None:
        """Wait for a turn, for a job of a session, a batch, or neither."""
        ticket = _Ticket(session)
        self._waiting.append(ticket)
        self._grant()
        try:
            await ticket.granted
        except asyncio.CancelledError:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            elif not ticket.granted.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """A turn is over."""
        self._running -= 1
        self._grant()

    def release(self, session: IbmSession) -> None:
        """A session is not active any longer."""
        if self._holder is session:
            self._holder = None
            self._grant()

    def _grant(self) -> None:
        for ticket in tuple(self._waiting):
            if self._workers and self._running >= self._workers:
                return
            if ticket.granted.done() or (self._holder is not None and ticket.session is not self._holder):
                continue
            self._waiting.remove(ticket)
            self._running += 1
            if ticket.session is not None and ticket.session.is_dedicated:
                self._holder = ticket.session
            ticket.granted.set_result(None)
