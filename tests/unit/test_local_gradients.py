"""Exact gradients of the local engines, against central differences of the reference simulator."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from local_circuits import open_local, random_gates, run_vjp
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.errors import BackendError, ParameterError
from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList, build_gate_list, free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.observable import X, Z, parse_observable
from qorch.model.pub import Pub
from qorch.ports.clock import WallClock
from qorch.testing.fakes.store import MemoryStore
from qorch.testing.reference import gate_matrix, reference_probabilities, reference_state
from qorch_providers.local import limits
from qorch_providers.local.observables import WeightedStrings
from qorch_providers.local.program.program import Program

OBSERVABLES = ("Z0", "0.5*X0 + Y1 - 0.3*Z0 Z1", "Y0 Y1", "1.5 + X0 Y1", "X0 X1 + 2*Z1 Y0")
STEP = 1e-5


def expectation(gates: GateList, angles: FloatArray, text: str) -> float:
    """The reference's expectation value of an observable on qubits 0 and 1."""
    state = reference_state(gates, angles).reshape(-1, 4)
    matrix = np.zeros((4, 4), dtype=np.complex128)
    for term in parse_observable(text).terms:
        factors = [np.eye(2), np.eye(2)]
        for qubit, letter in term.letters:
            factors[1 - qubit] = gate_matrix("z" if letter == Z else "x" if letter == X else "y")
        matrix += term.coefficient * np.kron(*factors)
    return float(np.einsum("ai,ij,aj->", state.conj(), matrix, state).real)


def slopes(function: Callable[[FloatArray], float], angles: FloatArray) -> FloatArray:
    """Central differences by every angle."""
    steps = STEP * np.eye(len(angles))
    return np.array([(function(angles + step) - function(angles - step)) / (2 * STEP) for step in steps])


@pytest.mark.parametrize(("options", "tolerance"), [("", 1e-8), ("precision=float32", 1e-5), ("engine=torch", 1e-8)])
def test_gradients_of_pauli_sums_are_exact(options: str, tolerance: float) -> None:
    """Every gate, X, Y and Z strings and constants, rows with cotangents of their own."""
    rng = np.random.default_rng(41)
    backend = open_local(options)
    for _ in range(12):
        gates = random_gates(rng, int(rng.integers(3, 6)), int(rng.integers(5, 25)))
        angles = rng.uniform(-4, 4, (2, gates.n_columns))
        cotangents = rng.normal(size=(2, len(OBSERVABLES)))
        found = run_vjp(backend, Pub(free_circuit(gates), angles, observables=OBSERVABLES), cotangents)
        for row in range(2):

            def weighted(point: FloatArray, gates: GateList = gates, weights: FloatArray = cotangents[row]) -> float:
                return sum(w * expectation(gates, point, text) for w, text in zip(weights, OBSERVABLES, strict=True))

            np.testing.assert_allclose(found[row], slopes(weighted, angles[row]), atol=tolerance * 20, rtol=0)


@pytest.mark.parametrize("options", ["", "engine=torch"])
def test_gradients_of_the_distribution_are_exact(options: str) -> None:
    """The vector-Jacobian product of all probabilities."""
    rng = np.random.default_rng(42)
    backend = open_local(options)
    for _ in range(8):
        gates = random_gates(rng, int(rng.integers(1, 5)), int(rng.integers(3, 25)))
        angles = rng.uniform(-4, 4, (1, gates.n_columns))
        cotangents = rng.normal(size=(1, 1 << gates.n_qubits))
        pub = Pub(free_circuit(gates), angles, observables=qorch.probabilities())
        basis = np.zeros(gates.n_qubits, dtype=np.uint8)

        def weighted(
            point: FloatArray, gates: GateList = gates, basis: np.ndarray = basis, w: FloatArray = cotangents
        ) -> float:
            return float(reference_probabilities(gates, point[np.newaxis], basis=basis)[0] @ w[0])

        np.testing.assert_allclose(run_vjp(backend, pub, cotangents)[0], slopes(weighted, angles[0]), atol=2e-7)


def test_wide_circuits_agree_between_the_engines() -> None:
    """At 17 qubits, where gates are undone one by one, torch's own differentiation gives the same."""
    rng = np.random.default_rng(43)
    gates = random_gates(rng, 17, 25)
    pub = Pub(free_circuit(gates), rng.uniform(-3, 3, (2, gates.n_columns)), observables=["Z0 Z16", "X3 + Y16"])
    cotangents = rng.normal(size=(2, 2))
    first, second = (run_vjp(open_local(options), pub, cotangents) for options in ("", "engine=torch"))
    np.testing.assert_allclose(first, second, atol=1e-12)


