"""`qorch emulate ionq` as a process: its first line, a job, the truth, and an orderly end."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from qorch.cli.main import run_command

COMMAND = (sys.executable, "-m", "qorch.cli.main", "emulate")
BODY: dict[str, Any] = {
    "type": "ionq.circuit.v1",
    "backend": "simulator",
    "metadata": {"qorch_key": "from-a-process"},
    "input": {"gateset": "qis", "qubits": 2, "circuit": [{"gate": "x", "target": 1}]},
}


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command and its first line; killed where it has not ended."""
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline()
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_told_to_stop(number: signal.Signals) -> None:
    """One JSON document on the first line, a job that runs, then exit code 0 and nothing else printed."""
    with running("ionq", "--json", "--execute", "0.05", "--seed", "3") as (process, line):
        announced = json.loads(line)
        assert announced["pid"] == process.pid
        assert announced["url"] == f"http://127.0.0.1:{announced['port']}/v0.4"
        with httpx.Client(base_url=announced["url"], headers={"Authorization": "apiKey k"}) as client:
            job_id = client.post("/jobs", json=BODY).json()["id"]
            deadline = time.monotonic() + 60.0
            while client.get(f"/jobs/{job_id}").json()["status"] != "completed":
                assert time.monotonic() < deadline
                time.sleep(0.01)
            assert client.get(f"/jobs/{job_id}/results/probabilities").json() == {"2": 1}
            truth = client.get(f"http://127.0.0.1:{announced['port']}/_emulator/jobs").json()
            assert [job["key"] for job in truth["jobs"]] == ["from-a-process"]
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


def test_it_says_what_to_export() -> None:
    """Without --json the first line is a sentence with the URL and the names of the variables."""
    with running("ionq") as (process, line):
        assert "http://127.0.0.1:" in line
        assert "IONQ_API_URL=http" in line
        assert "IONQ_API_KEY=" in line
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0


def test_it_serves_braket() -> None:
    """The line says which variables send Braket's SDK there; a call without a signature is refused in AWS's words."""
    with running("braket", "--queue", "1", "--set", "token-seconds=60") as (process, line):
        url = re.search(r"AWS_ENDPOINT_URL_BRAKET=(http://127.0.0.1:[0-9]+) ", line)
        assert url is not None
        assert all(f"{name}=" in line for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS", "AWS_ACCESS_KEY_ID"))
        answer = httpx.post(url[1] + "/devices", json={"filters": []})
        assert (answer.status_code, answer.headers["x-amzn-errortype"]) == (403, "MissingAuthenticationTokenException")
        assert httpx.get(url[1] + "/_emulator/jobs").json()["jobs"] == []
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0


def test_it_serves_ibm() -> None:
    """The line says which variables send IBM's client there; a token is given for any key."""
    with running("ibm", "--queue", "1", "--set", "devices=ibm_manila", "--set", "noise=off") as (process, line):
        root = re.search(r"IAM_URL=(http://127.0.0.1:[0-9]+) ", line)
        assert root is not None
        names = ("GLOBAL_SEARCH_URL", "GLOBAL_CATALOG_URL", "QISKIT_IBM_URL", "QISKIT_IBM_TOKEN", "QISKIT_IBM_INSTANCE")
        assert all(f"{name}=" in line for name in names)
        form = {"grant_type": "urn:ibm:params:oauth:grant-type:apikey", "apikey": "any"}
        assert httpx.post(root[1] + "/identity/token", data=form).json()["expires_in"] == 3600
        assert httpx.get(root[1] + "/experimental/api/v1/backends").status_code == 401
        assert httpx.get(root[1] + "/_emulator/jobs").json()["tokens"]["issued"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nobody",), "no emulator 'nobody'"),
        (("ionq", "--queue", "soon"), "'soon' is not a latency"),
        (("ionq", "--faults", "chaos"), "'chaos' is not a fault"),
        (("ionq", "--rate-limit", "5"), "'5' is not a rate limit"),
        (("ionq", "--price", "much"), "'much' is not a price"),
        (("ionq", "--port", "many"), "port"),
        (("ionq", "--time-scale", "0"), "--time-scale"),
        (("ionq", "--set", "quotas=post:1/1"), "no option 'quotas'"),
        (("braket", "--set", "quotas"), "write NAME=VALUE"),
        (("braket", "--set", "quotas=post:1"), "'post:1' is not a quota"),
        (("ibm", "--set", "devices=ibm_nowhere"), "'ibm_nowhere' has no record"),
        (("ibm", "--results", "both"), "no option 'results'"),
    ],
)
def test_wrong_options_are_refused(arguments: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One sentence and exit code 2, before anything listens."""
    assert run_command(("emulate", *arguments)) == 2
    assert_refused(capfd.readouterr().err, words)


def test_a_process_with_wrong_options_says_no_more() -> None:
    """What is true inside the process is true outside it, and nothing that it loads warns of anything."""
    environment = os.environ | {"PYTHONWARNINGS": "error"}
    command = (*COMMAND, "ionq", "--queue", "soon")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 2
    assert_refused(done.stderr, "'soon' is not a latency")


def assert_refused(said: str, words: str) -> None:
    """One line, which begins as errors do and has these words."""
    assert said.startswith("error: ")
    assert words in said
    assert len(said.splitlines()) == 1
