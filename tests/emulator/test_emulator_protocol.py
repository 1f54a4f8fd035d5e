"""Version 0.4 of IonQ's protocol, as the emulator speaks it."""

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from emulator_bench import Bench, Gate

TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ONE, THREE = math.cos(0.25) ** 2, math.sin(0.25) ** 2
EXPECTED = {
    "0": math.cos(0.4) ** 2 * ONE,
    "2": math.cos(0.4) ** 2 * THREE,
    "5": math.sin(0.4) ** 2 * ONE,
    "7": math.sin(0.4) ** 2 * THREE,
}
"""The skewed circuit: keys are decimal, qubit 0 is the least significant bit, what is 0 is left out."""


def test_a_single_job_has_the_documented_shape(bench: Bench, skewed: list[Gate]) -> None:
    """201, then a document with every key of the sheet, and exact probabilities with decimal keys."""
    answer = bench.post(skewed, metadata={"qorch_key": "k1"}, name="one")
    assert answer.status_code == 201
    assert answer.json() == {"id": answer.json()["id"], "status": "submitted", "session_id": None}
    assert answer.headers["x-request-id"]
    assert answer.headers["date"].endswith("GMT")
    job = bench.wait(answer.json()["id"])
    assert (job["type"], job["backend"], job["name"]) == ("ionq.circuit.v1", "simulator", "one")
    assert job["metadata"] == {"qorch_key": "k1"}
    assert all(TIMESTAMP.fullmatch(job[name]) for name in ("submitted_at", "started_at", "completed_at"))
    assert job["submitted_at"] <= job["started_at"] <= job["completed_at"]
    assert job["noise"] == {"model": "ideal"}
    assert "shots" not in job
    assert job["child_job_ids"] is job["parent_job_id"] is job["failure"] is None
    assert job["stats"] | {"predicted_quantum_compute_time_us": 0, "billed_quantum_compute_time_us": 0} == {
        "qubits": 3, "circuits": 1, "gate_counts": {"1q": 2, "2q": 1},
        "predicted_quantum_compute_time_us": 0, "billed_quantum_compute_time_us": 0,
    }  # fmt: skip
    url = job["results"]["probabilities"]["url"]
    assert url == f"/v0.4/jobs/{job['id']}/results/probabilities"
    assert bench.get(url.removeprefix("/v0.4")) == pytest.approx(EXPECTED)
    assert bench.get(f"/jobs/{job['id']}/results/probabilities?sharpen=true") == pytest.approx(EXPECTED)


def test_a_multi_circuit_job_has_children(bench: Bench, skewed: list[Gate]) -> None:
    """Children stand in the order of the circuits, are jobs of their own, and one answer has all distributions."""
    flipped = [*skewed, {"gate": "x", "target": 2}]
    job = bench.run(skewed, flipped, [])
    first, second, third = job["child_job_ids"]
    assert job["type"] == "ionq.multi-circuit.v1"
    url = job["results"]["probabilities"]["url"]
    assert url == f"/v0.4/jobs/{job['id']}/results/probabilities/aggregated"
    together = bench.get(url.removeprefix("/v0.4"))
    assert list(together) == [first, second, third]
    assert together[first] == pytest.approx(EXPECTED)
    assert together[second] == pytest.approx({str(int(key) ^ 4): value for key, value in EXPECTED.items()})
    assert together[third] == {"0": 1}
    descriptor = job["results"]["ionq.result.probabilities-aggregate.json.v1"]
    assert bench.get(f"/jobs/{job['id']}/artifacts/{descriptor['id']}") == together
    child = bench.get(f"/jobs/{second}")
    assert (child["parent_job_id"], child["name"], child["type"]) == (job["id"], "c1", "ionq.circuit.v1")
    assert child["child_job_ids"] is None
    assert bench.get(f"/jobs/{second}/results/probabilities") == together[second]
    bench.get(f"/jobs/{job['id']}/results/probabilities", status=404)
    bench.get(f"/jobs/{second}/results/probabilities/aggregated", status=404)


