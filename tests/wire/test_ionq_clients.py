"""IonQ's published clients, unchanged, against the emulator: what it speaks is the real protocol."""

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from qorch_providers.emulators.ionq import RunningEmulator, Settings, start

cirq = pytest.importorskip("cirq")
cirq_ionq = pytest.importorskip("cirq_ionq")
ionq_core = pytest.importorskip("ionq_core")
qiskit_ionq = pytest.importorskip("qiskit_ionq")

from ionq_core import aiter_jobs, async_wait_for_job, iter_jobs, wait_for_job  # noqa: E402
from ionq_core.api.backends import get_backends  # noqa: E402
from ionq_core.api.default import (  # noqa: E402
    cancel_job,
    create_job,
    estimate_job_cost,
    get_job_artifact,
    get_job_cost,
    get_job_probabilities,
    get_jobs,
)
from ionq_core.api.whoami import get_whoami  # noqa: E402
from ionq_core.models import CircuitJobCreationPayload, JSONMultiCircuitJob  # noqa: E402
from qiskit import QuantumCircuit  # noqa: E402
from qiskit.circuit.library import PauliEvolutionGate  # noqa: E402
from qiskit.quantum_info import SparsePauliOp, Statevector  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:base_url .* does not use HTTPS:UserWarning"),
    pytest.mark.filterwarnings("ignore:Transpiler default optimization_level"),
    pytest.mark.timeout(60),
]

SHOTS = 4000
# Qubit 1 is likely 1, qubits 0 and 2 agree and are likely 0: every reversal of bits would show.
ONE_IS_ONE, TWO_IS_ONE = math.sin(1.1) ** 2, math.sin(0.4) ** 2
EXPECTED = {
    0b000: (1 - TWO_IS_ONE) * (1 - ONE_IS_ONE),
    0b010: (1 - TWO_IS_ONE) * ONE_IS_ONE,
    0b101: TWO_IS_ONE * (1 - ONE_IS_ONE),
    0b111: TWO_IS_ONE * ONE_IS_ONE,
}
"""Outcomes of the skewed circuit, qubit 0 the least significant bit."""
FLIPPED = {state ^ 0b001: share for state, share in EXPECTED.items()}
"""The same with qubit 0 flipped at the end."""
NOISE_ALLOWANCE = 0.06


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningEmulator]:
    """A running emulator, to which the clients' environment points."""
    with start(Settings(price="0.01")) as running:
        monkeypatch.setenv("IONQ_API_URL", running.url)
        monkeypatch.setenv("IONQ_API_KEY", "canary")
        yield running


def assert_close(counts: dict[int, float], expected: dict[int, float], *, allowance: float = 0.0) -> None:
    """Shares within five standard deviations of SHOTS samples, plus what noise may change."""
    total = sum(counts.values())
    for state in range(8):
        share = expected.get(state, 0.0)
        sigma = math.sqrt(max(share * (1 - share), 1e-9) / SHOTS)
        assert abs(counts.get(state, 0.0) / total - share) <= 5 * sigma + allowance


