"""Ctrl-C, SIGTERM, kill and cancel while a training runs."""

import os
import signal
import subprocess
import time
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


def test_the_second_signal_quits_at_once(running: Any) -> None:
    """Two Ctrl-C in a row end the process; where Python is on its way out already, by the signal itself."""
    process = running()
    seconds, _, err = send_and_wait(process, signal.SIGINT, signal.SIGINT)
    assert process.returncode in {130, -signal.SIGINT}
    assert seconds < 2
    assert "Traceback" not in err


@pytest.fixture(scope="module")
def undisturbed(command_line: Any) -> dict[str, Any]:
    """The document of a run that is left alone."""
    document: dict[str, Any] = command_line("train", "digits", *TWELVE_STEPS, "--json").document
    return document


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_goes_on_to_the_same_weights(
    qorch: Any, undisturbed: dict[str, Any], number: signal.Signals
) -> None:
    """Stopped or killed in mid-run and resumed, a run ends bit-equal to one that was left alone."""
    process = qorch.start("train", "digits", *TWELVE_STEPS)
    process.stderr.readline()
    send_and_wait(process, number)
    resumed = qorch("train", "digits", "--resume", "--json").document
    assert resumed["weights_sha256"] == undisturbed["weights_sha256"]
    assert resumed["sessions"] == 2
    assert resumed["steps"] == undisturbed["steps"] == 12


def test_cancel_stops_the_process_and_marks_the_run(qorch: Any, running: Any) -> None:
    """The process ends as by SIGTERM; a second cancel has nothing to do."""
    process = running("--name", "doomed")
    outcome = qorch("cancel", "doomed", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.document["state"] == "cancelled"
    assert outcome.document["stopped_pid"] == process.pid
    assert process.wait(timeout=10) == 143
    assert qorch("runs", "--json").document["runs"][0]["state"] == "cancelled"
    assert qorch("cancel", "doomed").code == 2


def test_two_processes_do_not_work_on_one_run(qorch: Any, running: Any) -> None:
    """The second is told who has it, and the first is not disturbed."""
    process = running("--name", "busy")
    outcome = qorch("train", "digits", "--resume", "busy")
    assert outcome.code == 1
    assert str(process.pid) in outcome.error
    assert process.poll() is None
