"""Whatever stands in names, reasons and provider ids: no export has a live formula, and no terminal obeys it."""

import csv
import io
import json
import re
import sys
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow.parquet
import pytest
from paid_run import NOON, make_entry, make_paid_job, make_paid_run

from qorch.audit.report import make_report
from qorch.cli.output import print_aside, print_table
from qorch.errors import UsageError
from qorch.model.job import AttemptOutcome, JobState
from qorch.model.ledger import EntryKind
from qorch.model.text import as_cell
from qorch.ports.clock import WallClock
from qorch.ports.records import AttemptRecord, MetricRecord, RunMove, SessionRecord, StepRecord, Write
from qorch.run.arguments import check_name
from qorch_jobs_db import open_store

CORPUS = [
    "=cmd|'/C calc'!A0",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "+1+cmd|' /C calc'!A0",
    "-1+cmd|' /C calc'!A0",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    " =1+1",
    "\x00=1+1",
    "\ufeff=1+1",
    "\u200e=1+1",
    "＝1+1",
    "＠SUM(1)",
    'a";=HYPERLINK("http://x")',
    "a;=1+1",
    "a\t=1+1",
    "a,=1+1",
    "a,-cmd|' /C calc'!A0",
    "a\r\n=1+1",
    '"=1+1"',
    "<script>alert(1)</script>",
    "</script><script>alert(1)//",
    "\x1b[2J\x1b]0;owned\x07",
    "\x9b31m",
    "\u202eevil\u2066",
    "back`tick`$(id)",
    "[bold red]x[/]",
    "']]><svg/onload=alert(1)>",
]
_FORMULA = re.compile(r"\s*[=@＝＠]|\s*[+\-＋－](?![0-9.]*$)")


def spreadsheet_cells(text: str, delimiter: str) -> list[str]:
    """The cells that a spreadsheet sees which was told this delimiter, also where that is not the file's own."""
    return [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]


def assert_no_formula(text: str) -> None:
    """No cell is computed, whatever the reader takes for the end of a cell; a line may begin with a number."""
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u202a-\u202e\u2066-\u2069\ufeff]", text)
    live = [
        cell
        for delimiter in (",", ";", "\t", "|")
        for cell in spreadsheet_cells(text, delimiter)
        if _FORMULA.match(cell) and not re.match(r"-[0-9.]+(,|$)", cell)
    ]
    assert live == []


def assert_calm(text: str) -> None:
    """What was printed has nothing that a terminal obeys, or that turns the direction of writing."""
    assert [letter for letter in text if letter != "\n" and not letter.isprintable()] == []


def write_attack(text: str, run_id: str, number: int, *, in_names: bool) -> list[Write]:
    """A run with a text of the corpus in its own names, or in what providers and programs say."""
    run = make_paid_run(run_id, name=text, backend=text) if in_names else make_paid_run(run_id)
    job = replace(make_paid_job(run_id, 0, 0, JobState.FAILED, provider_id=text), error=text)
    account = "account" if in_names else text
    return [
        run, SessionRecord(run_id, 0, 1, text, NOON, 10**9), job,
        AttemptRecord(job.job_id, 1, f"key {number}", NOON, AttemptOutcome.REFUSED, text, None, text),
        StepRecord(run_id, 0, 0, NOON, 100, 0, NOON, 0), MetricRecord(run_id, 0, 0, text, 1.5, NOON),
        make_entry(job, EntryKind.RESERVED, 9, account=account, reason=text),
        make_entry(job, EntryKind.SPENT, 7, account=account, reason=text),
        make_entry(job, EntryKind.ADJUSTED, -2, account=account, reason=text),
        RunMove(run_id, "done", json.dumps({"metrics": {text: 1.0}})),
    ]  # fmt: skip


