"""Whatever fails, and whenever a process dies: nothing is paid twice, nothing is lost, every run ends."""

import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

import pytest
from simulation.checks import judge, sent_again_later
from simulation.conditions import DAY
from simulation.world import World

from qorch.ports.clock import WallClock
from qorch.ports.policy import OnUnknown, Rate

SEEDS = 100
PARTS = 2
SOAK_SEEDS = 10_000
SOAK_PART = 100
IBM: dict[str, object] = {
    "on_unknown": OnUnknown.HOLD,
    "settle_seconds": 30.0,
    "remembers_keys_seconds": 0.0,
    "rate": Rate(5, 60.0),
    "is_rate_declared": True,
}
"""The terms of IBM Quantum."""


@dataclass
class Tally:
    """What happened in many worlds: how often what was met, and what was wrong."""

    met: "Counter[str]" = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def tally(seeds: Iterable[int], *, change: dict[str, object] | None = None) -> Tally:
    """Run the worlds of these seeds."""
    total = Tally()
    for seed in seeds:
        world = World(seed, change=change).run()
        alone = f"run it alone: python -m simulation.world {seed}"
        total.wrong += [f"seed {seed}: {line} ({alone})" for line in judge(world)]
        total.met.update(world.dice.thrown)
        total.met.update(world.notes)
        total.met.update(f"last life: {run.endings[-1]}" for run in world.runs)
        total.met.update(seeds=1, jobs=len(world.provider.jobs), lives=sum(len(run.endings) for run in world.runs))
        total.met["sent again by a later life"] += sent_again_later(world)
        total.met["submissions"] += len(world.provider.letters)
        total.met["simulated hours"] += round(world.timeline.seconds / 3600)
    return total


def check_met(met: "Counter[str]", *, seeds: int) -> None:
    """A simulation that never meets a fault proves nothing: at least so often per world."""
    least = {
        "lives": 3.0,
        "jobs": 4.0,
        "simulated hours": 2.0,
        "machine crashes": 0.5,
        "process crashes": 0.1,
        "interruptions": 0.15,
        "clock jumps": 0.25,
        "last life: done": 0.7,
        "last life: UnknownOutcomeError": 0.05,
        "lost before (submit)": 0.2,
        "lost after (submit)": 0.2,
        "lost after (other calls)": 0.4,
        "busy (submit)": 0.2,
        "busy until a named time (submit)": 0.2,
        "busy until a named time (other calls)": 0.4,
        "failed, repeatable": 0.1,
        "rows lost": 0.1,
        "answer damaged": 0.2,
        "answer never readable": 0.02,
        "rejected (submit)": 0.005,
        "restored from a backup": 0.03,
        "sent again by a later life": 0.01,
    }
    missed = {name: met[name] for name, share in least.items() if met[name] < share * seeds}
    assert not missed, f"of {seeds} seeds too few met: {missed}"


@pytest.mark.parametrize("part", range(PARTS))
def test_every_promise_is_kept(part: int) -> None:
    """100 worlds: no duplicate, no blind resend, no lost result, no hang, and right values, whatever happens."""
    total = tally(range(part, SEEDS, PARTS))
    assert not total.wrong, "\n".join(total.wrong)
    check_met(total.met, seeds=SEEDS // PARTS)


def test_a_world_is_the_same_again() -> None:
    """One seed gives one world, so that a failure can be looked at."""
    for seed in range(40, 45):
        first, second = World(seed).run(), World(seed).run()
        assert [run.endings for run in first.runs] == [run.endings for run in second.runs]
        assert first.timeline.seconds == second.timeline.seconds
        letters = [[(letter.key, letter.sent_at) for letter in world.provider.letters] for world in (first, second)]
        assert letters[0] == letters[1]


def test_a_settle_time_below_the_accept_delay_buys_twice() -> None:
    """The simulation sees duplicates where the terms lie: resubmitting after less than acceptance takes."""
    lies = {"on_unknown": OnUnknown.RESUBMIT, "settle_seconds": 5.0, "accept_seconds": 600.0}
    total = tally(range(20), change=lies)
    assert sum("have the key" in line or "bought" in line for line in total.wrong) >= 4


@pytest.mark.parametrize("seeds", [25, pytest.param(500, marks=pytest.mark.soak)])
def test_a_database_is_restored_from_a_backup(seeds: int) -> None:
    """Whatever the lost part of a run bought is taken over: no duplicate, nothing lost, the same values."""
    total = tally(range(seeds), change={"backup_at": 6.0})
    assert not total.wrong, "\n".join(total.wrong)
    assert total.met["restored from a backup"] >= 0.15 * seeds


@pytest.mark.parametrize("seeds", [15, pytest.param(300, marks=pytest.mark.soak)])
def test_holding_needs_no_settle_time(seeds: int) -> None:
    """What is held is never bought twice, though acceptance takes a day and nothing is waited for."""
    patience = {"on_unknown": OnUnknown.HOLD, "settle_seconds": 0.5, "accept_seconds": DAY}
    total = tally(range(seeds), change=patience)
    assert not total.wrong, "\n".join(total.wrong)
    assert total.met["last life: UnknownOutcomeError"] >= 0.2 * seeds


def tally_together(seeds: int, *, change: dict[str, object] | None = None) -> Tally:
    """So many worlds on all cores; says what was met."""
    clock = WallClock()
    started_ns = clock.monotonic_ns()
    parts = [range(start, start + SOAK_PART) for start in range(SEEDS, SEEDS + seeds, SOAK_PART)]
    total = Tally()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for part in pool.map(partial(tally, change=change), parts):
            total.met.update(part.met)
            total.wrong += part.wrong
    seconds = (clock.monotonic_ns() - started_ns) / 1e9
    print(f"{seeds} worlds in {seconds:.0f} s, {seeds / seconds:.0f} a second")
    print("\n".join(f"{count:>9} {name}" for name, count in total.met.most_common()))
    return total


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_worlds() -> None:
    """The same over 10,000 seeds, on all cores."""
    total = tally_together(SOAK_SEEDS)
    assert not total.wrong, "\n".join(total.wrong)
    check_met(total.met, seeds=SOAK_SEEDS)


def test_the_terms_of_ibm() -> None:
    """No remembered keys, five submissions a minute, and what no list shows is held: every promise is kept."""
    total = tally(range(25), change=IBM)
    assert not total.wrong, "\n".join(total.wrong)
    assert total.met["last life: UnknownOutcomeError"] >= 2


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_two_thousand_worlds_with_the_terms_of_ibm() -> None:
    """The same over 2,000 seeds, on all cores."""
    total = tally_together(2_000, change=IBM)
    assert not total.wrong, "\n".join(total.wrong)
    assert total.met["last life: done"] >= 0.5 * 2_000
    assert total.met["last life: UnknownOutcomeError"] >= 0.1 * 2_000
