"""The IonQ backend on scripted servers: fetching results, cancelling jobs, and opening machines."""

import gzip

import pytest
from ionq_servers import (
    drive,
    job_document,
    lost_rows,
    not_found,
    open_ionq,
    page,
    request_of,
    routed,
)
from scripted_server import Answer, Request, ScriptedServer, reply, reset

from qorch.errors import (
    BackendError,
    BusyError,
    JobFailedError,
    JobMissingError,
    UnknownNameError,
)
from qorch.model.job import RawResult
from qorch.ports.backend import RemoteBackend
from qorch_providers.ionq import IonqBackend
from qorch_providers.ionq.backend import QPU_QUBITS
from qorch_providers.ionq.results.archive import decode_answer

JOBS = "/v0.4/jobs"


def fetch_with(routes: dict[str, Answer], *, options: str = "simulator,deadline=2") -> tuple[RawResult, list[str]]:
    """What a fetch of job "a" brings, and the paths that were requested."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[RawResult, list[str]]:
        return await backend.fetch("a"), [request.path for request in server.requests]

    return drive(routed(routes), work, options=options)


def failing_fetch(routes: dict[str, Answer]) -> tuple[BackendError, list[str]]:
    """What a fetch of job "a" raises, and the paths that were requested."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> tuple[BackendError, list[str]]:
        with pytest.raises(BackendError) as caught:
            await backend.fetch("a")
        return caught.value, [request.path for request in server.requests]

    return drive(routed(routes), work)


ARTIFACT = {"id": "probabilities", "format": "ionq.result.probabilities.json.v1", "media_type": "application/json"}


@pytest.mark.parametrize(
    ("results", "path"),
    [
        ({"probabilities": {"url": f"{JOBS}/a/results/probabilities"}}, f"{JOBS}/a/results/probabilities"),
        ({"ionq.result.probabilities.json.v1": ARTIFACT}, f"{JOBS}/a/artifacts/probabilities"),
        (None, f"{JOBS}/a/results/probabilities"),
    ],
)
def test_results_are_kept_verbatim_from_wherever_they_are(results: object, path: str) -> None:
    """The URL, the artifact, or the usual place; every byte of both documents is kept, and they can be read."""
    body = b'{ "0":0.9387912809451864,\n "1":0.06120871905481362 }'
    document = job_document("a", results=results)
    raw, paths = fetch_with({f"GET {JOBS}/a": reply(200, document), f"GET {path}": reply(200, body)})
    assert paths == [f"{JOBS}/a", path]
    assert decode_answer(raw.content)[1] == body
    result = open_ionq("http://127.0.0.1:1").read(request_of(1).shape, raw)
    assert result.blocks[0].counts is not None
    assert result.blocks[0].counts.shots.tolist() == [100]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/v0.4/x",
        "https://evil.example/v0.4/jobs/a/results/probabilities",
        "//evil.example/v0.4/jobs/a/results/probabilities",
        "/v0.4/../x",
        "/v0.4/jobs/a/../../x",
        "/v0.4/jobs/a/%2e%2e/x",
        "/v0.4/jobs/other/results/probabilities",
        "/v0.4/jobs/a/results/probabilities?token=1",
        "../../x",
        "",
    ],
)
def test_results_elsewhere_are_never_requested(url: str) -> None:
    """Other servers, other jobs and climbing paths: the usual place of this very job is asked, and nothing else."""
    document = job_document("a", results={"probabilities": {"url": url}})
    own = f"{JOBS}/a/results/probabilities"
    _, paths = fetch_with({f"GET {JOBS}/a": reply(200, document), f"GET {own}": reply(200, {"0": 1.0})})
    assert paths == [f"{JOBS}/a", own]


@pytest.mark.parametrize("where", ["id", "child_job_ids", "parent_job_id"])
def test_ids_that_are_paths_are_never_requested(where: str) -> None:
    """A climbing id anywhere in a document makes the document unreadable."""
    value: object = ["../../x"] if where == "child_job_ids" else "../../x"
    error, paths = failing_fetch({f"GET {JOBS}/a": reply(200, {**job_document("a", "failed"), where: value})})
    assert isinstance(error, BusyError)
    assert paths == [f"{JOBS}/a"]


def test_another_job_than_asked_for_is_not_believed() -> None:
    """An answer about job b to a question about job a is asked again."""
    error, _ = failing_fetch({f"GET {JOBS}/a": reply(200, job_document("b"))})
    assert type(error) is BusyError


