"""What the IBM emulator computes: against Qiskit's own state vectors, and with the noise of the devices."""

import json
import math
from typing import Any

import numpy as np
import pytest
from ibm_bench import THETA, array_value, circuit_value, is_near, read_array, read_counts, skewed, skewed_weights
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp, Statevector

from qorch.errors import CircuitError, UsageError
from qorch_providers.emulators.ibm.calibrations import CalibrationBook
from qorch_providers.emulators.ibm.devices import IbmMachine, read_devices
from qorch_providers.emulators.ibm.programs.circuits import NotSupportedError, read_device_circuit
from qorch_providers.emulators.ibm.programs.noise import DeviceNoise, noise_of
from qorch_providers.emulators.ibm.programs.running import PROGRAMS
from qorch_providers.emulators.ibm.programs.sampling import sample_qubits
from qorch_providers.emulators.kit.clock import MachineTimer, ScaledClock

DEVICES = read_devices("ibm_lagos,ibm_fez", is_fractional=True)
LAGOS, FEZ = DEVICES["ibm_lagos"], DEVICES["ibm_fez"]


def noise(device: IbmMachine) -> DeviceNoise:
    """The recorded noise of a device."""
    return noise_of(CalibrationBook(clock=ScaledClock(MachineTimer()), lasts_seconds=0.0, seed=0).current(device))


def run(program: str, pub: list[Any], *, device: IbmMachine = LAGOS, seed: int = 1, **params: Any) -> dict[str, Any]:
    """The result of one PUB without noise."""
    body = json.dumps({"pubs": [pub], "options": {}, "version": 2} | params).encode()
    outcome = PROGRAMS[program](body, device, None, np.random.default_rng(seed))
    result: dict[str, Any] = json.loads(outcome.encode(1.7e9, 1.7e9 + 2.5))
    return result


def random_circuit(seed: int, n_parameters: int = 4) -> QuantumCircuit:
    """A circuit in gates of ibm_fez on qubits 3, 4, 5 (coupled) and 100 (alone), with sums of parameters as angles."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(156)
    angles = ParameterVector("a", n_parameters)
    for _ in range(12):
        qubit = int(rng.choice([3, 4, 5, 100]))
        place = int(rng.integers(n_parameters))
        circuit.sx(qubit)
        circuit.rz(float(rng.normal()) * angles[place] + angles[0] - float(rng.normal()), qubit)
        circuit.rx(float(rng.normal()), qubit)
        circuit.x(int(rng.choice([4, 100])))
        circuit.cz(*([3, 4] if rng.random() < 0.5 else [5, 4]))
        circuit.rzz(angles[place] / 10 + 0.4, 3, 4)
    return circuit


def compact(circuit: QuantumCircuit, values: Any, qubits: list[int]) -> Statevector:
    """The exact state of these qubits, in this order."""
    small = QuantumCircuit(len(qubits))
    for instruction in circuit.assign_parameters(values).data:
        places = [qubits.index(circuit.find_bit(qubit).index) for qubit in instruction.qubits]
        small.append(instruction.operation, places)
    return Statevector(small)


@pytest.mark.parametrize("seed", range(6))
def test_probabilities_are_those_of_qiskit(seed: int) -> None:
    """Random circuits with symbolic angles on far qubits give the outcomes of Qiskit's own simulator."""
    circuit = random_circuit(seed)
    values = np.random.default_rng(seed).uniform(-2, 2, (3, 4))
    qubits, shots = [3, 4, 5, 100], 20_000
    read = read_device_circuit(circuit, FEZ)
    bits = sample_qubits(read, values, qubits, shots=shots, noise=None, rng=np.random.default_rng(seed))
    for row, own in zip(bits, values, strict=True):
        exact = compact(circuit, own, qubits).probabilities_dict()
        texts, numbers = np.unique(row, axis=0, return_counts=True)
        counts = {"".join(map(str, text[::-1])): int(number) for text, number in zip(texts, numbers, strict=True)}
        assert is_near(counts, exact)


def test_angles_that_are_no_sums() -> None:
    """A product of parameters is computed row by row; an angle without a value is refused."""
    a, b = ParameterVector("p", 2)
    circuit = QuantumCircuit(7)
    circuit.sx(0)
    circuit.rz(a * b, 0)
    circuit.sx(0)
    circuit.rz(1 / a, 0)
    read = read_device_circuit(circuit, LAGOS)
    assert read.angles.at(np.array([[2.0, 0.25]]))[0].tolist() == pytest.approx([0.5, 0.5])
    with pytest.raises(CircuitError, match="no value"):
        sample_qubits(read, np.zeros((1, 2)), [0], shots=1, noise=None, rng=np.random.default_rng(0))


