"""`qorch ui`: who may ask, what is answered, and that looking changes nothing."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from drawn_run import NOON, write_run

from qorch.errors import StoreTooNewError, StoreUnavailableError, UnknownNameError
from qorch.model.job import JobState
from qorch.ports.clock import WallClock
from qorch.ports.records import MetricRecord, SessionRecord, StepRecord
from qorch.stores import open_reader
from qorch.ui.maker import PageMaker
from qorch.ui.server import PageServer
from qorch_jobs_db import SqlReader, SqlStore, open_store
from qorch_jobs_db.schema import ALEMBIC_VERSION

HOSTILE = "</script><script>alert(1)//\u202e"


class EagerClock(WallClock):
    """A clock that waits for nothing: the server looks again at once."""

    async def sleep(self, seconds: float) -> None:
        """Let the others work."""
        await asyncio.sleep(0)


class Later:
    """What is to be done in the background, until it is done."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], None]) -> None:
        self.work.append(work)

    def do(self) -> None:
        """All of it."""
        while self.work:
            self.work.pop()()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """The path of a database."""
    return tmp_path / "runs.db"


@pytest.fixture
def store(database: Path) -> Iterator[SqlStore]:
    """Two runs that are done."""
    with closing(open_store(str(database), clock=WallClock())) as found:
        write_run(found, "run-1", steps=4, jobs_per_step=2)
        write_run(found, "run-2", steps=3, jobs_per_step=2, name="cats")
        yield found


@pytest.fixture
def reader(store: SqlStore, database: Path) -> Iterator[SqlReader]:
    """What `qorch ui` opens."""
    with closing(open_reader(str(database))) as found:
        assert isinstance(found, SqlReader)
        yield found


def add_step(store: SqlStore, step: int, *, loss: float = 0.123) -> None:
    """One more step of run-1."""
    store.write([StepRecord("run-1", step, 1, NOON, 1, 0), MetricRecord("run-1", step, 0, "loss", loss, NOON)]).result()


Ask = Callable[..., Awaitable[aiohttp.ClientResponse]]


@asynccontextmanager
async def asked(reader: SqlReader) -> Any:
    """Ask a server that is running: ``ask(path, token=…)``."""
    server = PageServer(reader, clock=EagerClock())
    async with TestServer(server.application(), host="127.0.0.1") as running, aiohttp.ClientSession() as session:

        async def ask(path: str, *, is_known: bool = True, method: str = "GET", **options: Any) -> Any:
            cookies = {f"qorch-ui-{running.port}": server.token} if is_known else {}
            headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
            headers |= options.pop("headers", {})
            url = f"http://127.0.0.1:{running.port}{path}"
            return await session.request(method, url, headers=headers, allow_redirects=False, **options)

        yield ask, server.token, running.port


def test_pages_have_the_runs_and_ask_nobody_else(reader: SqlReader) -> None:
    """The table, a run, and two side by side; the browser is told to load nothing else, and to keep nothing."""

    async def check() -> None:
        async with asked(reader) as (ask, _, _):
            for path, wanted in (("/", "run-2"), ("/run?id=run-1", "Where the wall time went"),
                                 ("/compare?run=run-1&run=run-2", "loss over executions asked for")):  # fmt: skip
                answer = await ask(path)
                assert answer.status == 200
                assert wanted in await answer.text()
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'sha256-")
                assert answer.headers["Cache-Control"] == "no-store"
                assert not [name for name in answer.headers if name.lower().startswith("access-control")]

    asyncio.run(check())


def test_only_this_machines_browser_is_answered(reader: SqlReader) -> None:
    """A foreign Host, as of a name that was pointed at this machine, is refused, with the right token too."""

    async def check() -> None:
        async with asked(reader) as (ask, token, port):
            for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1:{port + 1}", ""):
                answer = await ask(f"/?token={token}", headers={"Host": host})
                assert answer.status in (400, 403)
                assert "run-1" not in await answer.text()
            assert (await ask("/", headers={"Host": f"localhost:{port}"})).status == 200

    asyncio.run(check())


def test_nobody_reads_without_the_token(reader: SqlReader) -> None:
    """The address that was printed brings it once; then it is a cookie that no script reads and no site sends."""

    async def check() -> None:
        async with asked(reader) as (ask, token, port):
            for path in ("/", "/run?id=run-1", "/part", "/events", "/?token=wrong", "/?token="):
                answer = await ask(path, is_known=False)
                assert (answer.status, "run-1" in await answer.text()) == (403, False)
            answer = await ask(f"/?token={token}", is_known=False)
            assert (answer.status, answer.headers["Location"]) == (303, "/")
            cookie = answer.cookies[f"qorch-ui-{port}"]
            assert (cookie.value, cookie["httponly"], cookie["samesite"]) == (token, True, "Strict")

    asyncio.run(check())


def test_nothing_can_be_changed(reader: SqlReader) -> None:
    """No method but GET is known, and the reader has no connection that can write."""

    async def check() -> None:
        async with asked(reader) as (ask, _, _):
            for method in ("POST", "PUT", "DELETE", "PATCH"):
                assert (await ask("/run?id=run-1", method=method)).status == 405

    asyncio.run(check())
    assert not hasattr(reader, "write")