def test_results_that_are_too_large_are_not_read() -> None:
    """A flood instead of a paid result is no reason to give the result up."""
    bomb = reply(200, gzip.compress(b"{" + b" " * (40 * 2**20)), {"Content-Encoding": "gzip"})
    routes = {f"GET {JOBS}/a": reply(200, job_document("a")), f"GET {JOBS}/a/results/probabilities": bomb}
    error, _ = failing_fetch(routes)
    assert type(error) is BusyError
    assert "larger than 32 MiB" in str(error)


@pytest.mark.parametrize("answer", [not_found(), reply(200, b"<html>wait</html>"), reply(500), reset()])
def test_results_that_are_not_there_yet_are_busy(answer: Answer) -> None:
    """Completed, but the results are not served: asked again, and never taken for lost."""
    routes = {f"GET {JOBS}/a": reply(200, job_document("a")), f"GET {JOBS}/a/results/probabilities": answer}
    assert isinstance(failing_fetch(routes)[0], BusyError)


@pytest.mark.parametrize("status", ["submitted", "ready", "started"])
def test_a_job_that_is_not_over_is_busy(status: str) -> None:
    """Fetched too early."""
    assert type(failing_fetch({f"GET {JOBS}/a": reply(200, job_document("a", status))})[0]) is BusyError


@pytest.mark.parametrize(
    ("status", "code", "is_repeatable"),
    [("failed", "InternalError", True), ("failed", "NotEnoughQubits", False), ("canceled", None, False)],
)
def test_failed_jobs_say_why_and_whether_to_repeat(status: str, code: str | None, is_repeatable: bool) -> None:
    """The provider's reason is in the sentence."""
    failure = {"code": code, "message": "words"} if code else None
    error, _ = failing_fetch({f"GET {JOBS}/a": reply(200, job_document("a", status, failure=failure))})
    assert isinstance(error, JobFailedError)
    assert error.is_repeatable is is_repeatable
    assert (code or "cancelled") in str(error)


def test_a_job_that_is_not_there_is_missing() -> None:
    """IonQ's own 404 on the job itself proves nothing: one server of several may not have heard of it yet."""
    error, _ = failing_fetch({})
    assert isinstance(error, JobMissingError)
    assert "no job a" in str(error)


def family(n_children: int, *, failed: set[int], parent: str, whole: bool) -> tuple[dict[str, Answer], list[str]]:
    """Routes of a multi-circuit job whose children ``failed``; ``whole``: the others' results are served together."""
    ids = [f"c{n}" for n in range(n_children)]
    state = {name: "failed" if n in failed else "completed" for n, name in enumerate(ids)}
    documents = {name: job_document(name, state[name], parent_job_id="a") for name in ids}
    together = {name: {"0": 1.0} for name in ids if state[name] == "completed"}
    own = job_document("a", parent, type="ionq.multi-circuit.v1", child_job_ids=ids)

    def decide(request: Request) -> Answer:
        assert dict(request.query)["parent_job_id"] == "a"
        start = int(dict(request.query).get("next", "0"))
        cursor = str(start + 25) if start + 25 < n_children else None
        return reply(200, page([documents[name] for name in ids[start : start + 25]], cursor))

    routes: dict[str, Answer] = {f"GET {JOBS}/a": reply(200, own), f"GET {JOBS}": decide}  # type: ignore[dict-item]
    routes |= {f"GET {JOBS}/{name}": reply(200, documents[name]) for name in ids}
    if whole:
        routes[f"GET {JOBS}/a/results/probabilities/aggregated"] = reply(200, together)
    routes |= {f"GET {JOBS}/{name}/results/probabilities": reply(200, {"0": 1.0}) for name in together}
    return routes, ids


@pytest.mark.parametrize("whole", [True, False])
def test_failed_children_are_lost_rows_and_the_others_are_kept(whole: bool) -> None:
    """Of 60 circuits two failed: 58 are read, from the common results or one by one, and two may run again."""
    routes, _ = family(60, failed={7, 31}, parent="completed" if whole else "failed", whole=whole)
    raw, paths = fetch_with(routes)
    result = open_ionq("http://127.0.0.1:1").read(request_of(60).shape, raw)
    assert lost_rows(result) == [[7, 31]]
    assert result.blocks[0].n_rows == 58
    assert len(paths) == (4 if whole else 1 + 3 + 58)


