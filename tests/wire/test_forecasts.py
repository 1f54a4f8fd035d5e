"""Forecasts against what then happens: the same training on an emulator whose latencies are those of the profile."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from ionq_vendor import IONQ
from vendors import Vendor
from watched_runs import work_of

import qorch
from qorch.config import read_config
from qorch.dry_run.forecast import Forecast, forecast_runs, open_course
from qorch.dry_run.futures import Course
from qorch.dry_run.recording import RecordedCall, RecordedRun
from qorch.engine.planner import Call
from qorch.model.identity import Position
from qorch.model.latency import parse_latency
from qorch.model.profiles.profile import LatencyFigures, Profile, ProviderFacts, TimeFigure
from qorch.model.pub import Pub, as_batch
from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch_providers.mock.backend import MockBackend
from qorch_providers.mock.provider import MockProvider

COUNTS = [1, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
SEED = 7


@dataclass(frozen=True)
class Setting:
    """Latencies, as an emulator's options name them, and a training: pubs, one a step."""

    queue: str
    execute: str
    network: str
    accept_delay: str
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
    queue, execute, network = (round(float(random.uniform(*ends)), 3) for ends in ((0.1, 0.5), (0.1, 0.4), (0.0, 0.04)))
    forms = (f"{queue}..{2 * queue}", f"lognormal({queue},0.4)", f"exponential({queue})")
    rows = random.integers(3, 13, size=4)
    return Setting(
        queue=forms[int(random.integers(len(forms)))],
        execute=f"{execute}..{1.5 * execute}",
        network=str(network),
        accept_delay="0.005..0.02",
        pubs=tuple(work_of(int(count), shots=500) for count in rows),
    )


def train(vendor: Vendor, options: str, setting: Setting, folder: Path) -> Truth:
    """The training on an emulator, in real time."""
    settings = replace(
        vendor.quick, queue=setting.queue, execute=setting.execute, network=setting.network,
        accept_delay=setting.accept_delay,
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
    [session] = store.sessions(run.run_id)
    store.close()
    return Truth(session.wall_ns / 1e9, micros, jobs, RecordedRun("true", SEED, tuple(calls), closing - ended))


def forecast(mock: str, setting: Setting, recorded: RecordedRun, *, calls_per_fetch: int) -> Forecast:
    """What was to be expected, from a profile with the same latencies."""
    network = TimeFigure(parse_latency(setting.network))
    latencies = LatencyFigures(
        network=network,
        acceptance=TimeFigure(parse_latency(setting.accept_delay)),
        queue=TimeFigure(parse_latency(setting.queue)),
        execution=TimeFigure(parse_latency(setting.execute)),
        result=TimeFigure(parse_latency(str((calls_per_fetch - 1) * float(setting.network)))),
    )
    profile = Profile("emulator", "its options", latencies=latencies, facts=ProviderFacts(at_once=1_000))
    opened = open_course(mock, config=read_config())
    assert isinstance(opened.mock, MockBackend)
    mock_backend = replace(opened.mock, provider=MockProvider(profile, WallClock(), 0))
    return forecast_runs([recorded], Course(mock_backend, opened.card), seed=SEED)


def test_training_costs_and_takes_what_was_forecast(tmp_path: Path) -> None:
    random = np.random.default_rng(20_261_130)
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        setting = draw_setting(random)
        truth = train(IONQ, "qpu.forte-1,rows=4", setting, folder)
        told = forecast("mock:ionq.qpu.forte-1,rows=4", setting, truth.recorded, calls_per_fetch=2)
        print(setting.queue, setting.execute, setting.network, [p.n_rows for p in setting.pubs])
        w = told.wall_seconds
        print(
            f"{truth.wall_seconds:.3f}  {w.p05:.3f} {w.p50:.3f} {w.p95:.3f}  err {w.p50 / truth.wall_seconds - 1:+.1%}",
            truth.micros,
            told.spend,
            truth.jobs,
            told.jobs,
            [round(c.compute_seconds, 4) for c in truth.recorded.calls],
            truth.recorded.compute_seconds,
        )
