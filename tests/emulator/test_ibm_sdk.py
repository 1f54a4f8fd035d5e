"""IBM's own client, unchanged, sent to the emulator by the environment alone."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hand_timer import HandTimer
from ibm_bench import QUICK, is_near, skewed_weights
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Parameter
from qiskit.quantum_info import SparsePauliOp, Statevector
from qiskit_ibm_runtime import Batch, EstimatorV2, QiskitRuntimeService, SamplerV2, Session
from qiskit_ibm_runtime.accounts.exceptions import InvalidAccountError
from qiskit_ibm_runtime.exceptions import (
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobNotFound,
)
from qiskit_ibm_runtime.executor_estimator import Estimator
from qiskit_ibm_runtime.executor_sampler import Sampler

from qorch_providers.emulators.ibm import IbmSettings, RunningIbm, start

# The client says of its older primitives that they are deprecated, and leaves its connections to the end.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
LAYOUT = [4, 5, 6]
THETA = Parameter("theta")


@contextmanager
def reached(timer: HandTimer | None = None, **settings: Any) -> Iterator[RunningIbm]:
    """An emulator to which the environment sends the client."""
    with start(IbmSettings(**QUICK | settings), timer=timer) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        # Else it inspects the stack at every call, which in a test costs more than all else.
        patch.setenv("USAGE_DATA_OPT_OUT", "True")
        yield running


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningIbm]:
    """An emulator without noise, whose sessions rest after 0.3 seconds."""
    with reached(devices="ibm_lagos,ibm_manila,ibm_fez", time_scale=100.0, interactive_seconds=30.0) as running:
        yield running


@pytest.fixture(scope="module")
def service(emulator: RunningIbm) -> QiskitRuntimeService:
    """The client, as a user makes it."""
    return QiskitRuntimeService()


@pytest.fixture(scope="module")
def backend(service: QiskitRuntimeService) -> Any:
    """A small device."""
    return service.backend("ibm_lagos")


@pytest.fixture(scope="module")
def ansatz() -> QuantumCircuit:
    """Three qubits, of which 0 and 2 agree, with one parameter."""
    circuit = QuantumCircuit(3)
    circuit.ry(THETA, 0)
    circuit.cx(0, 2)
    circuit.rx(0.5, 1)
    return circuit


@pytest.fixture(scope="module")
def isa(ansatz: QuantumCircuit, backend: Any) -> QuantumCircuit:
    """The ansatz with measurements, transpiled onto qubits that are not the first ones."""
    measured = ansatz.copy()
    measured.measure_all()
    return transpile(measured, backend, initial_layout=LAYOUT, optimization_level=1, seed_transpiler=1)


def exact(theta: float) -> dict[str, float]:
    """The probabilities of the ansatz: keys have qubit 0 on the right."""
    weights = skewed_weights(theta)
    return {"000": weights["000"], "101": weights["011"], "010": weights["100"], "111": weights["111"]}


def test_every_channel_finds_the_account(emulator: RunningIbm) -> None:
    """Both names of the channel lead here, and instances are found by CRN, by name, or chosen by the client."""
    for channel in ("ibm_quantum_platform", "ibm_cloud"):
        service = QiskitRuntimeService(channel=channel)
        assert service.active_instance() == emulator.crns["first"]
        assert {backend.name for backend in service.backends()} == {"ibm_lagos", "ibm_manila", "ibm_fez"}
    plans = {each["name"]: (each["plan"], each["pricing_type"]) for each in service.instances()}
    assert plans == {"first": ("pay-as-you-go", "paygo"), "second": ("open", "free")}
    token, url = emulator.environment["QISKIT_IBM_TOKEN"], emulator.environment["QISKIT_IBM_URL"]
    by_name = QiskitRuntimeService(token=token, url=url, instance="second")
    assert by_name.active_instance() == emulator.crns["second"]
    chosen = QiskitRuntimeService(token=token, url=url, instance="auto")
    assert chosen.backend("ibm_lagos").name == "ibm_lagos"
    assert chosen.active_instance() == emulator.crns["second"]
    assert service.usage()["usage_consumed_seconds"] >= 0


def test_the_client_derives_its_urls_behind_a_proxy(emulator: RunningIbm) -> None:
    """As a proxy the emulator answers for the hosts that the client derives from a URL and the region, without DNS."""
    service = QiskitRuntimeService(
        token="emulator",  # noqa: S106 -- any
        url="http://cloud.emulator",
        instance=emulator.crns["second"],
        proxies={"urls": {"http": emulator.root}},
    )
    assert service.backend("ibm_manila").num_qubits == 5


def test_the_device_is_the_recorded_one(service: QiskitRuntimeService, backend: Any) -> None:
    """Target, status and properties are there; least_busy finds a device wide enough."""
    assert backend.target.num_qubits == backend.num_qubits == 7
    assert {"cx", "sx", "rz", "x"} <= set(backend.target.operation_names)
    assert backend.target["cx"][(5, 6)].error > 0
    status = backend.status()
    assert (status.operational, status.status_msg) == (True, "active")
    assert service.least_busy(min_num_qubits=100).name == "ibm_fez"
    fractional = service.backend("ibm_fez", use_fractional_gates=True)
    assert {"rx", "rzz"} <= set(fractional.target.operation_names)
    assert not {"rx", "rzz"} & set(service.backend("ibm_fez").target.operation_names)


def test_a_new_calibration_changes_the_target(emulator: RunningIbm, service: QiskitRuntimeService) -> None:
    """After a calibration a refreshed backend has other errors, and the older ones where they are asked for."""
    device = service.backend("ibm_manila")
    before, then = device.target["cx"][(0, 1)].error, datetime.now(UTC)
    emulator.calibrate("ibm_manila")
    device.refresh()
    after = device.target["cx"][(0, 1)].error
    assert after != before
    assert device.target_history(datetime=then)["cx"][(0, 1)].error == before


def test_sampler(service: QiskitRuntimeService, backend: Any, isa: QuantumCircuit) -> None:
    """An array of parameters gives counts in order and in Qiskit's bit order; the job is found again by its tags."""
    sampler = SamplerV2(mode=backend)
    sampler.options.environment.job_tags = ["blue", "qorch_key:0123"]
    job = sampler.run([(isa, [[0.4], [2.2]]), (isa, [0.8])], shots=2000)
    result = job.result(poll_interval=0.1)
    assert result[0].data.shape == (2,)
    assert is_near(result[0].data.meas.get_counts(0), exact(0.4))
    assert is_near(result[0].data.meas.get_counts(1), exact(2.2))
    assert is_near(result[1].data.meas.get_counts(), exact(0.8))
    assert result.metadata["execution"]["execution_spans"].duration >= 0
    (found,) = service.jobs(job_tags=["qorch_key:0123", "blue"])
    assert found.job_id() == job.job_id()
    assert service.jobs(job_tags=["qorch_key:0123", "red"]) == []
    again = service.job(job.job_id())
    assert again.result()[1].data.meas.get_counts() == result[1].data.meas.get_counts()
    assert again.inputs["pubs"][0][0].num_qubits == 7
    assert job.update_tags(["green"]) == ["green"]
    assert [each.job_id() for each in service.jobs(job_tags=["green"])] == [job.job_id()]


