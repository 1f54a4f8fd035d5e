"""The simulation proves something: an engine that is broken on purpose is found out within a few seeds."""

import asyncio
import dataclasses
import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from simulation.checks import judge
from simulation.world import World

from qorch.engine.journal import Journal
from qorch.engine.remote import pacing, poller, reconcile, recovery, remembering, resending, sender, submitter
from qorch.engine.remote.delivery import Delivery
from qorch.engine.remote.finder import Finder
from qorch.engine.remote.orphans import Orphans
from qorch.engine.remote.reconcile import Reconciler
from qorch.engine.remote.recovery import Recovery
from qorch.engine.remote.sender import Sender
from qorch.engine.remote.sending import SentTime
from qorch.errors import BusyError, JobFailedError, UnknownOutcomeError
from qorch.model.job import JobRequest, JobState, Payload
from qorch.ports.policy import OnUnknown, Rate
from qorch.ports.records import AttemptRecord, JobRecord, Write
from qorch.testing.fakes.provider import Fault
from qorch.testing.fakes.remote import FakeRemote

Patch = Callable[[pytest.MonkeyPatch], None]
MOST_SEEDS = 200


async def write_without_waiting(self: Journal, writes: Sequence[Write]) -> None:
    """An intent that may not be on disk when the submission leaves."""
    self._store.write(writes)


def no_wait_for_the_disk(patch: pytest.MonkeyPatch) -> None:
    """Intents are written, and not waited for."""
    patch.setattr(Journal, "write_ahead", write_without_waiting)


def no_intent(patch: pytest.MonkeyPatch) -> None:
    """What is written ahead comes after the submission."""
    intend = Sender._intend
    send = Sender._send

    async def intend_later(self: Sender, sending: Any) -> None:
        journal, self.journal = self.journal, _Nothing(self.journal)
        try:
            await intend(self, sending)
        finally:
            self.journal = journal

    async def send_first(self: Sender, sending: Any, payload: Any, permit: Any) -> None:
        record, attempt = sending.record, sending.attempt
        await send(self, sending, payload, permit)
        await self.journal.write_ahead([record, attempt, sending.plan])

    patch.setattr(Sender, "_intend", intend_later)
    patch.setattr(Sender, "_send", send_first)


class _Nothing:
    """A journal that does not write ahead."""

    def __init__(self, journal: Any) -> None:
        self._journal = journal

    async def write_ahead(self, writes: Sequence[Write]) -> None:
        """Do nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


def no_settle_time(patch: pytest.MonkeyPatch) -> None:
    """What no list shows at once counts as not accepted."""

    async def reconcile_at_once(self: Reconciler, record: JobRecord, **settings: Any) -> JobRecord:
        clock, self._clock = self._clock, _Hasty(self._clock)
        try:
            return await reconcile(self, record, **settings)
        finally:
            self._clock = clock

    reconcile = Reconciler.reconcile
    patch.setattr(Reconciler, "reconcile", reconcile_at_once)


class _Hasty:
    """A clock that does not wait."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    async def sleep(self, _seconds: float) -> None:
        await asyncio.sleep(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)


def resent_at_once(patch: pytest.MonkeyPatch) -> None:
    """A submission without an answer is simply tried again."""

    async def send_again(self: Sender, sending: Any, permit: Any, reason: str) -> None:
        error = BusyError(reason)
        await permit.refused(error)
        raise error

    patch.setattr(Sender, "_doubt", send_again)


def blind_finder(patch: pytest.MonkeyPatch) -> None:
    """What the lists show is ignored."""

    async def find(self: Finder, key: str, since: datetime.datetime) -> None:
        return None

    patch.setattr(Finder, "find", find)


def failing_finder_means_failed(patch: pytest.MonkeyPatch) -> None:
    """A provider that cannot be asked counts as one that does not have the job."""

    async def find(self: Reconciler, record: JobRecord, key: str, *, since: datetime.datetime) -> str | None:
        try:
            return await find_or_raise(self, record, key, since=since)
        except UnknownOutcomeError as error:
            raise BusyError(str(error)) from error

    find_or_raise = Reconciler._find
    patch.setattr(Reconciler, "_find", find)


