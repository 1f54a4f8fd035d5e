"""Servers that a training met and did not come away from: lists that outrun it, torn families, closed machines."""

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, cast

import numpy as np
import pytest

import qorch
from qorch.backends import open_backend
from qorch.config import Config
from qorch.engine.remote import pacer
from qorch.errors import HeldResultError, InvalidResultError, QorchError, UnknownOutcomeError
from qorch.model.circuit import build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.job import JobState
from qorch.model.pub import Pub
from qorch.ports.clock import WallClock
from qorch.stores import open_store
from qorch_providers.emulators.ionq import Settings, start

TARGETS = ("simulator", "qpu.forte-1")
GROWTH = 40
PAGE = 25


@dataclass
class Account:
    """What a server knows, and how it is ill. ``jobs``: newest first, strangers among them.

    ``growth``: strangers that come with every page of the list; ``takes``: whether each POST is accepted that is then
    not answered, None for those that are answered; ``repeats``: whether a job names its first child twice;
    ``closed_looks``: how often it says that the machine is closed when it is asked, before it opens.
    """

    growth: int = 0
    takes: Iterator[bool | None] = field(default_factory=lambda: itertools.repeat(None))
    repeats: bool = False
    closed_looks: int = 0
    jobs: list[dict[str, Any]] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, **more: object) -> dict[str, Any]:
        """A new job at the head of the list."""
        now = WallClock().now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        job = {"id": name, "status": "completed", "metadata": {}, "submitted_at": now, **more}
        self.jobs.insert(0, job)
        return job

    def count(self, start: str) -> int:
        """How many questions began so."""
        return sum(path.startswith(start) for path in self.asked)


class Ill(BaseHTTPRequestHandler):
    """Speaks v0.4 for an account; its list has the offset of the next page for a cursor."""

    protocol_version = "HTTP/1.1"
    account: Account

    def do_POST(self) -> None:
        """Accept a job, or not, and answer, or not."""
        sent = json.loads(self.rfile.read(int(self.headers["content-length"])))
        account = self.account
        with account.lock:
            account.posts.append(sent["metadata"]["qorch_key"])
            if account.closed_looks:
                self._answer(503, {"message": "the backend is down for scheduled maintenance"})
                return
            takes = next(account.takes)
            name = f"job-{len(account.posts)}"
            if takes is not False:
                rows = len(sent["input"].get("circuits", [0]))
                children = [f"{name}-{row}" for row in range(rows)] if rows > 1 else []
                if account.repeats:
                    children = [children[0], *children[:-1]]
                account.add(name, metadata=sent["metadata"], child_job_ids=children)
        if takes is None:
            self._answer(201, {"id": name, "status": "submitted"})
        else:
            self.close_connection = True

    def do_GET(self) -> None:
        """The list, a job, its results, or the machine."""
        path, _, query = self.path.partition("?")
        with self.account.lock:
            self.account.asked.append(path.removeprefix("/v0.4/"))
            if path == "/v0.4/jobs":
                self._list(dict(part.split("=") for part in query.split("&")))
            elif path.startswith("/v0.4/backends/"):
                status = "unavailable" if self.account.closed_looks else "available"
                self.account.closed_looks = max(0, self.account.closed_looks - 1)
                self._answer(200, {"backend": path.rpartition("/")[2], "status": status, "qubits": 11})
            else:
                self._one(*path.removeprefix("/v0.4/jobs/").partition("/")[::2])

    def _list(self, query: dict[str, str]) -> None:
        offset = int(query.get("next", "0"))
        shown = self.account.jobs[offset : offset + PAGE]
        more = offset + PAGE < len(self.account.jobs)
        for _ in range(self.account.growth):
            self.account.add(f"stranger-{len(self.account.jobs)}")
        self._answer(200, {"jobs": shown, "next": str(offset + PAGE) if more else None})

    def _one(self, name: str, rest: str) -> None:
        job = next((job for job in self.account.jobs if job["id"] == name), None)
        if job is None:
            self._answer(404, {"message": "no such job"})
        elif rest:
            children = job["child_job_ids"]
            self._answer(200, {child: {"0": 1} for child in children} if children else {"0": 1})
        else:
            self._answer(200, job)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


Serve = Callable[[type[BaseHTTPRequestHandler]], str]


def open_at(serve: Serve, account: Account, target: str) -> Any:
    """A backend at a server of this account."""
    return backend_at(serve(type("Handler", (Ill,), {"account": account})), target)


def backend_at(url: str, target: str) -> Any:
    """A backend at this address."""
    config = Config("unused", environment={"IONQ_API_URL": url, "IONQ_API_KEY": "dummy"})
    return open_backend(f"ionq:{target},settle=0.2", config=config, clock=WallClock())


def rows(n_rows: int) -> Pub:
    """Rows of one qubit, all of them new."""
    gates = build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))])
    return Pub(free_circuit(gates), np.linspace(0.1, 3.0, n_rows)[:, np.newaxis], observables=["Z0"], shots=100)


