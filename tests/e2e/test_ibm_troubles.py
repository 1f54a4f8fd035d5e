"""What goes wrong on IBM Quantum, as it is met on the command line: one sentence that says what to do."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from absent_packages import without
from ibm_vendor import DEVICE, IBM, QUICK

from qorch.engine.remote import pacer
from qorch.model.job import JobState
from qorch_providers.emulators.ibm import RunningIbm

SMALL = "ibm_lagos"
"""A device with 7 qubits, one fewer than the digits need."""
TRAINING = ("train", "digits", "--limit", "20", "--batch-size", "8", "--epochs", "1")
FOREIGN = "crn:v1:bluemix:public:quantum-computing:us-east:a/9:9::"
KEY = "a-secret-api-key"


def train(
    typed: Any, emulator: RunningIbm, patch: pytest.MonkeyPatch, target: str, *options: str, **variables: str
) -> Any:
    """``qorch train digits`` on an emulator, with changes to the environment that leads there."""
    for name, value in (IBM.environment(emulator.root) | {"QISKIT_IBM_TOKEN": KEY} | variables).items():
        patch.setenv(name, value)
    return typed(*TRAINING, "--backend", f"ibm:{target}", *(options or ("--shots", "100")))


def error_of(outcome: Any) -> str:
    """The sentence, on the last line of what was said; it shows no key."""
    *_, line = outcome.err.splitlines()
    assert line.startswith("error: ")
    assert KEY not in outcome.err + outcome.out
    return str(line.removeprefix("error: "))


@pytest.mark.parametrize(
    ("settings", "variables", "target", "code", "words"),
    [
        ({}, {"QISKIT_IBM_TOKEN": ""}, DEVICE, 1,
         "there is no IBM Quantum account: make an API key at https://quantum.cloud.ibm.com and set QISKIT_IBM"),
        ({"api_key": "another"}, {}, DEVICE, 1, "could not be found; look at the API key (QISKIT_IBM_TOKEN,"),
        ({"faults": "any:token-expiry-before"}, {}, DEVICE, 1, "has expired; look at the API key (QISKIT_IBM_TOKEN"),
        ({}, {"QISKIT_IBM_INSTANCE": "third"}, DEVICE, 2, "'third': set QISKIT_IBM_INSTANCE to one of"),
        ({}, {"QISKIT_IBM_INSTANCE": ""}, DEVICE, 2, "has 2 instances, and which of them pays is not for"),
        ({}, {"QISKIT_IBM_INSTANCE": FOREIGN}, DEVICE, 1, "the key may not use this instance; look at QISKIT_IBM"),
        ({"retired": DEVICE}, {}, DEVICE, 2, f"no device {DEVICE}, or not any more: choose one that it has ({SMALL})"),
        ({}, {}, SMALL, 2, f"the circuit has 8 qubits; {SMALL} has 7: use fewer, or a device with more"),
        ({}, {}, f"{DEVICE},max_time=1", 2, f"needs more time of {DEVICE} than max_time=1 s allows: raise max_time="),
    ],
    ids=["no account", "wrong key", "expired", "no such instance", "two instances", "foreign instance", "retired",
         "too wide", "no time"],
)  # fmt: skip
def test_what_cannot_begin(
    settings: Mapping[str, str],
    variables: Mapping[str, str],
    target: str,
    code: int,
    words: str,
    typed: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The sentence names what to change, and nothing was sent that costs something."""
    with IBM.start(replace(QUICK, devices=f"{DEVICE},{SMALL}", **settings)) as emulator:
        outcome = train(typed, emulator, monkeypatch, target, **variables)
        assert emulator.jobs() == []
    assert (outcome.code, words in error_of(outcome)) == (code, True)


def test_exact_values_are_refused(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without shots there is nothing that a device could count."""
    with IBM.start(QUICK) as emulator:
        outcome = train(typed, emulator, monkeypatch, DEVICE, "--shots", "exact")
    assert (outcome.code, outcome.error) == (2, f"ibm:{DEVICE} has no exact results; give a number of shots")


def test_a_key_that_expires_on_the_way(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was bought is stored; with a key that works the run goes on, and buys nothing twice."""
    with IBM.start(replace(QUICK, faults="post:token-expiry-before@2x2")) as emulator:
        outcome = train(typed, emulator, monkeypatch, DEVICE)
        assert "look at the API key (QISKIT_IBM_TOKEN, or the saved account)" in error_of(outcome)
        assert (outcome.code, len(emulator.jobs())) == (1, 1)
        assert "resume with: qorch train digits --resume" in outcome.err
        emulator.set_faults("")
        resumed = typed("train", "digits", "--resume", "--json")
        assert resumed.code == 0, resumed.err
        assert len({job["key"] for job in emulator.jobs()}) == len(emulator.jobs()) == 3


def test_a_device_in_maintenance_is_waited_for(
    typed: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A line says what is waited for; nothing is refused, and once the device is active all is done."""
    monkeypatch.setattr(pacer, "CLOSED_SECONDS", 0.3)
    monkeypatch.setattr(pacer, "AVAILABILITY_SECONDS", 0.0)
    with IBM.start(replace(QUICK, maintenance=f"{DEVICE}@0..1.5")) as emulator:
        outcome = train(typed, emulator, monkeypatch, DEVICE)
        assert (outcome.code, len(emulator.jobs())) == (0, 3)
        assert set(emulator.truth()["calls"]["by_status"]) == {"200"}
    assert f"ibm:{DEVICE} takes no jobs now: {DEVICE} is in 'maintenance'; trying again" in caplog.text


def test_a_job_that_ran_too_long(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """IBM has cancelled and charged it: its number, and what to change, are named; it is not sent again by itself."""
    with IBM.start(replace(QUICK, execute="200", time_scale=1000.0)) as emulator:
        outcome = train(typed, emulator, monkeypatch, f"{DEVICE},max_time=60")
        assert [job["status"] for job in emulator.jobs()] == ["Cancelled"]
    assert outcome.code == 1
    assert "more time of the device than max_time=60 s allows" in error_of(outcome)
    assert "(code 1305); the time that it took is charged: start a new run with a larger max_time=" in error_of(outcome)


def test_a_usage_limit_that_is_reached(typed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first job uses it up: the next is refused (409) with what can be done, and what was bought is stored."""
    with IBM.start(replace(QUICK, instances="first=open/1")) as emulator:
        outcome = train(typed, emulator, monkeypatch, DEVICE)
        assert (outcome.code, len(emulator.jobs())) == (3, 1)
    assert "409" in error_of(outcome)
    assert "wait for the next period, raise the limit of the instance in IBM Cloud, or use" in error_of(outcome)
    states = [job["state"] for job in typed("jobs", "--json").document["jobs"]]
    assert states.count(JobState.DONE.value) == 1


@pytest.mark.parametrize(
    ("name", "extras"), [(f"ibm:{DEVICE}", "ibm"), ("ibm:fake_lagos", "aer,ibm")], ids=["device", "recorded"]
)
def test_without_the_package_a_sentence_says_what_to_install(name: str, extras: str, qorch: Any) -> None:
    """`qorch backends` as the backend's problem, and a training as its error, before anything is sent."""
    sentence = f"{name} needs qiskit-ibm-runtime: pip install 'qorch[{extras}]'"
    absent = ("qiskit_ibm_runtime",)
    described = json.loads(qorch.run_python(without(absent, "backends", name, "--json")).out)["backends"]
    assert [each["problem"] for each in described] == [sentence]
    outcome = qorch.run_python(without(absent, *TRAINING, "--backend", name))
    assert (outcome.code, outcome.error) == (2, sentence)
