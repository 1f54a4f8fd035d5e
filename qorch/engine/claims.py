"""Rows that several runs want at once under `reuse`: one of them buys each, the others wait for it."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from qorch.engine.run_parts import ignore
from qorch.errors import RunBusyError
from qorch.model.arrays import ByteArray, IntArray
from qorch.model.identity import KEY_BYTES
from qorch.model.samples import format_shots
from qorch.planning.lowering import RowGroup
from qorch.planning.packing import Missing
from qorch.ports.clock import Clock
from qorch.ports.records import ReleasedRows
from qorch.ports.store import RecordLog, SharedState

FIRST_WAIT_SECONDS = 0.05
LONGEST_WAIT_SECONDS = 2.0

_log = logging.getLogger("qorch.claims")


@dataclass(frozen=True, eq=False)
class Share:
    """Which of a call's missing rows are this run's to buy, and the claims on those that others have."""

    mine: tuple[Missing, ...]
    claims: ByteArray
    taken: ByteArray
    owners: tuple[str, ...]


class ClaimStore(SharedState, RecordLog, Protocol):
    """Claims rows for a run, and writes that they are given up."""


class Claims:
    """The claims of one run. A run whose process has died keeps its claims until its open jobs are over."""

    def __init__(
        self,
        store: ClaimStore,
        *,
        run_id: str,
        clock: Clock,
        recover_run: Callable[[str], Awaitable[None]],
        note: Callable[[str], None] = ignore,
    ) -> None:
        """``recover_run(run_id)`` brings the open jobs of a dead run to an end; it raises if one of them is held.

        ``note`` is told which runs are waited for.
        """
        self._note = note
        self._store = store
        self._run_id = run_id
        self._clock = clock
        self._recover_run = recover_run

    async def share(self, groups: Sequence[RowGroup], missing: Sequence[Missing], contexts: Sequence[bytes]) -> Share:
        """Claim what is free of the missing rows."""
        names = [claim_names(part, groups[part.group], contexts[part.group]) for part in missing]
        wanted = np.concatenate([*names, np.zeros((0, KEY_BYTES), dtype=np.uint8)])
        owners = np.array(await asyncio.wrap_future(self._store.claim_rows(self._run_id, wanted)), dtype=object)
        is_mine = owners == self._run_id
        ends = np.cumsum([len(part.rows) for part in missing])
        parts = np.split(is_mine, ends[:-1]) if len(ends) else []
        mine = tuple(part.take(chosen) for part, chosen in zip(missing, parts, strict=True))
        return Share(mine, wanted[is_mine], wanted[~is_mine], tuple(dict.fromkeys(owners[~is_mine])))

    async def wait(self, share: Share) -> None:
        """Wait until another run has given up some of the taken rows, having stored their results, or died.

        Raises UnknownOutcomeError if a dead run's job may have bought them, and is held.
        """
        seconds = FIRST_WAIT_SECONDS
        text = f"waiting for rows that run {', '.join(share.owners)} has in progress"
        _log.warning("%s", text)
        self._note(text)
        while True:
            for owner in share.owners:
                await self._recover_if_dead(owner)
            owners = await asyncio.wrap_future(self._store.claim_rows(self._run_id, share.taken))
            if self._run_id in owners:
                return
            await self._clock.sleep(seconds)
            seconds = min(LONGEST_WAIT_SECONDS, 1.5 * seconds)

    async def release(self, claims: ByteArray) -> None:
        """Give up claims: the results are stored, or nothing was sent."""
        if len(claims):
            await asyncio.wrap_future(self._store.write([ReleasedRows(self._run_id, claims)]))

    async def _recover_if_dead(self, owner: str) -> None:
        """If a run's process has died, bring its open jobs to an end and release its claims."""
        if await asyncio.to_thread(self._store.holder_of, owner) is not None:
            return
        try:
            with self._store.claim_run(owner):
                await self._recover_run(owner)
                await asyncio.wrap_future(self._store.write([ReleasedRows(owner)]))
        except RunBusyError:  # it has been resumed, or another run recovers its jobs
            return


def claim_names(part: Missing, group: RowGroup, context: bytes) -> ByteArray:
    """A name ``(R, 32)`` for each missing sample: the k-th of its row, at so many shots, in this context."""
    prefix = hashlib.sha256(b"qorch-claim-1" + context + f"/{format_shots(part.samples)}/".encode())
    names = bytearray()
    for key, occurrence in zip(group.keys[part.rows], occurrences(group)[part.rows], strict=True):
        hasher = prefix.copy()
        hasher.update(key.tobytes() + int(occurrence).to_bytes(8, "little"))
        names += hasher.digest()
    return np.frombuffer(bytes(names), dtype=np.uint8).reshape(len(part.rows), KEY_BYTES)


def occurrences(group: RowGroup) -> IntArray:
    """For each row of a group, how many equal rows come before it, ``(N,)``."""
    keys = np.ascontiguousarray(group.keys).view(f"V{KEY_BYTES}").reshape(-1)
    _, which = np.unique(keys, return_inverse=True)
    order = np.argsort(which, kind="stable")
    first = np.searchsorted(which[order], which[order])
    numbers = np.empty(len(keys), dtype=np.int64)
    numbers[order] = np.arange(len(keys)) - first
    return numbers
