"""`qorch train` on an emulator of IonQ's service, disturbed by signals."""

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from forked import Started
from train_process import start as start_command

from qorch_providers.emulators.ionq import RunningEmulator, Settings, start

TRAINING = ("train", "digits", "--backend", "ionq:simulator,settle=0.2,rows=100", "--limit", "20", "--epochs", "3",
            "--batch-size", "4", "--shots", "64", "--seed", "3")  # fmt: skip
SETTINGS = Settings(accept_delay="0..0.01", execute="0.02..0.1")


@contextmanager
def emulate() -> Iterator[RunningEmulator]:
    """An emulator to which all commands talk meanwhile."""
    with pytest.MonkeyPatch.context() as patch, start(SETTINGS) as emulator:
        patch.setenv("IONQ_API_URL", emulator.url)
        patch.setenv("IONQ_API_KEY", "dummy")
        yield emulator


def command(emulator: RunningEmulator) -> tuple[str, ...]:
    """What starts the training, or goes on with it once the provider has something of it."""
    return ("train", "digits", "--resume", "digits") if emulator.jobs() else TRAINING


def disturb(
    db: Path, emulator: RunningEmulator, *, number: signal.Signals, jobs: int = 1, seconds: float = 0.0
) -> tuple[int, float, str]:
    """Start the training or go on, and send a signal once it has bought so many jobs, and then so long.

    The exit code, how long it took to end after the signal, and what it said.
    """
    enough = len(emulator.jobs()) + jobs
    process = start_command(db, *command(emulator))
    try:
        wait_for_jobs(emulator, process, enough)
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        started = time.monotonic()
        _, said = process.communicate(timeout=60)
        return process.returncode, time.monotonic() - started, said
    finally:
        process.kill()
        process.communicate()


def wait_for_jobs(emulator: RunningEmulator, process: Started, enough: int) -> None:
    """Until the provider has so many jobs, or the process is over."""
    deadline = time.monotonic() + 100
    while len(emulator.jobs()) < enough and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
