"""The REST protocol of the IBM emulator, as a client without the vendor's package sees it."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from ibm_bench import (
    GRANT,
    IbmBench,
    array_value,
    circuit_value,
    is_near,
    opened,
    read_counts,
    skewed,
    skewed_weights,
)

from qorch.errors import UsageError
from qorch_providers.emulators.ibm.instances import parse_instances
from qorch_providers.emulators.ibm.settings import read_settings


@pytest.fixture(scope="module")
def bench() -> Iterator[IbmBench]:
    """An emulator without latencies or faults."""
    with opened() as one:
        yield one


def errors(answer: Any) -> tuple[int, int]:
    """The status of a refusal, and the code that it gives."""
    (error,) = answer.json()["errors"]
    assert error["message"]
    return answer.status_code, error["code"]


def test_tokens_are_jwts(bench: IbmBench) -> None:
    """A token says when it was issued and when it ends; other grants are refused in IAM's own words."""
    document = bench.ask_for_token().json()
    header, claims, _signature = document["access_token"].split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["typ"] == "JWT"
    assert read["exp"] - read["iat"] == document["expires_in"] == 3600
    refused = bench.root.post("/identity/token", data={"grant_type": "password", "apikey": "k"})
    assert (refused.status_code, refused.json()["errorCode"]) == (400, "BXNIM0415E")
    assert bench.root.post("/identity/token", data={"grant_type": GRANT}).status_code == 400


def test_who_may_call(bench: IbmBench) -> None:
    """Without a token 401, with another account's instance 403; the key itself is let in, as by the service."""
    path = "/backends"
    assert errors(bench.send("GET", path, headers={"Authorization": ""})) == (401, 1200)
    assert errors(bench.send("GET", path, headers={"Authorization": "Bearer x.y.z"})) == (401, 1200)
    assert errors(bench.send("GET", path, headers={"Service-CRN": "crn:v1:other"}))[0] == 403
    assert bench.send("GET", path, headers={"Authorization": "apikey canary"}).status_code == 200
    assert bench.send("GET", "/nothing").status_code == 404


def test_search_in_pages(bench: IbmBench) -> None:
    """Global search gives one page after the other; each plan is in the catalog, others are not."""
    headers = {"Authorization": f"Bearer {bench.token()}"}
    body: dict[str, Any] = {"query": "service_name:quantum-computing", "fields": ["crn"]}
    names, plans = [], []
    while True:
        page = bench.root.post("/v3/resources/search?limit=1", headers=headers, json=body).json()
        names += [item["name"] for item in page["items"]]
        plans += [item["service_plan_unique_id"] for item in page["items"]]
        if "search_cursor" not in page:
            break
        body["search_cursor"] = page["search_cursor"]
    assert names == ["first", "second"]
    entry = bench.root.get(f"/api/v1/{plans[1]}", headers=headers).json()
    assert entry["metadata"]["pricing"]["type"] == "free"
    assert bench.root.get(f"/api/v1/{plans[1][:-1]}0", headers=headers).status_code in (200, 404)
    assert bench.root.get(f"/api/v1/{'0' * 8}-{'0' * 27}", headers=headers).status_code == 404


def test_backends(bench: IbmBench) -> None:
    """A list, and each device's configuration, properties and status."""
    listed = {each["name"]: each for each in bench.get("/backends")["devices"]}
    assert set(listed) == {"ibm_lagos", "ibm_manila"}
    assert listed["ibm_lagos"]["status"] == {"name": "online"}
    assert listed["ibm_lagos"]["qubits"] == 7
    assert bench.get("/backends/ibm_lagos/configuration")["backend_name"] == "ibm_lagos"
    assert len(bench.get("/backends/ibm_lagos/properties")["qubits"]) == 7
    assert bench.get("/backends/ibm_lagos/status")["status"] == "active"
    assert errors(bench.send("GET", "/backends/ibm_other/status")) == (404, 1007)


