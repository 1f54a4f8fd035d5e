"""Compiling Qiskit circuits: the same unitary, the same parameters, and a sentence for all that cannot be."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from qiskit.circuit import Gate, Parameter, ParameterVector, QuantumCircuit
from qiskit.circuit.annotated_operation import AnnotatedOperation, InverseModifier, PowerModifier
from qiskit.circuit.library import (
    HGate,
    PauliEvolutionGate,
    QFTGate,
    RXGate,
    RYGate,
    StatePreparation,
    UGate,
    UnitaryGate,
    XGate,
    efficient_su2,
    get_standard_gate_name_mapping,
    zz_feature_map,
)
from qiskit.quantum_info import Clifford, Operator, SparsePauliOp, random_unitary

from qorch.errors import CircuitError
from qorch.model.circuit import FIXED, Circuit
from qorch.model.gates import GATES
from qorch.model.qiskit.compile import compile_circuit

STANDARD = get_standard_gate_name_mapping()
DECOMPOSED = [
    "c3sx",
    "ccz",
    "cs",
    "csdg",
    "cswap",
    "csx",
    "cu",
    "cu1",
    "cu3",
    "dcx",
    "ecr",
    "iswap",
    "mcx",
    "r",
    "rccx",
    "rcccx",
    "u1",
    "u2",
    "u3",
    "xx_minus_yy",
    "xx_plus_yy",
]


def as_qiskit(circuit: Circuit, values: np.ndarray) -> QuantumCircuit:
    """The compiled gates at one row of parameter values, as a Qiskit circuit."""
    angles = circuit.angle_map.angles(values.reshape(1, -1))[0]
    gates = circuit.gates
    rebuilt = QuantumCircuit(circuit.n_qubits)
    for opcode, qubits, columns, constants in zip(
        gates.opcodes, gates.qubits, gates.columns, gates.constants, strict=True
    ):
        gate = GATES[opcode]
        numbers = [
            angles[column] if column != FIXED else constant for column, constant in zip(columns, constants, strict=True)
        ]
        kind = STANDARD[gate.name].base_class
        rebuilt.append(kind(*numbers[: gate.n_angles]), [int(q) for q in qubits[: gate.n_qubits]])
    return rebuilt


def assert_same_unitary(circuit: QuantumCircuit, seed: int = 0) -> Circuit:
    """Compile, and compare the unitaries at random parameters up to a global phase."""
    compiled = compile_circuit(circuit)
    values = np.random.default_rng(seed).uniform(0.1, 0.9, circuit.num_parameters)
    bound = circuit.assign_parameters(values).remove_final_measurements(inplace=False)
    assert Operator(as_qiskit(compiled, values)).equiv(Operator(bound))
    return compiled


def on_all_qubits(operation: Gate, n_qubits: int) -> QuantumCircuit:
    """The operation on qubits in descending order, so that a reversal would show."""
    circuit = QuantumCircuit(n_qubits)
    circuit.append(operation, range(n_qubits)[::-1])
    return circuit


def with_parameters(name: str) -> Gate:
    """The standard gate of that name with free parameters."""
    standard = STANDARD[name] if name in STANDARD else {"mcx": XGate().control(4)}[name]
    if not standard.params:
        return standard
    return standard.base_class(*(Parameter(f"t{index}") for index in range(len(standard.params))))


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.name)
def test_every_gate_of_the_list_is_taken_as_it_is(gate):
    """A gate of the list compiles to itself, with its unitary."""
    compiled = assert_same_unitary(on_all_qubits(with_parameters(gate.name), gate.n_qubits))
    assert compiled.gates.opcodes.tolist() == [gate.opcode]
    assert compiled.angle_map.is_identity


@pytest.mark.parametrize("name", DECOMPOSED)
def test_other_standard_gates_are_decomposed(name):
    """A standard gate outside the list keeps its unitary."""
    gate = with_parameters(name)
    assert_same_unitary(on_all_qubits(gate, gate.num_qubits))


@pytest.mark.filterwarnings("ignore:.*CSC:scipy.sparse.SparseEfficiencyWarning")
@pytest.mark.parametrize(
    "gate",
    [
        XGate().control(2, ctrl_state=0),
        XGate().control(2, ctrl_state=1),
        XGate().control(1, ctrl_state=0),
        UGate(0.1, 0.2, 0.3).control(2, ctrl_state="10"),
        RXGate(Parameter("a")).control(2),
        RYGate(Parameter("a")).control(1, annotated=True),
        HGate().control(2, annotated=True).inverse(annotated=True),
        AnnotatedOperation(RYGate(0.3), [PowerModifier(2), InverseModifier()]),
        UnitaryGate(random_unitary(2, seed=1)),
        UnitaryGate(random_unitary(4, seed=2)),
        UnitaryGate(random_unitary(8, seed=3)),
        Clifford(HGate()),
        QFTGate(3),
        PauliEvolutionGate(SparsePauliOp(["XX", "ZZ"], [0.5, 1.0]), time=Parameter("time")),
        zz_feature_map(3).to_gate(),
        efficient_su2(3, reps=1).to_instruction(),
    ],
    ids=lambda gate: gate.name,
)
def test_defined_gates_are_expanded(gate):
    """Controlled, annotated, synthesised and user-defined gates keep their unitary, whatever the control state."""
    assert_same_unitary(on_all_qubits(gate, gate.num_qubits))


@pytest.mark.parametrize("seed", range(200))
def test_random_circuits_keep_their_unitary(seed):
    """Random circuits over listed and decomposed gates, with shared and shifted parameters, keep their unitary."""
    rng = np.random.default_rng(seed)
    parameters = [*ParameterVector("x", 3), *(Parameter(name) for name in ("b", "a"))]
    names = [gate.name for gate in GATES] + DECOMPOSED
    circuit = QuantumCircuit(5, global_phase=0.7)
    for name in rng.choice(names, size=8):
        standard = with_parameters(name)
        chosen = rng.choice(len(parameters), size=(len(standard.params), 2))
        angles = [
            rng.choice([parameters[i], 2 * parameters[i] - parameters[j] / 3 + 0.25, 0.3, parameters[i] ** 2])
            for i, j in chosen
        ]
        gate = standard.base_class(*angles) if angles else standard
        circuit.append(gate, rng.choice(5, size=gate.num_qubits, replace=False).tolist())
    assert_same_unitary(circuit, seed)


def test_a_state_preparation_prepares_its_state():
    """StatePreparation is unitary, and compiles."""
    compiled = compile_circuit(on_all_qubits(StatePreparation([0.6, 0.0, 0.0, 0.8j]), 2))
    state = Operator(as_qiskit(compiled, np.zeros(0))).data[:, 0]
    assert abs(np.vdot(state, [0.6, 0.0, 0.0, 0.8j])) == pytest.approx(1.0)


def test_a_users_gate_is_not_mistaken_for_the_standard_gate_of_its_name():
    """A custom gate that is called h but does x compiles to x."""
    impostor = QuantumCircuit(1, name="h")
    impostor.x(0)
    compiled = compile_circuit(on_all_qubits(impostor.to_gate(), 1))
    assert [GATES[opcode].name for opcode in compiled.gates.opcodes] == ["x"]


def test_parameters_keep_qiskits_order():
    """Names sort as Qiskit sorts them, vector elements by number, unused parameters of a phase included."""
    x, late = ParameterVector("x", 11), Parameter("a")
    circuit = QuantumCircuit(1, global_phase=Parameter("z"))
    for parameter in reversed(x):
        circuit.rx(parameter, 0)
    circuit.ry(late, 0)
    assert compile_circuit(circuit).parameters == tuple(p.name for p in circuit.parameters)
    assert compile_circuit(circuit).parameters[:4] == ("a", "x[0]", "x[1]", "x[2]")


def test_affine_angles_become_coefficients_and_offsets():
    """An affine expression is stored as terms in the order of the parameters; one that cancels is a constant."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(1)
    circuit.rx(b * 0.5 - 2 * a + 0.125, 0)
    circuit.ry(a - a + 0.75, 0)
    circuit.rz(b, 0)
    compiled = compile_circuit(circuit)
    assert compiled.angle_map.indices.tolist() == [[0, 1], [1, 0]]
    assert compiled.angle_map.coefficients.tolist() == [[-2.0, 0.5], [1.0, 0.0]]
    assert compiled.angle_map.offsets.tolist() == [0.125, 0.0]
    assert compiled.gates.constants[1, 0] == 0.75
    assert not compiled.angle_map.nonlinear


