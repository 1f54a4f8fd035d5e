"""Wrong usage and broken databases: one line, an exit code, and nothing written."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

WRONG_USAGE = {
    "no such command": (("nonsense",), "nonsense"),
    "no workload": (("train",), "WORKLOAD"),
    "unknown workload": (("train", "nonsense"), "digits"),
    "unknown backend": (("train", "digits", "--backend", "nonsense"), "aer"),
    "unknown noise": (("train", "digits", "--backend", "aer:noise=nonsense"), "nonsense"),
    "no shots": (("train", "digits", "--shots", "0"), "shots is 0"),
    "negative shots": (("train", "digits", "--shots", "-5"), "shots is -5"),
    "too many shots": (("train", "digits", "--shots", "1000000000000"), "1000000000000"),
    "too many shots for the backend": (("train", "digits", "--shots", "20000000"), "at most 10000000"),
    "too many shots for aer": (("train", "digits", "--shots", "20000000", "--backend", "aer"), "at most 10000000"),
    "exact values with noise": (
        ("train", "digits", "--shots", "exact", "--backend", "local:depolarizing=0.01"),
        "no exact results",
    ),
    "exact values of a machine": (
        ("train", "digits", "--shots", "exact", "--backend", "ionq:qpu.forte-1"),
        "no exact results",
    ),
    "exact gradients of a machine": (
        ("train", "digits", "--gradient", "exact", "--backend", "ionq:qpu.forte-1"),
        "no exact gradients",
    ),
    "shots in words": (("train", "digits", "--shots", "many"), "many"),
    "SPSA of exact values": (
        ("train", "digits", "--gradient", "spsa", "--shots", "exact"),
        "no sense with exact values",
    ),
    "bad option of a gradient": (("train", "digits", "--gradient", "spsa:c=0"), "c is 0.0"),
    "unknown gradient": (("train", "digits", "--gradient", "nonsense"), "parameter-shift"),
    "unknown policy": (("train", "digits", "--cache", "nonsense"), "top_up"),
    "budget without currency": (("train", "digits", "--budget", "5"), "5 USD"),
    "negative seed": (("train", "digits", "--seed", "-1"), "seed"),
    "no epochs": (("train", "digits", "--epochs", "0"), "--epochs"),
    "epochs in words": (("train", "digits", "--epochs", "two"), "--epochs"),
    "no batch": (("train", "digits", "--batch-size", "0"), "--batch-size"),
    "too few samples": (("train", "digits", "--limit", "3"), "--limit"),
    "too few samples of every class": (("train", "digits", "--limit", "20", "--classes", "all"), "--limit is 20"),
    "a name that is taken": (("train", "digits", "--name", "latest"), "latest"),
    "bad name": (("train", "digits", "--name", "a/b"), "a/b"),
    "unknown own option": (("train", "digits", "--nonsense", "1"), "--classes"),
    "own option without value": (("train", "digits", "--classes"), "--classes"),
    "bad own option": (("train", "digits", "--classes", "3,x"), "3,x"),
    "stray word": (("train", "digits", "stray"), "stray"),
    "options first": (("train", "--classes", "3,6", "digits"), "workload"),
    "nothing to resume": (("train", "digits", "--resume"), "qorch runs"),
    "unknown run to resume": (("train", "digits", "--resume", "nonsense"), "qorch runs"),
    "another database": (("train", "digits", "--db", "postgresql://host/x"), "sqlite:///"),
    "no such database": (("runs", "--db", "missing.db"), "missing.db"),
    "prune what": (("cache", "prune"), "--older-than"),
    "bad age": (("cache", "prune", "--older-than", "soon"), "30d"),
    "bad state": (("jobs", "--state", "nonsense"), "reserved"),
}


@pytest.mark.parametrize("case", WRONG_USAGE)
def test_wrong_usage_is_one_line_and_exit_code_2(typed: Any, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names what was wrong; standard output is empty, and there is still no database."""
    monkeypatch.setenv("IONQ_API_KEY", "any")
    arguments, word = WRONG_USAGE[case]
    outcome = typed(*arguments)
    assert outcome.code == 2, outcome.err
    assert word in outcome.error
    assert outcome.out == ""
    assert list(typed.folder.iterdir()) == []