def held_is_not_sent(patch: pytest.MonkeyPatch) -> None:
    """A held job does not stop its call."""

    async def wait_at(self: Recovery, position: Any) -> None:
        await asyncio.gather(*self._tasks[position])

    patch.setattr(Recovery, "wait_at", wait_at)


async def do_nothing(self: object, run_id: str) -> None:
    """In place of a start."""


def no_recovery(patch: pytest.MonkeyPatch) -> None:
    """What an earlier life left behind is forgotten."""
    patch.setattr(Recovery, "start", do_nothing)


def backups_are_trusted(patch: pytest.MonkeyPatch) -> None:
    """What a restored database does not know is not looked for."""
    patch.setattr(Orphans, "start", do_nothing)


def unseen_is_failed(patch: pytest.MonkeyPatch) -> None:
    """A job that lists do not show is given up, whatever the terms."""
    patch.setattr(poller, "lost_job", lambda backend, name: JobFailedError(name, is_repeatable=True))


def trusted_clock(patch: pytest.MonkeyPatch) -> None:
    """The wall clock is believed when the lists are searched."""
    patch.setattr(reconcile, "CLOCK_DOUBT", datetime.timedelta())


def no_rate(patch: pytest.MonkeyPatch) -> None:
    """Declared limits are not kept."""
    patch.setattr(pacing, "_window_wait", lambda throttle, rate, now: 0.0)


def careless_start(patch: pytest.MonkeyPatch) -> None:
    """What was being sent when a process died does not count in the window."""

    def forget(throttle: pacing.Throttle, holder: str, *, now: float) -> pacing.Throttle:
        others = {name: other for name, other in throttle.holders.items() if name != holder}
        return msgspec.structs.replace(throttle, holders=others)

    patch.setattr(pacing, "enter", forget)
    patch.setattr(pacing, "leave", forget)


def rows_not_stored(patch: pytest.MonkeyPatch) -> None:
    """A job is done, and its rows are not written."""
    patch.setattr("qorch.engine.remote.delivery.block_records", lambda *_, **__: [])


def lost_rows_forgotten(patch: pytest.MonkeyPatch) -> None:
    """Rows that failed at the provider do not run again."""
    patch.setattr(submitter, "lost_rows", lambda *_: None)


def impatient(patch: pytest.MonkeyPatch) -> None:
    """A job that is not done soon raises an unexpected error."""

    async def deliver(self: Delivery, record: JobRecord, plan: Any, **settings: Any) -> Any:
        return await asyncio.wait_for(whole(self, record, plan, **settings), 1.0)

    whole = Delivery.deliver
    patch.setattr(Delivery, "deliver", deliver)


