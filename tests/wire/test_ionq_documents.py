"""Documents of IonQ's server in both versions: what is read, what is refused, and what never gets out."""

import datetime
import json

import pytest
from ionq_answers import CHILDREN, MULTI_JOB, OLD_JOB, job

from qorch.errors import InvalidResultError
from qorch.model.job import Availability, RemoteState
from qorch_providers.ionq.wire.documents import (
    decode_accepted,
    decode_availability,
    decode_error,
    decode_job,
    decode_job_list,
)

KEY = "0123456789abcdef" * 4
PATH = f"/v0.4/jobs/{MULTI_JOB['id']}/results/probabilities/aggregated"
BACKEND = {
    "backend": "qpu.forte-1",
    "status": "available",
    "degraded": False,
    "qubits": 36,
    "average_queue_time": 397577,
    "last_updated": "2026-10-01T00:00:00Z",
    "characterization_id": "617a1f8b-59d4-435d-aa33-695433d7155e",
    "location": "College Park",
    "kw": 4.9,
    "supported_gates": ["x"],
    "supported_native_gates": ["gpi", "gpi2", "zz"],
    "supported_error_mitigations": ["debiasing"],
}


def test_a_multi_circuit_job_is_read():
    """All that qorch uses of it."""
    found = decode_job(job(), version="v0.4")
    assert found.job_id == MULTI_JOB["id"]
    assert found.key == KEY
    assert found.name == "qorch 0123456789abcdef"
    assert found.parent_id is None
    assert found.child_ids == CHILDREN
    assert found.results_path == "/v0.4/jobs/617a1f8b-59d4-435d-aa33-695433d7155e/results/probabilities/aggregated"
    status = found.status
    assert (status.state, status.error, status.is_repeatable) == (RemoteState.DONE, None, False)
    assert status.submitted_at == datetime.datetime(2026, 6, 11, 20, 47, 5, 440_000, tzinfo=datetime.UTC)
    assert (status.ended_at - status.started_at).total_seconds() == 4.2


def test_a_job_of_the_old_protocol_is_read():
    """Other names, Unix seconds, another word for running."""
    found = decode_job(job(OLD_JOB), version="v0.3")
    assert found.status.state is RemoteState.RUNNING
    assert found.status.submitted_at == datetime.datetime.fromtimestamp(1490932820, tz=datetime.UTC)
    assert found.status.wait_seconds == 13.0
    assert (found.key, found.child_ids) == (KEY, CHILDREN)
    assert found.results_path == "/v0.3/jobs/aa54e783-0a9b-4f73-ad2f-63983b6aa4a8/results"


@pytest.mark.parametrize(
    ("results", "path"),
    [
        ({"ionq.result.probabilities.json.v1": {"id": "p1"}}, "/artifacts/p1"),
        ({"ionq.result.probabilities.json.v2": {"id": "p2"}}, "/artifacts/p2"),
        (
            {"ionq.result.probabilities.json.v2": {"id": "p2"}, "ionq.result.probabilities.json.v1": {"id": "p1"}},
            "/artifacts/p1",
        ),
        ({"ionq.result.probabilities-aggregate.json.v1": {"id": "agg"}}, "/artifacts/agg"),
        ({"probabilities": None, "ionq.result.probabilities.json.v1": {"id": "p1"}}, "/artifacts/p1"),
        ({"ionq.result.histogram.json.v1": {"id": "h"}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_results_are_found_in_either_shape(results, path):
    """A URL where there is one, else an artifact, the flat format before the one with registers."""
    found = decode_job(job(results=results), version="v0.4").results_path
    assert found == (path and f"/v0.4/jobs/{MULTI_JOB['id']}{path}")


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("submitted", RemoteState.QUEUED),
        ("ready", RemoteState.QUEUED),
        ("started", RemoteState.RUNNING),
        ("running", RemoteState.RUNNING),
        ("completed", RemoteState.DONE),
        ("failed", RemoteState.FAILED),
        ("canceled", RemoteState.CANCELLED),
    ],
)
def test_every_word_for_a_status_is_known(word, state):
    """Of both versions."""
    assert decode_job(job(status=word), version="v0.4").status.state is state


@pytest.mark.parametrize(
    ("code", "is_repeatable"),
    [
        ("InternalError", True),
        ("QuantumComputerError", True),
        ("SystemCancel", True),
        ("SimulationTimeout", False),
        ("InvalidInput", False),
        ("QuotaExhaustedError", False),
        ("TooManyGates", False),
    ],
)
def test_failures_are_classified(code, is_repeatable):
    """IonQ's own breakdowns may not come again; what lies in the job or the account does."""
    for name in ("message", "error"):
        document = job(status="failed", failure={"code": code, name: "because"})
        status = decode_job(document, version="v0.4").status
        assert (status.error, status.is_repeatable) == (f"{code}: because", is_repeatable)


def test_forecasts_are_seconds():
    """Of waiting while the job waits; what cannot be a time is none."""
    assert decode_job(job(status="ready", predicted_wait_time_ms=1500), version="v0.4").status.wait_seconds == 1.5
    assert decode_job(job(status="ready", predicted_wait_time_ms=-1), version="v0.4").status.wait_seconds is None
    odd = job(submitted_at="yesterday", started_at=1e300, completed_at="")
    status = decode_job(odd, version="v0.4").status
    assert (status.submitted_at, status.started_at, status.ended_at) == (None, None, None)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "jumping"},
        {"status": None},
        {"id": "../../x"},
        {"id": ""},
        {"id": "a" * 257},
        {"id": "a/b"},
        {"id": "."},
        {"id": "a\n"},
        {"child_job_ids": ["../x"]},
        {"child_job_ids": ["a", "a"]},
        {"parent_job_id": "a b"},
        {"metadata": {"qorch_key": "a\u202eb"}},
        {"metadata": {"qorch_key": 7}},
    ],
)
def test_what_cannot_be_believed_is_refused(changes):
    """Statuses that are none, ids that lead elsewhere, keys that are not ours to write."""
    with pytest.raises(InvalidResultError):
        decode_job(job(**changes), version="v0.4").child_ids  # noqa: B018 - read when they are wanted