@pytest.mark.parametrize("command", ["runs", "train digits --resume", "cache stats"])
def test_a_path_that_the_system_refuses_is_one_line(typed: Any, command: str) -> None:
    """A name that is too long names itself, and what to do."""
    outcome = typed(*command.split(), "--db", "n" * 300)
    assert outcome.code == 1
    assert "File name too long" in outcome.error
    assert "--db" in outcome.error


def test_a_process_ends_with_the_code_and_says_no_more(qorch: Any) -> None:
    """What is true inside the process is true outside it."""
    outcome = qorch("train", "digits", "--shots", "0")
    assert outcome.code == 2
    assert outcome.error.startswith("shots is 0")
    assert list(qorch.folder.iterdir()) == []


@pytest.mark.parametrize("command", ["show", "report", "cancel"])
def test_an_unknown_run_is_wrong_usage(typed: Any, command: str) -> None:
    """The line says where to look."""
    outcome = typed(command, "nonsense")
    assert outcome.code == 2
    assert "nonsense" in outcome.error
    assert "qorch runs" in outcome.error


def test_a_wrong_setting_in_the_environment_is_wrong_usage(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line names the variable."""
    monkeypatch.setenv("QORCH_WORKERS", "many")
    outcome = typed("train", "digits", *typed.small)
    assert outcome.code == 2
    assert "QORCH_WORKERS" in outcome.error


def test_debug_adds_the_traceback(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """By option, wherever it stands, and by environment; the last line stays the same."""
    plain = typed("show", "nonsense")
    assert typed("show", "--debug", "nonsense").err.startswith("Traceback")
    monkeypatch.setenv("QORCH_DEBUG", "1")
    loud = typed("show", "nonsense")
    assert loud.err.startswith("Traceback")
    assert loud.err.endswith(plain.err)


def write_garbage(path: Path) -> None:
    """A file that is no database at all."""
    path.write_bytes(b"no database" * 500)


def write_folder(path: Path) -> None:
    """A folder where the file should be."""
    path.mkdir()


def write_foreign(path: Path) -> None:
    """The database of another program."""
    link = sqlite3.connect(path)
    link.execute("CREATE TABLE theirs (id INTEGER)")
    link.commit()
    link.close()


@pytest.mark.parametrize("spoil", [write_garbage, write_folder, write_foreign])
def test_a_database_that_is_none_fails_before_training(typed: Any, spoil: Any) -> None:
    """One line with the path, exit code 1, and the file is left as it was."""
    spoil(typed.database)
    before = typed.database.read_bytes() if typed.database.is_file() else None
    outcome = typed("train", "digits", *typed.small)
    assert outcome.code == 1
    assert "q.db" in outcome.error
    assert before == (typed.database.read_bytes() if typed.database.is_file() else None)


def test_a_database_that_cannot_be_made_fails_before_training(typed: Any) -> None:
    """A file stands where the folder should be."""
    (typed.folder / "file").write_text("")
    outcome = typed("train", "digits", *typed.small, "--db", "file/q.db")
    assert outcome.code == 1
    assert "file/q.db" in outcome.error


def test_a_newer_database_asks_for_an_upgrade(typed: Any) -> None:
    """A revision that this qorch does not know is refused."""
    assert typed("runs").code == 0
    link = sqlite3.connect(typed.database)
    link.execute("UPDATE alembic_version SET version_num = '9999'")
    link.commit()
    link.close()
    outcome = typed("runs")
    assert outcome.code == 1
    assert "upgrade" in outcome.error


def test_a_file_that_can_grow_no_more_ends_the_run_and_it_resumes(typed: Any) -> None:
    """Writing fails in mid-run; with room again the run goes on to the weights of an undisturbed one."""
    whole = typed("train", "digits", *typed.small, "--epochs", "4", "--json").document
    third = typed.database.stat().st_size // 3
    arguments = ["train", "digits", "--db", "second.db", *typed.small, "--epochs", "4"]
    limited = typed.run_python(
        "import resource\n"
        "from qorch.cli.main import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({third}, {third}))\n"
        f"main({arguments})\n"
    )
    assert limited.code == 1, limited.err
    *_, hint, error = limited.err.splitlines()
    assert hint.startswith("resume with: qorch train digits --resume digits-")
    assert error.startswith("error: ")
    resumed = typed(*hint.removeprefix("resume with: qorch ").split(), "--json").document
    assert resumed["weights_sha256"] == whole["weights_sha256"]
    assert resumed["sessions"] == 2