def test_estimator(backend: Any, ansatz: QuantumCircuit) -> None:
    """Values of broadcast observables and parameters are near the exact ones; errors are those of the precision."""
    circuit = transpile(ansatz, backend, initial_layout=LAYOUT, optimization_level=1, seed_transpiler=1)
    sums = [SparsePauliOp(["IIZ"]), SparsePauliOp(["ZIX", "IYI"], [0.5, 1.0])]
    rows = [[each.apply_layout(circuit.layout)] for each in sums]
    result = EstimatorV2(mode=backend).run([(circuit, rows, [0.8, 2.0])], precision=0.02).result(poll_interval=0.1)
    data = result[0].data
    assert data.evs.shape == (2, 2)
    check_values(ansatz, sums, data)
    assert data.stds[0, 0] == pytest.approx(0.02 * math.sin(0.8), rel=0.1)


def check_values(ansatz: QuantumCircuit, sums: list[SparsePauliOp], data: Any) -> None:
    """Whether values of the ansatz at 0.8 and 2.0 lie within five errors of the exact ones."""
    for column, theta in enumerate((0.8, 2.0)):
        state = Statevector(ansatz.assign_parameters([theta]))
        for row, each in enumerate(sums):
            error = max(data.stds[row, column], 1e-3)
            assert abs(data.evs[row, column] - state.expectation_value(each).real) < 5 * error


