"""The live display where a person sees it: a terminal of 80 columns, a notebook, a shell that completes words."""

import fcntl
import os
import pty
import queue
import re
import shlex
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pyte
import pytest

WAIT_SECONDS = 120.0
PROGRAM_NAME = f"{shlex.quote(sys.executable)} -m qorch.cli.main"

PROGRAM = """
import logging, os, sys, threading
import numpy as np
import qorch
from qiskit.circuit import Parameter, QuantumCircuit
from qorch.testing.fakes.backend import FakeBackend

logging.basicConfig(format="%(message)s", level=logging.INFO)
angle = Parameter("a")
circuit = QuantumCircuit(1)
circuit.ry(angle, 0)
circuit = qorch.compile_circuit(circuit)
many = {f"validation_accuracy_{number}": 0.5 for number in range(9)}

def start(name, **settings):
    return qorch.start_run(name, backend=FakeBackend(), db="q.db", seed=1, **settings)

def train(run, numbers):
    for number in run.steps(numbers):
        run.execute([qorch.Pub(circuit, np.array([[0.1 * number]]), observables=["Z0"], shots=10)])
        run.log(loss=1.0 / (1 + number), **many)
        yield number
"""

TRAINING = (
    PROGRAM
    + """
with start("first") as run:
    for number in train(run, list(range(6))):
        print("printed", number)
        logging.info("logged %d", number)
    run.stop()
print("between the runs")
with start("first", resume=True) as run:
    for _ in range(2):
        for number in train(run, list(range(6))):
            pass
with start("broken-off") as run:
    for number in train(run, list(range(9))):
        if number == 3:
            break
with start("outer") as outer, start("inner") as inner:
    for number in train(outer, list(range(3))):
        thread = threading.Thread(target=lambda: [None for _ in train(inner, [number])] if number == 0 else None)
        thread.start()
        thread.join()
print("an error next")
with start("failing") as run:
    for number in train(run, iter(range(9))):
        if number == 2:
            raise ValueError("as a bug does")
"""
)
NOTEBOOK = """
with start("noted") as run:
    for number in train(run, list(range(40))):
        print(number)
"""


