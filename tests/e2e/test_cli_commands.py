"""The commands that read the database, and what their documents hold."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

READING = (
    ("runs",),
    ("show", "latest"),
    ("jobs",),
    ("report", "digits"),
    ("cache", "stats"),
    ("backends",),
    ("doctor",),
)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_json_is_one_document_and_nothing_else(trained: Any, arguments: tuple[str, ...]) -> None:
    """With --json, standard output parses as one object and standard error is empty."""
    outcome = trained(*arguments, "--json")
    assert outcome.code == 0
    assert isinstance(outcome.document, dict)
    assert outcome.err == ""


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_text_in_a_pipe_is_plain(trained: Any, arguments: tuple[str, ...]) -> None:
    """Without --json there is text, without escape codes and box characters."""
    outcome = trained(*arguments)
    assert outcome.code == 0
    assert outcome.out.strip()
    assert not set("\x1b│┃") & set(outcome.out)


def test_report_adds_up_to_the_wall_time(trained: Any) -> None:
    """The phases, the unattributed time among them, sum to the wall time and their shares to one."""
    report = trained("report", "latest", "--json").document
    phases = report["phases"]
    assert sum(part["seconds"] for part in phases) == pytest.approx(report["wall_seconds"], rel=1e-9)
    assert sum(part["share"] for part in phases) == pytest.approx(1.0)
    assert "unattributed" in {part["phase"] for part in phases}
    assert report["spend"] == {"currency": "USD", "micros": 0}


def test_jobs_and_steps_account_for_every_row(trained: Any) -> None:
    """The rows of the jobs, of the steps and of the report are the same number."""
    report = trained("report", "latest", "--json").document
    jobs = trained("jobs", "--run", report["run"], "--json").document["jobs"]
    steps = trained("show", report["run"], "--json").document["steps"]
    assert report["rows_executed"] > 0
    assert sum(job["rows"] for job in jobs) == report["rows_executed"]
    assert sum(step["rows_executed"] for step in steps) == report["rows_executed"]
    assert {job["state"] for job in jobs} == {"done"}
    assert {"id", "provider_id", "state", "rows", "attempts"} <= jobs[0].keys()


def test_jobs_in_another_state_are_left_out(trained: Any) -> None:
    """--state filters."""
    assert trained("jobs", "--state", "unknown", "--json").document["jobs"] == []


def test_show_tells_the_settings_that_a_resume_would_take(trained: Any) -> None:
    """The stored settings hold what was given and what the workload chose."""
    settings = trained("show", "latest", "--json").document["settings"]
    assert settings["limit"] == 40
    assert settings["shots"] == 1024
    assert settings["backend"] == "local"


def test_an_empty_database_has_no_runs(qorch: Any) -> None:
    """Before the first run there is an empty list, and a sentence that says how to begin."""
    assert qorch("runs", "--json").document == {"runs": []}
    assert "qorch train digits" in qorch("runs").out


def test_prune_deletes_rows_and_keeps_the_run(typed: Any) -> None:
    """After pruning, the rows are gone and the report still stands."""
    typed("train", "digits", *typed.small)
    before = typed("cache", "stats", "--json").document
    assert before["free"] == {"rows": before["rows"], "bytes": before["bytes"]}
    assert before["paid"] == {"rows": 0, "bytes": 0}
    assert before["keep_free_bytes"] == 2_000_000_000
    assert before["disk_free_bytes"] > 0
    assert typed("cache", "prune", "--older-than", "1d", "--json").document["rows_deleted"] == 0
    deleted = typed("cache", "prune", "--run", "digits", "--json").document
    assert deleted["rows_deleted"] == before["rows"]
    after = typed("cache", "stats", "--json").document
    assert (after["rows"], after["unused_bytes"]) == (0, 0)
    assert deleted["bytes_returned"] > 0.9 * before["bytes"]
    assert before["file_bytes"] - after["file_bytes"] > 0.9 * before["bytes"]
    assert typed("report", "latest", "--json").document["rows_executed"] == before["rows"]


def test_backends_tell_their_limits(qorch: Any) -> None:
    """Aer opens, and says how many qubits it takes."""
    [aer] = [item for item in qorch("backends", "--json").document["backends"] if item["name"] == "aer"]
    assert aer["available"] is True
    assert 20 <= aer["limits"]["max_qubits"] < 40
    assert aer["limits"]["charges"] is False


def test_doctor_finds_a_damaged_database(qorch: Any) -> None:
    """A file that is no database is a failure, and the exit code says so."""
    qorch.database.write_bytes(b"this is not a database" * 100)
    outcome = qorch("doctor", "--json")
    assert outcome.code == 1
    [finding] = [item for item in outcome.document["checks"] if item["name"] == "database"]
    assert finding["status"] == "fail"


def test_doctor_tells_of_a_path_that_the_system_refuses(typed: Any) -> None:
    """As a finding among the others."""
    outcome = typed("doctor", "--db", "n" * 300, "--json")
    assert outcome.code == 1
    [finding] = [item for item in outcome.document["checks"] if item["name"] == "database"]
    assert (finding["status"], "too long" in finding["message"]) == ("fail", True)


def test_doctor_warns_of_a_database_that_others_can_read(trained: Any, tmp_path: Path) -> None:
    """A mode with rights for others is a warning that names the mend; it is no failure."""
    copy = tmp_path / "open.db"
    copy.write_bytes(trained.database.read_bytes())
    copy.chmod(0o644)
    outcome = trained("doctor", "--db", str(copy), "--json")
    assert outcome.code == 0
    [finding] = [item for item in outcome.document["checks"] if item["name"] == "database mode"]
    assert finding["status"] == "warn"
    assert "chmod 600" in finding["message"]


def test_the_database_is_its_owners_alone_and_readable_without_qorch(trained: Any) -> None:
    """Mode 0600, and plain sqlite3 lists the run."""
    assert trained.database.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(trained.database) as link:
        [(name, state)] = link.execute("SELECT name, state FROM run_overview").fetchall()
    link.close()
    assert (name, state) == ("digits", "done")


def test_latest_is_the_newest_run_whatever_runs_are_called(typed: Any) -> None:
    """Also where an older qorch let a run be named so."""
    for name in ("first", "second"):
        assert typed.run_python(f'import qorch\nqorch.start_run("{name}", backend="aer").close()\n').code == 0
    with sqlite3.connect(typed.database) as link:
        link.execute("UPDATE runs SET name = 'latest' WHERE name = 'first'")
    link.close()
    assert typed("show", "latest", "--json").document["name"] == "second"


def test_a_loss_that_diverged_is_null(typed: Any) -> None:
    """NaN is no JSON."""
    code = 'import qorch\nwith qorch.start_run("far", backend="aer") as run, run.step(0):\n'
    assert typed.run_python(code + '    run.log(loss=float("nan"))\n').code == 0
    assert typed("show", "far", "--json").document["steps"][0]["metrics"] == {"loss": None}
    assert typed("report", "far", "--json").document["metrics"] == {"loss": None}


def test_a_reader_that_leaves_early_is_no_error(trained: Any) -> None:
    """`qorch jobs | true` says nothing on standard error."""
    process = trained.start("jobs", "--json")
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=60) in {0, 1}


def test_help_and_version_are_quiet_successes(qorch: Any) -> None:
    """Nothing is written to the disk for them."""
    assert "train" in qorch("--help").out
    assert "--resume" in qorch("train", "--help").out
    assert qorch("--version").out.startswith("qorch ")
    assert not qorch.database.exists()
