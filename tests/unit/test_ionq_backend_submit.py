"""What the ionq backend makes of every answer to a submission, and of none: one POST, and never more than is known."""

import asyncio
import gzip
import json
import logging
import socket
import traceback
from dataclasses import replace

import numpy as np
import pytest
from ionq_servers import CANARY, KEY, drive, open_ionq, request_of, submit
from scripted_server import Answer, Request, ScriptedServer, drip, hang, head, reply, reset, send_and_close

from qorch.errors import (
    BackendError,
    BusyError,
    CircuitError,
    CredentialsError,
    RejectedError,
    UnavailableError,
    UnknownOutcomeError,
    UsageError,
)
from qorch.model.circuit import build_gate_list
from qorch.model.job import JobRequest, Usage
from qorch.ports.backend import ExactGradients, RemoteBackend
from qorch.ports.clock import WallClock
from qorch.ports.policy import OnUnknown, Rate
from qorch.testing.conformance.backend import block_of, gate_triple
from qorch_providers.http import NotSentError
from qorch_providers.ionq import open_backend
from qorch_providers.ionq.access import read_access

ACCEPTED = b'{"id":"0190-a","status":"submitted","session_id":null}'


def error_of(answer: Answer, *, options: str = "simulator,deadline=2") -> BackendError:
    """What a submission raises that is answered so; it was sent exactly once."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> BackendError:
        with pytest.raises(BackendError) as caught:
            await submit(backend, request_of(2), key=KEY)
        assert server.count("POST", "/v0.4/jobs") == len(server.requests) == 1
        return caught.value

    return drive(lambda request: answer, work, options=options)


@pytest.mark.parametrize("status", [200, 201])
def test_an_accepted_job_has_an_id(status: int) -> None:
    """The POST carries the key in the header, and the idempotency key in metadata and name."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[str, Request]:
        return await submit(backend, request_of(2), key=KEY), server.requests[0]

    job_id, request = drive(lambda request: reply(status, ACCEPTED), work)
    body = json.loads(request.body)
    assert job_id == "0190-a"
    assert request.headers["authorization"] == f"apiKey {CANARY}"
    assert body["metadata"] == {"qorch_key": KEY}
    assert KEY[:16] in body["name"]
    assert len(body["input"]["circuits"]) == 2