def test_a_job_from_beginning_to_end(bench: IbmBench) -> None:
    """Submission, status, result, metrics and log of a job; its inputs are there unless they are not wanted."""
    job_id = bench.submit(tags=["a", "b"], cost=60, calibration_id=None)
    job = bench.wait(job_id)
    assert job["state"] == {"status": "Completed"}
    assert (job["status"], job["tags"], job["cost"]) == ("Completed", ["a", "b"], 60)
    assert (job["program"], job["backend"], job["private"]) == ({"id": "sampler"}, "ibm_lagos", False)
    assert "params" not in job
    assert bench.get(f"/jobs/{job_id}")["params"]["version"] == 2
    assert is_near(read_counts(bench.get(f"/jobs/{job_id}/results")), skewed_weights(0.8))
    metrics = bench.get(f"/jobs/{job_id}/metrics")
    assert metrics["usage"] == {"qpu_charge_time_seconds": 3, "status": "complete"}
    assert list(metrics["timestamps"]) == ["created", "running", "finished"]
    assert bench.send("GET", f"/jobs/{job_id}/logs").text == ""


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"tags": ["x"] * 9}, 400, 1208),
        ({"tags": ["x" * 87]}, 400, 1208),
        ({"cost": 10_801}, 400, 1208),
        ({"cost": 0}, 400, 1208),
        ({"program_id": "noise-learner"}, 404, 1205),
        ({"backend": "ibm_other"}, 404, 1007),
        ({"session_id": "d0"}, 404, 1284),
        ({"start_session": True}, 400, 1208),
        ({"calibration_id": "none"}, 400, 1208),
        ({"private": "yes"}, 400, 1208),
    ],
)
def test_what_is_refused(bench: IbmBench, fields: dict[str, Any], status: int, code: int) -> None:
    """A submission that the service cannot accept leaves no job."""
    before = len(bench.emulator.jobs())
    assert errors(bench.post(**fields)) == (status, code)
    assert len(bench.emulator.jobs()) == before


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"pubs": []}, "at least one PUB"),
        ({"pubs": [["x"]]}, "OpenQASM"),
        ({"pubs": [[{"__type__": "QuantumCircuit", "__value__": "AAAA"}]]}, "base64 of zlib"),
        ({"pubs": [[circuit_value(skewed()), array_value([1.0, 2.0]), 10]]}, "1 parameters"),
        ({"pubs": [[circuit_value(skewed(9)), array_value([1.0]), 10]]}, "9 qubits"),
    ],
)
def test_inputs_that_cannot_run(bench: IbmBench, params: dict[str, Any], reason: str) -> None:
    """A job whose inputs are wrong is accepted, fails with a reason, and costs nothing."""
    job = bench.wait(bench.submit(params=params))
    assert job["state"]["status"] == "Failed"
    assert reason in job["state"]["reason"]
    assert job["state"]["reason_code"] in (1002, 1517)
    assert bench.get(f"/jobs/{job['id']}/results", status=204) is None
    assert bench.get(f"/jobs/{job['id']}/metrics")["usage"] == {"qpu_charge_time_seconds": 0, "status": "complete"}


def test_lists(bench: IbmBench) -> None:
    """Filters and pages: tags are joined by AND, and `count` is of all that match."""
    ids = [bench.submit(tags=["all", f"n{index % 2}"]) for index in range(5)]
    found = bench.get("/jobs", tags=["all", "n0"], limit=2)
    assert ([job["id"] for job in found["jobs"]], found["count"]) == ([ids[4], ids[2]], 3)
    found = bench.get("/jobs", tags=["all", "n0"], limit=2, offset=2, exclude_params="true")
    assert [job["id"] for job in found["jobs"]] == [ids[0]]
    assert bench.get("/jobs", tags=["all"], sort="ASC", limit=1)["jobs"][0]["id"] == ids[0]
    created = bench.get(f"/jobs/{ids[2]}")["created"]
    after = bench.get("/jobs", tags="all", created_after=created, limit=200)["jobs"]
    assert ids[2] in {job["id"] for job in after}
    assert bench.get("/jobs", tags="all", created_before="2020-01-01T00:00:00Z")["count"] == 0
    for job_id in ids:
        bench.wait(job_id)
    assert bench.get("/jobs", tags="all", pending="true")["count"] == 0
    assert bench.get("/jobs", tags="all", pending="false", program="sampler", backend="ibm_lagos")["count"] == 5
    assert bench.get("/jobs", tags="all", program="estimator")["count"] == 0
    assert len(bench.get("/jobs", tags="all", limit=201)["jobs"]) == 5
    assert bench.get("/jobs", tags="all")["limit"] == 200
    assert errors(bench.send("GET", "/jobs", params={"limit": "many"})) == (400, 1208)
    assert errors(bench.send("GET", "/jobs", params={"created_after": "yesterday"})) == (400, 1208)


def test_jobs_of_another_instance_are_not_there(bench: IbmBench) -> None:
    """What one instance submits, another one does not see."""
    job_id = bench.submit(tags=["mine"])
    other = {"Service-CRN": bench.emulator.crns["second"]}
    assert errors(bench.send("GET", f"/jobs/{job_id}", headers=other)) == (404, 1291)
    assert bench.send("GET", "/jobs", headers=other).json()["count"] == 0


def test_a_private_job_is_read_once(bench: IbmBench) -> None:
    """Neither inputs nor, after the first time, results of a private job are shown."""
    job_id = bench.submit(private=True)
    bench.wait(job_id)
    assert "params" not in bench.get(f"/jobs/{job_id}")
    assert bench.get(f"/jobs/{job_id}/results")["__type__"] == "PrimitiveResult"
    assert bench.send("GET", f"/jobs/{job_id}/results").status_code == 404