@pytest.mark.parametrize("qubits", [(0, 1, 2), (5, 4, 0), (3, 1, 6)])
def test_bit_order_and_layout(qubits: tuple[int, int, int]) -> None:
    """Bits of a register are those of the clbits, whichever physical qubits were measured."""
    circuit = skewed(qubits=qubits)
    result = run("sampler", [circuit_value(circuit), array_value([[0.8], [2.0]]), 4000])
    assert is_near(read_counts(result, row=0), skewed_weights(0.8))
    assert is_near(read_counts(result, row=1), skewed_weights(2.0))


def test_registers_are_kept_apart() -> None:
    """Each register has its own bits, in bytes of its own; unmeasured bits are 0."""
    qubits = QuantumRegister(7)
    wide, narrow = ClassicalRegister(10, "wide"), ClassicalRegister(1, "narrow")
    circuit = QuantumCircuit(qubits, wide, narrow)
    circuit.x(5)
    circuit.measure(5, wide[9])
    circuit.measure(6, wide[2])
    circuit.measure(5, narrow[0])
    result = run("sampler", [circuit_value(circuit), array_value(np.zeros(0)), 30])
    assert read_counts(result, register="wide") == {"1000000000": 30}
    assert read_counts(result, register="narrow") == {"1": 30}


def test_rows_are_broadcast() -> None:
    """An array of shape (2, 3, 1) gives results of shape (2, 3), row by row, with its slice of the time."""
    values = np.array([0.0, 0.5, 1.0, 1.5, 2.0, 2.5]).reshape(2, 3, 1)
    result = run("sampler", [circuit_value(skewed()), array_value(values), 500])
    data = result["__value__"]["pub_results"][0]["__value__"]["data"]["__value__"]
    assert data["shape"] == [2, 3]
    for row, theta in enumerate(values.reshape(-1)):
        assert is_near(read_counts(result, row=row), skewed_weights(theta))
    (span,) = result["__value__"]["metadata"]["execution"]["execution_spans"]["__value__"]["spans"]
    assert span["__value__"]["data_slices"] == {"0": [[2, 3, 500], 0, 3000]}


def test_plain_results_from_openqasm() -> None:
    """A client without Qiskit sends OpenQASM with inputs by name, and gets hexadecimal samples."""
    source = """OPENQASM 3.0; include "stdgates.inc"; input float theta; bit[2] c;
    x $5; sx $4; rz(theta) $4; sx $4; c[0] = measure $4; c[1] = measure $5;"""
    result = run("sampler", [source, {"theta": [0.0, math.pi]}, 20], support_qiskit=False)
    samples = result["results"][0]["data"]["c"]["samples"]
    assert [set(row) for row in samples] == [{"0x3"}, {"0x2"}]
    assert result["results"][0]["data"]["c"]["num_bits"] == 2


def test_expectation_values() -> None:
    """Rows and observables are broadcast; values lie near the exact ones, and the errors are those of the shots."""
    circuit = random_circuit(3)
    values = np.random.default_rng(3).uniform(-2, 2, (4, 4))
    sums = [SparsePauliOp(["ZZII", "XIYZ", "IIII"], [0.5, -1.5, 2.0]), SparsePauliOp(["IYXI"]), SparsePauliOp(["ZIII"])]
    qubits = [3, 4, 5, 100]
    terms = [[[_stretch(label, qubits), c.real] for label, c in each.to_list()] for each in sums]
    observables = [[dict(each)] for each in terms]  # (3, 1)
    result = run("estimator", [circuit_value(circuit), observables, array_value(values), 0.02], device=FEZ)
    fields = result["__value__"]["pub_results"][0]["__value__"]["data"]["__value__"]["fields"]
    means, errors = read_array(fields["evs"]), read_array(fields["stds"])
    assert means.shape == errors.shape == (3, 4)
    for column, row in enumerate(values):
        state = compact(circuit, row, qubits)
        exact = np.array([state.expectation_value(each).real for each in sums])
        assert np.abs(means[:, column] - exact).max() < 5 * 0.02 * 2
        assert errors[1, column] == pytest.approx(0.02 * math.sqrt(1 - exact[1] ** 2), rel=0.1, abs=2e-4)