A, B = Parameter("I"), Parameter("lambda")


@pytest.mark.parametrize(
    ("expression", "reference"),
    [
        (A * B, lambda a, b: a * b),
        (A**3 / B, lambda a, b: a**3 / b),
        (A**B, lambda a, b: a**b),
        ((A * A) ** 0.5 + B, lambda a, b: abs(a) + b),
        (2 * (np.pi - A) * (np.pi - B), lambda a, b: 2 * (np.pi - a) * (np.pi - b)),
        (A.sin() * B.cos() + A.tan(), lambda a, b: np.sin(a) * np.cos(b) + np.tan(a)),
        (A.arcsin() + B.arccos() * A.arctan(), lambda a, b: np.arcsin(a) + np.arccos(b) * np.arctan(a)),
        ((A * 0.5).exp() - B.log(), lambda a, b: np.exp(a * 0.5) - np.log(b)),
        ((A - B).abs() * B, lambda a, b: abs(a - b) * b),
        ((A - B).sign() * B, lambda a, b: np.sign(a - b) * b),
        ((A * B).conjugate(), lambda a, b: a * b),
        ((B.log()).abs() + A**2, lambda a, b: abs(np.log(b)) + a**2),
        (A**2 * 0.12345678901234568, lambda a, b: a**2 * 0.12345678901234568),
    ],
)
def test_nonlinear_angles_become_programs(expression, reference: Callable[..., np.ndarray]):
    """Values are those of the formula, derivatives those of finite differences, whatever the parameters' names."""
    circuit = QuantumCircuit(1)
    circuit.rx(expression, 0)
    circuit.global_phase = A + B
    angle_map = compile_circuit(circuit).angle_map
    rows = np.random.default_rng(3).uniform(0.1, 0.9, (50, 2))
    np.testing.assert_allclose(angle_map.angles(rows)[:, 0], reference(*rows.T), rtol=1e-13)
    angle = angle_map.nonlinear[0]
    for parameter, program in zip(angle.parameters, angle.derivatives, strict=True):
        step = np.zeros(2)
        step[parameter] = 1e-6
        difference = (reference(*(rows + step).T) - reference(*(rows - step).T)) / 2e-6
        np.testing.assert_allclose(program.evaluate(rows), difference, rtol=1e-6, atol=1e-6)