def test_tags_are_replaced(bench: IbmBench) -> None:
    """PUT replaces all tags, within their limits."""
    job_id = bench.submit(tags=["old"])
    assert bench.send("PUT", f"/jobs/{job_id}/tags", json={"tags": ["new"]}).status_code == 204
    assert bench.get(f"/jobs/{job_id}")["tags"] == ["new"]
    assert errors(bench.send("PUT", f"/jobs/{job_id}/tags", json={"tags": ["x"] * 9})) == (400, 1208)


def test_the_key_of_a_job_is_one_of_its_tags(bench: IbmBench) -> None:
    """The record names the key, and has a digest of what was sent."""
    bench.wait(bench.submit(tags=["run 1", "qorch-key:abc"]))
    record = bench.emulator.jobs()[-1]
    assert (record["key"], record["tags"]) == ("abc", ["run 1", "qorch-key:abc"])
    assert (record["rows"], record["shots"], record["usage_seconds"]) == (1, 200, 3)
    assert len(str(record["digest"])) == 64


def test_workloads_show_batches_whose_opening_was_lost(bench: IbmBench) -> None:
    """A list of workloads has sessions and batches, also those that no job has entered."""
    batch, session = bench.open_session("batch"), bench.open_session()
    found = bench.get("/workloads", limit=200)["workloads"]
    modes = {
        each["id"]: (each["mode"], each["status"], each["accepting_jobs"]) for each in found if each["mode"] != "job"
    }
    assert modes[batch] == ("batch", "Pending", True)
    assert modes[session] == ("session", "Pending", True)
    only = bench.get("/workloads", mode="batch", backend="ibm_lagos")["workloads"]
    assert {each["mode"] for each in only} == {"batch"}
    for each in (batch, session):
        assert bench.send("PATCH", f"/sessions/{each}", json={"accepting_jobs": False}).status_code == 204
        assert bench.get(f"/sessions/{each}")["state"] == "closed"
    first = bench.get("/workloads", limit=1)
    assert (len(first["workloads"]), "next" in first) == (1, True)


def test_the_open_plan_has_no_sessions(bench: IbmBench) -> None:
    """An instance of the open plan opens batches only."""
    other = {"Service-CRN": bench.emulator.crns["second"]}
    body = {"mode": "dedicated", "backend": "ibm_lagos"}
    assert errors(bench.send("POST", "/sessions", json=body, headers=other)) == (400, 1352)
    assert bench.send("POST", "/sessions", json=body | {"mode": "batch"}, headers=other).status_code == 200
    assert errors(bench.send("POST", "/sessions", json=body | {"mode": "other"})) == (400, 1208)


def test_a_job_must_fit_its_session(bench: IbmBench) -> None:
    """A session is on one device."""
    session = bench.open_session("batch")
    assert errors(bench.post(session_id=session, backend="ibm_manila")) == (400, 1208)


def test_reset_forgets_everything() -> None:
    """After a reset there are no jobs, sessions or tokens."""
    with opened() as bench:
        bench.wait(bench.submit())
        bench.open_session()
        assert bench.root.post("/_emulator/reset").status_code == 200
        truth = bench.emulator.truth()
        assert (truth["jobs"], truth["sessions"], truth["tokens"]["issued"]) == ([], [], 0)
        assert bench.send("GET", "/jobs").status_code == 401


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"devices": "ibm_nothing"}, "no record"),
        ({"devices": "fez"}, "not the name of a device"),
        ({"instances": "a=gold"}, "not an instance"),
        ({"instances": ""}, "does not name instances"),
        ({"maintenance": "ibm_fez"}, "not a maintenance"),
        ({"usage": "base=two"}, "not a usage"),
        ({"price": "free"}, "not a price"),
        ({"noise": "some"}, "must be one of on, off"),
        ({"time_scale": "0"}, "above 0"),
        ({"token_seconds": "0"}, "above 0"),
        ({"posts_per_minute": "-1"}, "0 or more"),
        ({"calibration_seconds": "-1"}, "0 or more"),
        ({"faults": "post:sneeze"}, "not a fault"),
        ({"colour": "red"}, "has no option"),
    ],
)
def test_options_that_are_wrong(options: dict[str, str], message: str) -> None:
    """Each wrong option is refused with one sentence before anything listens."""
    with pytest.raises(UsageError, match=message), opened(**vars_of(options)):
        pass


def vars_of(options: dict[str, str]) -> dict[str, Any]:
    """Options as settings have them."""
    settings = read_settings(options)
    return {name: getattr(settings, name) for name in options}


def test_instances_are_read() -> None:
    """Name, plan, region and seconds; region and seconds may be left out."""
    one, two = parse_instances("a=flex, b=open@eu-de/600")
    assert (one.name, one.plan.name, one.region, one.limit_seconds) == ("a", "flex", "us-east", None)
    assert (two.region, two.limit_seconds) == ("eu-de", 600)
    assert two.crn.startswith("crn:v1:bluemix:public:quantum-computing:eu-de:a/")
