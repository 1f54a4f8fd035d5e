"""What `qorch ui` costs a training while somebody looks: the same training with and without, in turns."""

import http.client
import json
import re
import socket
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

pytestmark = pytest.mark.soak

ROUNDS = 8
STEPS = 60
"""Of a block, of 2,080 executions each; so many blocks with a page that is open, and as many without."""
MOST_SHARE = 0.01
"""Of the machine's processors, that the server takes."""
LEAST_OWN = 0.95
"""Processor time of the training alone, as a share of what it takes with an open page, in the median of the rounds. The
throughput itself is printed: on a machine that has other work it differs by more than looking costs."""
_TRAINING = """
import sys, time, qorch
from qorch.bench.shapes import all_shapes
[shape] = [each for each in all_shapes() if each.name == "W3"]
with qorch.start_run("watched", backend="local", shots=1024, seed=1, db=sys.argv[1], progress="off") as run:
    run.gradients([shape.pub], [shape.wanted])
    print(run.run_id, flush=True)
    for line in sys.stdin:
        begun, cpu = time.perf_counter(), time.process_time()
        for step in run.steps(range(int(line))):
            run.gradients([shape.pub], [shape.wanted])
            run.log(loss=1.0 / (step + 1))
        print(time.perf_counter() - begun, time.process_time() - cpu, flush=True)
"""


class Looker:
    """Asks as an open page does: it hears of changes, and then gets the part that has changed."""

    def __init__(self, address: str, run_id: str) -> None:
        """Open the page."""
        parts = urlsplit(address)
        self._place, self._run_id = parts.netloc, run_id
        self._headers: dict[str, str] = {}
        self._made = ""
        self.n_parts = 0
        with self._connect() as link:
            cookie = self._ask(link, f"/?{parts.query}").getheader("Set-Cookie") or ""
        self._headers["Cookie"] = cookie.partition(";")[0]

    def _connect(self) -> closing[http.client.HTTPConnection]:
        return closing(http.client.HTTPConnection(self._place, timeout=60))

    def _ask(self, link: http.client.HTTPConnection, path: str) -> http.client.HTTPResponse:
        link.request("GET", path, headers=self._headers)
        return link.getresponse()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """While this lasts, the page is open."""
        is_over = threading.Event()
        with self._connect() as parts, self._connect() as changes:
            self._take(self._ask(parts, f"/run?id={self._run_id}"))
            events = self._ask(changes, f"/events?id={self._run_id}")
            thread = threading.Thread(target=self._follow, args=(parts, events, is_over))
            thread.start()
            try:
                yield
            finally:
                is_over.set()
                # Nothing may be written any more, and the reader waits.
                changes.sock.shutdown(socket.SHUT_RDWR)
                thread.join()
                events.close()

    def _follow(
        self, parts: http.client.HTTPConnection, events: http.client.HTTPResponse, is_over: threading.Event
    ) -> None:
        while not is_over.is_set():
            line = events.readline()
            if line.startswith(b"data:") and not is_over.is_set():
                self._take(self._ask(parts, f"/part?id={self._run_id}&made={self._made}&width=960&over=steps"))
                self.n_parts += 1

    def _take(self, answer: http.client.HTTPResponse) -> None:
        found = re.search(r'data-made="(\d+)"', answer.read().decode())
        assert answer.status == 200
        self._made = found[1] if found else self._made


@dataclass(frozen=True)
class Block:
    """Some steps: their wall time, the training's processor time, and that of the server."""

    seconds: float
    cpu_seconds: float
    server_seconds: float


class Training:
    """A training that goes on block by block, and the server of its database."""

    def __init__(self, program: subprocess.Popen[str], server: psutil.Process) -> None:
        """Both run."""
        self._program, self._server = program, server

    def go_on(self) -> Block:
        """Train one block."""
        before = sum(self._server.cpu_times()[:2])
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(f"{STEPS}\n")
        self._program.stdin.flush()
        seconds, cpu_seconds = map(float, self._program.stdout.readline().split())
        return Block(seconds, cpu_seconds, sum(self._server.cpu_times()[:2]) - before)


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process, ended afterwards."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)


def read_line(process: subprocess.Popen[str]) -> str:
    """What it prints first."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.timeout(1_800)
def test_looking_costs_a_training_less_than_one_per_cent(tmp_path: Path) -> None:
    """W3 on this machine's backend, whose steps take all processors, with a page that is open and without, in turns."""
    database = str(tmp_path / "runs.db")
    looked: list[Block] = []
    alone: list[Block] = []
    with started([sys.executable, "-c", _TRAINING, database]) as program:
        run_id = read_line(program)
        with started([sys.executable, "-m", "qorch.cli.main", "ui", "--db", database, "--json"]) as server:
            looker = Looker(json.loads(read_line(server))["url"], run_id)
            training = Training(program, psutil.Process(server.pid))
            training.go_on()
            for number in range(ROUNDS):
                # Each comes first as often as the other: a machine that grows warm favours neither.
                for is_looked in (number % 2 == 0, number % 2 == 1):
                    if is_looked:
                        with looker.looking():
                            looked.append(training.go_on())
                    else:
                        alone.append(training.go_on())
    ratio = statistics.median(one.seconds / other.seconds for one, other in zip(alone, looked, strict=True))
    own = statistics.median(one.cpu_seconds / other.cpu_seconds for one, other in zip(alone, looked, strict=True))
    share = sum(each.server_seconds for each in looked) / sum(each.seconds for each in looked) / psutil.cpu_count()
    idle = sum(each.server_seconds for each in alone) / sum(each.seconds for each in alone) / psutil.cpu_count()
    work = sum(each.server_seconds for each in looked) / sum(each.cpu_seconds for each in looked)
    print(
        f"throughput with an open page: {ratio:.4f} of that without; the training's own processor time: {own:.4f};"
        f" the server takes {share:.2%} of the processors, {work:.2%} of the training's own time, {idle:.2%} with"
        f" nobody looking; {looker.n_parts} parts in {sum(each.seconds for each in looked):.0f} s"
    )
    assert looker.n_parts
    assert share < MOST_SHARE
    # What was begun for the page may end after it was closed.
    assert idle < MOST_SHARE / 2
    assert own > LEAST_OWN