def keys_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A provider is believed to remember keys for ever."""
    patch.setattr(remembering, "REMEMBERED_SHARE", 1e6)


def resent_after_the_time(patch: pytest.MonkeyPatch) -> None:
    """A resumed run sends a job again, however long ago it was sent first."""
    patch.setattr(Reconciler, "seconds_left", lambda self, first_sent_at: 1e9)
    patch.setattr(SentTime, "of_earlier_process", classmethod(lambda cls, at, clock: cls.now(clock)))


def the_last_attempt_counts(patch: pytest.MonkeyPatch) -> None:
    """Every life that sends a job again gets the whole time anew."""

    def last_in_doubt(attempts: Sequence[AttemptRecord]) -> AttemptRecord | None:
        return attempts[-1] if remembering.first_in_doubt(attempts) else None

    patch.setattr(recovery, "first_in_doubt", last_in_doubt)
    patch.setattr(sender, "first_in_doubt", last_in_doubt)


def resent_without_a_list(patch: pytest.MonkeyPatch) -> None:
    """No list is asked before a job is sent again: the clock alone says that the provider remembers."""

    async def look_for(self: Reconciler, record: JobRecord, *, reason: str, **_: Any) -> JobRecord:
        unknown = record.moved(JobState.UNKNOWN, at=self._clock.now(), error=reason)
        await self._journal.write_ahead([unknown])
        return unknown

    patch.setattr(Reconciler, "look_for", look_for)


def other_bytes(patch: pytest.MonkeyPatch) -> None:
    """An adapter encodes a job anew in every process, and what is sent again is not compared with what was sent."""
    encode = FakeRemote.encode

    def encode_anew(self: FakeRemote, request: JobRequest, *, key: str) -> Payload:
        payload = encode(self, request, key=key)
        return dataclasses.replace(payload, content=payload.content + str(id(self)).encode())

    async def check(self: Sender, sending: Any) -> None:
        """In place of a comparison."""

    patch.setattr(FakeRemote, "encode", encode_anew)
    patch.setattr(resending, "has_sent", lambda encoded, attempts: True)
    patch.setattr(Sender, "_check_payload", check)


def never_resent(patch: pytest.MonkeyPatch) -> None:
    """What an ended process left in doubt is held, though the provider remembers it."""
    patch.setattr(Reconciler, "seconds_left", lambda self, first_sent_at: 0.0)


def a_refusal_ends_the_doubt(patch: pytest.MonkeyPatch) -> None:
    """A resend that is refused counts as a proof that the first submission was not accepted."""
    note = Sender._note_unsent

    async def note_unsent(self: Sender, sending: Any, reason: str) -> None:
        sending.is_in_doubt = False
        await note(self, sending, reason)

    patch.setattr(Sender, "_note_unsent", note_unsent)


OUTAGES = {
    "on_unknown": OnUnknown.RESUBMIT,
    "settle_seconds": 5.0,
    "accept_seconds": 1.0,
    "patience_seconds": 60.0,
    "faults": dict.fromkeys(Fault, 0.0) | {Fault.LOST_AFTER: 0.5},
    "outages": tuple((start, start + 200.0) for start in np.arange(15.0, 9000.0, 400.0)),
}
"""Many answers are lost, and the lists cannot be read for longer than the patience lasts."""

SLOW_WINDOW = {"rate": Rate(2, 30.0), "is_rate_declared": True, "round_trip_seconds": 2.0}
"""A process that starts asks first whether the backend is open: only slow answers leave a window to be missed."""

FORGETFUL = {
    "remembers_keys_seconds": 20.0,
    "hang_seconds": 30.0,
    "faults": dict.fromkeys(Fault, 0.0) | {Fault.LOST_AFTER: 0.5, Fault.LIMITED: 0.3},
}
"""Answers are lost, and the provider forgets keys before the wait for them is over."""

REMEMBERING = {
    "remembers_keys_seconds": 3600.0,
    "accept_seconds": 1.0,
    "faults": dict.fromkeys(Fault, 0.0) | {Fault.LOST_AFTER: 0.4, Fault.BUSY: 0.3, Fault.REJECTED: 0.1},
}
"""Answers are lost, and resends refused, while the provider remembers keys."""

LATE_LISTS: dict[str, object] = {
    "on_unknown": OnUnknown.HOLD,
    "settle_seconds": 5.0,
    "accept_seconds": 3000.0,
    "remembers_keys_seconds": 60.0,
    "faults": dict.fromkeys(Fault, 0.0) | {Fault.LOST_BEFORE: 0.2, Fault.LOST_AFTER: 0.3},
    "hang_seconds": 30.0,
    "jumps": (),
}
"""Answers are lost, lists show jobs long after the provider has forgotten their keys, and all clocks are right."""

SWALLOWED: dict[str, object] = {
    "remembers_keys_seconds": 300.0,
    "faults": dict.fromkeys(Fault, 0.0) | {Fault.LOST_BEFORE: 0.4, Fault.LOST_AFTER: 0.5},
    "most_seconds": 600.0,
    "pause_seconds": (60.0, 300.0),
}
"""Hardly an answer arrives, so that a job is sent again for minutes, by one process after the other."""

LEFT_IN_DOUBT = {
    "on_unknown": OnUnknown.HOLD,
    "settle_seconds": 5.0,
    "accept_seconds": 1.0,
    "remembers_keys_seconds": 3600.0,
    "faults": dict.fromkeys(Fault, 0.0) | {Fault.LOST_BEFORE: 0.5},
    "hang_seconds": 30.0,
    "pause_seconds": (1.0, 100.0),
}
"""What processes send is often lost on its way, and they die soon, and start again soon."""

SLOW_CLOCKS = {
    "on_unknown": OnUnknown.HOLD,
    "settle_seconds": 5.0,
    "accept_seconds": 1.0,
    "remembers_keys_seconds": 60.0,
    "faults": dict.fromkeys(Fault, 0.0) | {Fault.LOST_AFTER: 0.4},
    "hang_seconds": 30.0,
    "jumps": tuple((start, -0.9 * start) for start in np.arange(10.0, 3600.0, 10.0)),
}
"""Answers are lost, lists are right, and wall clocks are set back all the time."""

MUTANTS: tuple[tuple[Patch, str, dict[str, object]], ...] = (
    (no_wait_for_the_disk, "before its intent was on disk", {}),
    (no_intent, "before its intent was on disk", {}),
    (no_settle_time, "in doubt", {}),
    (resent_at_once, "in doubt", {}),
    (blind_finder, "have the key", {}),
    (failing_finder_means_failed, "in doubt|bought|have the key", OUTAGES),
    (held_is_not_sent, "bought", {}),
    (no_recovery, "bought|in doubt", {}),
    (backups_are_trusted, "have the key|bought", {"backup_at": 6.0}),
    (unseen_is_failed, "bought", {}),
    (trusted_clock, "have the key|bought|in the store", {}),
    (no_rate, "arrived within", {}),
    (careless_start, "arrived within", SLOW_WINDOW),
    (rows_not_stored, "bought", {}),
    (lost_rows_forgotten, "for no reason", {}),
    (impatient, "TimeoutError", {}),
    (keys_for_ever, "have the key", FORGETFUL),
    (resent_after_the_time, "have the key|in doubt", LATE_LISTS),
    (the_last_attempt_counts, "have the key|in doubt", LATE_LISTS | SWALLOWED),
    (resent_without_a_list, "have the key|in doubt", SLOW_CLOCKS),
    (other_bytes, "other bytes under its key", LEFT_IN_DOUBT),
    (never_resent, "was not sent again", LEFT_IN_DOUBT),
    (a_refusal_ends_the_doubt, "bought|in doubt|in the store|not in the store", REMEMBERING),
)


@pytest.mark.parametrize(("mutant", "wrong", "change"), MUTANTS, ids=[mutant[0].__name__ for mutant in MUTANTS])
def test_a_broken_engine_is_found_out(
    mutant: Patch, wrong: str, change: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant breaks a promise within a few seeds, and the sentence that says so is the right one."""
    mutant(monkeypatch)
    others: list[str] = []
    for seed in range(MOST_SEEDS):
        found = judge(World(seed, change=change).run())
        hits = [line for line in found if re.search(wrong, line)]
        if hits:
            print(f"found out by seed {seed}: {hits[0]}")
            return
        others += found
    raise AssertionError(f"{MOST_SEEDS} seeds found nothing of the kind, but {others}")


@pytest.mark.parametrize(
    "change",
    [OUTAGES, FORGETFUL, REMEMBERING, LATE_LISTS, LATE_LISTS | SWALLOWED, LEFT_IN_DOUBT, SLOW_CLOCKS],
    ids=["outages", "forgetful", "remembering", "late lists", "swallowed", "left in doubt", "slow clocks"],
)
@pytest.mark.parametrize("seeds", [8, pytest.param(100, marks=pytest.mark.soak)])
def test_the_unbroken_engine_passes_in_the_same_worlds(change: dict[str, object], seeds: int) -> None:
    """The conditions that find out these mutants are no reason to find anything by themselves."""
    for seed in range(seeds):
        assert not judge(World(seed, change=change).run())
