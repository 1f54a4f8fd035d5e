"""What may go wrong in a simulated world: drawn from its seed, one set of conditions per world."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from qorch.errors import JobFailedError
from qorch.model.job import JobRequest, LostRows
from qorch.ports.policy import OnUnknown, Rate, Terms
from qorch.testing.fakes.provider import FakeProvider, Fault
from qorch.testing.fakes.remote import FREE, PAID, FakeRemote

HOUR = 3600.0
DAY = 24 * HOUR
NEVER_READABLE = 99
"""So often spoiled, an answer is not believed however often it is fetched."""


@dataclass(frozen=True)
class Conditions:
    """The weather of one world; ``faults`` and the other chances are per call or job.

    ``backup_at``: when the store is backed up; the backup replaces it after the next crash of the whole machine.
    ``accept_seconds``: the longest time from the arrival of a submission until lists show its job. ``most_seconds``: in
    the queue. ``outages``, ``closures`` and ``lockouts`` as the provider has them. ``jumps``: when, and how many
    seconds ahead the wall clock then is. ``remembers_keys_seconds``: the provider answers a resend within it with the
    job that it has. ``pause_seconds``: the least and the most between a crash and the next start.
    """

    on_unknown: OnUnknown
    settle_seconds: float
    accept_seconds: float
    most_seconds: float
    faults: dict[Fault, float]
    failure: float
    loss: float
    spoil: float
    spoil_for_good: float
    rate: Rate | None
    is_rate_declared: bool
    most_jobs: int
    rows_in_job: int
    round_trip_seconds: float
    hang_seconds: float
    sync_seconds: float
    patience_seconds: float = DAY
    outages: tuple[tuple[float, float], ...] = ()
    closures: tuple[tuple[float, float], ...] = ()
    lockouts: tuple[tuple[float, float], ...] = ()
    jumps: tuple[tuple[float, float], ...] = ()
    backup_at: float | None = None
    remembers_keys_seconds: float = 0.0
    pause_seconds: tuple[float, float] = (1e-3, HOUR)

    @property
    def terms(self) -> Terms:
        """What the engine is told."""
        rate = self.rate if self.is_rate_declared else None
        return Terms(
            "fake-account",
            self.on_unknown,
            self.settle_seconds,
            self.most_jobs,
            rate,
            remembers_keys_seconds=self.remembers_keys_seconds,
        )

    @property
    def charges(self) -> bool:
        """Whether jobs are paid for: where they are held, as by default."""
        return self.on_unknown is OnUnknown.HOLD


def draw_conditions(random: np.random.Generator) -> Conditions:
    """Any weather; under RESUBMIT the settle time is longer than acceptance takes, as its terms promise.

    A second purchase under a remembered key takes both a list that shows a job too late, and a wrong clock: never both.
    """
    on_unknown = OnUnknown.HOLD if random.random() < 0.5 else OnUnknown.RESUBMIT
    settle = float(random.choice([5.0, 30.0, 60.0]))
    # Of a generator of its own, so that no other condition depends on it.
    remembers_keys_seconds = _pick(random.spawn(1)[0], [0.0, 0.0, 60.0, 300.0, 3600.0])
    shares = [0.0, 0.1, 0.9] if on_unknown is OnUnknown.RESUBMIT else [0.0, 0.1, 0.9, 3.0, 3000.0]
    share = float(random.choice(shares))
    longest = float(random.choice([2.0, 30.0, 600.0, 3 * HOUR, 3 * DAY], p=[0.3, 0.4, 0.2, 0.07, 0.03]))
    return Conditions(
        on_unknown=on_unknown,
        settle_seconds=settle,
        accept_seconds=settle * share,
        most_seconds=longest,
        faults={fault: _chance(random, fault) for fault in Fault},
        failure=_pick(random, [0.0, 0.0, 0.05, 0.2]),
        loss=_pick(random, [0.0, 0.0, 0.05, 0.2]),
        spoil=_pick(random, [0.0, 0.0, 0.1, 0.4]),
        spoil_for_good=_pick(random, [0.0, 0.0, 0.0, 0.05]),
        rate=Rate(int(random.integers(2, 6)), 60.0) if random.random() < 0.3 else None,
        is_rate_declared=bool(random.random() < 0.5),
        most_jobs=int(random.integers(1, 7)),
        rows_in_job=int(random.integers(1, 6)),
        round_trip_seconds=_pick(random, [0.01, 0.2, 2.0]),
        hang_seconds=_pick(random, [0.0, 1.0, 30.0]),
        sync_seconds=_pick(random, [0.001, 0.01, 0.5]),
        patience_seconds=_pick(random, [DAY, 300.0]),
        outages=_windows(random, HOUR),
        closures=_windows(random, 3 * HOUR),
        lockouts=_windows(random, HOUR) if random.random() < 0.5 else (),
        jumps=() if remembers_keys_seconds and share > 1.0 else _jumps(random),
        backup_at=spread(random, 1.0, 2 * longest) if random.random() < 0.3 else None,
        remembers_keys_seconds=remembers_keys_seconds,
    )


def _pick(random: np.random.Generator, values: Sequence[float]) -> float:
    return float(random.choice(values))


def _chance(random: np.random.Generator, fault: Fault) -> float:
    rare = fault is Fault.REJECTED
    return _pick(random, [0.0, 0.0, 0.02, 0.05] if rare else [0.0, 0.0, 0.03, 0.1, 0.3])


def _windows(random: np.random.Generator, longest_seconds: float) -> tuple[tuple[float, float], ...]:
    if random.random() < 0.85:
        return ()
    start = spread(random, 0.1, longest_seconds)
    return ((start, start + spread(random, 1.0, longest_seconds)),)


def _jumps(random: np.random.Generator) -> tuple[tuple[float, float], ...]:
    if random.random() < 0.7:
        return ()
    steps = [-DAY, -HOUR, -60.0, 60.0, HOUR, DAY]
    return tuple((spread(random, 0.05, HOUR), _pick(random, steps)) for _ in range(random.integers(1, 4)))


def spread(random: np.random.Generator, least: float, most: float) -> float:
    """A number between the two, any order of magnitude as likely as another."""
    return math.exp(random.uniform(math.log(least), math.log(max(least, most))))


@dataclass
class Dice:
    """Throws what happens to each call and job, and counts it."""

    conditions: Conditions
    random: np.random.Generator
    thrown: "Counter[str]" = field(default_factory=Counter)

    def fault(self, call: str) -> Fault | None:
        """What happens to a call."""
        # What has no effect is disturbed less: it is what worlds spend their time on.
        is_submit = call == "submit"
        for fault, chance in self.conditions.faults.items():
            if chance and self.random.random() < (chance if is_submit else chance / 3):
                self.thrown[f"{fault} ({'submit' if is_submit else 'other calls'})"] += 1
                return fault
        return None

    def failure(self) -> JobFailedError | None:
        """How a job fails, if it does."""
        if not self._throws("failed", self.conditions.failure):
            return None
        return JobFailedError("the device lost it", is_repeatable=self._throws("failed, repeatable", 0.7))

    def losses(self, request: JobRequest) -> tuple[tuple[LostRows, ...], ...]:
        """Which rows of a job fail."""
        if not self._throws("rows lost", self.conditions.loss):
            return ()
        return tuple(
            (LostRows(np.flatnonzero(self.random.random(block.n_rows) < 0.5), "the device lost them"),)
            for block in request.blocks
        )

    def spoils(self) -> int:
        """How often an answer is damaged."""
        if self._throws("answer never readable", self.conditions.spoil_for_good):
            return NEVER_READABLE
        return int(self.random.integers(1, 3)) if self._throws("answer damaged", self.conditions.spoil) else 0

    def _throws(self, name: str, chance: float) -> bool:
        hit = bool(chance and self.random.random() < chance)
        self.thrown[name] += hit
        return hit

    def up_to(self, most: float) -> Callable[[], float]:
        """A source of durations between nothing and so many seconds."""
        return lambda: spread(self.random, 1e-3, most) if most > 1e-3 else 0.0


def set_up(provider: FakeProvider, dice: Dice) -> None:
    """Give a provider the weather."""
    conditions = dice.conditions
    slack = conditions.accept_seconds
    provider.accept_seconds = dice.up_to(0.8 * slack)
    provider.list_seconds = dice.up_to(0.15 * slack)
    provider.run_seconds = dice.up_to(conditions.most_seconds)
    provider.wait_seconds = dice.up_to(120.0)
    provider.failures = dice.failure
    provider.losses = dice.losses
    provider.spoils = dice.spoils
    provider.rate = conditions.rate
    provider.outages = conditions.outages
    provider.closures = conditions.closures
    provider.lockouts = conditions.lockouts
    provider.remembers_keys_seconds = conditions.remembers_keys_seconds


def set_up_remote(remote: FakeRemote, dice: Dice) -> None:
    """Give a client's way to the provider the weather."""
    conditions = dice.conditions
    remote.terms = conditions.terms
    remote.capabilities = PAID if conditions.charges else FREE
    remote.rows_in_job = conditions.rows_in_job
    remote.round_trip_seconds = conditions.round_trip_seconds
    remote.hang_seconds = conditions.hang_seconds
    remote.faults = dice.fault
