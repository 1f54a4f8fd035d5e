"""The emulator's own simulator: right beside a reference, in batches as one by one, and fast."""

import time
from typing import Any

import msgspec
import numpy as np
import pytest

from qorch.errors import CircuitError
from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.model.observable import Z
from qorch.testing.reference import gate_matrix, reference_probabilities
from qorch_providers.emulators.ionq.backends import NOISE_MODELS
from qorch_providers.emulators.ionq.circuits import PreflightError, make_shape, read_circuits
from qorch_providers.emulators.ionq.outcomes import Outcomes, encode_all, simulate
from qorch_providers.emulators.ionq.wire import GateWire, InputWire, decode_job
from qorch_providers.emulators.statevector.evolution import Operation, apply
from qorch_providers.emulators.statevector.matrices import gpi, gpi2, molmer_sorensen, rotation

# IonQ's word, the reference's word, and the number of controls, targets and angles.
VOCABULARY = [
    ("x", "x", 0, 1, 0), ("y", "y", 0, 1, 0), ("z", "z", 0, 1, 0), ("h", "h", 0, 1, 0), ("s", "s", 0, 1, 0),
    ("si", "sdg", 0, 1, 0), ("t", "t", 0, 1, 0), ("ti", "tdg", 0, 1, 0), ("v", "sx", 0, 1, 0), ("vi", "sxdg", 0, 1, 0),
    ("rx", "rx", 0, 1, 1), ("ry", "ry", 0, 1, 1), ("rz", "rz", 0, 1, 1), ("z", "p", 0, 1, 1),
    ("not", "x", 0, 1, 0), ("cnot", "cx", 1, 1, 0), ("x", "cx", 1, 1, 0), ("y", "cy", 1, 1, 0), ("z", "cz", 1, 1, 0),
    ("h", "ch", 1, 1, 0), ("x", "ccx", 2, 1, 0), ("swap", "swap", 0, 2, 0), ("rx", "crx", 1, 1, 1),
    ("ry", "cry", 1, 1, 1), ("rz", "crz", 1, 1, 1), ("z", "cp", 1, 1, 1), ("xx", "rxx", 0, 2, 1),
    ("yy", "ryy", 0, 2, 1), ("zz", "rzz", 0, 2, 1),
]  # fmt: skip


def random_circuit(rng: np.random.Generator, n_qubits: int, n_gates: int) -> tuple[list[dict[str, Any]], Any]:
    """One random circuit, in IonQ's words and in the reference's."""
    ours: list[dict[str, Any]] = []
    theirs = []
    for index in rng.integers(len(VOCABULARY), size=n_gates):
        word, name, n_controls, n_targets, n_angles = VOCABULARY[index]
        qubits = rng.permutation(n_qubits)[: n_controls + n_targets].tolist()
        angles = tuple(rng.uniform(-4, 4, size=n_angles).tolist())
        gate: dict[str, Any] = {"gate": word, "targets": qubits[n_controls:]}
        if n_controls:
            gate["controls"] = qubits[:n_controls]
        if angles:
            gate["rotation"] = angles[0]
        ours.append(gate)
        theirs.append((GATES_BY_NAME[name].opcode, tuple(qubits), angles))
    return ours, build_gate_list(n_qubits, theirs)


def run(body: dict[str, Any], **options: Any) -> Outcomes:
    """Simulate an input, exactly unless told otherwise."""
    given = msgspec.convert(body, InputWire)
    settings = {"rates": None, "shots": None, "rng": np.random.default_rng(1)} | options
    return simulate(read_circuits(given), **settings)