def test_wrong_addresses_are_answered_by_a_sentence(reader: SqlReader) -> None:
    """A run that is not there, names of another kind, too few runs to compare."""

    async def check() -> None:
        async with asked(reader) as (ask, _, _):
            for path, status in (
                ("/run?id=nobody", 404), ("/run", 404), ("/run?id=cats", 404), ("/compare", 400),
                ("/compare?run=run-1", 400), ("/nothing", 404), ("/run?id=%3Cscript%3E%00%ff", 404),
            ):  # fmt: skip
                answer = await ask(path)
                assert answer.status == status
                assert answer.content_type == "text/plain"

    asyncio.run(check())


def test_a_step_is_told_of_and_shown(reader: SqlReader, store: SqlStore) -> None:
    """The open page hears that something has changed, and its part has the new step."""

    async def check() -> None:
        async with asked(reader) as (ask, _, _):
            events = await ask("/events?id=run-1")
            first = await asyncio.wait_for(events.content.readuntil(b"\n\n"), 30)
            add_step(store, 4, loss=0.4321)
            second = await asyncio.wait_for(events.content.readuntil(b"\n\n"), 30)
            assert first == second == b"data: changed\n\n"
            events.close()
            assert "0.4321" in await (await ask("/part?id=run-1")).text()

    asyncio.run(check())


def test_names_never_become_live(reader: SqlReader, store: SqlStore) -> None:
    """In the table, in the page of a run and side by side."""
    write_run(store, f"run{HOSTILE}", steps=2, jobs_per_step=2, name=HOSTILE, text=HOSTILE)
    content = PageMaker(reader, clock=WallClock(), background=Later())
    for text in (content.runs(), content.run(f"run{HOSTILE}"), content.comparison(["run-1", f"run{HOSTILE}"])):
        assert "<script" not in text
        assert "\u202e" not in text
        assert "&lt;script&gt;alert(1)//\\u202e" in text


def test_what_is_new_is_read_and_what_was_repeated_replaces_the_old(reader: SqlReader, store: SqlStore) -> None:
    """Steps that a resumed run repeats, and numbers that are logged after their step has ended."""
    content = PageMaker(reader, clock=WallClock(), background=Later())
    assert "0.777" not in content.run("run-1")
    store.write([MetricRecord("run-1", 3, 5, "late", 0.777, NOON)]).result()
    assert "0.777" in content.run("run-1")
    repeated = SessionRecord("run-1", 2, 3, "host", NOON, 10**9)
    store.write([repeated, MetricRecord("run-1", 0, 0, "loss", 0.98765, NOON)]).result()
    assert "0.9877" in content.run("run-1")


def test_a_run_that_has_died_is_shown_as_such(reader: SqlReader, store: SqlStore) -> None:
    """Nothing is written when a process is killed, so the state is asked for; while it works, it is running."""
    run = store.find_run("run-1")
    assert run is not None
    store.write([replace(run, state="running")]).result()
    content = PageMaker(reader, clock=WallClock(), background=Later())
    with store.claim_run("run-1"):
        working = content.change("run-1")
        assert "state-running" in content.run("run-1")
    assert content.change("run-1") != working
    assert "state-interrupted" in content.run("run-1")


def test_what_jobs_show_is_made_beside_the_steps(reader: SqlReader, store: SqlStore) -> None:
    """A step does not wait for it: what was made before is shown, and the page is told when it is there."""
    run = store.find_run("run-1")
    assert run is not None
    later = Later()
    content = PageMaker(reader, clock=WallClock(), background=later)
    assert "is on its way" not in content.run("run-1")
    job = replace(store.jobs("run-1")[0], state=JobState.FAILED, error="is on its way")
    store.write([job, replace(run, state="stopped")]).result()
    before = content.change("run-1")
    first = content.run("run-1")
    assert "state-stopped" in first
    assert "is on its way" not in first
    assert len(later.work) == 1
    content.run("run-1")
    assert len(later.work) == 1
    later.do()
    assert content.change("run-1") != before
    assert "is on its way" in content.run("run-1")


def test_the_reader_sees_commits_and_writes_nothing(reader: SqlReader, store: SqlStore, database: Path) -> None:
    """Its version changes with every commit of others, and not by itself; it reads only what comes after a step."""
    before = reader.version()
    assert reader.version() == before
    add_step(store, 4)
    assert reader.version() != before
    assert [step.step for step in reader.steps_after("run-1", 2)] == [3, 4]
    assert [metric.step for metric in reader.metrics_after("run-1", 2)] == [3, 4]
    assert reader.runs() == store.runs()
    assert reader.run_attempts("run-1") == store.run_attempts("run-1")


def test_the_reader_makes_and_upgrades_no_database(tmp_path: Path, store: SqlStore, database: Path) -> None:
    """A file that is missing stays missing, and an older or newer one stays as it is: the error says what to do."""
    missing = tmp_path / "none.db"
    with pytest.raises(StoreUnavailableError, match="there is no database"):
        open_reader(str(missing))
    assert not missing.exists()
    assert not missing.with_name("none.db.locks").exists()
    for revision, error in (("0001", StoreUnavailableError), ("9999", StoreTooNewError)):
        with store._write_engine.begin() as connection:
            connection.execute(ALEMBIC_VERSION.update().values(version_num=revision))
        with pytest.raises(error):
            open_reader(str(database))
    with pytest.raises(UnknownNameError):
        open_reader("nosuch://x")


def test_the_address_is_one_json_document() -> None:
    """A program that starts it reads the address from its first line."""
    from qorch.cli.ui import make_announcer

    lines: list[str] = []
    make_announcer(lines.append, as_json=True)("http://127.0.0.1:1/?token=x")
    assert json.loads(lines[0])["url"] == "http://127.0.0.1:1/?token=x"