def _stretch(label: str, qubits: list[int]) -> str:
    """A label of few qubits on all qubits of ibm_fez."""
    letters = ["I"] * 156
    for letter, qubit in zip(reversed(label), qubits, strict=True):
        letters[qubit] = letter
    return "".join(reversed(letters))


def test_projectors_and_idle_qubits() -> None:
    """Observables may have projectors, and qubits on which nothing was done."""
    circuit = QuantumCircuit(7)
    circuit.x(1)
    observables = [{"IIIIII1": 1.0}, {"IIIII1I": 1.0}, {"I+IIIII": 1.0}, {"IIIIIZZ": 2.0}, {"IIIIIII": 0.25}]
    result = run("estimator", [circuit_value(circuit), observables, array_value(np.zeros(0)), 0.01])
    fields = result["__value__"]["pub_results"][0]["__value__"]["data"]["__value__"]["fields"]
    assert read_array(fields["evs"]).tolist() == pytest.approx([0.0, 1.0, 0.5, -2.0, 0.25], abs=0.03)


def test_the_noise_is_that_of_the_qubits_used() -> None:
    """Misreadings of a bit are those of its qubit; every gate on the way makes the outcome less certain."""
    circuit = QuantumCircuit(156, 2)
    circuit.x(7)
    circuit.measure(7, 0)
    circuit.measure(8, 1)
    device_noise = noise(FEZ)
    bits = sample_qubits(
        read_device_circuit(circuit, FEZ), np.zeros((1, 0)), [7, 8], shots=200_000, noise=device_noise,
        rng=np.random.default_rng(2),
    )  # fmt: skip
    zero, one = device_noise.readout_errors[8, 0], device_noise.readout_errors[7, 1]
    seven, eight = bits[0].mean(axis=0)
    assert eight == pytest.approx(zero, rel=0.1)
    assert 1.0 - seven == pytest.approx(one, rel=0.1, abs=1e-3)
    kept = [device_noise.kept([("x", (7,))] * count) for count in (0, 1, 100)]
    assert kept[0] == 1.0
    assert kept[1] == pytest.approx(1.0 - 1.5 * device_noise.gate_errors["x", (7,)])
    assert kept[2] == pytest.approx(kept[1] ** 100)


def test_readout_mitigation_removes_the_bias() -> None:
    """With noise the estimator corrects misreadings unless it is told not to; the errors grow for it."""
    circuit = QuantumCircuit(156)
    circuit.x(12)
    label = _stretch("IIIZ", [12, 0, 1, 2])
    pub = [circuit_value(circuit), {label: 1.0}, array_value(np.zeros(0)), 0.005]
    found = {}
    for level in (0, 1):
        body = json.dumps({"pubs": [pub], "options": {}, "resilience_level": level}).encode()
        outcome = PROGRAMS["estimator"](body, FEZ, noise(FEZ), np.random.default_rng(1))
        fields = json.loads(outcome.encode(0.0, 1.0))["__value__"]["pub_results"][0]["__value__"]["data"]["__value__"]
        found[level] = float(read_array(fields["fields"]["evs"]))
    wrong = noise(FEZ).readout_errors[12, 1]
    assert found[0] == pytest.approx(-(1.0 - 2 * wrong), abs=0.005)
    assert found[1] == pytest.approx(-1.0, abs=0.005)