def test_both_shapes_of_results_or_either(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """`--results` decides which descriptors a job has; both kinds of address answer in any case."""
    for shapes, has_url, has_artifact in (("both", True, True), ("url", True, False), ("artifact", False, True)):
        bench = open_bench(results=shapes)
        results = bench.run(skewed)["results"]
        assert ("probabilities" in results) is has_url
        assert ("ionq.result.probabilities.json.v1" in results) is has_artifact


def test_registers_name_padded_bitstrings(bench: Bench, skewed: list[Gate]) -> None:
    """The second version of the probabilities' artifact has zero-padded keys."""
    job = bench.run(skewed)
    descriptor = job["results"]["ionq.result.probabilities.json.v2"]
    document = bench.get(f"/jobs/{job['id']}/artifacts/{descriptor['id']}")
    padded = {format(int(key), "03b"): value for key, value in EXPECTED.items()}
    assert document["probabilities"]["registers"]["output_all"] == pytest.approx(padded)


@pytest.mark.parametrize(
    "fields", [{"noise": {"model": "aria-1", "seed": 7}}, {"backend": "qpu.forte-1", "noise": None}]
)
def test_sampled_results_are_multiples_of_one_over_shots(
    bench: Bench, skewed: list[Gate], fields: dict[str, Any]
) -> None:
    """Noise models and QPUs answer with frequencies, counts and single shots that agree with each other."""
    job = bench.run(skewed, shots=400, **fields)
    assert job["shots"] == 400
    assert ("noise" in job) is (job["backend"] == "simulator")
    values = bench.get(f"/jobs/{job['id']}/results/probabilities")
    counts = bench.get(f"/jobs/{job['id']}/results/histogram")
    shots = bench.get(f"/jobs/{job['id']}/results/shots")
    assert sum(counts.values()) == len(shots) == 400
    assert {key: count / 400 for key, count in counts.items()} == pytest.approx(values)
    assert {state: shots.count(state) for state in set(shots)} == counts
    likely = sum(values.get(key, 0.0) * (1 if key in EXPECTED else -1) for key in map(str, range(8)))
    assert likely > 0.9


def test_a_noise_seed_repeats_its_sample(bench: Bench, skewed: list[Gate]) -> None:
    """The same seed gives the same counts, another seed or none gives others."""

    def sample(seed: int | None) -> Any:
        job = bench.run(skewed, shots=1000, noise={"model": "harmony", "seed": seed})
        return bench.get(f"/jobs/{job['id']}/results/probabilities")

    assert sample(7) == sample(7)
    assert sample(8) != sample(7)
    assert sample(None) != sample(None)


def test_clients_may_be_careless(bench: Bench, skewed: list[Gate]) -> None:
    """Shots as text, fields that do not exist and null seeds are taken as the live service takes them."""
    job = bench.run(skewed, shots="20", lang="json", noise={"model": "ideal", "seed": None}, settings=None)
    assert job["status"] == "completed"


def test_an_input_without_qubits_fails_after_its_acceptance(bench: Bench, skewed: list[Gate]) -> None:
    """It is accepted with 201 and then fails its preflight; so do gates on qubits that are not there."""
    for given in ({"gateset": "qis", "circuit": skewed}, {"gateset": "qis", "qubits": 2, "circuit": skewed}):
        job = bench.run(skewed, input=given)
        assert job["status"] == "failed"
        assert job["failure"]["code"] == "PreflightError"
        assert job["failure"]["message"]
        assert job["results"] is None
        bench.get(f"/jobs/{job['id']}/results/probabilities", status=404)


def test_qpus_refuse_native_gates_that_they_do_not_have(bench: Bench) -> None:
    """MS is not Forte's, and the simulator has it."""
    gates = [{"gate": "ms", "targets": [0, 1], "phases": [0, 0.25]}]
    given = {"gateset": "native", "qubits": 2, "circuit": gates}
    assert bench.run([], input=given)["status"] == "completed"
    assert bench.run([], input=given, backend="qpu.forte-1")["failure"]["code"] == "UnsupportedGate"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"backend": "qpu.nowhere"}, "backend"), ({"type": "ionq.qasm3.v1"}, "type"), ({"shots": 0}, "shots"),
        ({"shots": 1_000_001}, "shots"), ({"shots": "many"}, "shots"), ({"noise": {"model": "loud"}}, "noise"),
        ({"metadata": {"a": 1}}, "metadata"), ({"input": {"qubits": 1}}, "circuit"),
        ({"input": {"qubits": 1, "circuit": [], "circuits": []}}, "circuit"), ({"input": 3}, "input"),
        ({"type": "ionq.multi-circuit.v1"}, "type"), ({"session_id": "none"}, "session"),
        ({"input": {"qubits": 1, "gateset": "qis", "circuit": [{"gate": "warp", "target": 0}]}}, "warp"),
        ({"input": {"qubits": 1, "gateset": "odd", "circuit": []}}, "gateset"),
        ({"backend": "qpu.forte-1", "shots": 499, "settings": {"error_mitigation": {"debiasing": True}}}, "debiasing"),
    ],
)  # fmt: skip
def test_bad_jobs_are_refused_in_the_services_words(
    bench: Bench, skewed: list[Gate], change: dict[str, Any], word: str
) -> None:
    """400 with error, message and statusCode, and no job is accepted."""
    answer = bench.post(skewed, **change)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Bad Request"
    assert answer.json()["statusCode"] == 400
    assert word in answer.json()["message"]
    assert bench.emulator.jobs() == []