def dense(outcomes: Outcomes, index: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The whole distribution of one circuit."""
    table = np.zeros(1 << outcomes.widths[index])
    states, values = outcomes.row(index)
    table[states] = values
    return table


@pytest.mark.parametrize("seed", range(30))
def test_random_circuits_agree_with_the_reference(seed: int) -> None:
    """Every QIS gate, controls in any number, on two to five qubits: probabilities to 1e-12."""
    rng = np.random.default_rng(seed)
    n_qubits = int(rng.integers(3, 6))
    ours, theirs = random_circuit(rng, n_qubits, 40)
    outcomes = run({"gateset": "qis", "qubits": n_qubits, "circuit": ours})
    basis = np.full(n_qubits, Z, dtype=np.uint8)
    expected = reference_probabilities(theirs, np.zeros((1, 0)), basis=basis)[0]
    np.testing.assert_allclose(dense(outcomes, 0), expected, atol=1e-12)


def test_a_batch_is_what_its_circuits_are_one_by_one() -> None:
    """Circuits of several shapes in one job, in mixed order, give each circuit's own distribution to 1e-13."""
    rng = np.random.default_rng(8)
    shapes = [random_circuit(rng, 4, 25)[0] for _ in range(4)]
    chosen = [shapes[index] for index in rng.integers(len(shapes), size=60)]
    circuits = [
        [gate | {"rotation": float(rng.uniform(-4, 4))} if "rotation" in gate else gate for gate in shape]
        for shape in chosen
    ]
    together = run({"gateset": "qis", "qubits": 4, "circuits": [{"circuit": each} for each in circuits]})
    for index, circuit in enumerate(circuits):
        alone = run({"gateset": "qis", "qubits": 4, "circuit": circuit})
        np.testing.assert_allclose(dense(together, index), dense(alone, 0), atol=1e-13)


def unitary(gates: list[dict[str, Any]], n_qubits: int, *, gateset: str) -> np.ndarray[Any, np.dtype[np.complex128]]:
    """The unitary of a circuit, column by column; qubit 0 is the least significant bit."""
    wires = [msgspec.convert(gate, GateWire) for gate in gates]
    given = InputWire(gateset=gateset, qubits=n_qubits, circuit=wires)
    group = read_circuits(given).groups[0]
    size = 1 << n_qubits
    states = np.eye(size, dtype=np.complex128).reshape((2,) * n_qubits + (size,))
    for operation in group.shape.operations:
        apply(states, operation.make(group.angles.T[list(operation.columns)]), operation)
    return states.reshape(size, size)


def test_native_gates_follow_their_formulas() -> None:
    """GPi, GPi2, MS and ZZ in turns, as the protocol's sheet defines them, on reversed qubits."""
    phi, other, angle = 0.17, 0.41, 0.13
    turn = np.exp(2j * np.pi * phi)
    expected_gpi = np.array([[0, 1 / turn], [turn, 0]])
    expected_gpi2 = np.array([[1, -1j / turn], [-1j * turn, 1]]) / np.sqrt(2)
    np.testing.assert_allclose(unitary([{"gate": "gpi", "target": 0, "phase": phi}], 1, gateset="native"), expected_gpi)
    np.testing.assert_allclose(
        unitary([{"gate": "gpi2", "target": 0, "phase": phi}], 1, gateset="native"), expected_gpi2
    )
    cosine, sine = np.cos(np.pi * angle), -1j * np.sin(np.pi * angle)
    plus, minus = np.exp(2j * np.pi * (phi + other)), np.exp(2j * np.pi * (phi - other))
    expected_ms = np.array(
        [
            [cosine, 0, 0, sine / plus],
            [0, cosine, sine / minus, 0],
            [0, sine * minus, cosine, 0],
            [sine * plus, 0, 0, cosine],
        ]
    )
    ms = {"gate": "ms", "targets": [1, 0], "phases": [phi, other], "angle": angle}
    np.testing.assert_allclose(unitary([ms], 2, gateset="native"), expected_ms, atol=1e-15)
    up, down = np.exp(-1j * np.pi * angle), np.exp(1j * np.pi * angle)
    for word in ("angle", "phase"):
        zz = {"gate": "zz", "targets": [0, 1], word: angle}
        np.testing.assert_allclose(unitary([zz], 2, gateset="native"), np.diag([up, down, down, up]), atol=1e-15)


def test_ms_entangles_fully_by_default() -> None:
    """Without an angle it is a quarter turn: cos(pi/4) on the diagonal."""
    matrix = unitary([{"gate": "ms", "targets": [0, 1], "phases": [0, 0]}], 2, gateset="native")
    np.testing.assert_allclose(np.diag(matrix), np.sqrt(0.5))


def test_nop_does_nothing() -> None:
    """It may name any qubits, and changes none."""
    np.testing.assert_array_equal(unitary([{"gate": "nop", "targets": [0, 1]}], 2, gateset="native"), np.eye(4))


def test_the_last_letter_of_a_pauli_string_is_the_first_target() -> None:
    """exp(-i t (c ZX)) on targets [2, 0] turns qubit 2 about X where qubit 0 decides the sign."""
    gate = {"gate": "pauliexp", "targets": [2, 0], "terms": ["ZX"], "coefficients": [0.5], "time": 0.6}
    x_on_two = np.kron(np.kron([[0, 1], [1, 0]], np.eye(2)), np.diag([1, -1]))
    expected = np.cos(0.3) * np.eye(8) - 1j * np.sin(0.3) * x_on_two
    np.testing.assert_allclose(unitary([gate], 3, gateset="qis"), expected, atol=1e-14)


def test_pauli_sums_that_do_not_commute_are_exponentiated_whole() -> None:
    """exp(-i t (X + Z)) is a turn about the axis of H, not a product of two turns."""
    gate = {"gate": "pauliexp", "targets": [0], "terms": ["X", "Z"], "coefficients": [1.0, 1.0], "time": 0.7}
    angle = 0.7 * np.sqrt(2)
    expected = np.cos(angle) * np.eye(2) - 1j * np.sin(angle) * gate_matrix("h")
    np.testing.assert_allclose(unitary([gate], 1, gateset="qis"), expected, atol=1e-14)


def test_three_controls() -> None:
    """A gate acts only where all its controls are 1."""
    gate = {"gate": "x", "targets": [1], "controls": [0, 2, 3]}
    expected = np.eye(16)
    expected[[0b1101, 0b1111]] = expected[[0b1111, 0b1101]]
    np.testing.assert_array_equal(unitary([gate], 4, gateset="qis"), expected)


def test_matrices_are_unitary_at_every_angle() -> None:
    """All parametric matrices of the simulator, at 50 angles at once."""
    angles = np.random.default_rng(0).uniform(-3, 3, size=(3, 50))
    for matrix in (gpi(angles[0]), gpi2(angles[0]), molmer_sorensen(*angles), rotation("XY", angles[0])):
        products = np.einsum("ijb,kjb->bik", matrix, matrix.conj())
        np.testing.assert_allclose(products, np.broadcast_to(np.eye(len(matrix)), products.shape), atol=1e-14)


def test_a_gate_leaves_the_qubits_alone_that_it_does_not_name() -> None:
    """Applying a swap twice is nothing, bit for bit."""
    state = np.random.default_rng(2).normal(size=(2, 2, 2, 5)).astype(np.complex128)
    before = state.copy()
    swap = Operation((0, 2), (), (), lambda _angles: np.eye(4, dtype=np.complex128)[[0, 2, 1, 3]][:, :, None])
    apply(state, swap.make(np.zeros((0, 5))), swap)
    np.testing.assert_array_equal(state, before.transpose(2, 1, 0, 3))


def test_noise_mixes_and_misreads_as_it_says() -> None:
    """One gate with error p on a certain outcome, then a bit read wrongly with rate r."""
    rates = NOISE_MODELS["aria-1"]
    assert rates is not None
    outcomes = run({"gateset": "qis", "qubits": 1, "circuit": [{"gate": "x", "target": 0}]}, rates=rates)
    one = (1 - rates.one_qubit) + rates.one_qubit / 2
    read_one = one * (1 - rates.readout) + (1 - one) * rates.readout
    np.testing.assert_allclose(dense(outcomes, 0), [1 - read_one, read_one], rtol=1e-12)


def test_sampling_gives_multiples_of_one_over_shots() -> None:
    """A thousand circuits with 100 shots: every value times 100 is whole, they sum to 1, their mean is exact."""
    circuit = [{"gate": "ry", "target": 0, "rotation": 1.0}]
    body = {"gateset": "qis", "qubits": 1, "circuits": [{"circuit": circuit}] * 1000}
    outcomes = run(body, shots=100)
    table = np.stack([dense(outcomes, index) for index in range(1000)])
    np.testing.assert_allclose(table.sum(axis=1), 1.0)
    np.testing.assert_allclose(table * 100, np.round(table * 100), atol=1e-9)
    expected = np.sin(0.5) ** 2
    assert abs(table[:, 1].mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / 100_000)


@pytest.mark.parametrize(
    "gate",
    [
        {"gate": "warp", "target": 0}, {"gate": "rx", "target": 0}, {"gate": "cnot", "target": 0},
        {"gate": "xx", "targets": [0], "rotation": 0.1}, {"gate": "swap", "targets": [0]},
        {"gate": "pauliexp", "targets": [0], "terms": ["XX"], "coefficients": [1.0], "time": 1.0},
        {"gate": "pauliexp", "targets": [0], "terms": ["X"], "coefficients": [1.0], "time": -1.0},
    ],
)  # fmt: skip
def test_gates_that_do_not_exist_are_refused(gate: dict[str, Any]) -> None:
    """Unknown gates, and gates without what they need, raise CircuitError and are not taken for another."""
    with pytest.raises(CircuitError) as caught:
        make_shape([msgspec.convert(gate, GateWire)], gateset="qis", n_qubits=2)
    assert not isinstance(caught.value, PreflightError)


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_a_large_job_is_simulated_within_its_budget() -> None:
    """1,500 circuits of 8 qubits and 90 gates, from the bytes to the bytes, take less than 1.5 s of CPU."""
    rng = np.random.default_rng(0)
    layer = [{"gate": "cnot", "control": qubit, "target": (qubit + 1) % 8} for qubit in range(8)]

    def circuit() -> list[dict[str, Any]]:
        turns = [[{"gate": "ry", "target": q, "rotation": rng.uniform(0, 6)} for q in range(8)] for _ in range(6)]
        return [gate for turn in turns[:5] for gate in (*turn, *layer)] + turns[5] + layer[:2]

    circuits = [{"circuit": circuit()} for _ in range(1500)]
    assert len(circuits[0]["circuit"]) == 90
    body = msgspec.json.encode({"input": {"gateset": "qis", "qubits": 8, "circuits": circuits}})
    started = time.process_time()
    outcomes = simulate(read_circuits(decode_job(body).input), rates=None, shots=None, rng=rng)
    encode_all(outcomes, [(index, str(index)) for index in range(1500)])
    assert time.process_time() - started < 1.5