def test_all_children_failed_is_a_failed_job() -> None:
    """Nothing of a result is left to keep."""
    routes, _ = family(3, failed={0, 1, 2}, parent="failed", whole=False)
    assert isinstance(failing_fetch(routes)[0], JobFailedError)


@pytest.mark.parametrize("missing", [not_found(), reply(404, b"404: Not Found"), reply(405), reply(410)])
def test_children_are_fetched_where_their_results_are_nowhere_together(missing: Answer) -> None:
    """IonQ's newest protocol has no common results: each circuit is asked for its own, and a failed one is lost."""
    routes, ids = family(30, failed={7}, parent="completed", whole=False)
    routes[f"GET {JOBS}/a/results/probabilities/aggregated"] = missing
    raw, paths = fetch_with(routes)
    result = open_ionq("http://127.0.0.1:1").read(request_of(30).shape, raw)
    assert lost_rows(result) == [[7]]
    assert result.blocks[0].n_rows == 29
    assert len(paths) == 2 + 2 + len(ids) - 1


@pytest.mark.parametrize("gone", ["c1", "c1/results/probabilities"])
def test_children_that_are_not_there_yet_are_busy(gone: str) -> None:
    """Results that are neither together nor with every child are asked for again, and never taken for lost."""
    routes, _ = family(3, failed=set(), parent="completed", whole=False)
    routes[f"GET {JOBS}/{gone}"] = not_found()
    error, _ = failing_fetch(routes)
    assert type(error) is BusyError
    assert "no results of it yet" in str(error)


@pytest.mark.parametrize("nothing", [b"null", b"{}", b"{ }"])
def test_a_failed_child_may_stand_in_the_common_results_without_any(nothing: bytes) -> None:
    """Its own document tells that it failed: one row runs again, and the paid others are kept."""
    routes, ids = family(5, failed={2}, parent="completed", whole=False)
    entries = [b'"%s":%s' % (name.encode(), nothing if n == 2 else b'{"0":1.0}') for n, name in enumerate(ids)]
    routes[f"GET {JOBS}/a/results/probabilities/aggregated"] = reply(200, b"{" + b",".join(entries) + b"}")
    raw, paths = fetch_with(routes)
    result = open_ionq("http://127.0.0.1:1").read(request_of(5).shape, raw)
    assert lost_rows(result) == [[2]]
    assert result.blocks[0].n_rows == 4
    assert paths[2:] == [f"{JOBS}/c2"]


def test_children_are_asked_one_by_one_where_the_list_is_ill() -> None:
    """A list that answers 500 does not keep a run from results that were paid for."""
    routes, ids = family(30, failed={1}, parent="failed", whole=False)
    routes[f"GET {JOBS}"] = reply(500)
    raw, _ = fetch_with(routes)
    assert len(decode_answer(raw.content)) == 1 + 2 * len(ids)


def test_a_list_that_ignores_the_parent_is_not_read_to_its_end() -> None:
    """The children are then asked for one by one."""
    routes, ids = family(30, failed={1}, parent="failed", whole=False)
    others = [job_document(f"other{n}") for n in range(25)]
    routes[f"GET {JOBS}"] = reply(200, page(others, "more"))
    raw, paths = fetch_with(routes)
    assert paths.count(JOBS) == 1
    assert len(decode_answer(raw.content)) == 1 + 2 * len(ids)


def test_a_child_whose_results_are_missing_is_asked_again() -> None:
    """It did not fail, so it is not lost: a paid result is not thrown away."""
    routes, _ = family(3, failed={1}, parent="failed", whole=False)
    routes[f"GET {JOBS}/c2/results/probabilities"] = not_found()
    assert type(failing_fetch(routes)[0]) is BusyError


def cancel_with(routes: dict[str, Answer], job_id: str = "a") -> list[str]:
    """The requests of a cancellation."""

    async def work(backend: RemoteBackend, server: ScriptedServer) -> list[str]:
        await backend.cancel(job_id)
        return [f"{request.method} {request.path}" for request in server.requests]

    return drive(routed(routes), work)