def test_text_that_is_no_json_is_refused(bench: Bench) -> None:
    """Broken, deep and numeric nonsense is answered with 400."""
    for body in (b"", b"{", b"[" * 20_000, b'{"input":{"circuit":[{"gate":"rx","target":0,"rotation":NaN}]}}'):
        assert bench.client.post("/jobs", content=body).status_code == 400


def test_limits_of_a_job(bench: Bench) -> None:
    """5,000 circuits and 150,000 gates pass; one more of either is 400, and above 10 MB is 413."""
    gate = {"gate": "x", "target": 0}
    assert bench.post(*[[]] * 5000).status_code == 201
    assert bench.post(*[[]] * 5001).status_code == 400
    assert bench.post(*[[gate] * 1500] * 100).status_code == 201
    assert bench.post(*[[gate] * 1501] * 100).status_code == 400
    answer = bench.post([], name="x" * 10_000_000)
    assert answer.status_code == 413
    assert answer.json()["statusCode"] == 413


def test_a_key_is_needed(bench: Bench) -> None:
    """401 without `apiKey KEY`, on everything but the backends."""
    for header in ("", "Bearer canary", "apiKey", "canary"):
        headers = {"Authorization": header}
        for path in ("/jobs", "/whoami", "/jobs/x", "/jobs/x/results/probabilities", "/sessions"):
            answer = bench.client.get(path, headers=headers)
            assert answer.status_code == 401
            assert answer.json()["error"] == "Unauthorized Error"
        assert bench.client.get("/backends", headers=headers).status_code == 200
    assert bench.get("/whoami")["key_name"]


def test_only_the_right_key_where_one_is_set(open_bench: Callable[..., Bench]) -> None:
    """With a key of its own the emulator lets no other in."""
    assert open_bench(api_key="canary").get("/whoami")["key_name"]
    open_bench(api_key="another").get("/whoami", status=401)