def test_the_newer_sampler(backend: Any, isa: QuantumCircuit) -> None:
    """The client's own sampler on the executor program, without and with measurement twirling."""
    for is_twirled in (False, True):
        sampler = Sampler(mode=backend)
        sampler.options.twirling.enable_measure = is_twirled
        job = sampler.run([(isa, [[0.4], [2.2]])], shots=1024)
        assert job.primitive_id == "executor"
        result = job.result(poll_interval=0.1)
        for row, theta in enumerate((0.4, 2.2)):
            assert is_near(result[0].data.meas.get_counts(row), exact(theta))


def test_the_newer_estimator(backend: Any, ansatz: QuantumCircuit) -> None:
    """The client's own estimator on the executor program, with twirling and readout mitigation as it has them."""
    circuit = transpile(ansatz, backend, initial_layout=LAYOUT, optimization_level=1, seed_transpiler=1)
    sums = [SparsePauliOp(["IIZ"]), SparsePauliOp(["ZIX", "IYI"], [0.5, 1.0])]
    rows = [[each.apply_layout(circuit.layout)] for each in sums]
    result = Estimator(mode=backend).run([(circuit, rows, [0.8, 2.0])], precision=0.05).result(poll_interval=0.1)
    check_values(ansatz, sums, result[0].data)


@pytest.mark.parametrize("mode", [Session, Batch])
def test_the_newer_primitives_share_a_session(
    mode: Any, service: QiskitRuntimeService, backend: Any, ansatz: QuantumCircuit, isa: QuantumCircuit
) -> None:
    """Both run in a session and in a batch; jobs, metrics and results are found again by their tag."""
    circuit = transpile(ansatz, backend, initial_layout=LAYOUT, optimization_level=1, seed_transpiler=1)
    observable = SparsePauliOp(["IIZ"]).apply_layout(circuit.layout)
    tag = f"shared-{mode.__name__}"
    with mode(backend=backend) as shared:
        sampler, estimator = Sampler(mode=shared), Estimator(mode=shared)
        for primitive in (sampler, estimator):
            primitive.options.environment.job_tags = [tag]
        jobs = [sampler.run([(isa, [2.2])], shots=512), estimator.run([(circuit, observable, [0.8])], precision=0.05)]
        counts, values = (job.result(poll_interval=0.1)[0].data for job in jobs)
    assert is_near(counts.meas.get_counts(), exact(2.2))
    assert abs(values.evs - math.cos(0.8)) < 5 * 0.05
    found = {job.job_id(): job for job in service.jobs(job_tags=[tag])}
    assert found.keys() == {job.job_id() for job in jobs}
    assert {job.session_id for job in found.values()} == {shared.session_id}
    assert service.job(jobs[0].job_id()).result() is not None
    assert found[jobs[0].job_id()].metrics()["usage"]["qpu_charge_time_seconds"] >= 0


def test_a_dry_run_is_checked_and_free(
    emulator: RunningIbm, service: QiskitRuntimeService, isa: QuantumCircuit, backend: Any
) -> None:
    """A dry run goes to the device's mock, which lists do not have: its results are random, and cost nothing."""
    job = Sampler(mode=backend).run([(isa, [0.1])], shots=1000, dry_run=True)
    counts = job.result(poll_interval=0.1)[0].data.meas.get_counts()
    assert is_near(counts, {f"{outcome:03b}": 1 / 8 for outcome in range(8)})
    assert job.backend().name == "mock_lagos"
    record = emulator.jobs()[-1]
    assert (record["target"], record["dry_run"], record["price_usd_micros"]) == ("mock_lagos", True, 0)
    assert not any(each.name.startswith("mock") for each in service.backends())
    assert job.job_id() not in {each.job_id() for each in service.jobs()}
    assert job.job_id() in {each.job_id() for each in service.jobs(include_mocks=True)}


