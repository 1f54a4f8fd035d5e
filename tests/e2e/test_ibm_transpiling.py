"""Whole runs on IBM Quantum compile a circuit once: not in a later step or process, and again after a calibration."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import numpy as np
import pytest
from campaign import start_driver
from ibm_vendor import DEVICE, IBM, QUICK
from ionq_circuits import random_gates
from life_driver import Life
from packing_checks import emulator_process

import qorch
from qorch.model.circuit import free_circuit
from qorch.ports.clock import WallClock
from qorch_providers.ibm.backend import IbmBackend
from qorch_providers.ibm.device_watch import LOOK_AGAIN_SECONDS

STALL_SECONDS = 0.05
WIDE = "ibm_fez"
"""A device with 156 qubits, for which a circuit is compiled for a second or so."""


class JumpingClock(WallClock):
    """A clock whose monotonic time can be moved ahead."""

    ahead_seconds = 0.0

    def monotonic_ns(self) -> int:
        """Nanoseconds, with what was jumped over."""
        return super().monotonic_ns() + round(1e9 * self.ahead_seconds)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder, in which nothing was compiled yet."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@contextmanager
def running(root: str, folder: Path, *, device: str, clock: WallClock) -> Iterator[tuple[qorch.Run, IbmBackend]]:
    """A run on an emulator, and its backend."""
    backend = IBM.open_backend(device, clock=clock, environment=IBM.environment(root))
    assert isinstance(backend, IbmBackend)
    with qorch.start_run("compiling", backend=backend, db=folder / "q.db", seed=1, shots=50, clock=clock) as run:
        yield run, backend


def pub_of(seed: int, *, n_qubits: int = 4, n_gates: int = 25) -> qorch.Pub:
    """Two rows of a random circuit, in two bases."""
    random = np.random.default_rng(seed)
    gates = random_gates(random, n_qubits, n_gates)
    return qorch.Pub(free_circuit(gates), random.uniform(-3, 3, (2, gates.n_columns)), observables=["Z0", "X1"])


@pytest.mark.parametrize("steps", [10, pytest.param(100, marks=pytest.mark.soak)])
@pytest.mark.usefixtures("cache")
def test_a_circuit_is_compiled_once_for_all_steps(steps: int, tmp_path: Path) -> None:
    """And once more for all steps after a calibration, which is seen within a quarter of an hour."""
    clock, pub = JumpingClock(), pub_of(1)
    with (
        IBM.start(QUICK) as emulator,
        running(emulator.root, tmp_path, device=DEVICE, clock=clock) as (run, backend),
    ):
        for expected in (1, 2):
            for _ in run.steps(range(steps)):
                run.execute(pub)
            assert backend._compiler.n_compiled == expected
            emulator.calibrate(DEVICE)
            clock.ahead_seconds += LOOK_AGAIN_SECONDS + 1
        assert len(emulator.jobs()) == 2 * steps


@pytest.mark.soak
def test_a_later_process_compiles_nothing(cache: Path, tmp_path: Path) -> None:
    """What one process compiled, the next one reads: it writes no file, but for a new calibration."""
    found = []
    with IBM.start(QUICK) as emulator:
        life = Life(
            vendor=IBM.name, db=str(tmp_path / "q.db"), root=emulator.root, options=IBM.options, steps=1, name="0"
        )
        for number in range(3):
            if number == 2:
                emulator.calibrate(DEVICE)
            with start_driver(msgspec.structs.replace(life, name=str(number))) as process:
                said, _ = process.communicate(timeout=120)
            assert process.returncode == 0, said
            found.append({file: file.stat().st_mtime_ns for file in cache.rglob("*.isa")})
    assert found[0] == found[1]
    assert [len(files) for files in found] == [1, 1, 2]
    assert found[0].items() <= found[2].items()


@pytest.mark.soak
@pytest.mark.flaky(reruns=2)
@pytest.mark.usefixtures("cache")
def test_the_engines_loop_goes_on_while_circuits_are_compiled(tmp_path: Path) -> None:
    """Its ticker never waits for 50 ms: for a new circuit, another one, and both after a calibration.

    The stall is that of the best of the three, since on a busy machine any process may be kept waiting.
    """
    clock = JumpingClock()
    with (
        emulator_process(IBM, noise="off", devices=WIDE) as root,
        running(root, tmp_path, device=WIDE, clock=clock) as (run, backend),
    ):
        run.execute(pub_of(0))
        stalls = [measure_stall(run, pub_of(seed, n_qubits=6, n_gates=60)) for seed in (1, 2)]
        assert backend._compiler.n_compiled == 3
        answer = httpx.post(f"{root}/_emulator/calibrate", json={"backend": WIDE}, trust_env=False)
        assert answer.status_code == 200
        clock.ahead_seconds += LOOK_AGAIN_SECONDS + 1
        stalls.append(measure_stall(run, pub_of(2, n_qubits=6, n_gates=60)))
        assert backend._compiler.n_compiled == 6
    print(f"longest stalls: {', '.join(f'{1e3 * stall:.1f}' for stall in stalls)} ms")
    assert min(stalls) < STALL_SECONDS


def measure_stall(run: qorch.Run, pub: qorch.Pub) -> float:
    """The longest time, in seconds, that the engine's loop kept a 1 ms ticker waiting while the pub was executed."""
    is_over = False

    async def tick() -> float:
        longest, last = 0.0, time.monotonic()
        while not is_over:
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest, last = max(longest, now - last - 0.001), now
        return longest

    ticking = run._use.portal.submit(tick())
    run.execute(pub)
    is_over = True
    return ticking.result()
