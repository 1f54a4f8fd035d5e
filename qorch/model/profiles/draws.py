"""Draws from a latency profile: what becomes of one job, or of one call, as a pure function of its generator.

A forecast samples many futures by drawing with other seeds; nothing here waits or keeps anything.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from qorch.model.arrays import IntArray, UIntArray
from qorch.model.profiles.profile import ClosureFigures, FaultFigures, Profile, ShareFigure

_SCHEME = "qorch-mock-1"
"""Part of every seed: raise it with any change that changes a draw."""


def generator_of(seed: int, *subject: object) -> np.random.Generator:
    """The generator of one subject, such as a job's name and the number of the try: equal for equal arguments."""
    text = "/".join(map(str, (_SCHEME, seed, *subject)))
    key = _Key(hashlib.sha256(text.encode()).digest()[:16])
    return np.random.Generator(np.random.Philox(key))  # type: ignore[arg-type]  # numpy's own types forget ISeedSequence


class _Key(ISeedSequence):
    """Gives Philox the key of 16 bytes, big-endian, that ``Philox(key=)`` would have, at half the time.

    That draws a seed from the system first, and throws it away.
    """

    def __init__(self, key: bytes) -> None:
        self._words = np.frombuffer(key[::-1], dtype="<u8")

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> UIntArray:
        """Both words of the key."""
        return self._words


@dataclass(frozen=True)
class JobWork:
    """How much a job asks for: rows of each of its blocks, executions, and shots of them all together."""

    rows: tuple[int, ...]
    executions: int
    shots: int


@dataclass(frozen=True, eq=False)
class DrawnJob:
    """What becomes of a job that is accepted; seconds as in LatencyFigures, ``execution_seconds`` of all its work.

    ``fails``: as a whole; ``lost``: the rows of each block that fail, ascending; ``is_repeatable``: either may succeed
    the next time.
    """

    acceptance_seconds: float
    listing_seconds: float
    queue_seconds: float
    execution_seconds: float
    usage_seconds: float
    fails: bool
    is_repeatable: bool
    lost: tuple[IntArray, ...]


class CallFault(StrEnum):
    """What happens to a call. ERROR: a server's error, of which nothing was accepted, but who knows."""

    BUSY = "busy"
    ERROR = "error"
    LOST_BEFORE = "lost before"
    LOST_AFTER = "lost after"


@dataclass(frozen=True)
class DrawnCall:
    """What becomes of a call; ``result_seconds`` more if it fetches results. ``fault``: None if it is answered.

    ``silence_seconds``: how long its client waits if it is lost; ``retry_seconds``: what a busy server names.
    """

    network_seconds: float
    result_seconds: float
    silence_seconds: float
    retry_seconds: float
    fault: CallFault | None


def draw_job(profile: Profile, rng: np.random.Generator, work: JobWork) -> DrawnJob:
    """What becomes of a job of so much work."""
    times = profile.latencies

    def draw(name: str) -> float:
        return getattr(times, name).seconds.draw_seconds(rng)  # type: ignore[no-any-return]

    acceptance, listing, queue, fixed, each, shot, usage = map(
        draw, ("acceptance", "listing", "queue", "execution", "per_execution", "per_shot", "usage")
    )
    faults = profile.faults
    fate = _choose(rng.random(), faults, ("failed", "failed_for_good", "partly_failed", "partly_failed_for_good"))
    return DrawnJob(
        acceptance_seconds=acceptance,
        listing_seconds=listing,
        queue_seconds=queue,
        execution_seconds=fixed + each * work.executions + shot * work.shots,
        usage_seconds=usage,
        fails=fate in ("failed", "failed_for_good"),
        is_repeatable=fate in ("failed", "partly_failed"),
        lost=_draw_lost(rng, work) if fate.startswith("partly") else (),
    )


def draw_call(profile: Profile, rng: np.random.Generator, *, is_submission: bool) -> DrawnCall:
    """What becomes of one call."""
    times, faults = profile.latencies, profile.faults
    network, result, silence, retry = (
        figure.seconds.draw_seconds(rng) for figure in (times.network, times.result, times.silence, times.retry_after)
    )
    names = ("busy", "error", *(("lost_before", "lost_after") if is_submission else ("lost",)))
    fate = _choose(rng.random(), faults, names)
    return DrawnCall(network, result, silence, retry, _FAULTS.get(fate))


_FAULTS = {
    "busy": CallFault.BUSY,
    "error": CallFault.ERROR,
    "lost": CallFault.LOST_BEFORE,
    "lost_before": CallFault.LOST_BEFORE,
    "lost_after": CallFault.LOST_AFTER,
}


def end_of_closure(closures: ClosureFigures | None, seed: int, at_seconds: float) -> float:
    """When the closure ends that holds at a time; that time itself if there is none. Seconds since the epoch.

    The n-th closure begins at a drawn moment of the n-th period, and lies within it.
    """
    if closures is None:
        return at_seconds
    period = closures.every.seconds.mean_seconds
    number = int(at_seconds // period)
    rng = generator_of(seed, "closure", number)
    lasts = min(period, closures.lasts.seconds.draw_seconds(rng))
    begins = number * period + rng.random() * (period - lasts)
    return begins + lasts if begins <= at_seconds < begins + lasts else at_seconds


def _choose(uniform: float, faults: FaultFigures, names: tuple[str, ...]) -> str:
    """The one of these faults that happens, each with its share; empty if none does."""
    for name in names:
        figure: ShareFigure = getattr(faults, name)
        if uniform < figure.share:
            return name
        uniform -= figure.share
    return ""


def _draw_lost(rng: np.random.Generator, work: JobWork) -> tuple[IntArray, ...]:
    """Some rows of a job, and never all of them; none of a job that has only one."""
    total = sum(work.rows)
    if total < 2:
        return ()
    count = int(rng.integers(1, max(2, total // 4 + 1)))
    chosen = np.sort(rng.choice(total, size=count, replace=False)).astype(np.int64)
    ends = np.cumsum(work.rows)
    begins = ends - np.asarray(work.rows)
    return tuple(chosen[(chosen >= begin) & (chosen < end)] - begin for begin, end in zip(begins, ends, strict=True))