def estimated(options: dict[str, Any], *, level: int = 2) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of -Z after 41 gates on two noisy qubits, with their errors; and the metadata of the PUB."""
    circuit = QuantumCircuit(156)
    circuit.x(12)
    for _ in range(40):
        circuit.cz(11, 12)
    pub = [circuit_value(circuit), {_stretch("IIIZ", [12, 0, 1, 2]): -1.0}, array_value(np.zeros(0)), None]
    body = json.dumps({"pubs": [pub], "options": options, "resilience_level": level}).encode()
    outcome = PROGRAMS["estimator"](body, FEZ, noise(FEZ), np.random.default_rng(1))
    found = json.loads(outcome.encode(0.0, 1.0))["__value__"]["pub_results"][0]["__value__"]
    return found["data"]["__value__"]["fields"], found["metadata"]


@pytest.mark.parametrize("extrapolator", [["exponential", "linear"], "linear", "polynomial_degree_2", ["fallback"]])
def test_noise_is_extrapolated_to_none(extrapolator: Any) -> None:
    """Amplified noise weakens a value; what is extrapolated from that is nearer to the truth, with a larger error."""
    options = {"default_shots": 100_000, "resilience": {"zne": {"extrapolator": extrapolator}}}
    fields, _ = estimated(options)
    raw, value = read_array(fields["evs_noise_factors"]), float(read_array(fields["evs"]))
    assert (np.diff(raw) < 0.0).all()
    if extrapolator == ["fallback"]:
        assert value == raw[0]
        return
    assert abs(value - 1.0) < 0.5 * abs(raw[0] - 1.0)
    assert float(read_array(fields["stds"])) > read_array(fields["stds_noise_factors"])[0]
    plain, _ = estimated(options, level=1)
    assert "evs_noise_factors" not in plain


def test_the_product_of_randomizations_is_the_number_of_shots() -> None:
    """With twirling, the number of random circuits times their shots comes before the default number."""
    twirling = {"enable_measure": True, "num_randomizations": 30, "shots_per_randomization": 20}
    assert estimated({"default_shots": 1000, "twirling": twirling})[1]["shots"] == 600
    twirling["enable_measure"] = False
    assert estimated({"default_shots": 1000, "twirling": twirling})[1]["shots"] == 1000


@pytest.mark.parametrize(
    ("zne", "words"),
    [
        ({"noise_factors": [1.0]}, "two noise factors"),
        ({"noise_factors": [0.5, 1.0]}, "two noise factors"),
        ({"noise_factors": ["1", "3"]}, "two noise factors"),
        ({"extrapolator": "cubic"}, "not cubic"),
    ],
)
def test_extrapolations_that_cannot_be(zne: dict[str, Any], words: str) -> None:
    """One factor has no slope, noise cannot be made less, and there are so many extrapolators."""
    with pytest.raises(UsageError, match=words):
        estimated({"resilience": {"zne": zne}})


@pytest.mark.parametrize(
    ("spoil", "kind", "message"),
    [
        (lambda circuit: circuit.h(0), NotSupportedError, "instruction h on qubits"),
        (lambda circuit: circuit.cx(0, 6), NotSupportedError, r"cx on qubits \(0, 6\)"),
        (lambda circuit: circuit.x(1), CircuitError, "after their last gate"),
        (lambda circuit: circuit.reset(0), CircuitError, "resets qubits only before"),
        (lambda circuit: circuit.if_test((circuit.clbits[0], 1), QuantumCircuit(1), [0], []), CircuitError, "dynamic"),
    ],
)
def test_what_a_device_does_not_run(spoil: Any, kind: type[Exception], message: str) -> None:
    """Gates that the device lacks, on qubits where it lacks them, and what this emulator does not have."""
    circuit = skewed()
    spoil(circuit)
    with pytest.raises(kind, match=message):
        read_device_circuit(circuit, LAGOS)


@pytest.mark.parametrize("angle", [-0.1, 1.6, THETA])
def test_fractional_gates_have_a_range(angle: Any) -> None:
    """An rzz beyond a quarter turn is refused, whether the angle is a number or a value of a parameter."""
    circuit = QuantumCircuit(156, 1)
    circuit.rzz(angle, 0, 1)
    circuit.measure(0, 0)
    values = array_value([[1.0], [2.0]] if angle is THETA else np.zeros(0))
    with pytest.raises(NotSupportedError, match="only for angles in the range"):
        run("sampler", [circuit_value(circuit), values, 1], device=FEZ)


def test_values_must_fit() -> None:
    """A PUB whose values do not fit its circuit is refused, as are too many executions."""
    with pytest.raises(UsageError, match="1 parameters"):
        run("sampler", [circuit_value(skewed()), array_value([1.0, 2.0]), 10])
    with pytest.raises(UsageError, match="do not fit observables"):
        run("estimator", [circuit_value(QuantumCircuit(7)), [{"IIIIIII": 1.0}] * 3, array_value(np.zeros((2, 0))), 0.1])
    with pytest.raises(CircuitError, match="at most 10,000,000 executions"):
        run("sampler", [circuit_value(skewed()), array_value(np.zeros((11, 1))), 1_000_000])
    assert THETA.name == "theta"
