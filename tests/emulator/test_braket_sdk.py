"""Amazon Braket's own SDK, unchanged, as a client of the emulator."""

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from braket.aws import AwsDevice, AwsQuantumTask, AwsSession
from braket.circuits import (
    Circuit,
    FreeParameter,
    Instruction,
    Noise,
    Observable,
    ResultType,
    gates,
    noises,
    observables,
)
from braket.circuits.gate import Gate
from braket.devices import LocalSimulator
from braket.error_mitigation import Debias
from braket.ir.openqasm import Program
from braket.program_sets import CircuitBinding, ProgramSet
from braket.tasks import GateModelQuantumTaskResult
from braket.tasks.program_set_quantum_task_result import ProgramSetQuantumTaskResult
from braket_bench import ANKAA, BUCKET, DM1, FORTE, GARNET, SKEWED, SV1, skewed_weights

from qorch_providers.emulators.braket import BraketSettings, RunningBraket, start
from qorch_providers.emulators.braket.gates import GATES

QUICK = {"poll_milliseconds": 20, "quotas": ""}
Open = Callable[[str], AwsDevice]
DESTINATION = (BUCKET, "results")

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module", autouse=True)
def forgotten_loops() -> Iterator[None]:
    """The SDK makes event loops, one in each thread of a batch, and leaves them open: no later test is to find them."""
    yield
    asyncio.set_event_loop(None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningBraket]:
    """An emulator without noise or latencies, to which the environment sends the SDK."""
    with start(BraketSettings(**QUICK, noise="off")) as running, pytest.MonkeyPatch.context() as patch:
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def device(emulator: RunningBraket) -> Open:
    """Devices by ARN, each opened once."""
    session = AwsSession()
    opened: dict[str, AwsDevice] = {}

    def find(arn: str) -> AwsDevice:
        if arn not in opened:
            opened[arn] = AwsDevice(arn, aws_session=session)
        return opened[arn]

    return find


def skewed() -> Circuit:
    """Three qubits, of which 0 and 2 agree, with an angle as its input."""
    return Circuit().ry(0, FreeParameter("theta")).cnot(0, 2).rx(1, 0.5)


def is_near(counted: dict[str, float], exact: dict[str, float], shots: int) -> bool:
    """Whether frequencies agree with probabilities within five standard deviations."""
    states = counted.keys() | exact.keys()
    return all(
        abs(counted.get(state, 0.0) - exact.get(state, 0.0)) <= 5 * np.sqrt(max(exact.get(state, 0.0), 1e-4) / shots)
        for state in states
    )


@pytest.mark.parametrize(
    ("arn", "has_sets"), [(SV1, False), (DM1, False), (GARNET, True), (FORTE, True), (ANKAA, True)]
)
def test_capabilities_parse(device: Open, arn: str, has_sets: bool) -> None:
    """Each device is there, online, with capabilities that the SDK's schemas accept."""
    one = device(arn)
    assert one.status == "ONLINE"
    assert one.is_available
    assert one.queue_depth().quantum_tasks
    action = one.properties.action
    assert ("braket.ir.openqasm.program_set" in action) is has_sets
    if has_sets:
        assert action["braket.ir.openqasm.program_set"].maximumExecutables == 100
        assert one.topology_graph.number_of_nodes() == one.properties.paradigm.qubitCount


def test_devices_are_found(device: Open) -> None:
    """A search names those of the region, and those without one."""
    names = {found["deviceName"] for found in device(SV1).aws_session.search_devices()}
    assert names == {"SV1", "DM1", "Forte 1"}


@pytest.mark.parametrize("arn", [SV1, DM1, GARNET, FORTE, ANKAA])
def test_samples_have_the_right_bit_order(device: Open, arn: str) -> None:
    """An asymmetric state with an input gives frequencies whose first bit is qubit 0."""
    result = device(arn).run(skewed(), DESTINATION, shots=2000, inputs={"theta": 0.8}).result()
    assert isinstance(result, GateModelQuantumTaskResult)
    assert result.measured_qubits == [0, 1, 2]
    assert result.measurements.shape == (2000, 3)
    assert is_near(result.measurement_probabilities, skewed_weights(0.8), 2000)


def test_partial_measurement_follows_the_bits(device: Open) -> None:
    """With `measure` the columns stand in the order of the bits, and name their qubits."""
    circuit = Circuit().x(0).i(1).i(2).measure([2, 0])
    result = device(SV1).run(circuit, DESTINATION, shots=10).result()
    assert result.measured_qubits == [2, 0]
    assert result.measurement_counts == {"01": 10}