@pytest.fixture(scope="module", params=["names", "texts"])
def attacked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with a run for each text of the corpus."""
    database = tmp_path_factory.mktemp("attacked") / "x.db"
    with closing(open_store(str(database), clock=WallClock())) as store:
        for number, text in enumerate(CORPUS):
            in_names = request.param == "names"
            run_id = f"{text}{number}" if in_names else f"run-{number}"
            store.write(write_attack(text, run_id, number, in_names=in_names))
        store.write([]).result()
    return database


def read_raw(file: Path) -> str:
    """A text file with its line ends."""
    return file.read_bytes().decode("utf-8")


def test_no_export_has_a_live_formula(attacked: Path, typed: Any) -> None:
    """In CSV, the FOCUS one too; JSON and Parquet have every text as it was, and no end of a script."""
    db = ("--db", str(attacked))
    done = typed("audit", "export", "--to", "all.csv", "--focus", "focus.csv", *db)
    assert done.code == 0, done.err
    assert_no_formula(read_raw(typed.folder / "all.csv"))
    assert_no_formula(read_raw(typed.folder / "focus.csv"))
    assert_no_formula(typed("runs", "--csv", *db).out)
    done = typed("audit", "export", "--to", "all.json", "--focus", "focus.parquet", *db)
    assert done.code == 0, done.err
    text = read_raw(typed.folder / "all.json")
    assert "<" not in text
    found = {row["reason"] for row in json.loads(text)["rows"]}
    names = {row["run_name"] for row in json.loads(text)["rows"]}
    parquet = pyarrow.parquet.read_table(typed.folder / "focus.parquet")
    assert found == set(parquet["x_Reason"].to_pylist()) == set(CORPUS)
    assert names in ({"cats"}, set(CORPUS))


COMMANDS = (
    "runs", "show latest", "report latest", "jobs", "jobs --state failed", "audit spend", "audit spend --by backend",
    "audit spend --by epoch", "audit spend --by account", "audit verify", "report nobody\x1b[2J",
    "runs --filter \x1b[2J=1", "cache stats",
)  # fmt: skip


def test_no_command_prints_what_a_terminal_obeys(attacked: Path, typed: Any) -> None:
    """As text, as JSON, and as an error."""
    for command in COMMANDS:
        for words in (command.split(" "), [*command.split(" "), "--json"]):
            done = typed(*words, "--db", str(attacked))
            assert_calm(done.out)
            assert_calm(done.err)


def test_json_on_standard_output_is_what_was_stored(attacked: Path, typed: Any) -> None:
    """The escapes are JSON's own: whoever reads the document gets every text as it was."""
    errors = [job["error"] for job in typed("jobs", "--json", "--db", str(attacked)).document["jobs"]]
    assert errors == CORPUS


class _Tags(HTMLParser):
    """Reads HTML, and keeps what a browser would run or load of it."""

    def __init__(self) -> None:
        super().__init__()
        self.live: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "img", "link", "form"):
            self.live.append(tag)
        self.live += [name for name, _ in attrs if name.startswith("on") or name in ("src", "href", "xlink:href")]


def test_every_report_of_the_corpus_is_calm(attacked: Path) -> None:
    """Whatever the run, its backend, its metrics and its held jobs are called; in a notebook nothing is markup."""
    with closing(open_store(str(attacked), clock=WallClock())) as store:
        for run in store.runs():
            report = make_report(store, run.run_id)
            assert_calm(str(report))
            tags = _Tags()
            tags.feed(report._repr_html_())
            assert tags.live == []


def test_a_drawing_has_no_script(attacked: Path, typed: Any) -> None:
    """A metric's name in an SVG is text."""
    done = typed("plot", "latest", "-o", "x.svg", "--db", str(attacked))
    assert done.code == 0, done.err
    assert_calm(done.out)
    elements = list(ElementTree.fromstring(read_raw(typed.folder / "x.svg")).iter())  # noqa: S314
    assert "script" not in {element.tag.rpartition("}")[2] for element in elements}
    assert not any(name.startswith("on") for element in elements for name in element.attrib)


@pytest.mark.parametrize("text", CORPUS)
def test_qorch_itself_takes_no_such_name(text: str) -> None:
    """A run cannot be called so; only a database that somebody else wrote has such names."""
    with pytest.raises(UsageError):
        check_name(text)


@pytest.mark.parametrize("text", CORPUS)
def test_a_table_on_a_terminal_is_calm(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With lines, without, and wrapped; messages on standard error as well."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for width in ("30", "200"):
        out, err = Terminal(), Terminal()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        monkeypatch.setenv("COLUMNS", width)
        monkeypatch.setenv("TERM", "dumb")
        print_table(("name", "error"), [(text, f"{text} and a sentence that is wrapped")])
        print_aside(text)
        assert_calm(out.getvalue())
        assert_calm(err.getvalue())


def test_numbers_stay_numbers() -> None:
    """A cell that is a number is not quoted, be it negative."""
    numbers = ("-5", "+5", "-0.000001", "1e-9", "-1.5E+3", ".5")
    assert [as_cell(text) for text in numbers] == list(numbers)
    assert as_cell("-5+cmd") == "'-5+cmd"