class TestQiskit:
    """qiskit-ionq."""

    @pytest.fixture
    def backend(self, emulator: RunningEmulator) -> Any:
        """The simulator."""
        return qiskit_ionq.IonQProvider("canary", emulator.url).get_backend("simulator")

    def circuit(self, *, flipped: bool = False) -> QuantumCircuit:
        """The skewed circuit, measured."""
        circuit = QuantumCircuit(3)
        circuit.ry(0.8, 0)
        circuit.cx(0, 2)
        circuit.rx(2.2, 1)
        if flipped:
            circuit.x(0)
        circuit.measure_all()
        return circuit

    def counts(self, result: Any, index: int | None = None) -> dict[int, float]:
        """Counts by outcome integer."""
        given = result.get_counts() if index is None else result.get_counts(index)
        return {int(bits, 2): count for bits, count in given.items()}

    def test_a_single_circuit(self, backend: Any, emulator: RunningEmulator) -> None:
        """Exact probabilities in Qiskit's bit order, and counts drawn by the client."""
        job = backend.run(self.circuit(), shots=SHOTS, sampler_seed=3)
        result = job.result(wait=0.05)
        assert {int(bits, 2): share for bits, share in result.get_probabilities().items()} == pytest.approx(EXPECTED)
        assert_close(self.counts(result), EXPECTED)
        assert [each["id"] for each in emulator.jobs()] == [job.job_id()]

    def test_several_circuits_are_one_job(self, backend: Any, emulator: RunningEmulator) -> None:
        """One submission; every circuit gets its own result, in order; children are all completed."""
        job = backend.run([self.circuit(), self.circuit(flipped=True)], shots=SHOTS, sampler_seed=4)
        result = job.result(wait=0.05)
        assert_close(self.counts(result, 0), EXPECTED)
        assert_close(self.counts(result, 1), FLIPPED)
        assert job.status(detailed=True)["completed"] == 2
        (accepted,) = emulator.jobs()
        assert accepted["rows"] == 2

    def test_a_noise_model(self, backend: Any) -> None:
        """Counts are the server's, sum to the shots, and are near the ideal ones; single shots agree with them."""
        job = backend.run(self.circuit(), shots=SHOTS, noise_model="aria-1", sampler_seed=5, memory=True)
        backend.options.noise_model = "aria-1"
        result = job.result(wait=0.05)
        counts = self.counts(result)
        assert sum(counts.values()) == SHOTS
        assert len(counts) > len(EXPECTED)
        assert_close(counts, EXPECTED, allowance=NOISE_ALLOWANCE)
        memory = result.get_memory()
        assert {state: memory.count(format(state, "03b")) for state in counts} == counts

    @pytest.mark.filterwarnings("ignore:(splu|spsolve)")
    def test_every_gate_that_it_serialises(self, backend: Any) -> None:
        """A circuit with all kinds of its gates gives what Qiskit's own simulation gives."""
        circuit = QuantumCircuit(4)
        for qubit in range(4):
            circuit.ry(0.3 + 0.4 * qubit, qubit)
        gates: list[tuple[Any, ...]] = [
            ("rz", 0.3, 0), ("p", 0.7, 1), ("cp", 0.9, 0, 1), ("mcp", 1.3, [0, 1], 2), ("crx", 0.4, 1, 2),
            ("cry", 0.6, 2, 3), ("crz", 1.1, 3, 0), ("ccx", 0, 1, 2), ("ch", 2, 0), ("csx", 1, 3), ("sx", 0),
            ("sxdg", 1), ("tdg", 2), ("sdg", 3), ("rxx", 0.5, 0, 3), ("ryy", 0.6, 1, 2), ("rzz", 0.7, 0, 2),
            ("swap", 1, 3),
        ]  # fmt: skip
        for name, *arguments in gates:
            getattr(circuit, name)(*arguments)
        circuit.append(PauliEvolutionGate(SparsePauliOp(["XXI", "ZZI", "IIY"], [0.3, 0.2, 0.4]), time=0.8), [0, 2, 3])
        for qubit in range(4):
            circuit.ry(0.2 + 0.3 * qubit, qubit)
        expected = Statevector(circuit).probabilities()
        circuit.measure_all()
        found = backend.run(circuit).result(wait=0.05).get_probabilities()
        assert {int(bits, 2): share for bits, share in found.items()} == pytest.approx(dict(enumerate(expected)))

    def test_native_gates(self, emulator: RunningEmulator) -> None:
        """GPi, GPi2, MS and ZZ mean the same here as in its own matrices."""
        backend = qiskit_ionq.IonQProvider("canary", emulator.url).get_backend("simulator", gateset="native")
        circuit = QuantumCircuit(3)
        circuit.append(qiskit_ionq.GPI2Gate(0.1), [0])
        circuit.append(qiskit_ionq.MSGate(0.2, 0.3, 0.15), [0, 2])
        circuit.append(qiskit_ionq.GPIGate(0.4), [1])
        circuit.append(qiskit_ionq.GPI2Gate(0.6), [1])
        circuit.append(qiskit_ionq.ZZGate(0.2), [1, 2])
        circuit.append(qiskit_ionq.GPI2Gate(0.7), [1])
        expected = Statevector(circuit).probabilities()
        circuit.measure_all()
        found = backend.run(circuit).result(wait=0.05).get_probabilities()
        likely = {state: share for state, share in enumerate(expected) if share > 1e-12}
        assert {int(bits, 2): share for bits, share in found.items()} == pytest.approx(likely)

    @pytest.mark.filterwarnings("ignore:.*Job was cancelled:UserWarning")
    def test_cancelling(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A job that waits is cancelled, and the client sees it."""
        with start(Settings(queue="60")) as running:
            monkeypatch.setenv("IONQ_API_URL", running.url)
            backend = qiskit_ionq.IonQProvider("canary", running.url).get_backend("simulator")
            job = backend.run(self.circuit())
            job.cancel()
            assert job.status().name == "CANCELLED"
            assert running.jobs()[0]["status"] == "canceled"

    def test_qpus_estimates_and_calibrations(self, emulator: RunningEmulator) -> None:
        """A QPU's counts are multiples of one over the shots; its estimate is the price; it has a calibration."""
        backend = qiskit_ionq.IonQProvider("canary", emulator.url).get_backend("qpu.forte-1")
        assert backend.num_qubits == 36
        assert backend.status()
        assert backend.calibration().qubits == 36
        estimate = backend.client.estimate_job(
            backend="ionq_qpu.forte-1", oneq_gates=2, twoq_gates=1, qubits=3, shots=SHOTS
        )
        assert (estimate.cost, estimate.cost_unit, estimate.shots) == (SHOTS * 0.01, "usd", SHOTS)
        counts = self.counts(backend.run(self.circuit(), shots=SHOTS).result(wait=0.05))
        assert sum(counts.values()) == SHOTS
        assert_close(counts, EXPECTED, allowance=NOISE_ALLOWANCE)
        assert emulator.jobs()[0]["price_usd_micros"] == SHOTS * 10_000

    def test_sessions(self, emulator: RunningEmulator) -> None:
        """Jobs run inside a session, which is ended afterwards."""
        backend = qiskit_ionq.IonQProvider("canary", emulator.url).get_backend("qpu.forte-1")
        with qiskit_ionq.Session(backend, max_jobs=5) as session:
            backend.run(self.circuit(), shots=100).result(wait=0.05)
            assert session.details()["status"] == "started"
        assert session.details()["status"] == "ended"

    def test_failures_are_reported(self, backend: Any, emulator: RunningEmulator) -> None:
        """A job that fails raises the client's own error."""
        emulator.set_faults("failure@1")
        with pytest.raises(qiskit_ionq.exceptions.IonQJobFailureError):
            backend.run(self.circuit()).result(wait=0.05)


class TestCirq:
    """cirq-ionq."""

    @pytest.fixture
    def service(self, emulator: RunningEmulator) -> Any:
        """The service on the simulator."""
        return cirq_ionq.Service(remote_host=emulator.url, api_key="canary", default_target="simulator")

    def circuit(self, *, flipped: bool = False) -> Any:
        """The skewed circuit, measured; Cirq's first qubit is the most significant bit of its results."""
        qubits = cirq.LineQubit.range(3)
        gates = [cirq.ry(0.8)(qubits[0]), cirq.CNOT(qubits[0], qubits[2]), cirq.rx(2.2)(qubits[1])]
        if flipped:
            gates.append(cirq.X(qubits[0]))
        return cirq.Circuit(gates, cirq.measure(*qubits, key="m"))

    def shares(self, result: Any) -> dict[int, float]:
        """Counts by outcome integer with qubit 0 the least significant bit."""
        return {int(format(state, "03b")[::-1], 2): count for state, count in result.histogram(key="m").items()}

    def test_a_single_circuit(self, service: Any, emulator: RunningEmulator) -> None:
        """Measurements in Cirq's bit order, although it sends its shots as text."""
        result = service.run(self.circuit(), repetitions=SHOTS, seed=3)
        assert_close(self.shares(result), EXPECTED)
        assert len(emulator.jobs()) == 1

    def test_several_circuits_are_one_job(self, service: Any, emulator: RunningEmulator) -> None:
        """One submission, and each circuit's own measurements in order."""
        circuits = [self.circuit(), self.circuit(flipped=True)]
        first, second = service.run_batch(circuits, repetitions=SHOTS, seed=4)
        assert_close(self.shares(first), EXPECTED)
        assert_close(self.shares(second), FLIPPED)
        assert [job["rows"] for job in emulator.jobs()] == [2]

    def test_probabilities_and_noise(self, service: Any) -> None:
        """Exact probabilities of the ideal simulator; near them with a noise model."""
        exact = service.create_job(self.circuit(), repetitions=SHOTS).results(polling_seconds=0.05)
        found = {int(format(state, "03b")[::-1], 2): share for state, share in exact.probabilities().items()}
        assert found == pytest.approx(EXPECTED)
        noise = {"model": "forte-1", "seed": 1}
        job = service.create_job(self.circuit(), repetitions=SHOTS, noise=noise)
        noisy = job.results(polling_seconds=0.05).probabilities()
        values = {int(format(state, "03b")[::-1], 2): share for state, share in noisy.items()}
        assert all(share * SHOTS == pytest.approx(round(share * SHOTS)) for share in values.values())
        assert_close(values, EXPECTED, allowance=NOISE_ALLOWANCE)

    def test_a_qpu(self, service: Any) -> None:
        """Counts of a QPU sum to the repetitions."""
        job = service.create_job(self.circuit(), repetitions=SHOTS, target="qpu.forte-1")
        counts = job.results(polling_seconds=0.05).counts()
        assert sum(counts.values()) == SHOTS
        values = {int(format(state, "03b")[::-1], 2): float(count) for state, count in counts.items()}
        assert_close(values, EXPECTED, allowance=NOISE_ALLOWANCE)

    def test_native_gates(self, service: Any) -> None:
        """GPi, GPi2, MS and ZZ mean the same here as in its own matrices; its ZZ has a `phase`."""
        a, b, c = cirq.LineQubit.range(3)
        gates = [
            cirq_ionq.GPI2Gate(phi=0.1)(a), cirq_ionq.MSGate(phi0=0.2, phi1=0.3, theta=0.15)(a, c),
            cirq_ionq.GPIGate(phi=0.4)(b), cirq_ionq.GPI2Gate(phi=0.6)(b), cirq_ionq.ZZGate(theta=0.2)(b, c),
            cirq_ionq.GPI2Gate(phi=0.7)(b),
        ]  # fmt: skip
        state = cirq.Circuit(gates).final_state_vector()
        job = service.create_job(cirq.Circuit(gates, cirq.measure(a, b, c, key="m")), repetitions=100)
        found = job.results(polling_seconds=0.05).probabilities()
        expected = {index: abs(value) ** 2 for index, value in enumerate(state) if abs(value) > 1e-6}
        assert found == pytest.approx(expected, abs=1e-6)

    def test_cancelling_deleting_and_listing(self) -> None:
        """A job that waits is listed, cancelled and deleted."""
        with start(Settings(queue="60")) as running:
            service = cirq_ionq.Service(remote_host=running.url, api_key="canary", default_target="simulator")
            job = service.create_job(self.circuit(), repetitions=10)
            assert [each.job_id() for each in service.list_jobs(limit=1)] == [job.job_id()]
            job.cancel()
            assert service.get_job(job.job_id()).status() == "canceled"
            job.delete()
            with pytest.raises(cirq_ionq.IonQNotFoundException):
                service.get_job(job.job_id())


SKEWED = [
    {"gate": "ry", "target": 0, "rotation": 0.8},
    {"gate": "cnot", "control": 0, "target": 2},
    {"gate": "rx", "target": 1, "rotation": 2.2},
]


class TestCore:
    """ionq-core, with its synchronous and its asynchronous client."""

    @pytest.fixture
    def open_client(self, emulator: RunningEmulator) -> Callable[[], Any]:
        """Makes a client without retries."""
        return lambda: ionq_core.IonQClient(api_key="canary", base_url=emulator.url, max_retries=0)

    def single(self, **fields: Any) -> CircuitJobCreationPayload:
        """A submission of the skewed circuit."""
        given = {"gateset": "qis", "qubits": 3, "circuit": SKEWED}
        body = {"type": "ionq.circuit.v1", "backend": "simulator", "input": given, "shots": SHOTS}
        return CircuitJobCreationPayload.from_dict(body | fields)

    def several(self) -> JSONMultiCircuitJob:
        """A submission of two circuits."""
        circuits = [{"circuit": SKEWED}, {"circuit": [*SKEWED, {"gate": "x", "target": 0}], "name": "flipped"}]
        given = {"gateset": "qis", "qubits": 3, "circuits": circuits}
        return JSONMultiCircuitJob.from_dict({"type": "ionq.multi-circuit.v1", "backend": "simulator", "input": given})

    def shares(self, given: dict[str, float]) -> dict[int, float]:
        """Probabilities by outcome integer."""
        return {int(state): share for state, share in given.items()}

    def test_a_single_circuit(self, open_client: Callable[[], Any]) -> None:
        """201, polling to completion, exact probabilities; the page of jobs names it."""
        with open_client() as client:
            job = create_job.sync(client=client, body=self.single(metadata={"qorch_key": "k"}))
            assert job.status == "submitted"
            done = wait_for_job(client, job.id, poll_interval=0.02)
            assert done.metadata.to_dict() == {"qorch_key": "k"}
            found = get_job_probabilities.sync(client=client, uuid=job.id)
            assert self.shares(found.additional_properties) == pytest.approx(EXPECTED)
            assert [each.id for each in iter_jobs(client)] == [job.id]
            assert get_whoami.sync(client=client).key_name
            assert {each.backend for each in get_backends.sync(client=client)} >= {"simulator", "qpu.forte-1"}

    def test_several_circuits(self, open_client: Callable[[], Any]) -> None:
        """The aggregate artifact, keyed by child in the order of the circuits; children are jobs of their own."""
        with open_client() as client:
            job = create_job.sync(client=client, body=self.several())
            done = wait_for_job(client, job.id, poll_interval=0.02)
            descriptor = done.results["ionq.result.probabilities-aggregate.json.v1"]
            answer = get_job_artifact.sync_detailed(client=client, uuid=job.id, artifact_id=descriptor["id"])
            together = json.loads(answer.content)
            assert list(together) == done.child_job_ids
            for child, expected in zip(done.child_job_ids, (EXPECTED, FLIPPED), strict=True):
                found = get_job_probabilities.sync(client=client, uuid=child)
                assert self.shares(found.additional_properties) == pytest.approx(expected)
                assert self.shares(together[child]) == pytest.approx(expected)
            listed = get_jobs.sync(client=client, parent_job_id=job.id)
            assert [each.id for each in listed.jobs] == done.child_job_ids

    def test_several_jobs_at_once(self, open_client: Callable[[], Any]) -> None:
        """The asynchronous client submits 30 jobs together, with noise, and pages through them."""

        async def work() -> list[dict[int, float]]:
            async with open_client() as client:

                async def run(seed: int) -> dict[int, float]:
                    body = self.single(noise={"model": "aria-1", "seed": seed})
                    job = await create_job.asyncio(client=client, body=body)
                    await async_wait_for_job(client, job.id, poll_interval=0.05)
                    found = await get_job_probabilities.asyncio(client=client, uuid=job.id)
                    return self.shares(found.additional_properties)

                results = await asyncio.gather(*(run(seed) for seed in range(30)))
                assert len([each.id async for each in aiter_jobs(client)]) == 30
                return results

        results = asyncio.run(work())
        assert len({tuple(sorted(result.items())) for result in results}) == 30
        for result in results:
            assert_close(result, EXPECTED, allowance=NOISE_ALLOWANCE)

    def test_costs_estimates_and_cancelling(self, open_client: Callable[[], Any], emulator: RunningEmulator) -> None:
        """What it exposes of money, and a job that is cancelled while it waits."""
        emulator.set_faults("stuck@2")
        with open_client() as client:
            estimate = estimate_job_cost.sync(client=client, backend="qpu.forte-1", shots=SHOTS, qubits=3)
            assert estimate.estimated_total_cost == SHOTS * 0.01
            paid = create_job.sync(client=client, body=self.single(backend="qpu.forte-1"))
            wait_for_job(client, paid.id, poll_interval=0.02)
            cost = get_job_cost.sync(client=client, uuid=paid.id)
            assert (cost.cost.value, cost.cost.unit) == (SHOTS * 0.01, "usd")
            stuck = create_job.sync(client=client, body=self.single())
            assert cancel_job.sync(client=client, uuid=stuck.id).status == "canceled"
            assert wait_for_job(client, stuck.id, poll_interval=0.02).status == "canceled"

    def test_sessions(self, open_client: Callable[[], Any]) -> None:
        """Opened, used and ended by its manager."""
        with open_client() as client:
            with ionq_core.SessionManager(client, "qpu.forte-1", max_jobs=3) as session:
                create_job.sync(client=client, body=self.single(backend="qpu.forte-1", session_id=session.session_id))
                assert session.status() == "started"
            assert session.status() == "ended"

    def test_errors_have_their_class_and_request_id(self, open_client: Callable[[], Any]) -> None:
        """A refusal becomes the client's own exception with the server's words."""
        with open_client() as client:
            with pytest.raises(ionq_core.exceptions.BadRequestError, match="shots") as caught:
                create_job.sync(client=client, body=self.single(shots=0))
            assert caught.value.request_id
            with pytest.raises(ionq_core.exceptions.NotFoundError):
                get_job_cost.sync(client=client, uuid="00000000-0000-4000-8000-000000000000")
