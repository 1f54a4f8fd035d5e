"""Version 0.3 of IonQ's protocol, as the emulator speaks it."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from emulator_bench import Bench, Gate


def submit(bench: Bench, given: dict[str, Any], **fields: Any) -> Any:
    """Submit in the words of v0.3."""
    body = {"target": "simulator", "input": {"format": "ionq.circuit.v0", "gateset": "qis", "qubits": 3} | given}
    answer = bench.legacy.post("/jobs", json=body | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def wait(bench: Bench, job_id: str) -> dict[str, Any]:
    """The job once it is over."""
    deadline = time.monotonic() + 60.0
    while True:
        job: dict[str, Any] = bench.legacy.get(f"/jobs/{job_id}").json()
        if job["status"] in ("completed", "failed") or time.monotonic() > deadline:
            return job
        time.sleep(0.005)


def test_a_single_job(bench: Bench, skewed: list[Gate]) -> None:
    """200 and `ready` at once; whole seconds since 1970, a results URL, and flat results."""
    answer = submit(bench, {"circuit": skewed}, shots=100, name="old")
    assert answer["status"] == "ready"
    job = wait(bench, answer["id"])
    assert (job["status"], job["target"], job["qubits"], job["name"]) == ("completed", "simulator", 3, "old")
    assert job["request"] <= job["start"] <= job["response"] < 2**33
    assert isinstance(job["execution_time"], int)
    assert job["cost_usd"] == 0.0
    assert job["results_url"] == f"/v0.3/jobs/{job['id']}/results"
    assert set(bench.legacy.get(f"/jobs/{job['id']}/results").json()) == {"0", "2", "5", "7"}


def test_several_circuits(bench: Bench, skewed: list[Gate]) -> None:
    """`children` in the order of the circuits, and results by child."""
    answer = submit(bench, {"circuits": [{"circuit": skewed}, {"circuit": []}]})
    job = wait(bench, answer["id"])
    results = bench.legacy.get(f"/jobs/{job['id']}/results").json()
    assert list(results) == job["children"]
    assert results[job["children"][1]] == {"0": 1}


def test_running_is_its_word_for_started(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """A job that executes is `running`, in the document and as a filter."""
    bench = open_bench(execute="60")
    answer = submit(bench, {"circuit": skewed})
    deadline = time.monotonic() + 60.0
    while bench.legacy.get(f"/jobs/{answer['id']}").json()["status"] != "running":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert [job["id"] for job in bench.legacy.get("/jobs?status=running").json()["jobs"]] == [answer["id"]]
    assert bench.get(f"/jobs/{answer['id']}")["status"] == "started"


def test_its_failures_have_an_error(bench: Bench, skewed: list[Gate]) -> None:
    """`failure.error` where v0.4 has `failure.message`."""
    answer = submit(bench, {"circuit": skewed, "qubits": 1})
    assert wait(bench, answer["id"])["failure"]["error"]


@pytest.mark.parametrize(
    "fields",
    [
        {"target": "qpu.nowhere"},
        {"metadata": {str(index): "" for index in range(11)}},
        {"metadata": {"x" * 41: ""}},
        {"target": "qpu.aria-1", "error_mitigation": {"debias": True}, "shots": 499},
    ],
)
def test_what_it_refuses(bench: Bench, fields: dict[str, Any]) -> None:
    """Unknown targets, too much metadata, debiasing with too few shots."""
    body = {"target": "simulator", "input": {"format": "ionq.circuit.v0", "qubits": 1, "circuit": []}} | fields
    assert bench.legacy.post("/jobs", json=body).status_code == 400


def test_characterizations_are_at_the_top(bench: Bench) -> None:
    """By backend, and the current one; Aria is known here."""
    assert bench.legacy.get("/characterizations/backends/qpu.aria-1").json()["characterizations"]
    assert bench.legacy.get("/characterizations/backends/qpu.aria-1/current").json()["qubits"] == 25
