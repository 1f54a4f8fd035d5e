"""Ctrl-C, SIGTERM, kill and cancel while a training runs."""

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from typing import Any

import pytest

TWELVE_STEPS = ("--limit", "40", "--epochs", "6", "--batch-size", "16")


def send_and_wait(process: "subprocess.Popen[str]", *signals: signal.Signals) -> tuple[float, str, str]:
    """Send signals to the whole group, as a terminal does; how long it took to end, and what it said."""
    started = time.monotonic()
    for number in signals:
        os.killpg(process.pid, number)
    out, err = process.communicate(timeout=30)
    return time.monotonic() - started, out, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_stops_in_good_order(qorch: Any, running: Any, number: signal.Signals, code: int) -> None:
    """Within 5 s, without a traceback, with the command to go on, and the run is marked stopped."""
    process = running("--json")
    seconds, out, err = send_and_wait(process, number)
    assert process.returncode == code
    assert seconds < 5
    assert out == ""
    assert "Traceback" not in err
    assert "stopping; press Ctrl-C again to quit at once" in err
    [run] = qorch("runs", "--json").document["runs"]
    assert err.splitlines()[-1] == f"resume with: qorch train digits --resume {run['run']}"
    assert run["state"] == "stopped"
    states = {job["state"] for job in qorch("jobs", "--json").document["jobs"]}
    assert states <= {"done", "cancelled"}


@pytest.mark.flaky(reruns=2)
def test_the_second_signal_quits_at_once(running: Any) -> None:
    """A second Ctrl-C ends the process; where Python is on its way out already, by the signal itself."""
    process = running()
    os.killpg(process.pid, signal.SIGINT)
    # Two signals at once may reach a process as one.
    said = iter(process.stderr.readline, "")
    assert any("press Ctrl-C again" in line for line in said)
    seconds, _, err = send_and_wait(process, signal.SIGINT)
    assert process.returncode in {130, -signal.SIGINT}
    assert seconds < 2
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def undisturbed(command_line: Any) -> dict[str, Any]:
    """The document of a run that is left alone."""
    document: dict[str, Any] = command_line("train", "digits", *TWELVE_STEPS, "--json").document
    return document


@pytest.mark.parametrize(("number", "state"), [(signal.SIGINT, "stopped"), (signal.SIGKILL, "interrupted")])
def test_a_stopped_run_goes_on_to_the_same_weights(
    qorch: Any, undisturbed: dict[str, Any], number: signal.Signals, state: str
) -> None:
    """Stopped or killed in mid-run and resumed, a run ends bit-equal to one that was left alone, and with its books."""
    process = qorch.start("train", "digits", *TWELVE_STEPS)
    process.stderr.readline()
    send_and_wait(process, number)
    assert qorch("runs", "--json").document["runs"][0]["state"] == state
    resumed = qorch("train", "digits", "--resume", "--json").document
    assert resumed["weights_sha256"] == undisturbed["weights_sha256"]
    assert resumed["sessions"] == 2
    assert resumed["steps"] == undisturbed["steps"] == 12
    # A free job whose results were not on the disk yet is executed again.
    assert resumed["rows_executed"] == undisturbed["rows_executed"]
    assert resumed["rows_from_cache"] == 0
    steps = qorch("show", "latest", "--json").document["steps"]
    assert sum(step["rows_executed"] for step in steps) == undisturbed["rows_executed"]


def test_cancel_stops_the_process_and_marks_the_run(qorch: Any, running: Any) -> None:
    """The process ends as by SIGTERM; a second cancel has nothing to do."""
    process = running("--name", "doomed")
    outcome = qorch("cancel", "doomed", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["state"] == "cancelled"
    assert outcome.document["stopped_pid"] == process.pid
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "resume" not in said
    assert said.splitlines()[-1] == f"run {outcome.document['run']} was cancelled"
    assert qorch("runs", "--json").document["runs"][0]["state"] == "cancelled"
    assert qorch("cancel", "doomed").code == 2


def test_a_cancelled_run_is_not_resumed(typed: Any) -> None:
    """`--resume` refuses it by name, and passes over it where it is to find the newest run."""
    assert typed("train", "digits", *typed.small, "--name", "kept", "--json").code == 0
    assert typed("train", "digits", *typed.small, "--name", "doomed", "--json").code == 0
    with closing(sqlite3.connect(typed.database)) as link, link:
        link.execute("UPDATE runs SET state = 'cancelled' WHERE name = 'doomed'")
    refused = typed("train", "digits", "--resume", "doomed")
    assert refused.code == 2
    assert "was cancelled" in refused.error
    newest = typed("train", "digits", "--resume", "--json")
    assert newest.document["name"] == "kept"
    none = typed("train", "digits", "--resume", "--name", "doomed")
    assert none.code == 2
    assert "no run of digits to resume" in none.error


def test_two_processes_do_not_work_on_one_run(qorch: Any, running: Any) -> None:
    """The second is told who has it, and the first is not disturbed."""
    process = running("--name", "busy")
    outcome = qorch("train", "digits", "--resume", "busy")
    assert outcome.code == 1
    assert str(process.pid) in outcome.error
    assert process.poll() is None