class Terminal:
    """A program on a terminal of 80 columns and 40 lines."""

    def __init__(self, *command: str, folder: Path, **environment: str) -> None:
        """Start it."""
        self.folder = folder
        self.screen = pyte.HistoryScreen(80, 40, history=1_000)
        self._reader = pyte.ByteStream(self.screen)
        self.raw = b""
        self._fd, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
        inherited = {name: text for name, text in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
        self._process = subprocess.Popen(
            command, cwd=folder, stdin=end, stdout=end, stderr=end, start_new_session=True,
            env=inherited | {"TERM": "xterm-256color", "QORCH_DB": str(folder / "q.db")} | environment,
        )  # fmt: skip
        os.close(end)

    def wait(self) -> int:
        """Read until the program is over; its exit code."""
        while True:
            try:
                piece = os.read(self._fd, 65_536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            self.raw += piece
            self._reader.feed(piece)
        os.close(self._fd)
        return self._process.wait(WAIT_SECONDS)

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [line.rstrip() for line in self.screen.display if line.strip()]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A program with runs one after the other, at once, broken off, resumed and failing, at its end."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "train.py").write_text(TRAINING)
    terminal = Terminal(sys.executable, "train.py", folder=folder)
    assert terminal.wait() == 1
    return terminal


def test_no_step_leaves_a_line_on_a_terminal_of_80_columns(training: Terminal) -> None:
    """Prints and log lines stand above the run's one line, which stays when the loop is broken off."""
    lines = training.lines
    expected = [f"{word} {number}" for number in range(6) for word in ("printed", "logged")]
    assert lines[:12] == expected
    assert re.match(r"step 6/6 · loss 0.1667 · .*\+\d metrics · .* left$", lines[12]), lines[12]
    assert lines[13] == "between the runs"


def test_a_resumed_run_begins_at_its_step(training: Terminal) -> None:
    """Nothing is shown of the steps that are done, and one line is left at the end."""
    assert training.lines[14].startswith("step 12/12 · ")
    assert b"step 7/12" in training.raw
    assert b"step 1/12" not in training.raw
    assert b"step 1/6" not in training.raw.split(b"between the runs")[1]


def test_a_loop_that_is_broken_off_leaves_its_line(training: Terminal) -> None:
    """With the last step that ended."""
    assert re.match(r"step [34]/9 · ", training.lines[15])


def test_runs_at_once_have_a_line_each_with_their_names(training: Terminal) -> None:
    """The inner one ends first."""
    assert [line.split(" · ")[:2] for line in training.lines[16:18]] == [["inner", "step 1/1"], ["outer", "step 3/3"]]
    assert training.lines[18] == "an error next"


def test_after_an_error_the_terminal_is_as_it_was(training: Terminal) -> None:
    """The run's last line, how to resume and the traceback below it, and a cursor that was never hidden."""
    assert training.lines[19].startswith("step 2/? · ")
    traceback = next(index for index, line in enumerate(training.lines) if line.startswith("Traceback"))
    assert "resume it with start_run" in "".join(training.lines[20:traceback])
    assert training.lines[-1] == "ValueError: as a bug does"
    assert b"\x1b[?25l" not in training.raw


def test_tables_fit_80_columns(training: Terminal) -> None:
    """Of `qorch runs`, `jobs` and `show`; ids are whole."""
    commands = "; ".join(f"{PROGRAM_NAME} {words}" for words in ("runs", "jobs", "show first"))
    terminal = Terminal("sh", "-c", commands, folder=training.folder)
    assert terminal.wait() == 0
    text = re.sub(r"\x1b\[[0-9;]*m", "", terminal.raw.decode()).replace("\r", "")
    assert max(map(len, text.splitlines())) <= 80, text
    assert re.search(r"first-\d{8}-\d{6}-[0-9a-f]{4}", text)
    assert re.search(r"first-\d{8}-\d{6}-[0-9a-f]{4}/11\.0\.0", text)


def test_the_shell_completes_words(training: Terminal, tmp_path: Path) -> None:
    """With the script of `qorch --show-completion`, in bash: commands, workloads, backends and runs."""
    program = tmp_path / "qorch"
    program.write_text(f'#!/bin/sh\nexec {PROGRAM_NAME} "$@"\n')
    program.chmod(0o755)
    complete = "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _qorch_completion qorch; echo ${COMPREPLY[@]}"
    words = ["qorch re", "qorch train d", "qorch train digits --backend lo", "qorch show f"]
    script = "\n".join(
        ['eval "$(qorch --show-completion bash)"', *(f"COMP_WORDS=({typed}); {complete}" for typed in words)]
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "QORCH_DB": str(training.folder / "q.db")}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=WAIT_SECONDS)
    commands, workloads, backends, runs = done.stdout.splitlines()
    assert commands.split() == ["recover", "report"]
    assert workloads == "digits"
    assert backends == "local"
    assert re.fullmatch(r"failing-\S+ first-\S+", runs), done


def test_a_notebook_updates_its_line_in_place(tmp_path: Path) -> None:
    """In a kernel of its own, as Jupyter starts it: one output, then updates of it; prints are outputs beside it."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(cwd=str(tmp_path), env=dict(os.environ))
    client = manager.blocking_client()
    client.start_channels()
    outputs: list[tuple[str, dict[str, Any]]] = []
    try:
        client.wait_for_ready(timeout=WAIT_SECONDS)
        code = (
            PROGRAM
            + 'with start("noted") as run:\n    for number in train(run, list(range(40))):\n        print(number)'
        )
        request = client.execute(code)
        while True:
            message = client.get_iopub_msg(timeout=WAIT_SECONDS)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "status" and content["execution_state"] == "idle":
                break
            assert kind != "error", content
            outputs.append((kind, content))
    except queue.Empty:
        pytest.fail(f"the kernel fell silent after {outputs[-3:]}")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    shown = [content["data"]["text/plain"] for kind, content in outputs if kind == "display_data"]
    updates = [content["data"]["text/plain"] for kind, content in outputs if kind == "update_display_data"]
    printed = "".join(str(content["text"]) for kind, content in outputs if kind == "stream")
    assert [line.split(" · ")[:2] for line in shown] == [["noted", "step 1/40"]]
    assert updates[-1].startswith("noted · step 40/40")
    assert printed.split() == [str(number) for number in range(40)]
