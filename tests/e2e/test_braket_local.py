"""`braket:local` as a user meets it: training without an account, and what is said without Amazon's SDK."""

import os
import re
import signal
from itertools import takewhile
from typing import Any

import pytest
from absent_packages import without

AMAZON = ("braket", "boto3", "botocore")
"""The packages of Amazon's SDK."""


def test_digits_trains_without_an_account(qorch: Any) -> None:
    """Two steps of batch 2 or more, then Ctrl-C, which ends the workers too; all that was executed is stored."""
    size = ("--limit", "20", "--batch-size", "2", "--epochs", "5", "--shots", "20")
    process = qorch.start("train", "digits", "--backend", "braket:local", *size)
    two_steps = re.compile(r"step ([2-9]|\d\d)/40")
    said = list(takewhile(lambda line: not two_steps.match(line), iter(process.stderr.readline, "")))
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, "Traceback" in "".join(said) + err) == (130, False), (said, err)
    [run] = qorch("runs", "--json").document["runs"]
    assert (run["backend"], run["state"]) == ("braket:local", "stopped")
    assert run["steps"] >= 2
    assert run["rows_executed"] >= 2 * 130


def test_backends_lists_it_with_its_limits(qorch: Any) -> None:
    """It charges nothing and has exact values; nothing is started."""
    (described,) = qorch("backends", "braket:local", "--json").document["backends"]
    assert described["available"]
    assert (described["limits"]["charges"], described["limits"]["exact"]) == (False, True)


@pytest.mark.parametrize("name", ["braket:local", "braket:sv1"])
def test_without_the_sdk_a_sentence_says_what_to_install(qorch: Any, name: str) -> None:
    """`qorch backends` as the backend's problem, and a training as its error; a wrong name is told without the SDK."""
    sentence = f"{name} needs amazon-braket-sdk: pip install 'qorch[braket]'"
    (described,) = qorch.run_python(without(AMAZON, "backends", name, "--json")).document["backends"]
    assert (described["available"], described["problem"]) == (False, sentence)
    outcome = qorch.run_python(without(AMAZON, "train", "digits", "--backend", name, "--limit", "20"))
    assert (outcome.code, outcome.error) == (2, sentence)


def test_an_unknown_device_is_told_without_the_sdk(qorch: Any) -> None:
    """The devices to choose from need no package."""
    outcome = qorch.run_python(without(AMAZON, "train", "digits", "--backend", "braket:sv2", "--limit", "20"))
    assert "braket has no device 'sv2'; choose sv1, dm1, garnet" in outcome.error
