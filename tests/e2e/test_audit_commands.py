"""`qorch audit spend`, `audit export` and the money of `qorch report`, as a user types them."""

import csv
import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from focus_rules import broken_rules
from paid_run import ADJUSTED_MICROS, RESERVED_MICROS, SPENT_MICROS, make_paid_job, make_paid_run, paid_writes

from qorch.model.job import JobState
from qorch.ports.clock import WallClock
from qorch_jobs_db import open_store


@pytest.fixture
def booked(typed: Any) -> Any:
    """The command line on a database with two paid runs, and one that cost nothing."""
    with closing(open_store(str(typed.database), clock=WallClock())) as store:
        store.write(paid_writes()).result()
        store.write(paid_writes(make_paid_run("dogs-1", name="dogs", backend="ibm:ibm_fez"))).result()
        store.write([replace(make_paid_run("free-1", name="free"), backend="local", charges=False)]).result()
    return typed


def sums(document: dict[str, Any]) -> tuple[int, int]:
    """What is spent and reserved in all lines of `qorch audit spend --json`."""
    lines = document["spend"]
    return sum(line["spent"]["micros"] for line in lines), sum(line["reserved"]["micros"] for line in lines)


@pytest.mark.parametrize(
    ("by", "groups"),
    [
        ("run", ["cats-1", "dogs-1"]),
        ("backend", ["braket:garnet", "ibm:ibm_fez"]),
        ("account", ["account"]),
        ("day", ["2026-11-29"]),
        ("month", ["2026-11"]),
        ("epoch", [0, 1, None, 0, 1, None]),
    ],
)
def test_spend_over_all_runs_is_the_same_by_everything(booked: Any, by: str, groups: list[object]) -> None:
    """Two runs, and what is reserved for them; the one that cost nothing is not in it."""
    document = booked("audit", "spend", "--by", by, "--json").document
    assert [line[by] for line in document["spend"]] == groups
    assert sums(document) == (2 * SPENT_MICROS, 2 * RESERVED_MICROS)
    shown = booked("audit", "spend", "--by", by).out
    assert "together 12.70 USD spent, and 6.00 USD reserved" in shown
    assert f"{document['ledger']['entries']}:{document['ledger']['digest']}" in shown


def test_spend_since_a_day_counts_the_jobs_of_that_day_on(booked: Any) -> None:
    """By the day on which they were reserved, as budgets do."""
    assert sums(booked("audit", "spend", "--since", "2026-11-29", "--json").document)[0] == 2 * SPENT_MICROS
    for by in ("run", "epoch"):
        assert booked("audit", "spend", "--since", "2026-11-30", "--by", by, "--json").document["spend"] == []
    assert booked("audit", "spend", "--since", "2026-11-30").out.startswith("nothing was spent or reserved\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("audit", "spend", "--by", "year"), "--by is 'year'; choose one of run, backend, account, day, month, epoch"),
        (("audit", "spend", "--since", "monday"), "--since is 'monday'; write a date such as 2026-11-30"),
        (("audit", "export"), "say where to: --to FILE.csv, .json or .parquet, or --focus FILE.csv or .parquet"),
        (("audit", "export", "--focus", "x.json"), "'x.json' ends in none of .csv, .parquet"),
        (("audit", "export", "nobody", "--to", "x.csv"), "there is no run 'nobody'"),
        (("report", "cats", "--csv", "x.json"), "--csv is 'x.json'; give a file that ends in .csv"),
    ],
)
def test_a_wrong_call_is_refused_with_a_sentence(booked: Any, words: tuple[str, ...], sentence: str) -> None:
    """And nothing is written."""
    done = booked(*words)
    assert (done.code, done.out) == (2, "")
    assert sentence in done.error
    assert [file.name for file in booked.folder.glob("x.*")] == []


def test_a_report_has_its_money_and_writes_its_files(booked: Any) -> None:
    """The keys that were there keep their meaning; the files hold the entries of this run alone."""
    document = booked("report", "cats", "--csv", "cats.csv", "--focus", "focus.csv", "--json").document
    assert document["spend"] == {"currency": "USD", "micros": SPENT_MICROS}
    assert document["reserved"] == {"currency": "USD", "micros": RESERVED_MICROS}
    assert document["money"]["adjusted"]["difference"]["micros"] == ADJUSTED_MICROS
    # By the shipped card, a task costs 0.30 USD.
    assert document["money"]["saved"]["packing"] == {"currency": "USD", "micros": 297 * 300_000}
    with (booked.folder / "cats.csv").open(newline="") as stream:
        assert {row["run"] for row in csv.DictReader(stream)} == {"cats-1"}
    assert "is there already" in booked("report", "cats", "--csv", "cats.csv").error
    assert booked("report", "cats", "--csv", "cats.csv", "--force").code == 0


def test_all_commands_tell_the_same_money(booked: Any) -> None:
    """The list of runs, one run, its report, and the sums over all."""
    listed = {run["run"]: (run["spent"], run["reserved"]) for run in booked("runs", "--json").document["runs"]}
    summed = booked("audit", "spend", "--json").document["spend"]
    assert {line["run"]: (line["spent"], line["reserved"]) for line in summed}.items() <= listed.items()
    for run, money in listed.items():
        report, shown = booked("report", run, "--json").document, booked("show", run, "--json").document
        assert (report["spend"], report["reserved"]) == (shown["spent"], shown["reserved"]) == money


def test_a_wrong_configuration_file_keeps_nobody_from_a_report(booked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What packing saved is then not known; everything else is."""
    (booked.folder / "config.toml").write_text("prices = 5")
    monkeypatch.setenv("QORCH_CONFIG", str(booked.folder / "config.toml"))
    saved = booked("report", "cats", "--json").document["money"]["saved"]
    assert (saved["jobs_saved"], saved["packing"]) == (297, None)


def test_the_commands_work_in_a_process_of_their_own(qorch: Any) -> None:
    """The export for FOCUS keeps its rules, and its sum is that of the report."""
    with closing(open_store(str(qorch.database), clock=WallClock())) as store:
        store.write(paid_writes()).result()
    done = qorch.run_afresh("audit", "export", "latest", "--to", "all.json", "--focus", "focus.csv")
    assert (done.code, done.err) == (0, "")
    assert done.out == "wrote 14 rows to all.json\nwrote 5 rows to focus.csv\n"
    file: Path = qorch.folder / "focus.csv"
    with file.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        rows = [{name: cell or None for name, cell in row.items()} for row in reader]
    assert broken_rules(list(reader.fieldnames or ()), rows) == []
    ledger = json.loads((qorch.folder / "all.json").read_text())
    assert ledger["ledger"]["entries"] == len(ledger["rows"]) == 14


def test_jobs_without_a_price_are_not_said_to_have_cost_nothing(typed: Any) -> None:
    """They are counted beside the sums, as what they cost is not known."""
    with closing(open_store(str(typed.database), clock=WallClock())) as store:
        store.write([make_paid_run(), make_paid_job("cats-1", 0, 0, JobState.DONE)]).result()
    assert typed("audit", "spend", "--json").document["jobs_without_price"] == 1
    shown = typed("audit", "spend").out
    assert "no price was known for 1 job" in shown
    assert "nothing was spent" not in shown