def test_backends_are_listed(bench: Bench) -> None:
    """Simulator and QPUs with their gates, one by name, 404 for others, and a characterization of each QPU."""
    listed = {each["backend"]: each for each in bench.get("/backends")}
    assert set(listed) == {"simulator", "qpu.forte-1", "qpu.forte-enterprise-1"}
    forte = listed["qpu.forte-1"]
    assert (forte["status"], forte["qubits"], forte["degraded"]) == ("available", 36, False)
    assert forte["supported_native_gates"] == ["gpi", "gpi2", "zz"]
    assert bench.get("/backends/simulator")["qubits"] == 29
    bench.get("/backends/qpu.aria-1", status=404)
    (found,) = bench.get("/backends/qpu.forte-1/characterizations")["characterizations"]
    assert found["id"] == forte["characterization_id"]
    assert bench.get(f"/backends/qpu.forte-1/characterizations/{found['id']}")["qubits"] == 36
    assert bench.get("/backends/simulator/characterizations")["characterizations"] == []


def test_lists_are_paged_newest_first(bench: Bench) -> None:
    """Pages of 25 at most; jobs that arrive while one pages neither repeat nor hide others."""
    ids = [bench.submit([]) for _ in range(60)]
    first = bench.get("/jobs?limit=1000")
    assert [job["id"] for job in first["jobs"]] == ids[:-26:-1]
    newer = bench.submit([])
    second = bench.get(f"/jobs?next={first['next']}")
    third = bench.get(f"/jobs?next={second['next']}")
    assert [job["id"] for page in (first, second, third) for job in page["jobs"]] == ids[::-1]
    assert third["next"] is None
    assert bench.get("/jobs?limit=1")["jobs"][0]["id"] == newer
    bench.get("/jobs?limit=many", status=400)
    bench.get("/jobs?next=elsewhere", status=400)


def test_lists_are_filtered(bench: Bench, skewed: list[Gate]) -> None:
    """By ids (repeated or with commas), status, target, parent and submitter."""
    one, two = (bench.run(skewed)["id"] for _ in range(2))
    other = bench.run(skewed, backend="qpu.forte-1")["id"]
    parent = bench.run(skewed, skewed)

    def listed(query: str) -> list[str]:
        return [job["id"] for job in bench.get(f"/jobs?{query}")["jobs"]]

    assert listed(f"ids={one}&ids={other}") == listed(f"ids={one},{other}") == [one, other]
    assert listed("target=qpu.forte-1") == [other]
    assert listed("status=failed") == []
    assert listed("status=completed") == [parent["id"], other, two, one]
    assert listed(f"parent_job_id={parent['id']}") == parent["child_job_ids"]
    assert len(listed(f"submitter_id={parent['submitter_id']}")) == 4
    assert listed("submitter_id=someone") == []
    assert listed(f"ids={parent['child_job_ids'][1]}") == [parent["child_job_ids"][1]]


def test_lists_with_children_page_through_all(open_bench: Callable[..., Bench]) -> None:
    """Where lists name children too, paging still shows everything once."""
    bench = open_bench(list_children=True)
    parents = [bench.run([], [], [], []) for _ in range(8)]
    wanted = [job_id for job in reversed(parents) for job_id in (job["id"], *job["child_job_ids"])]
    seen: list[str] = []
    query = "limit=7"
    while True:
        page = bench.get(f"/jobs?{query}")
        seen += [job["id"] for job in page["jobs"]]
        if page["next"] is None:
            break
        query = f"limit=7&next={page['next']}"
    assert seen == wanted