@pytest.mark.parametrize(
    "results",
    [
        {"probabilities": {"url": "https://evil.example/v0.4/x"}},
        {"probabilities": {"url": "//evil.example/v0.4/x"}},
        {"probabilities": {"url": "/v0.4/jobs/../../x"}},
        {"probabilities": {"url": f"{PATH}/../../../x"}},
        {"probabilities": {"url": f"{PATH}/./x"}},
        {"probabilities": {"url": f"{PATH}/%2e%2e/x"}},
        {"probabilities": {"url": f"/v0.4/{PATH}/x"}},
        {"probabilities": {"url": "/v0.4/jobs/x?to=y"}},
        {"probabilities": {"url": "/v0.3/jobs/617a1f8b-59d4-435d-aa33-695433d7155e/results"}},
        {"probabilities": {"url": "/etc/passwd"}},
        {"probabilities": {"url": 7}},
        {"probabilities": [1]},
        {"ionq.result.probabilities.json.v1": {"id": "../x"}},
        "here",
        7,
    ],
)
def test_results_that_lie_elsewhere_are_not_named(results):
    """What is no path below this very job counts as no path at all."""
    assert decode_job(job(results=results), version="v0.4").results_path is None


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8765{}",
        "//api.ionq.co{}",
        "{}?sharpen=false",
        "https://api.ionq.co{}?a=/b#c",
    ],
)
def test_only_the_path_of_a_results_url_counts(url):
    """With a server's name, or a query; as an object or as a bare string; with or without a slash before it."""
    for path in (PATH, PATH.lstrip("/")) if url.startswith("{") else (PATH,):
        named = url.format(path)
        for results in ({"probabilities": {"url": named}}, {"probabilities": named}):
            assert decode_job(job(results=results), version="v0.4").results_path == PATH


def test_the_old_protocols_results_are_below_its_own_job():
    """A URL of the other version is not one of this API; the usual place is asked instead."""
    url = OLD_JOB["results_url"].replace("v0.3", "v0.4")
    assert decode_job(job(OLD_JOB, results_url=url), version="v0.3").results_path is None


@pytest.mark.parametrize("odd", [None, 7, -1e300, True, "120", "soon", [1], {"$date": 1749674825440}])
@pytest.mark.parametrize("status", ["ready", "started", "failed", "completed"])
def test_an_odd_field_is_a_missing_one(odd, status):
    """Clocks, forecasts, reasons and results of another kind than IonQ's take nothing from the job itself."""
    times = ("submitted_at", "started_at", "completed_at", "request", "start", "response")
    forecasts = ("predicted_wait_time_ms", "predicted_execution_duration_ms", "predicted_execution_time")
    changes = dict.fromkeys((*times, *forecasts, "failure", "results", "results_url", "shots", "type"), odd)
    found = decode_job(job(status=status, **changes), version="v0.4")
    assert (found.job_id, found.key, found.child_ids, found.results_path) == (MULTI_JOB["id"], KEY, CHILDREN, None)


def test_a_reason_may_be_a_bare_sentence():
    """A failure without a code is not repeatable, and says why; a part of it that is odd hides no other part."""
    found = decode_job(job(status="failed", failure="boom"), version="v0.4").status
    assert (found.error, found.is_repeatable) == ("boom", False)
    found = decode_job(job(status="failed", failure={"code": "InternalError", "message": {}}), version="v0.4").status
    assert (found.error, found.is_repeatable) == ("InternalError", True)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b"[1]", b"\xff", b"{" * 9, b"[" * 100_000, b'{"id":' * 100_000])
def test_what_is_no_document_is_refused(body):
    """With InvalidResultError by every reader of documents."""
    for read in (
        lambda: decode_job(body, version="v0.4"),
        lambda: decode_job_list(body, version="v0.4"),
        lambda: decode_accepted(body),
        lambda: decode_availability(body, target="simulator"),
    ):
        with pytest.raises(InvalidResultError):
            read()


