"""Keeps free results below a bound: has the store delete the oldest ones, in the background, as new ones come."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock

from qorch.config import KEEP_FREE, format_size
from qorch.errors import StoreError
from qorch.ports import Clock, Store
from qorch.records import BlockRecord, Trimmed, Write

_logger = logging.getLogger("qorch.store")

MOST_BYTES = 1_000_000
"""New results between two looks at the bound; fewer where the bound is small."""
PIECES = 4
"""Deleted for as much that is new: a database far above its bound comes down, and training hardly notices."""
LAST_SECONDS = 0.5


class Trimmer:
    """Counts what a session stores, and trims. ``keep_bytes``: the bound, of all runs of the database together."""

    def __init__(self, store: Store, *, clock: Clock, keep_bytes: int) -> None:
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
        """These were handed to the store. Returns at once."""
        size = sum(_size(record) for record in writes if isinstance(record, BlockRecord))
        with self._lock:
            self._new_bytes += size
            if not size or self._new_bytes < self._every_bytes or self._pieces_left:
                return
            self._new_bytes = 0
            self._pieces_left = PIECES
        self._trim()

    def finish(self) -> None:
        """What the end of a run sets free goes as well: waits for it, for half a second at most."""
        deadline_ns = self._clock.monotonic_ns() + round(LAST_SECONDS * 1e9)
        with suppress(StoreError):
            while self._take(self._store.trim_free(self._keep_bytes).result()):
                if self._clock.monotonic_ns() > deadline_ns:
                    return

    def _trim(self) -> None:
        """One piece after the other, each in the store's own time: what others write comes in between."""
        try:
            self._store.trim_free(self._keep_bytes).add_done_callback(self._go_on)
        except StoreError:  # it was closed
            self._pieces_left = 0

    def _go_on(self, done: "Future[Trimmed]") -> None:
        # A store that cannot delete cannot write either, and says so to whoever waits for what it writes.
        has_more = done.exception() is None and self._take(done.result())
        self._pieces_left = self._pieces_left - 1 if has_more else 0
        if self._pieces_left:
            self._trim()

    def _take(self, trimmed: Trimmed) -> bool:
        """Say so at the first deletion; whether there is more to do."""
        if trimmed.rows and not self._has_begun:
            self._has_begun = True
            _logger.warning(
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
    result = block.result.counts if block.result.values is None else block.result.values
    return block.keys.nbytes + (0 if result is None else result.nbytes)