def test_jobs_are_cancelled_and_deleted(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """One or several; what is cancelled has no result and costs nothing, what is deleted is gone from lists."""
    bench = open_bench(queue="60")
    one, two, three = (bench.submit(skewed, skewed, backend="qpu.forte-1") for _ in range(3))
    assert bench.client.put(f"/jobs/{one}/status/cancel").json() == {"id": one, "status": "canceled"}
    many = bench.client.put("/jobs/status/cancel", json={"ids": [one, two]})
    assert many.json() == {"ids": [one, two], "status": "canceled"}
    assert bench.get(f"/jobs/{two}")["status"] == "canceled"
    bench.get(f"/jobs/{two}/results/probabilities/aggregated", status=404)
    assert bench.client.delete(f"/jobs/{three}").json() == {"id": three, "status": "deleted"}
    bench.get(f"/jobs/{three}", status=404)
    assert bench.client.request("DELETE", "/jobs", json={"ids": [one, "none"]}).status_code == 404
    assert bench.client.request("DELETE", "/jobs", json={"ids": [one]}).json() == {"ids": [one], "status": "deleted"}
    assert [job["id"] for job in bench.get("/jobs")["jobs"]] == [two]
    assert [job["status"] for job in bench.emulator.jobs()] == ["deleted", "canceled", "deleted"]
    assert {job["price_usd_micros"] for job in bench.emulator.jobs()} == {0}


def test_cancelling_a_completed_job_keeps_its_price(bench: Bench, skewed: list[Gate]) -> None:
    """Its status becomes canceled, as the service has it, and it stays paid."""
    job = bench.run(skewed, backend="qpu.forte-1", shots=100)
    bench.client.put(f"/jobs/{job['id']}/status/cancel")
    assert bench.get(f"/jobs/{job['id']}")["status"] == "canceled"
    # One gate on two qubits and two on one cost less than the published minimum.
    assert bench.emulator.jobs()[0]["price_usd_micros"] == 12_416_600


def test_costs_and_estimates(open_bench: Callable[..., Bench], skewed: list[Gate]) -> None:
    """Price times shots times circuits; the simulator is free and has no estimate; old and new keys are both there."""
    bench = open_bench(price="0.01")
    paid = bench.run(skewed, skewed, backend="qpu.forte-1", shots=500)
    dollars = {"value": 10.0, "unit": "usd"}
    cost = bench.get(f"/jobs/{paid['id']}/cost")
    assert cost == {"dry_run": False, "estimated_cost": dollars, "cost": dollars}
    assert bench.get(f"/jobs/{paid['child_job_ids'][0]}/cost")["cost"]["value"] == 5.0
    free = bench.run(skewed)
    assert bench.get(f"/jobs/{free['id']}/cost") == {"dry_run": False, "cost": {"value": 0.0, "unit": "usd"}}
    assert [job["price_usd_micros"] for job in bench.emulator.jobs()] == [10_000_000, 0]
    estimate = bench.get("/jobs/estimate?backend=qpu.forte-1&qubits=3&shots=500&1q_gates=2&2q_gates=1")
    assert estimate["estimated_total_cost"] == estimate["estimated_cost"] == 5.0
    assert estimate["estimate_context"]["2q_gates"] == estimate["input_values"]["2q_gates"] == 1
    assert estimate["rate_card"]["rates"]
    assert estimate["rate_information"] == {"job_cost_minimum": 0, "cost_2q_gate": 0, "cost_1q_gate": 0}
    bench.get("/jobs/estimate?backend=nowhere", status=400)
    bench.get("/jobs/estimate?backend=simulator&shots=-1", status=400)


def test_a_dry_run_is_compiled_only(bench: Bench, skewed: list[Gate]) -> None:
    """On a QPU it completes without result and price; the simulator does not know it."""
    job = bench.run(skewed, backend="qpu.forte-1", dry_run=True)
    assert (job["dry_run"], job["results"]) == (True, None)
    assert bench.emulator.jobs()[0]["price_usd_micros"] == 0
    assert bench.run(skewed, dry_run=True)["results"]


def test_debiasing_is_told_as_an_object_or_false(bench: Bench, skewed: list[Gate]) -> None:
    """The live quirk of `output.error_mitigation.debiasing`."""
    for wish, told in ((True, {"variants": 1}), (False, False)):
        settings = {"error_mitigation": {"debiasing": wish}}
        job = bench.run(skewed, backend="qpu.forte-1", shots=500, settings=settings)
        assert job["settings"] == settings
        assert job["output"]["error_mitigation"]["debiasing"] == told
    assert bench.run(skewed)["output"] == {}


def test_sessions_hold_jobs_until_they_end(bench: Bench, skewed: list[Gate]) -> None:
    """Created, started by its first job, limited, ended; jobs of an ended session are refused."""
    wish = {"backend": "qpu.forte-1", "settings": {"job_count_limit": 2}}
    answer = bench.client.post("/sessions", json=wish)
    assert answer.status_code == 201
    session = answer.json()
    assert (session["status"], session["active"], session["settings"]) == ("created", True, wish["settings"])
    fields = {"backend": "qpu.forte-1", "session_id": session["id"]}
    job = bench.run(skewed, **fields)
    assert job["session_id"] == session["id"]
    assert bench.get(f"/sessions/{session['id']}")["status"] == "started"
    assert [each["id"] for each in bench.get(f"/sessions/{session['id']}/jobs")["jobs"]] == [job["id"]]
    bench.submit(skewed, **fields)
    assert bench.post(skewed, **fields).status_code == 400
    assert bench.get("/sessions?active=false")["sessions"] == []
    ended = bench.client.post(f"/sessions/{session['id']}/end").json()
    assert (ended["status"], ended["active"], ended["ender_id"]) == ("ended", False, session["creator_id"])
    assert bench.get("/sessions")["sessions"] == bench.get("/sessions?active=false")["sessions"] == [ended]
    assert bench.get("/sessions?active=true")["sessions"] == []
    bench.get("/sessions/none", status=404)


def test_unknown_paths_are_404_in_json(bench: Bench) -> None:
    """Also those that the protocol once had."""
    for path in ("/", "/jobs/x/circuits/native", "/organizations/o/usage"):
        assert bench.get(path, status=404)["statusCode"] == 404


def test_the_truth_has_every_job_with_its_times(bench: Bench, skewed: list[Gate]) -> None:
    """Key, rows, shots, children and times in order; calls are counted by route and by status; no key is told."""
    before = datetime.datetime.now(datetime.UTC).timestamp()
    parent = bench.run(skewed, skewed, metadata={"qorch_key": "k"}, name="both", noise={"model": "aria-1"}, shots=50)
    answer = httpx.get(f"{bench.emulator.root}/_emulator/jobs")
    (job,) = answer.json()["jobs"]
    assert (job["id"], job["key"], job["name"]) == (parent["id"], "k", "both")
    assert (job["rows"], job["shots"], job["target"], job["parent_id"]) == (2, 50, "simulator", None)
    assert [child["id"] for child in job["children"]] == parent["child_job_ids"]
    moments = [job[f"{name}_at_unix"] for name in ("received", "accepted", "started", "completed")]
    assert moments == sorted(moments)
    assert before - 1.0 < moments[0] < moments[-1] < before + 10.0
    calls = answer.json()["calls"]
    assert calls["by_route"]["POST /v0.4/jobs"] == calls["by_status"]["201"] == 1
    assert "canary" not in answer.text


def test_a_reset_forgets_everything(bench: Bench, skewed: list[Gate]) -> None:
    """Jobs and counts, while the server goes on."""
    bench.run(skewed)
    assert httpx.post(f"{bench.emulator.root}/_emulator/reset").status_code == 200
    assert bench.emulator.truth() == {"jobs": [], "sessions": [], "calls": {"by_route": {}, "by_status": {}}}
    assert bench.run(skewed)["status"] == "completed"


def test_old_results_are_forgotten_where_memory_is_bounded(open_bench: Callable[..., Bench]) -> None:
    """With room for one result the first is gone when the second is there; the truth keeps both jobs."""
    bench = open_bench(kept_result_bytes=1)
    first, second = (bench.run([])["id"] for _ in range(2))
    bench.get(f"/jobs/{first}/results/probabilities", status=404)
    assert bench.get(f"/jobs/{second}/results/probabilities") == {"0": 1}
    assert len(bench.emulator.jobs()) == 2