UNREADABLE = {
    "nothing": b"",
    "html": b"<html>fine</html>",
    "no id": b'{"status":"submitted"}',
    "id of another type": b'{"id":5}',
    "path as id": b'{"id":"../../x"}',
    "long id": json.dumps({"id": "x" * 300}).encode(),
    "deep": b'{"id":' * 10_000 + b"1" + b"}" * 10_000,
    "nul": b'{"id":"a\x00b"}',
    "cut": ACCEPTED[:20],
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_acceptance_without_a_readable_id_is_unknown(name: str) -> None:
    """The job is there and may be billed; it is never taken for rejected, and nothing of the id is believed."""
    error = error_of(reply(201, UNREADABLE[name]))
    assert type(error) is UnknownOutcomeError
    assert "looked for by its key" in str(error)


@pytest.mark.parametrize("status", [400, 402, 404, 405, 409, 410, 413, 415, 422])
def test_refusals_repeat_the_sentence_of_the_server(status: int) -> None:
    """A 4xx proves that nothing was accepted; the reason is told, without control characters or the key."""
    message = f"too many \u202egates\x1b[31m for {CANARY}"
    error = error_of(reply(status, {"error": "Bad Request", "message": message, "statusCode": status}))
    assert type(error) is RejectedError
    assert f"answered {status}" in str(error)
    assert "too many" in str(error)
    assert CANARY not in str(error)
    assert str(error).isprintable()


def test_a_refusal_in_html_is_one_too() -> None:
    """A gateway's page has no sentence worth repeating, but its status counts."""
    error = error_of(reply(413, b"<html><script>alert(1)</script></html>"))
    assert type(error) is RejectedError
    assert "script" not in str(error)


@pytest.mark.parametrize("key", ["o", "job", "IonQ", "dummy"])
def test_a_short_key_mutilates_no_sentence(key: str) -> None:
    """Words that contain it stay whole, and our own too; where it stands alone in the server's, it is masked."""
    message = f"too many jobs of {key} today"
    answer = reply(400, {"message": message})

    async def main() -> RejectedError:
        async with ScriptedServer(lambda request: answer) as server:
            environment = {"IONQ_API_URL": server.url, "IONQ_API_KEY": key}
            backend = open_backend("simulator,deadline=2", clock=WallClock(), environment=environment)
            with pytest.raises(RejectedError) as caught:
                await submit(backend, request_of(1), key=KEY)
            await backend.close()
            return caught.value

    assert str(asyncio.run(main())) == "IonQ answered 400 to the job: too many jobs of *** today"


@pytest.mark.parametrize(
    "detail", ["Backend not found", [{"loc": ["body", "shots"], "msg": "Backend not found", "type": "missing"}]]
)
def test_the_sentence_of_a_framework_is_told_too(detail: object) -> None:
    """FastAPI calls it detail, and lists what it does not like about a body."""
    assert "Backend not found" in str(error_of(reply(422, {"detail": detail})))


def test_a_flood_of_words_is_cut() -> None:
    """A sentence of a megabyte does not become an error of a megabyte."""
    assert len(str(error_of(reply(400, {"message": "x" * 2**20})))) < 1000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Fri, 20 Nov 2026 12:00:09 GMT", "Date": "Fri, 20 Nov 2026 12:00:00 GMT"}, 9.0),
        ({"Retry-After": "-1"}, None),
    ],
)
def test_too_many_requests_is_busy(headers: dict[str, str], seconds: float | None) -> None:
    """429 was not accepted; the wait that the server names is handed on in both forms."""
    error = error_of(reply(429, {"message": "slow down"}, headers))
    assert type(error) is BusyError
    assert error.retry_after_seconds == seconds


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_by_its_variable(status: int) -> None:
    """The sentence says where to look, and the key that the server echoes is masked."""
    error = error_of(reply(status, {"message": f"bad key {CANARY}"}, {"X-Request-Id": CANARY}))
    assert type(error) is CredentialsError
    assert "IONQ_API_KEY" in str(error)
    assert CANARY not in str(error)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "Backend qpu.forte-1 is currently unavailable"),
        (409, "the system is under maintenance until 5 pm"),
        (422, "this QPU is being calibrated"),
    ],
)
def test_a_closed_backend_is_unavailable(status: int, message: str) -> None:
    """A refusal that says so pauses the queue instead of failing the job."""
    assert type(error_of(reply(status, {"message": message}))) is UnavailableError


def test_other_words_about_calibration_are_plain_refusals() -> None:
    """Only a backend that rests is unavailable; a wrong request is wrong for ever."""
    for message in ("gate 'foo' is not available in this gateset", "pair (1, 9) is not in the calibration data"):
        assert type(error_of(reply(400, {"message": message}))) is RejectedError


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, *range(520, 531), 408, 499, 202, 204, 206, 302, 303])
def test_everything_else_is_unknown(status: int) -> None:
    """Errors of servers and gateways, odd successes, redirects as they follow upon an acceptance: it may be there."""
    body = b"" if status == 204 else b'{"message": "hm"}'
    error = error_of(reply(status, body, {"Location": "/v0.4/elsewhere"}))
    assert type(error) is UnknownOutcomeError


def test_even_maintenance_behind_a_503_is_unknown() -> None:
    """A 5xx can follow an acceptance, whatever it says; whether the backend is closed is asked for apart."""
    body = {"error": "Service Unavailable", "message": "backend is unavailable: maintenance", "statusCode": 503}
    assert type(error_of(reply(503, body, {"Retry-After": "60"}))) is UnknownOutcomeError