def test_derivatives_chain_through_affine_and_non_linear_expressions() -> None:
    """Parameters used twice, scaled and inside a sine give the derivative of the written formula."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.ry(2 * a + 0.3, 0)
    circuit.ry((a * b).sin(), 0)
    values = np.array([[0.4, -1.2], [1.1, 0.7]])
    found = run_vjp(open_local(), Pub(circuit, values, observables=["Z0"]), np.array([[1.0], [-2.0]]))
    total = 2 * values[:, 0] + 0.3 + np.sin(values.prod(axis=1))
    outer = -np.sin(total) * np.array([1.0, -2.0])
    inner = np.cos(values.prod(axis=1))
    wanted = np.stack([outer * (2 + inner * values[:, 1]), outer * inner * values[:, 0]], axis=1)
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_a_row_has_the_same_gradient_alone_and_in_a_batch() -> None:
    """Bit for bit, whatever the number of lanes and threads."""
    rng = np.random.default_rng(44)
    gates = random_gates(rng, 10, 40)
    circuit = free_circuit(gates)
    angles, cotangents = rng.uniform(-3, 3, (11, gates.n_columns)), rng.normal(size=(11, 2))
    observables = ["Z0 Z3", "X1 + Y2"]
    whole = run_vjp(open_local(threads=3), Pub(circuit, angles, observables=observables), cotangents)
    for row in (0, 10):
        single = Pub(circuit, angles[row : row + 1], observables=observables)
        alone = run_vjp(open_local(threads=1), single, cotangents[row : row + 1])
        assert np.array_equal(alone[0], whole[row])


@pytest.mark.parametrize("backend", ["local", "local:engine=torch"])
def test_a_layer_has_exact_gradients_of_every_engine(backend: str) -> None:
    """Inside autograd, where torch's own gradients are turned off, they are those of the parameter-shift rule."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(2)
    circuit.ry(a, 0)
    circuit.rx(2 * b + 0.1, 1)
    circuit.cx(0, 1)
    circuit.ry(b, 0)
    found = []
    for gradient in ("exact", "parameter-shift"):
        layer = qorch.QuantumLayer(
            circuit, inputs=["a"], weights=["b"], observables=["Z0", "Z1 + 0.5*X0"], shots=None, gradient=gradient
        ).double()
        torch.nn.init.constant_(layer.weights, 0.4)
        inputs = torch.tensor([[0.3], [-1.2]], dtype=torch.float64, requires_grad=True)
        with qorch.start_run("engines", backend=backend, db=MemoryStore(WallClock()), seed=1, cache="off"):
            layer(inputs).pow(2).sum().backward()
        assert inputs.grad is not None
        assert layer.weights.grad is not None
        found.append(torch.cat([inputs.grad.reshape(-1), layer.weights.grad]))
    assert found[1].abs().min() > 0.01
    torch.testing.assert_close(found[0], found[1], atol=1e-9, rtol=0)


