"""Keeps free results below a bound: as new ones are stored, the store deletes the oldest in the background."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock

from qorch.config import KEEP_FREE, format_size
from qorch.errors import StoreError
from qorch.ports.clock import Clock
from qorch.ports.records import BlockRecord, Write
from qorch.ports.statistics import Trimmed
from qorch.ports.store import Room

_log = logging.getLogger("qorch.store")

MOST_BYTES = 1_000_000
"""New results between two checks of the bound; an eighth of the bound if that is less."""
PIECES = 4
"""Pieces (about a megabyte each) that are deleted per check: more than is new, so that a full database comes down."""
LAST_SECONDS = 0.5
"""How long the end of a run may wait for trimming."""


class Trimmer:
    """Counts what a session stores, and trims. ``keep_bytes``: the bound for all runs of the database together."""

    def __init__(self, store: Room, *, clock: Clock, keep_bytes: int) -> None:
        """Nothing is deleted before something is stored."""
        self._store = store
        self._clock = clock
        self._keep_bytes = keep_bytes
        self._every_bytes = min(MOST_BYTES, keep_bytes // 8)
        self._new_bytes = 0
        self._pieces_left = 0
        self._has_begun = False
        self._lock = Lock()

    def note(self, writes: Sequence[Write]) -> None:
        """Count records that were handed to the store. Returns at once."""
        size = sum(_size(record) for record in writes if isinstance(record, BlockRecord))
        with self._lock:
            self._new_bytes += size
            if not size or self._new_bytes < self._every_bytes or self._pieces_left:
                return
            self._new_bytes = 0
            self._pieces_left = PIECES
        self._trim()

    def finish(self) -> None:
        """Trim at the end of a run, which needs its own results no longer; for half a second at most."""
        deadline_ns = self._clock.monotonic_ns() + round(LAST_SECONDS * 1e9)
        with suppress(StoreError):
            while self._take(self._store.trim_free(self._keep_bytes).result()):
                if self._clock.monotonic_ns() > deadline_ns:
                    return

    def _trim(self) -> None:
        """Trim one piece; its end begins the next, so that other writes come in between."""
        try:
            self._store.trim_free(self._keep_bytes).add_done_callback(self._go_on)
        except StoreError:  # it was closed
            self._pieces_left = 0

    def _go_on(self, done: "Future[Trimmed]") -> None:
        # A store that cannot delete cannot write either, and raises that error when a write is waited for.
        has_more = done.exception() is None and self._take(done.result())
        self._pieces_left = self._pieces_left - 1 if has_more else 0
        if self._pieces_left:
            self._trim()

    def _take(self, trimmed: Trimmed) -> bool:
        """Log the first deletion; whether there is more to do."""
        if trimmed.rows and not self._has_begun:
            self._has_begun = True
            _log.warning(
                "free results in %s take more than %s: from now on the oldest ones that no resume needs are deleted in"
                " the background (only the cache policy 'reuse' would miss them; %s sets the bound, 'unlimited' keeps"
                " them all)",
                self._store.location,
                format_size(self._keep_bytes),
                KEEP_FREE,
            )
        return trimmed.has_more


def _size(block: BlockRecord) -> int:
    """About what a block takes in the store."""
    return block.rows.keys.nbytes + block.result.nbytes
