"""The phases of whole runs against the emulators' truth: random latencies, and servers whose clocks are wrong."""

import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from braket_vendor import BRAKET
from ibm_vendor import DEVICE, IBM
from ionq_vendor import IONQ
from vendors import Vendor, VendorEmulator
from watched_runs import work_of

import qorch
from qorch.model.timing import UNATTRIBUTED, Phase, Span, attribute
from qorch.ports.clock import WallClock
from qorch.stores import open_store

COUNTS = [1, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
VENDORS = {
    "ionq": (IONQ, "simulator,rows=4"),
    "braket": (BRAKET, "garnet,rows=4"),
    "ibm": (IBM, f"{DEVICE},rows=4"),
}
SHARE = 0.02
AT_PROVIDER = (Phase.QUEUE, Phase.EXECUTE, Phase.POLL, Phase.REMOTE)


@dataclass(frozen=True)
class Timed:
    """The spans of a run's session, its wall time, and when what the emulator dates was in the session."""

    spans: list[Span]
    wall_ns: int
    truth: dict[str, dict[str, int]]


def run_once(vendor: Vendor, options: str, folder: Path, random: np.random.Generator) -> Timed:
    """Some steps of some jobs, with latencies that are drawn."""
    ahead = float(random.choice([0.0, 600.0, -600.0]))
    queue, execute, network = (round(float(random.uniform(*ends)), 3) for ends in ((0.1, 0.6), (0.05, 0.5), (0, 0.04)))
    settings = replace(
        vendor.quick, queue=f"{queue}..{2 * queue}", execute=str(execute), network=str(network), accept_delay="0",
        clock_ahead=ahead,
    )  # fmt: skip
    clock = WallClock()
    store = open_store(str(folder / "q.db"), clock=clock)
    with vendor.start(settings) as emulator:
        backend = vendor.open_backend(options, clock=clock, environment=vendor.environment(emulator.root))
        with qorch.start_run("timed", backend=backend, db=store, seed=1, progress="off") as run:
            origin_ns = run._use.recorder.origin_ns
            for step in range(2):
                with run.step(step):
                    run.execute(work_of(int(random.integers(3, 12)), shots=500))
        truth = dated(emulator, origin_ns, ahead_seconds=ahead)
        ids = {job.provider_id: job.job_id for job in store.jobs()}
    spans = [record.span for record in store.spans(run.run_id)]
    [session] = store.sessions(run.run_id)
    store.close()
    return Timed(spans, session.wall_ns, {ids[name]: times for name, times in truth.items()})


def dated(emulator: VendorEmulator, origin_ns: int, *, ahead_seconds: float) -> dict[str, dict[str, int]]:
    """When each job was accepted, started and completed, in nanoseconds of the session."""
    shift_ns = time.time_ns() - time.monotonic_ns() + origin_ns
    return {
        str(job["id"]): {
            name: round((float(str(job[f"{name}_at_unix"])) - ahead_seconds) * 1e9) - shift_ns
            for name in ("accepted", "started", "completed")
        }
        for job in emulator.jobs()
    }


def as_it_was(timed: Timed) -> list[Span]:
    """The spans, with those at the provider as the emulator dates them."""
    over: dict[str, int] = defaultdict(int)
    for span in timed.spans:
        if span.phase in AT_PROVIDER and span.job_id is not None:
            over[span.job_id] = max(over[span.job_id], span.ended_ns)
    untold = {span.job_id for span in timed.spans if span.phase is Phase.REMOTE}
    true = [span for span in timed.spans if span.phase not in AT_PROVIDER]
    for job_id, times in timed.truth.items():
        true += dated_spans(job_id, times, over[job_id], is_told=job_id not in untold)
    return true


def dated_spans(job_id: str, times: dict[str, int], over_ns: int, *, is_told: bool) -> list[Span]:
    """The spans of a job at the provider; a single one if its begin is not told, and it was over at the first poll."""
    if not is_told:
        return [Span(Phase.REMOTE, times["accepted"], over_ns, job_id=job_id)]
    return [
        Span(Phase.QUEUE, times["accepted"], times["started"], job_id=job_id),
        Span(Phase.EXECUTE, times["started"], times["completed"], job_id=job_id),
        Span(Phase.POLL, times["completed"], over_ns, job_id=job_id),
    ]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", VENDORS)
def test_phases_are_what_happened(name: str, count: int, tmp_path: Path) -> None:
    """Each phase is within 2 % of the wall time of the truth, or within its resolution; all of the time has a phase."""
    vendor, options = VENDORS[name]
    random = np.random.default_rng(20_261_130)
    for number in range(count):
        folder = tmp_path / str(number)
        folder.mkdir()
        timed = run_once(vendor, options, folder, random)
        assert all(span.ended_ns >= span.started_ns for span in timed.spans)
        found, true = (
            attribute(spans, started_ns=0, ended_ns=timed.wall_ns) for spans in (timed.spans, as_it_was(timed))
        )
        wall = timed.wall_ns / 1e9
        assert sum(found.values()) == pytest.approx(wall, abs=1e-6)
        doubt = max((span.resolution_seconds or 0.0 for span in timed.spans if span.phase in AT_PROVIDER), default=0.0)
        n_jobs = len(timed.truth)
        for phase, seconds in found.items():
            allowed = SHARE * wall + (n_jobs * doubt if name == "braket" else 0.0)
            assert abs(seconds - true[phase]) <= allowed, (number, phase, seconds, true[phase], wall)
        assert found[UNATTRIBUTED] <= SHARE * wall, (number, found, wall)