def test_the_default_bucket(emulator: RunningBraket, device: Open) -> None:
    """Without a destination the SDK asks STS for the account and creates its bucket."""
    task = device(SV1).run(skewed(), shots=10, inputs={"theta": 0.3})
    assert task.result().measurements.shape == (10, 3)
    assert task.metadata()["outputS3Bucket"] == "amazon-braket-us-east-1-000000000000"
    assert emulator.truth()["calls"]["by_route"]["PUT /{bucket}"] >= 1


def test_an_openqasm_program(device: Open) -> None:
    """A program as text runs as it is."""
    result = device(SV1).run(Program(source=SKEWED, inputs={"theta": 2.2}), DESTINATION, shots=2000).result()
    assert is_near(result.measurement_probabilities, skewed_weights(2.2), 2000)


def test_a_batch(device: Open) -> None:
    """`run_batch` runs one circuit at several inputs."""
    thetas = (0.3, 1.1, 2.5)
    batch = device(SV1).run_batch(
        [skewed()] * 3, DESTINATION, shots=1000, inputs=[{"theta": theta} for theta in thetas], max_parallel=3,
        max_connections=3, poll_interval_seconds=0.02,
    )  # fmt: skip
    for theta, result in zip(thetas, batch.results(), strict=True):
        assert is_near(result.measurement_probabilities, skewed_weights(theta), 1000)


def analytic(circuit: Circuit) -> Circuit:
    """The circuit with every result that a state vector has."""
    hermitian = observables.Hermitian(np.array([[0.5, 0.2 - 1j], [0.2 + 1j, -2.0]]))
    circuit.expectation(Observable.Z() @ Observable.Y(), [0, 1]).variance(Observable.X() @ Observable.H(), [2, 1])
    circuit.expectation(hermitian, 1).expectation(Observable.X())
    circuit.probability([1, 0]).probability().amplitude(["101", "010"])
    return circuit.add_result_type(ResultType.StateVector())


def test_exact_results_agree_with_the_local_simulator(device: Open) -> None:
    """`shots=0` gives expectations, variances, probabilities, amplitudes and the state of the SDK's own simulator."""
    circuit = analytic(skewed())
    own = device(SV1).run(circuit, DESTINATION, shots=0, inputs={"theta": 0.8}).result()
    assert_same(own, LocalSimulator().run(circuit, shots=0, inputs={"theta": 0.8}).result())


def assert_same(own: GateModelQuantumTaskResult, other: GateModelQuantumTaskResult) -> None:
    """Both results have the same values."""
    assert len(own.values) == len(other.values)
    for first, second in zip(own.values, other.values, strict=True):
        if isinstance(first, dict):
            assert {name: complex(value) for name, value in first.items()} == pytest.approx(second)
        else:
            assert np.asarray(first) == pytest.approx(np.asarray(second))


def test_sampled_results(device: Open) -> None:
    """With shots the values come from what was measured, in the basis of the observables."""
    circuit = Circuit().ry(0, 0.8).cnot(0, 1).rx(1, 0.5)
    for wanted in (
        ResultType.Expectation(Observable.X() @ Observable.Y(), [0, 1]),
        ResultType.Variance(Observable.X(), 0),
        ResultType.Sample(Observable.Y(), 1),
    ):
        circuit.add_result_type(wanted)
    sampled = device(GARNET).run(circuit, DESTINATION, shots=4000).result()
    exact = LocalSimulator().run(
        Circuit().ry(0, 0.8).cnot(0, 1).rx(1, 0.5).expectation(Observable.X() @ Observable.Y(), [0, 1])
        .variance(Observable.X(), 0).expectation(Observable.Y(), 1), shots=0,
    ).result()  # fmt: skip
    assert sampled.values[0] == pytest.approx(exact.values[0], abs=0.08)
    assert sampled.values[1] == pytest.approx(exact.values[1], abs=0.08)
    assert np.mean(sampled.values[2]) == pytest.approx(exact.values[2], abs=0.08)