def build(change: Callable[[QuantumCircuit], object], n_clbits: int = 2) -> QuantumCircuit:
    """A circuit of two qubits that ``change`` adds to."""
    circuit = QuantumCircuit(2, n_clbits)
    circuit.h(0)
    change(circuit)
    return circuit


def conditional(circuit: QuantumCircuit) -> None:
    """Add control flow."""
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)


def endless(depth: int) -> Gate:
    """A gate defined by a gate defined by a gate, and so on."""
    circuit = QuantumCircuit(1, name="bottom")
    circuit.x(0)
    for level in range(depth):
        wrapper = QuantumCircuit(1, name=f"level{level}")
        wrapper.append(circuit.to_gate(), [0])
        circuit = wrapper
    return circuit.to_gate()


@pytest.mark.parametrize(
    ("circuit", "words"),
    [
        (5, "5 is not a circuit"),
        (QuantumCircuit(0), "has 0 qubits"),
        (QuantumCircuit(64), "from 1 to 63"),
        (build(lambda c: c.reset(0)), "'reset'"),
        (build(lambda c: c.initialize([1, 0], 0)), "inside 'initialize'"),
        (build(conditional), "control flow 'if_else'"),
        (build(lambda c: (c.measure(0, 0), c.x(0))), "'x' acts on qubit 0 after"),
        (build(lambda c: (c.measure([0, 1], [0, 1]), c.cx(1, 0))), "'cx' acts on qubit 0 after"),
        (build(lambda c: c.measure([0, 0], [0, 0])), "measured twice"),
        (build(lambda c: c.measure([0, 1], [1, 0])), "qubit 0 is measured into bit 1"),
        (build(lambda c: c.measure(0, 0)), "not qubit 1"),
        (build(lambda c: c.append(Gate("mystery", 1, []), [0])), "'mystery' has no definition"),
        (build(lambda c: c.append(endless(80), [0])), "more than 64 deep"),
        (build(lambda c: c.rx(float("nan"), 0)), "angle nan"),
        (build(lambda c: c.rx(float("inf"), 0)), "angle inf"),
        (build(lambda c: c.rx(A * 1j, 0)), "finite real number"),
        (build(lambda c: c.rx(A * A * 1j, 0)), "complex"),
        (build(lambda c: c.rx(2**A, 0)), "exp"),
        (build(lambda c: c.rx(A * 1e300 * 1e300, 0)), "finite"),
    ],
)
def test_what_cannot_run_is_refused_with_its_name(circuit, words):
    """Every refusal is a CircuitError that names the thing."""
    with pytest.raises(CircuitError, match=words):
        compile_circuit(circuit)


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.measure_all(),
        lambda c: c.measure([1, 0], [1, 0]),
        lambda c: (c.measure([0, 1], [0, 1]), c.barrier()),
        lambda c: (c.barrier(), c.delay(10, 0), c.id(1)),
    ],
)
def test_final_measurements_barriers_and_idling_are_dropped(change):
    """Measuring every qubit into its own bit, barriers, delays and identities leave no gate."""
    compiled = compile_circuit(build(change))
    assert [GATES[opcode].name for opcode in compiled.gates.opcodes] == ["h"]


def test_a_circuit_without_gates_or_parameters_compiles():
    """63 idle qubits are a circuit with no angle."""
    compiled = compile_circuit(QuantumCircuit(63))
    assert (compiled.n_qubits, compiled.gates.n_gates, compiled.parameters) == (63, 0, ())
    assert compiled.angle_map.angles(np.zeros((3, 0))).shape == (3, 0)


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_a_thousand_gates_compile_in_half_a_second():
    """A circuit of 1,000 gates with affine angles compiles in under 0.5 s."""
    w = ParameterVector("w", 501)
    circuit = QuantumCircuit(8)
    for index in range(500):
        circuit.ry(w[index], index % 8)
        circuit.crz(2 * w[index] + w[index + 1] / 3, index % 8, (index + 1) % 8)
    started = time.perf_counter()
    compile_circuit(circuit)
    assert time.perf_counter() - started < 0.5
