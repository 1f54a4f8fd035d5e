"""Forecasts against what then happens: the same training on an emulator whose latencies are those of the profile."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from braket_vendor import BRAKET
from ionq_vendor import IONQ
from vendors import Vendor
from watched_runs import work_of

import qorch
from qorch.audit.report import make_report
from qorch.backends import load_profile
from qorch.config import read_config
from qorch.dry_run.forecast import Forecast, forecast_runs, open_mock
from qorch.dry_run.futures import PricedMock
from qorch.dry_run.recording import RecordedCall, RecordedRun
from qorch.engine.planner import Call
from qorch.model.identity import Position
from qorch.model.latency import parse_latency
from qorch.model.profiles.profile import LatencyFigures, Profile, TimeFigure
from qorch.model.pub import Pub, as_batch
from qorch.model.timing import Phase
from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch_providers.mock.backend import MockBackend
from qorch_providers.mock.provider import MockProvider

VENDORS = {"ionq": (IONQ, "qpu.forte-1,rows=4"), "braket": (BRAKET, "garnet,rows=4")}
CALLS_PER_FETCH = {"ionq": 2, "braket": 1}
SEED = 7
OWN = {Phase.LOOK_UP, Phase.PLAN, Phase.ENCODE, Phase.DECODE, Phase.SYNC, Phase.STORE}
"""What qorch itself computes and stores, as a dry run would measure it."""


@dataclass(frozen=True)
class Setting:
    """Latencies, as an emulator's options name them, and a training: pubs, one a step."""

    queue: str
    execute: str
    network: str
    accept_delay: str
    seed: int
    pubs: tuple[Pub, ...]


@dataclass(frozen=True)
class Truth:
    """What a training came to: its wall time, what the emulator bills, its jobs, and what was recorded of it."""

    wall_seconds: float
    micros: int
    jobs: int
    recorded: RecordedRun


def draw_setting(random: np.random.Generator) -> Setting:
    """Latencies far above what qorch itself takes, and a few steps of some jobs."""
    queue, execute, network = (round(float(random.uniform(*ends)), 3) for ends in ((0.8, 2.0), (0.6, 1.6), (0.0, 0.12)))
    forms = (f"{queue}..{2 * queue}", f"lognormal({queue},0.4)", f"exponential({queue})")
    return Setting(
        queue=forms[int(random.integers(len(forms)))],
        execute=f"{execute}..{1.5 * execute}",
        network=str(network),
        accept_delay="0.02..0.1",
        seed=int(random.integers(1_000_000)),
        pubs=tuple(work_of(int(count), shots=500) for count in random.integers(3, 13, size=4)),
    )


def train(vendor: Vendor, options: str, setting: Setting, folder: Path) -> Truth:
    """The training on an emulator, in real time."""
    settings = replace(
        vendor.quick, queue=setting.queue, execute=setting.execute, network=setting.network,
        accept_delay=setting.accept_delay, seed=setting.seed,
    )  # fmt: skip
    clock = WallClock()
    store = open_store(str(folder / "q.db"), clock=clock)
    calls: list[RecordedCall] = []
    with vendor.start(settings) as emulator:
        backend = vendor.open_backend(options, clock=clock, environment=vendor.environment(emulator.root))
        with qorch.start_run("true", backend=backend, db=store, seed=SEED, progress="off") as run:
            ended = run._use.recorder.origin_ns / 1e9
            for step, pub in enumerate(setting.pubs):
                with run.step(step):
                    begun = time.monotonic()
                    run.execute([pub])
                    call = Call(run.run_id, SEED, Position(step, 0), as_batch(pub), None)
                    calls.append(RecordedCall(call, step - 1, begun - ended))
                    ended = time.monotonic()
            closing = time.monotonic()
        micros, jobs = emulator.bill()["total"]["micros"], len(emulator.jobs())
    report = make_report(store, run.run_id)
    store.close()
    own = sum(part.seconds for part in report.phases if part.phase_id in OWN) / len(calls)
    recorded = tuple(replace(call, own_seconds=own) for call in calls)
    return Truth(report.wall_seconds, micros, jobs, RecordedRun("true", SEED, recorded, closing - ended))


def forecast(name: str, setting: Setting, recorded: RecordedRun) -> Forecast:
    """What was to be expected, from a profile with the same latencies."""
    network = TimeFigure(parse_latency(setting.network))
    latencies = LatencyFigures(
        network=network,
        acceptance=TimeFigure(parse_latency(setting.accept_delay)),
        queue=TimeFigure(parse_latency(setting.queue)),
        execution=TimeFigure(parse_latency(setting.execute)),
        result=TimeFigure(parse_latency(str((CALLS_PER_FETCH[name] - 1) * float(setting.network)))),
    )
    facts = replace(load_profile(f"mock:{name}.{VENDORS[name][1]}").facts, at_once=1_000)
    profile = Profile("emulator", "its options", latencies=latencies, facts=facts)
    opened = open_mock(f"mock:{name}.{VENDORS[name][1]}", config=read_config())
    assert isinstance(opened.mock, MockBackend)
    mock_backend = replace(opened.mock, provider=MockProvider(profile, WallClock(), 0))
    return forecast_runs([recorded], PricedMock(mock_backend, opened.card), seed=SEED)


@pytest.mark.parametrize("name", VENDORS)
def test_training_costs_what_was_forecast(name: str, tmp_path: Path) -> None:
    """Money, to the cent, and jobs are those of the forecast; and what must be waited for takes no less than that."""
    setting = Setting("0.2", "0.1", "0.01", "0.01", 1, tuple(work_of(count, shots=500) for count in (5, 8)))
    truth = train(*VENDORS[name], setting, tmp_path)
    told = forecast(name, setting, truth.recorded)
    assert told.spend is not None
    assert told.spend.p05 == told.spend.p95 == truth.micros
    assert told.jobs.p05 == told.jobs.p95 == truth.jobs
    assert not told.failures
    assert 0.6 < told.wall_seconds.p05 <= 1.1 * truth.wall_seconds


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", VENDORS)
def test_training_takes_as_long_as_was_forecast(name: str, tmp_path: Path) -> None:
    """Of 20 random configurations, the median error is at most 10 %, and 16 lie inside of the interval.

    On a machine that is not overloaded: an emulator that gets no processor takes longer than it was told to.
    """
    random = np.random.default_rng([20_261_130, *name.encode()])
    errors, inside = [], 0
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        setting = draw_setting(random)
        truth = train(*VENDORS[name], setting, folder)
        told = forecast(name, setting, truth.recorded)
        assert told.spend is not None
        assert told.spend.p05 == told.spend.p95 == truth.micros
        wall, true = told.wall_seconds, truth.wall_seconds
        errors.append(wall.p50 / true - 1.0)
        inside += wall.p05 <= true <= wall.p95
        print(f"{name}: {true:.2f} s, forecast {wall.p50:.2f} s ({wall.p05:.2f} to {wall.p95:.2f}), {errors[-1]:+.1%}")
    median = float(np.median(np.abs(errors)))
    print(f"{name}: median error {median:.1%}, mean {np.mean(errors):+.1%}, {inside} of 20 inside")
    assert median <= 0.10
    assert inside >= 16