def test_noise_on_dm1(device: Open) -> None:
    """Noise of a program, and the density matrix, agree with the SDK's own operators."""
    circuit = Circuit().ry(0, 0.8).cnot(0, 1).rx(1, 0.5).s(1)
    for noise in (
        noises.BitFlip(0.1), noises.PhaseFlip(0.05), noises.Depolarizing(0.1), noises.AmplitudeDamping(0.2),
        noises.GeneralizedAmplitudeDamping(0.2, 0.3), noises.PhaseDamping(0.1), noises.PauliChannel(0.1, 0.05, 0.02),
        noises.Kraus([np.sqrt(0.9) * np.eye(2), np.sqrt(0.1) * np.array([[0, 1], [1, 0]])]),
    ):  # fmt: skip
        circuit.add_instruction(_on(noise, [1]))
    circuit.add_instruction(_on(noises.TwoQubitDepolarizing(0.1), [1, 0]))
    circuit.add_instruction(_on(noises.TwoQubitDephasing(0.1), [0, 1]))
    circuit.add_result_type(ResultType.DensityMatrix()).expectation(Observable.X() @ Observable.Z(), [1, 0])
    circuit.probability([1])
    density = exact_density(circuit)
    matrix, expectation, probability = device(DM1).run(circuit, DESTINATION, shots=0).result().values
    assert np.asarray(matrix) @ [1, 1j] == pytest.approx(density)
    assert expectation == pytest.approx(np.trace(density @ np.kron(np.diag([1, -1]), [[0, 1], [1, 0]])).real)
    assert probability == pytest.approx(np.diag(density).real.reshape(2, 2).sum(axis=0))


def exact_density(circuit: Circuit) -> Any:
    """The density matrix after a circuit on two qubits, from the SDK's own matrices."""
    density = np.zeros((4, 4), dtype=np.complex128)
    density[0, 0] = 1.0
    for instruction in circuit.instructions:
        matrix = instruction.operator.to_matrix()
        kraus = matrix if isinstance(instruction.operator, Noise) else [matrix]
        full = [embed(np.asarray(each), [int(qubit) for qubit in instruction.target]) for each in kraus]
        density = sum(each @ density @ each.conj().T for each in full)
    return density


def embed(matrix: Any, targets: list[int]) -> Any:
    """The matrix of two qubits that acts on these targets alone."""
    if len(targets) == 1:
        return np.kron(matrix, np.eye(2)) if targets == [0] else np.kron(np.eye(2), matrix)
    swap = np.eye(4)[[0, 2, 1, 3]]
    return matrix if targets == [0, 1] else swap @ matrix @ swap


def _on(operator: Any, targets: list[int]) -> Instruction:
    return Instruction(operator, targets)


def test_gates_are_those_of_the_sdk() -> None:
    """Every matrix of the emulator is the SDK's own."""
    shown = 0
    for kind in vars(gates).values():
        if not (isinstance(kind, type) and issubclass(kind, Gate)) or kind.__module__ != gates.__name__:
            continue
        if kind in (gates.Unitary, gates.PulseGate):
            continue
        gate = _make(kind)
        own = GATES[gate._qasm_name]
        angles = np.array(_ANGLES[: own.n_angles], dtype=np.float64).reshape(-1, 1)
        matrix = own.make(angles)[:, :, 0]
        full = np.eye(1 << own.n_qubits, dtype=np.complex128)
        full[-len(matrix) :, -len(matrix) :] = matrix
        assert full == pytest.approx(gate.to_matrix()), gate
        shown += 1
    assert shown == len(GATES)


_ANGLES = (0.7, -1.3, 2.1)


def _make(kind: type[Gate]) -> Gate:
    for count in (3, 2, 1, 0):
        try:
            return kind(*_ANGLES[:count])
        except TypeError:
            continue
    raise AssertionError(kind)


def test_modifiers(device: Open) -> None:
    """Controls, powers and global phases act as they do in the SDK's own simulator."""
    circuit = Circuit().h(0).h(1).ry(2, 0.4).x(2, control=[0, 1], control_state=[0, 1], power=0.5).s(0, power=-0.3)
    circuit.iswap(1, 2, power=1.5).gphase(0.3, control=[0]).gphase(0.2).state_vector()
    own = device(SV1).run(circuit, DESTINATION, shots=0).result()
    assert_same(own, LocalSimulator().run(circuit, shots=0).result())