BROKEN = {
    "reset": reset(),
    "closed": send_and_close(b""),
    "hang": hang(),
    "drip": drip(head(201, len(ACCEPTED)) + ACCEPTED, every_seconds=0.1),
    "truncated": send_and_close(head(201, len(ACCEPTED)) + ACCEPTED[:-2]),
    "broken gzip": reply(201, ACCEPTED, {"Content-Encoding": "gzip"}),
    "bomb": reply(201, gzip.compress(bytes(40 * 2**20)), {"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_answer_is_unknown(name: str) -> None:
    """Whatever breaks once the request may have left, the job may be there."""
    error = error_of(BROKEN[name])
    assert isinstance(error, UnknownOutcomeError)
    assert not isinstance(error, RejectedError)


def test_a_reset_while_the_body_leaves_is_unknown() -> None:
    """The server saw the head and part of the body."""

    async def main() -> None:
        async with ScriptedServer(lambda request: reply(201, ACCEPTED), interrupt=lambda request: reset()) as server:
            backend = open_ionq(server.url)
            with pytest.raises(UnknownOutcomeError):
                await submit(backend, request_of(3000), key=KEY)
            assert len(server.requests) == 1
            await backend.close()

    asyncio.run(main())


def test_without_a_connection_the_backend_is_busy() -> None:
    """Nothing was sent, so the job is provably not there and may be sent again."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]

    async def main() -> None:
        backend = open_ionq(f"http://127.0.0.1:{port}")
        with pytest.raises(BusyError) as caught:
            await submit(backend, request_of(1), key=KEY)
        assert isinstance(caught.value, NotSentError)
        await backend.close()

    asyncio.run(main())


@pytest.mark.parametrize("status", [301, 307, 308])
def test_a_server_that_has_moved_did_not_take_the_job(status: int) -> None:
    """The refusal names the place and the variable, without the user and the query that stand in the URL."""
    headers = {"Location": "https://me:sesame@other.example/api/v0.4/jobs?token=sesame"}
    error = error_of(reply(status, b"", headers))
    assert type(error) is RejectedError
    assert "redirects to https://other.example/api/v0.4/jobs" in str(error)
    assert "IONQ_API_URL to https://other.example/api/v0.4" in str(error)
    assert "sesame" not in str(error)


def test_a_job_is_sent_where_the_same_server_takes_it() -> None:
    """A redirect to the same path with a slash, as frameworks send it, is followed with the whole body."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[str, list[Request]]:
        return await submit(backend, request_of(2), key=KEY), server.requests

    def answer(request: Request) -> Answer:
        moved = reply(307, b"", {"Location": f"{request.path}/"})
        return moved if not request.path.endswith("/") else reply(201, ACCEPTED)

    job_id, (first, second) = drive(answer, work)
    assert job_id == "0190-a"
    assert (second.method, second.path, second.body) == ("POST", "/v0.4/jobs/", first.body)
    assert second.headers["authorization"] == f"apiKey {CANARY}"


@pytest.mark.parametrize("status", [302, 307, 308])
def test_no_redirect_carries_the_key_elsewhere(status: int) -> None:
    """The other server is never spoken to."""

    async def main() -> None:
        async with ScriptedServer(lambda request: reply(201, ACCEPTED)) as other:
            target = {"Location": f"{other.url}/v0.4/jobs"}
            async with ScriptedServer(lambda request: reply(status, b"", target)) as server:
                backend = open_ionq(server.url)
                with pytest.raises(UnknownOutcomeError if status == 302 else RejectedError):
                    await submit(backend, request_of(1), key=KEY)
                with pytest.raises(BusyError, match="302" if status == 302 else "redirects to"):
                    await backend.availability()
                await backend.close()
            assert other.n_connections == 0

    asyncio.run(main())


def test_jobs_that_cannot_be_are_rejected_before_anything_is_sent() -> None:
    """Different shots, too many qubits, a closed backend: no request leaves."""
    one, two = request_of(1, shots=10), request_of(1, shots=20)
    mixed = JobRequest("mixed", one.blocks + two.blocks)

    async def work(backend: RemoteBackend, server: ScriptedServer) -> None:
        with pytest.raises(UsageError, match="shots"):
            backend.encode(mixed, key=KEY)
        await backend.close()
        with pytest.raises(RejectedError, match="closed"):
            await submit(backend, one, key=KEY)
        assert server.requests == []

    drive(lambda request: reply(201, ACCEPTED), work)


def test_the_key_appears_in_nothing_that_is_printed(caplog: pytest.LogCaptureFixture) -> None:
    """Over all kinds of answers: no log at DEBUG, no error, no cause, no repr and no traceback has it."""
    caplog.set_level(logging.DEBUG)
    echo = reply(401, {"message": f"apiKey {CANARY} is bad"}, {"X-Request-Id": CANARY})
    texts = []
    for answer in (*BROKEN.values(), echo, reply(500, {"message": CANARY}), reply(201, {"id": f"/{CANARY}"})):
        error: BaseException | None = error_of(answer)
        assert error is not None
        texts.append("".join(traceback.format_exception(error)))
        while error is not None:
            texts.append(repr(error) + repr(vars(error)))
            error = error.__cause__ or error.__context__
    backend = open_ionq("https://api.ionq.co")
    texts += [repr(backend), repr(vars(backend)), str(backend.terms), caplog.text]
    assert CANARY not in "\n".join(texts)


def test_options_become_terms_and_capabilities() -> None:
    """Free simulators resubmit what is unknown and machines hold it; limits are the options'."""
    simulator = open_ionq("http://127.0.0.1:1", "simulator,noise=aria-1,rows=7,jobs=9,rate=5/min,settle=3")
    machine = open_ionq("http://127.0.0.1:1", "qpu.forte-1")
    assert (simulator.terms.on_unknown, machine.terms.on_unknown) == (OnUnknown.RESUBMIT, OnUnknown.HOLD)
    assert (simulator.terms.most_jobs, simulator.terms.rate, simulator.terms.settle_seconds) == (9, Rate(5, 60.0), 3.0)
    assert (simulator.capabilities.charges, machine.capabilities.charges) == (False, True)
    assert (simulator.capabilities.max_rows_per_job, machine.capabilities.max_rows_per_job) == (7, 5000)
    assert (simulator.capabilities.max_qubits, machine.capabilities.max_qubits) == (29, 36)
    assert simulator.name == "ionq:simulator,noise=aria-1,rows=7,jobs=9,rate=5/min,settle=3"
    assert simulator.terms.account == machine.terms.account
    assert open_ionq("http://127.0.0.1:2").terms.account != machine.terms.account
    assert not isinstance(simulator, ExactGradients)
    assert (simulator.terms.remembers_keys_seconds, simulator.terms.poll_rate) == (0.0, None)


@pytest.mark.parametrize(
    ("options", "one_qubit"),
    [("simulator", 3), ("simulator,gateset=native,two_qubit=ms", 9), ("simulator,gateset=native,two_qubit=zz", 9)],
)
def test_a_payload_says_what_ionq_bills(options: str, one_qubit: int) -> None:
    """Circuits, shots, and gates times shots, of the gates as they are sent: here 3 rows of ry, ry, cnot and ry."""
    triples = [gate_triple("ry", (0,), None), gate_triple("ry", (1,), 0.3), gate_triple("cx", (0, 1))]
    gates = build_gate_list(2, [*triples, gate_triple("ry", (1,), None)])
    request = JobRequest("job", (block_of(gates, np.full((3, 2), 0.4), shots=50),))
    payload = open_ionq("http://127.0.0.1:1", options).encode(request, key=KEY)
    sent = json.loads(payload.content)["input"]["circuits"]
    counted = [sum(is_two_qubit(gate) is wanted for row in sent for gate in row["circuit"]) for wanted in (False, True)]
    assert payload.usage is not None
    assert replace(payload.usage, seconds=None) == Usage(3, 150, 50 * counted[0], 50 * counted[1])
    assert counted == [3 * one_qubit, 3]


def test_gates_on_more_qubits_are_billed_as_several() -> None:
    """One on n qubits as 6 (n - 2) on two, as IonQ's machines are billed elsewhere: here a ccx and a cx."""
    gates = build_gate_list(3, [gate_triple("ccx", (0, 1, 2)), gate_triple("cx", (0, 1))])
    request = JobRequest("job", (block_of(gates, np.zeros((1, 0)), shots=10),))
    usage = open_ionq("http://127.0.0.1:1", "qpu.forte-1").measure(request)
    assert usage is not None
    assert usage.seconds is not None
    assert usage.seconds.low < usage.seconds.expected == pytest.approx(10 * 0.0003 + 70 * 0.00097)
    assert replace(usage, seconds=None) == Usage(1, 10, 0, 70)


def is_two_qubit(gate: dict[str, object]) -> bool:
    """Whether a gate as it is sent acts on two qubits."""
    return "control" in gate or len(gate.get("targets", [])) > 1  # type: ignore[arg-type]


def test_rows_that_need_more_gates_are_billed_with_them() -> None:
    """One MS gate turns by at most a quarter: the row with the larger angle is sent, and counted, with two."""
    gates = build_gate_list(2, [gate_triple("rzz", (0, 1), None)])
    request = JobRequest("job", (block_of(gates, np.array([[0.3], [3.0]]), shots=10),))
    payload = open_ionq("http://127.0.0.1:1", "simulator,gateset=native,two_qubit=ms").encode(request, key=KEY)
    sent = json.loads(payload.content)["input"]["circuits"]
    counted = [sum(is_two_qubit(gate) for gate in row["circuit"]) for row in sent]
    assert counted == [1, 2]
    assert payload.usage is not None
    assert payload.usage.two_qubit_gate_shots == 30


def test_a_payload_is_a_function_of_request_and_key() -> None:
    """Equal bytes and digest however often it is encoded, others under another key; people find the job by its name."""
    backend, other = open_ionq("http://127.0.0.1:1"), open_ionq("http://127.0.0.1:2")
    first, again = (each.encode(request_of(3), key=KEY) for each in (backend, other))
    assert first.content == again.content
    assert first.digest == again.digest != backend.encode(request_of(3), key="cd" * 32).digest
    assert json.loads(first.content)["name"] == first.search_text


def test_circuits_are_compiled_beforehand_and_refused_there_too() -> None:
    """What is prepared can be encoded; a circuit with too many qubits is named before anything is planned."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> None:
        await backend.prepare([request_of(1).blocks[0].gates])
        with pytest.raises(CircuitError, match="30 qubits"):
            await backend.prepare([build_gate_list(30, [gate_triple("h", (0,))])])
        assert server.requests == []

    drive(lambda request: reply(500), work)


def test_contexts_differ_with_what_changes_a_distribution() -> None:
    """Noise, its seed, gates and entangler change the context; pacing, packing and the version do not."""
    gates = request_of(1).blocks[0].gates

    def context(options: str) -> bytes:
        return open_ionq("http://127.0.0.1:1", options).context(gates)

    changing = ["simulator", "simulator,noise=aria-1", "simulator,noise=aria-1,seed=1", "simulator,noise=forte-1",
                "simulator,gateset=native", "simulator,gateset=native,two_qubit=zz"]  # fmt: skip
    assert len({context(options) for options in changing}) == len(changing)
    same = ["simulator", "simulator,jobs=3", "simulator,rows=1", "simulator,version=v0.3", "simulator,settle=9"]
    assert len({context(options) for options in same}) == 1
    with pytest.raises(BackendError, match="open it first"):
        context("qpu.forte-1")


@pytest.mark.parametrize("url", ["https://api.ionq.co", "https://api.ionq.co/", "https://api.ionq.co/v0.4", ""])
def test_the_url_may_name_the_version(url: str) -> None:
    """With or without it, and without any URL, it is IonQ's own."""
    access = read_access({"IONQ_API_KEY": "k", "IONQ_API_URL": url}, version="v0.4")
    assert access.base_url == "https://api.ionq.co"
    assert "k" not in repr(access).replace("key", "")


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({}, "IONQ_API_KEY="),
        ({"IONQ_API_KEY": "  "}, "IONQ_API_KEY="),
        ({"IONQ_API_URL": "http://127.0.0.1:9/v0.4"}, "IONQ_API_KEY="),
        ({"IONQ_API_KEY": f"{CANARY}\r\nX: y"}, "no header may have"),
        ({"IONQ_API_KEY": CANARY, "IONQ_API_URL": "http://api.ionq.co"}, "https://api.ionq.co"),
        ({"IONQ_API_KEY": CANARY, "IONQ_API_URL": "https://api.ionq.co/v0.3"}, "version=v0.3"),
        ({"IONQ_API_KEY": CANARY, "IONQ_API_URL": "api.ionq.co"}, "https://host/path"),
    ],
)
def test_wrong_surroundings_are_told_in_a_sentence(environment: dict[str, str], words: str) -> None:
    """A missing or broken key, a key in clear, two versions: what to do is said, and the key is not."""
    with pytest.raises(UsageError, match=words) as caught:
        open_backend("simulator", clock=WallClock(), environment=environment)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