def test_messages_carry_no_control_characters():
    """What the server says reaches terminals and reports in one clean, bounded line."""
    document = job(status="failed", failure={"code": "X", "message": "a\x1b[31m\nb\u202ec\x00" + "d" * 5000})
    error = decode_job(document, version="v0.4").status.error
    assert error.startswith("X: a [31m b c")
    assert len(error) == 300
    assert error.isprintable()


def test_lists_are_read_page_by_page():
    """Jobs and the cursor of the next page; none at the end."""
    page = json.dumps({"jobs": [MULTI_JOB, {**MULTI_JOB, "id": "b"}], "next": "abc=="}).encode()
    jobs, cursor = decode_job_list(page, version="v0.4")
    assert [item.job_id for item in jobs] == [MULTI_JOB["id"], "b"]
    assert [item.key for item in jobs] == [KEY, KEY]
    assert cursor == "abc=="
    for end in ({"next": None}, {"next": ""}, {}):
        assert decode_job_list(json.dumps({"jobs": [], **end}).encode(), version="v0.4") == ([], None)
    with pytest.raises(InvalidResultError, match="cursor"):
        decode_job_list(json.dumps({"jobs": [], "next": "a\nb"}).encode(), version="v0.4")


def test_other_peoples_odd_jobs_do_not_hide_ours():
    """An unreadable job that does not mention qorch is left out; one that does stops the search."""
    foreign = {"id": "a b", "status": "ready"}
    page = {"jobs": [foreign, MULTI_JOB], "next": None}
    jobs, _ = decode_job_list(json.dumps(page).encode(), version="v0.4")
    assert [item.job_id for item in jobs] == [MULTI_JOB["id"]]
    page["jobs"][0] = {**foreign, "metadata": {"qorch_key": KEY}}
    with pytest.raises(InvalidResultError, match="a b"):
        decode_job_list(json.dumps(page).encode(), version="v0.4")


@pytest.mark.parametrize(("status", "word"), [("archived", "archived"), (None, "null"), ({"a": 1}, '{"a": 1}')])
def test_a_listed_job_of_an_odd_status_is_there_all_the_same(status, word):
    """It was accepted, whatever became of it: its key is read, and its status is told to be none."""
    page = json.dumps({"jobs": [{**MULTI_JOB, "status": status}]}).encode()
    (found,), _ = decode_job_list(page, version="v0.4")
    assert (found.key, found.odd_status) == (KEY, word)
    with pytest.raises(InvalidResultError, match="none of IonQ's"):
        decode_job(job(status=status), version="v0.4")


def test_an_acceptance_is_its_id():
    """Of both versions; nothing else of it matters."""
    assert decode_accepted(b'{"id":"abc-1","status":"submitted","session_id":null}') == "abc-1"
    for body in (b'{"status":"submitted"}', b'{"id":"../../x"}', b'{"id":7}', b"<html>"):
        with pytest.raises(InvalidResultError):
            decode_accepted(body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error":"Bad Request","message":"too many shots","statusCode":400}', "too many shots"),
        (
            b'{"error":"Bad Request","message":"no","validation":{"keys":["shots"],"source":"params"}}',
            "no (shots)",
        ),
        (b'{"error":"Unauthorized Error"}', "Unauthorized Error"),
        (b'{"message":"a\\u0000\\u202eb\\r\\nc"}', "a b c"),
        (b"<html><body>502 Bad Gateway</body></html>", ""),
        (b"", ""),
        (b"[" * 100_000, ""),
        (b'{"message":{"a":1}}', ""),
    ],
)
def test_errors_say_what_is_readable(body, text):
    """JSON's message in a clean line; nothing of HTML pages."""
    assert decode_error(body) == text


def test_availability_of_one_backend_or_of_a_list():
    """Both endpoints; a status that is not open closes it and says why."""
    listing = json.dumps([{**BACKEND, "backend": "simulator", "status": "retired"}, BACKEND]).encode()
    wanted = Availability(is_open=True, n_qubits=36, queue_seconds=397.577)
    for body in (listing, json.dumps(BACKEND).encode()):
        assert decode_availability(body, target="qpu.forte-1") == (wanted, BACKEND["characterization_id"])
    closed, _ = decode_availability(listing, target="simulator")
    assert (closed.is_open, closed.reason) == (False, "retired")
    assert decode_availability(listing, target="qpu.aria-1") is None
    with pytest.raises(InvalidResultError, match=r"qpu\.aria-1"):
        decode_availability(json.dumps(BACKEND).encode(), target="qpu.aria-1")


def test_the_old_protocols_characterization_is_the_end_of_a_url():
    """And a degraded backend takes jobs, but says so."""
    old = {
        "backend": "qpu.aria-1",
        "status": "running",
        "characterization_url": "/characterizations/c-1",
        "degraded": True,
    }
    availability, characterization = decode_availability(json.dumps(old).encode(), target="qpu.aria-1")
    assert (availability.is_open, availability.reason, characterization) == (True, "degraded", "c-1")