@pytest.mark.parametrize(("arn", "shape"), [(GARNET, "inline"), (FORTE, "inline"), (ANKAA, "parts")])
def test_program_sets(emulator: RunningBraket, device: Open, arn: str, shape: str) -> None:
    """Bound inputs and observables run as one task, whose results are one object or many."""
    hamiltonian = 0.5 * observables.X(0) @ observables.Y(1) - 0.3 * observables.Z(1)
    circuit = Circuit().ry(0, FreeParameter("theta")).cnot(0, 1).rx(1, 0.5)
    wanted = ProgramSet(
        [CircuitBinding(circuit, {"theta": [0.3, 1.2]}, hamiltonian), skewed().make_bound_circuit({"theta": 0.8})],
        shots_per_executable=2000,
    )
    if shape == "inline":
        result = device(arn).run(wanted, DESTINATION).result()
        assert len([job for job in emulator.jobs() if job["target"] == arn and job["rows"] == 5]) == 1
        check_set(result)
        return
    with start(BraketSettings(**QUICK, noise="off", results=shape)) as other, pytest.MonkeyPatch.context() as patch:
        for name, value in other.environment.items():
            patch.setenv(name, value)
        check_set(AwsDevice(arn).run(wanted, DESTINATION).result())


def check_set(result: ProgramSetQuantumTaskResult) -> None:
    """The values of the two rows, and the distribution of the last program."""
    for row, theta in enumerate((0.3, 1.2)):
        assert result.entries[0].expectation(row) == pytest.approx(exact_energy(theta), abs=0.07)
    assert is_near(result.entries[1].entries[0].probabilities, skewed_weights(0.8), 2000)


def exact_energy(theta: float) -> float:
    """The expectation of the Hamiltonian above, from the SDK's own simulator."""
    circuit = Circuit().ry(0, theta).cnot(0, 1).rx(1, 0.5)
    circuit.expectation(Observable.X() @ Observable.Y(), [0, 1]).expectation(Observable.Z(), 1)
    first, second = LocalSimulator().run(circuit, shots=0).result().values
    return float(0.5 * first - 0.3 * second)


def test_verbatim_boxes_and_mitigation(device: Open) -> None:
    """Physical qubits and native gates run as they are, and a Forte takes debiasing."""
    box = Circuit().add_verbatim_box(Circuit().prx(7, np.pi, 0.3).cz(7, 8))
    result = device(GARNET).run(box, DESTINATION, shots=10, disable_qubit_rewiring=True).result()
    assert result.measured_qubits == [7, 8]
    assert result.measurement_counts == {"10": 10}
    mitigated = device(FORTE).run(
        skewed(), DESTINATION, shots=2500, inputs={"theta": 0.8}, device_parameters={"errorMitigation": Debias()}
    )
    assert is_near(mitigated.result().measurement_probabilities, skewed_weights(0.8), 2500)


def test_a_large_set_is_split_and_merged(device: Open) -> None:
    """More rows than a device takes run as several tasks, whose results the SDK puts together again."""
    thetas = [0.02 * number for number in range(130)]
    wanted = ProgramSet([CircuitBinding(skewed(), {"theta": thetas})], shots_per_executable=100)
    parts, index_map = wanted.split(100)
    results = [device(FORTE).run(part, DESTINATION).result() for part in parts]
    merged = ProgramSetQuantumTaskResult.merge(results, wanted, index_map)
    assert len(results) == 2
    ones = [
        sum(value for state, value in entry.probabilities.items() if state[0] == "1") for entry in merged.entries[0]
    ]
    assert np.asarray(ones) == pytest.approx(np.sin(np.asarray(thetas) / 2) ** 2, abs=0.25)


def test_queue_position_and_cancel() -> None:
    """A task that waits shows its place, and can be cancelled there; the next one moves up."""
    settings = BraketSettings(**QUICK, queue="600", workers=1)
    with start(settings) as other, pytest.MonkeyPatch.context() as patch:
        for name, value in other.environment.items():
            patch.setenv(name, value)
        garnet = AwsDevice(GARNET)
        first, second = (garnet.run(skewed(), DESTINATION, shots=10, inputs={"theta": 0.1}) for _ in range(2))
        assert [first.queue_position().queue_position, second.queue_position().queue_position] == ["1", "2"]
        first.cancel()
        assert first.state() == "CANCELLED"
        assert second.queue_position().queue_position == "1"
        assert first.queue_position().queue_position is None
        assert first.result() is None
        assert AwsQuantumTask(second.id, aws_session=garnet.aws_session).state() in ("CREATED", "QUEUED")
        assert [job["price_usd_micros"] for job in other.jobs()] == [0, 0]