@pytest.mark.parametrize("answer", [reply(200, {"id": "a", "status": "canceled"}), not_found(), reply(409), reply(400)])
def test_a_waiting_job_is_cancelled(answer: Answer) -> None:
    """One PUT, and no matter whether the job ended in between."""
    routes = {f"GET {JOBS}/a": reply(200, job_document("a", "ready")), f"PUT {JOBS}/a/status/cancel": answer}
    assert cancel_with(routes) == [f"GET {JOBS}/a", f"PUT {JOBS}/a/status/cancel"]


@pytest.mark.parametrize("status", ["completed", "failed", "canceled"])
def test_a_job_that_is_over_is_never_cancelled(status: str) -> None:
    """IonQ would turn a paid, completed job into a cancelled one."""
    assert cancel_with({f"GET {JOBS}/a": reply(200, job_document("a", status))}) == [f"GET {JOBS}/a"]


def test_cancelling_what_is_not_there_is_harmless() -> None:
    """Unknown ids, and what cannot be one."""
    assert cancel_with({}) == [f"GET {JOBS}/a"]
    assert cancel_with({}, "no such job/../x") == []


def machine(status: str = "available", **more: object) -> dict[str, object]:
    """``GET /backends/qpu.forte-1``."""
    base = {"backend": "qpu.forte-1", "status": status, "qubits": 30, "average_queue_time": 4000}
    return {**base, "characterization_id": "c-1", **more}


def open_machine(document: object) -> tuple[bytes, int, bool]:
    """Context, qubits and availability of a machine that describes itself so."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> tuple[bytes, int, bool]:
        await backend.open()
        gates = request_of(1).blocks[0].gates
        return backend.context(gates), backend.capabilities.max_qubits, (await backend.availability()).is_open

    return drive(routed({"GET /v0.4/backends/qpu.forte-1": reply(200, document)}), work, options="qpu.forte-1")


def test_a_machine_tells_its_qubits_and_calibration_when_it_is_opened() -> None:
    """Another calibration is another context; a closed machine can be opened, and says that it is closed."""
    first, n_qubits, is_open = open_machine(machine())
    assert (n_qubits, is_open) == (30, True)
    assert open_machine(machine())[0] == first
    assert open_machine(machine(characterization_id="c-2"))[0] != first
    assert open_machine(machine("unavailable"))[1:] == (30, False)


def test_a_recalibration_seen_in_the_middle_changes_the_context() -> None:
    """From the next look at the machine on; one that says nothing of its calibration changes nothing."""
    seen = ["c-1", "c-2", None, "c-1"]
    documents = [machine(characterization_id=name) for name in seen]

    def decide(request: Request) -> Answer:
        return reply(200, documents.pop(0))

    async def work(backend: IonqBackend, server: ScriptedServer) -> list[bytes]:
        gates = request_of(1).blocks[0].gates
        await backend.open()
        contexts = [backend.context(gates)]
        for _ in seen[1:]:
            await backend.availability()
            contexts.append(backend.context(gates))
        return contexts

    first, second, third, fourth = drive(
        routed({"GET /v0.4/backends/qpu.forte-1": decide}), work, options="qpu.forte-1"
    )
    assert first != second == third
    assert fourth == first


@pytest.mark.parametrize(
    ("listing", "kind"), [(reply(503), BusyError), (reply(200, [machine() | {"backend": "other"}]), UnknownNameError)]
)
def test_a_machine_that_is_not_described_is_not_opened(listing: Answer, kind: type[Exception]) -> None:
    """Without its calibration no context is known; a machine that does not exist is named."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> None:
        with pytest.raises(kind):
            await backend.open()

    drive(routed({"GET /v0.4/backends": listing}), work, options="qpu.forte-1,deadline=2")


@pytest.mark.parametrize(("listing", "n_qubits"), [(reply(200, [machine(qubits=11)]), 11), (reply(405), QPU_QUBITS)])
def test_servers_that_describe_machines_otherwise_are_usable(listing: Answer, n_qubits: int) -> None:
    """By the list alone; or not at all, and then it is as large as any, and open."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> tuple[int, bool]:
        await backend.open()
        return backend.capabilities.max_qubits, (await backend.availability()).is_open

    assert drive(routed({"GET /v0.4/backends": listing}), work, options="qpu.forte-1") == (n_qubits, True)


def test_the_simulator_opens_without_a_question() -> None:
    """Nothing about it changes."""

    async def work(backend: IonqBackend, server: ScriptedServer) -> int:
        await backend.open()
        return len(server.requests)

    assert drive(lambda request: reset(), work) == 0