def test_torch_without_gradients_is_an_error_and_no_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch does not follow the angles there is no gradient; constants alone have the gradient zero."""
    gates = build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))])
    backend = open_local("engine=torch")
    constant = Pub(free_circuit(gates), [[0.3]], observables=["1.5*I"])
    assert run_vjp(backend, constant, np.ones((1, 1))).tolist() == [[0.0]]
    monkeypatch.setattr(torch, "enable_grad", torch.no_grad)
    with torch.no_grad(), pytest.raises(BackendError, match="has no gradient"):
        run_vjp(backend, Pub(free_circuit(gates), [[0.3]], observables=["Z0"]), np.ones((1, 1)))


def test_gradients_through_an_angle_map_do_not_depend_on_the_batch() -> None:
    """Bit for bit, with parameters that drive many angles and strings that belong to many observables."""
    rng = np.random.default_rng(45)
    parameters = [Parameter(f"p{index}") for index in range(6)]
    circuit = QuantumCircuit(4)
    for index in range(60):
        one, two = rng.choice(6, size=2, replace=False)
        circuit.ry(rng.normal() * parameters[one] + rng.normal() * parameters[two], index % 4)
        circuit.cx(index % 4, (index + 1) % 4)
    weights = rng.uniform(0.1, 2.0, (9, 3))
    observables = [f"{a:.6f}*Z0 + {b:.6f}*X1 - {c:.6f}*Z2 Z3" for a, b, c in weights]
    rows, cotangents = rng.uniform(-3, 3, (19, 6)), rng.normal(size=(19, 9))
    backend = open_local()
    whole = run_vjp(backend, Pub(circuit, rows, observables=observables), cotangents)
    for row in range(19):
        single = Pub(circuit, rows[row : row + 1], observables=observables)
        assert np.array_equal(run_vjp(backend, single, cotangents[row : row + 1])[0], whole[row])


@pytest.mark.parametrize("options", ["", "engine=torch"])
def test_many_rows_go_slice_by_slice(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt is heard between two slices; the bits are those of one."""
    rng = np.random.default_rng(46)
    gates = random_gates(rng, 6, 20)
    pub = Pub(free_circuit(gates), rng.uniform(-3, 3, (37, gates.n_columns)), observables=["Z0 Z1", "Y2"])
    cotangents = rng.normal(size=(37, 2))
    backend = open_local(options)
    whole = run_vjp(backend, pub, cotangents)
    calls: list[int] = []
    monkeypatch.setattr(limits, "TARGET_SECONDS", 1e-9)
    engine = backend._engine
    differentiate = engine.differentiate

    def counted(program: Program, angles: FloatArray, strings: WeightedStrings, *, scalar: str) -> FloatArray:
        calls.append(len(angles))
        result: FloatArray = differentiate(program, angles, strings, scalar=scalar)
        return result

    monkeypatch.setattr(engine, "differentiate", counted)
    sliced = run_vjp(backend, pub, cotangents)
    assert calls == [16, 16, 5]
    assert np.array_equal(sliced, whole)


def test_slices_are_full_blocks_and_leave_no_lone_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of large states go one per core; a last row alone joins the slice before it."""
    monkeypatch.setattr(limits, "TARGET_SECONDS", 1e-9)
    sizes = {
        (n_qubits, n_rows): [
            part.stop - part.start
            for part in limits.gradient_slices(build_gate_list(n_qubits, []), n_rows=n_rows, cores=2)
        ]
        for n_qubits, n_rows in [(4, 1), (4, 16), (4, 33), (20, 1), (20, 5)]
    }
    assert sizes == {(4, 1): [1], (4, 16): [16], (4, 33): [16, 17], (20, 1): [1], (20, 5): [2, 3]}


def test_short_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a gradient's states cannot be held, on either engine, the message says what to do."""
    gates = build_gate_list(2, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))])
    pub = Pub(free_circuit(gates), np.zeros((3, 1)), observables=["Z0"])

    def fail(*arguments: object, **names: object) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("qorch_providers.local.torch_engine.engine._apply", fail)
    monkeypatch.setattr("qorch_providers.local.torch_engine.engine._half_turns", fail)
    monkeypatch.setattr("qorch_providers.local.numba_engine.engine.make_work", raise_memory_error)
    for options in ("", "engine=torch"):
        with pytest.raises(BackendError, match="3 rows of 2 qubits do not fit into memory; send fewer rows"):
            run_vjp(open_local(options), pub, np.ones((3, 1)))


def raise_memory_error(*arguments: object, **names: object) -> None:
    """Instead of allocating."""
    raise MemoryError


def test_a_cotangent_that_is_no_number_is_not_blamed_on_the_circuit() -> None:
    """It gives a gradient that is no number, as in torch; a derivative outside its domain is still named."""
    a = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.ry((a * a).sin(), 0)
    found = run_vjp(open_local(), Pub(circuit, [[0.4]], observables=["Z0"]), np.array([[np.nan]]))
    assert np.isnan(found).all()
    steep = QuantumCircuit(1)
    steep.ry(a.arcsin(), 0)
    with pytest.raises(ParameterError, match="derivative of an angle expression of the circuit is not finite at row 1"):
        run_vjp(open_local(), Pub(steep, [[0.4], [1.0]], observables=["Z0"]), np.ones((2, 1)))


def test_cotangents_of_another_shape_are_refused() -> None:
    """The message names both shapes."""
    circuit = QuantumCircuit(1)
    circuit.h(0)
    with pytest.raises(ParameterError, match=r"\(2, 1\).*\(1, 1\)"):
        run_vjp(open_local(), Pub(circuit, observables=["Z0"]), np.zeros((2, 1)))