def test_usage_becomes_complete_later(isa: QuantumCircuit) -> None:
    """Metrics say pending, and usage is 0, until the seconds are known; the record has what they cost."""
    timer = HandTimer()
    with reached(timer, usage_delay="20") as own:
        job = SamplerV2(mode=QiskitRuntimeService().backend("ibm_lagos")).run([(isa, [0.1])], shots=10_000)
        job.result(poll_interval=0.1)
        assert job.metrics()["usage"] == {"qpu_charge_time_seconds": 0, "status": "pending"}
        assert job.usage() == 0
        timer.advance(20.0)
        assert job.usage() == 5  # 2 s, and 10,000 executions of 0.28 ms
        assert own.jobs()[0]["price_usd_micros"] == 5 * 1_600_000
        assert job.metrics()["circuits_execution_time_ns"] == 2_800_000_000


def test_session(emulator: RunningIbm, backend: Any, isa: QuantumCircuit) -> None:
    """A session becomes active with its first job, rests where none comes, wakes up, and is closed at the end."""
    with Session(backend=backend) as session:
        assert session.status() == "Pending"
        sampler = SamplerV2(mode=session)
        job = sampler.run([(isa, [0.3])], shots=100)
        assert job.session_id == session.session_id
        job.result()
        deadline = time.monotonic() + 30.0
        while session.details()["state"] != "inactive":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        used = session.usage()
        assert used is not None
        assert used >= 30
        sampler.run([(isa, [0.3])], shots=100).result()
        details = session.details()
        assert (details["mode"], details["accepting_jobs"]) == ("dedicated", True)
        assert details["interactive_timeout"] == 30.0
    assert session.status() == "Closed"
    (record,) = [each for each in emulator.truth()["sessions"] if each["id"] == session.session_id]
    assert record["state"] == "closed"
    assert record["usage_seconds"] >= used
    with pytest.raises(IBMRuntimeError, match="session is closed"):
        sampler.run([(isa, [0.3])], shots=100)


def test_a_closed_session_takes_no_jobs(service: QiskitRuntimeService, backend: Any, isa: QuantumCircuit) -> None:
    """A client that does not know that a session was closed is refused with the service's code."""
    session = Session(backend=backend)
    other = Session.from_id(session.session_id, service)
    session.close()
    with pytest.raises(IBMRuntimeError, match=r"1217.*Session has been closed"):
        SamplerV2(mode=other).run([(isa, [0.3])], shots=100)


def test_batch(emulator: RunningIbm, service: QiskitRuntimeService, backend: Any, isa: QuantumCircuit) -> None:
    """Jobs of a batch are listed by it, run although it was closed, and are what it costs."""
    with Batch(backend=backend) as batch:
        sampler = SamplerV2(mode=batch)
        jobs = [sampler.run([(isa, [angle])], shots=100) for angle in (0.1, 0.2)]
    for job in jobs:
        assert job.result().metadata["version"] == 2
    listed = service.jobs(session_id=batch.session_id)
    assert {job.job_id() for job in listed} == {job.job_id() for job in jobs}
    assert batch.status() == "Closed"
    (record,) = [each for each in emulator.truth()["sessions"] if each["id"] == batch.session_id]
    assert (record["mode"], record["price_usd_micros"], record["usage_seconds"]) == ("batch", 0, 6)
    by_id = {job["id"]: job for job in emulator.jobs()}
    assert all(by_id[job.job_id()]["price_usd_micros"] == 3 * 1_600_000 for job in jobs)


def test_cancel_and_delete(isa: QuantumCircuit) -> None:
    """A job that waits is cancelled; one that is over is not, but can be deleted."""
    with reached(queue="3600") as own:
        service = QiskitRuntimeService()
        backend = service.backend("ibm_lagos")
        job = SamplerV2(mode=backend).run([(isa, [0.1])], shots=10)
        assert job.status() == "QUEUED"
        assert backend.status().pending_jobs == 1
        assert [each.job_id() for each in service.jobs(pending=True)] == [job.job_id()]
        job.cancel()
        again = service.job(job.job_id())
        assert again.status() == "CANCELLED"
        with pytest.raises(RuntimeInvalidStateError):
            again.result()
        with pytest.raises(RuntimeInvalidStateError):
            again.cancel()
        service.delete_job(job.job_id())
        with pytest.raises(RuntimeJobNotFound):
            service.job(job.job_id())
        with Session(backend=backend) as session:
            waiting = SamplerV2(mode=session).run([(isa, [0.1])], shots=10)
            session.cancel()
        assert waiting.status() == "CANCELLED"
        assert [(each["state"], each["usage_seconds"]) for each in own.truth()["sessions"]] == [("closed", 0)]