def train(backend: Any, *, steps: int, resume: bool = False, db: Any) -> "QorchError | None":
    """So many steps of two rows; the error that ended them."""
    try:
        with qorch.start_run("troubled", backend=backend, db=db, resume=resume) as run:
            for step in run.steps(range(steps)):
                run.execute(rows(2 + step % 2))
    except QorchError as error:
        return error
    return None


def states(db: Any) -> list[JobState]:
    """Those of the run's jobs."""
    with closing(open_store(db, clock=WallClock())) as store:
        return [job.state for job in store.jobs()]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("target", TARGETS)
def test_a_list_that_outruns_its_reader_is_given_up(target: str, serve: Serve, tmp_path: Any) -> None:
    """Every second POST is answered; the others are found while they are near the head of the list, else held.

    Forty foreign jobs come with every page, so the list has no end. No key is sent twice; a resumed run gives up, too.
    """
    account = Account(growth=GROWTH, takes=itertools.cycle([None, True, None, False]))
    for number in range(100):
        account.add(f"old-{number}")
    error = train(open_at(serve, account, target), steps=8, db=tmp_path / "q.db")
    assert isinstance(error, UnknownOutcomeError), error
    assert "grows as fast as it is read" in str(error)
    assert "held" in str(error)
    assert len(account.posts) == len(set(account.posts)) == 4
    # One search that found a job, or two where a page came in between, and one that was given up.
    print(account.count("jobs"), "questions")
    assert account.asked.count("jobs") < 60
    assert JobState.UNKNOWN in states(tmp_path / "q.db")
    assert isinstance(train(open_at(serve, account, target), steps=8, resume=True, db=tmp_path / "q.db"), QorchError)
    assert len(account.posts) == 4


@pytest.mark.parametrize("target", TARGETS)
def test_a_child_that_is_named_twice_is_asked_for_a_few_times(target: str, serve: Serve, tmp_path: Any) -> None:
    """What is paid for is held with its answer, what is free has failed: after three questions, and one POST."""
    account = Account(repeats=True)
    error = train(open_at(serve, account, target), steps=1, db=tmp_path / "q.db")
    is_paid = target != "simulator"
    assert isinstance(error, InvalidResultError), error
    assert isinstance(error, HeldResultError) is is_paid
    assert "names a child twice" in str(error)
    assert states(tmp_path / "q.db") == [JobState.UNKNOWN if is_paid else JobState.FAILED]
    assert len(account.posts) == 1
    # One poll, three fetches, and at the end of the run what was charged: the job and its cost.
    assert account.count("jobs/job-1") <= 3 + 1 + 2 * is_paid
    if is_paid:
        account.jobs[0]["child_job_ids"] = ["job-1-0", "job-1-1"]
        assert train(open_at(serve, account, target), steps=1, resume=True, db=tmp_path / "q.db") is None
        assert len(account.posts) == 1


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed machine is asked again after a tenth of a second, and what it said is believed for no time."""
    monkeypatch.setattr(pacer, "CLOSED_SECONDS", 0.1)
    monkeypatch.setattr(pacer, "AVAILABILITY_SECONDS", 0.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("target", TARGETS)
def test_a_closed_machine_pauses_the_queue(target: str, tmp_path: Any) -> None:
    """The emulator closes for a second before the first job: nothing is sent to it, and then all of it."""
    with start(Settings(faults="unavailable@0s..1s")) as emulator:
        assert train(backend_at(emulator.url, target), steps=3, db=tmp_path / "q.db") is None
        truth = emulator.truth()
        by_status = cast("dict[str, int]", truth["calls"]["by_status"])
        assert "503" not in by_status
        assert truth["calls"]["by_route"]["POST /v0.4/jobs"] == len(emulator.jobs()) == 3
    assert states(tmp_path / "q.db") == [JobState.DONE] * 3


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("target", TARGETS)
def test_a_machine_that_closes_between_two_steps_is_asked_first(target: str, serve: Serve, tmp_path: Any) -> None:
    """The first step is done when it closes; the second waits until it opens, and is sent once."""
    account = Account()
    backend = open_at(serve, account, target)
    with qorch.start_run("closing", backend=backend, db=tmp_path / "q.db") as run:
        run.execute(rows(2))
        account.closed_looks = 2
        run.execute(rows(3))
    assert len(account.posts) == len(set(account.posts)) == 2


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("target", TARGETS)
def test_a_refusal_while_it_closes_proves_nothing(
    target: str, serve: Serve, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It closes between the look and the POST: the key is looked for; what is paid for is held, what is free waits."""
    monkeypatch.setattr(pacer, "AVAILABILITY_SECONDS", 60.0)
    account = Account()
    backend = open_at(serve, account, target)
    with qorch.start_run("closing", backend=backend, db=tmp_path / "q.db") as run:
        run.execute(rows(2))
        account.closed_looks = 2
        if target == "simulator":
            run.execute(rows(3))
        else:
            with pytest.raises(UnknownOutcomeError, match="maintenance"):
                run.execute(rows(3))
    assert account.count("jobs") >= 2, "it was not looked for"
    assert len(account.posts) == (3 if target == "simulator" else 2)
    assert len(set(account.posts)) == 2
    assert states(tmp_path / "q.db")[1] is (JobState.DONE if target == "simulator" else JobState.UNKNOWN)
