"""Stopping as a user does it: `qorch cancel` from another terminal, Ctrl-C in a script and in a paid training."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from forked import Started, start_python

from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch_providers.emulators.ionq import Settings, start

SCRIPT = """
import signal, sys, time
# A shell starts what runs in the background with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from qiskit.circuit import Parameter, QuantumCircuit
import qorch
from qorch.errors import RunStoppedError

circuit = QuantumCircuit(1)
circuit.ry(Parameter("a"), 0)
pub = qorch.Pub(circuit, [[0.1], [0.2]], observables=["Z0"], shots=100)
losses = [0.5, 0.25]
try:
    with qorch.start_run("night", backend=sys.argv[1]) as run:
        run.execute(pub)
except RunStoppedError as error:
    print("at", time.time(), flush=True)
    print("stopped:", error, flush=True)
print("losses", losses, flush=True)
sys.stdin.readline()
print("alive", flush=True)
"""
IDLE_SCRIPT = """
import sys
import qorch
from qorch.errors import RunStoppedError

run = qorch.start_run("night", backend="local")
print("open", flush=True)
sys.stdin.readline()
try:
    run.flush()
except RunStoppedError as error:
    print("stopped:", error, flush=True)
"""


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A provider whose queue is long, and the environment that leads there."""
    with start(Settings(execute="300")) as running:
        monkeypatch.setenv("IONQ_API_URL", running.url)
        monkeypatch.setenv("IONQ_API_KEY", "dummy")
        yield running


@pytest.fixture
def run_script(typed: Any) -> Iterator[Callable[..., Started]]:
    """Start a user's own program; what is left of it is killed afterwards."""
    started: list[Started] = []

    def start_script(code: str, *arguments: str) -> Started:
        script = Path(typed.folder) / "night.py"
        script.write_text(code)
        process = start_python(
            str(script), arguments, cwd=typed.folder, environment=typed.environment, stdin=subprocess.PIPE
        )
        started.append(process)
        return process

    yield start_script
    for process in started:
        process.kill()
        process.communicate()


def wait_for_jobs(emulator: Any, process: Started) -> None:
    """Until the provider has a job; fails if the process ends before."""
    deadline = time.monotonic() + 120
    while not emulator.jobs():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def asked_at(database: Path, run_id: str) -> float:
    """When the run was asked to stop, in seconds since 1970."""
    store = open_store(str(database), clock=WallClock())
    try:
        asked = store.stop_asked(run_id)
    finally:
        store.close()
    assert asked is not None
    return asked.timestamp()


def test_cancel_leaves_a_users_process_alive(typed: Any, emulator: Any, run_script: Any) -> None:
    """A call in a QPU's queue ends within two seconds, variables are kept, the jobs are cancelled at the provider.

    Before its first job it had said, in one line, what it buys; after the cancel it says nothing of resuming.
    """
    process = run_script(SCRIPT, "ionq:qpu.forte-1")
    wait_for_jobs(emulator, process)
    outcome = typed("cancel", "night", "--json")
    assert outcome.code == 0, outcome.err
    answer = outcome.document
    assert (answer["state"], answer["stopped_pid"], answer["asked_pid"]) == ("cancelled", None, process.pid)
    assert answer["jobs_cancelled"] == len(emulator.jobs()) == 1
    assert {job["status"] for job in emulator.jobs()} == {"canceled"}
    moment, stopped, losses = (process.stdout.readline().rstrip() for _ in range(3))
    assert float(moment.split()[1]) - asked_at(typed.database, answer["run"]) < 2.5
    assert "was cancelled" in stopped
    assert losses == "losses [0.5, 0.25]"
    out, said = process.communicate("go on\n", timeout=30)
    assert (process.returncode, out) == (0, "alive\n")
    [line] = said.splitlines()
    assert "ionq:qpu.forte-1 charges" in line
    assert "2 executions (200 shots) in 1 job; see and limit what is spent at the provider: https://" in line
    assert "; mode=session,max_cost=25USD in the backend's name sets a limit there" in line
    assert "resume" not in stopped + said


def test_cancel_lets_an_idle_notebook_go_on(typed: Any, run_script: Any) -> None:
    """A run that a notebook left open is over without a call; suspended, its process is named, and nothing is ended."""
    process = run_script(IDLE_SCRIPT)
    assert process.stdout.readline() == "open\n"
    process.send_signal(signal.SIGSTOP)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qorch.cli.cancel.PATIENCE_SECONDS", 0.3)
        refused = typed("cancel", "night")
    process.send_signal(signal.SIGCONT)
    assert refused.code == 1
    assert f"process {process.pid} on" in refused.error
    assert "cancel again" in refused.error
    outcome = typed("cancel", "night")
    # The notebook leaves the run by itself as soon as it goes on: before this command looks, meanwhile, or after.
    assert outcome.code in {0, 2}
    assert process.poll() is None
    out, said = process.communicate("\n", timeout=30)
    assert "was cancelled" in out
    assert (process.returncode, said) == (0, "")
    assert typed("runs", "--json").document["runs"][0]["state"] == "cancelled"


def test_ctrl_c_in_a_script_says_how_to_resume(typed: Any, emulator: Any, run_script: Any) -> None:
    """One line above Python's own, with the name; the run is stopped, and resumed its job is there to be adopted."""
    process = run_script(SCRIPT, "ionq:simulator")
    wait_for_jobs(emulator, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    [run] = typed("runs", "--json").document["runs"]
    assert run["state"] == "stopped"
    lines = [line for line in said.splitlines() if "resume" in line]
    assert lines == [f'run {run["run"]} was stopped; resume it with start_run("night", ..., resume=True)']
    assert said.startswith(lines[0])


def test_a_paid_training_says_what_it_buys(qorch: Any, emulator: Any) -> None:
    """One line before its first job; Ctrl-C still says how to resume in the last one."""
    size = ("--limit", "20", "--batch-size", "16", "--epochs", "1", "--shots", "10")
    process = qorch.start("train", "digits", *size, "--backend", "ionq:qpu.forte-1")
    wait_for_jobs(emulator, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    [line] = [line for line in said.splitlines() if "charges" in line]
    assert re.search(r"The first call buys [\d,]+ executions \([\d,]+ shots\) in 1 job; .*, or with --budget", line)
    assert [line for line in said.splitlines() if "resume" in line] == said.splitlines()[-1:]