def test_jobs_that_fail(service: QiskitRuntimeService, backend: Any, isa: QuantumCircuit) -> None:
    """A job that takes too long ends with 1305; one that the device cannot run with 1517; neither has a result."""
    sampler = SamplerV2(mode=backend)
    sampler.options.max_execution_time = 1
    job = sampler.run([(isa, [0.1])], shots=10_000)
    with pytest.raises(RuntimeJobMaxTimeoutError, match="1305"):
        job.result(poll_interval=0.1)
    assert job.usage() == 1
    wrong = QuantumCircuit(7, 1)
    wrong.h(0)
    wrong.measure(0, 0)
    inputs = {"pubs": [(wrong, None, 10)], "options": {}, "version": 2, "support_qiskit": True}
    failed = service._run("sampler", inputs, {"backend": backend})
    with pytest.raises(RuntimeJobFailureError, match="1517; The instruction h on qubits"):
        failed.result(poll_interval=0.1)


def test_five_posts_a_minute(isa: QuantumCircuit) -> None:
    """The sixth job within a minute is refused with 429, and the client does not try again."""
    with reached(posts_per_minute=5) as own:
        sampler = SamplerV2(mode=QiskitRuntimeService().backend("ibm_lagos"))
        for _ in range(5):
            sampler.run([(isa, [0.1])], shots=10)
        with pytest.raises(IBMRuntimeError, match="429"):
            sampler.run([(isa, [0.1])], shots=10)
        assert (len(own.jobs()), own.truth()["calls"]["by_status"]["429"]) == (5, 1)


def test_the_limit_of_an_instance(isa: QuantumCircuit) -> None:
    """Once an instance has used its seconds, the client warns, and jobs are refused with 409."""
    with reached(instances="first=pay-as-you-go/3") as own:
        service = QiskitRuntimeService()
        sampler = SamplerV2(mode=service.backend("ibm_lagos"))
        sampler.run([(isa, [0.1])], shots=10).result(poll_interval=0.1)
        assert service.usage()["usage_remaining_seconds"] == 0
        with pytest.warns(UserWarning, match="usage limit"), pytest.raises(IBMRuntimeError, match="409"):
            sampler.run([(isa, [0.1])], shots=10)
        assert len(own.jobs()) == 1


def test_tokens() -> None:
    """The client asks for a new token before its own expires; a revoked one and a wrong key are refused."""
    with reached(token_seconds=5.0, api_key="right") as own:
        service = QiskitRuntimeService()
        issued = own.truth()["tokens"]["issued"]
        # Ten seconds before its end a token is too old for the client.
        service.usage()
        service.usage()
        book = own.truth()["tokens"]
        assert isinstance(issued, int)
        assert book["issued"] > issued + 1
        assert book["most_at_once"] == 1
        with pytest.raises(InvalidAccountError, match="valid API token"):
            QiskitRuntimeService(token="wrong", url=own.url)  # noqa: S106 -- not the right one
    with reached() as own:
        service = QiskitRuntimeService()
        service.usage()
        own.revoke_tokens()
        with pytest.raises(IBMNotAuthorizedError):
            service.usage()


def test_lists_by_time(service: QiskitRuntimeService, backend: Any, isa: QuantumCircuit) -> None:
    """Jobs are found by when they were created, and in either order."""
    begun = datetime.now(UTC)
    first, second = (SamplerV2(mode=backend).run([(isa, [0.1])], shots=10) for _ in range(2))
    ids = [first.job_id(), second.job_id()]
    found = service.jobs(created_after=begun - timedelta(milliseconds=2), descending=False, limit=None)
    assert [job.job_id() for job in found] == ids
    newest = service.jobs(created_after=begun - timedelta(milliseconds=2), limit=1)
    assert [job.job_id() for job in newest] == ids[1:]
    assert service.jobs(created_after=begun + timedelta(hours=1)) == []
    assert service.jobs(backend_name="ibm_manila", program_id="sampler") == []
