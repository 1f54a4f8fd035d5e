"""Templates of IonQ circuits equal, byte for byte, the encoding of every bound circuit."""

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from ionq_circuits import bind, samples

from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES
from qorch_providers.ionq.circuits.native_compiler import compile_native
from qorch_providers.ionq.circuits.qis import compile_qis
from qorch_providers.ionq.circuits.templates import template_of
from qorch_providers.ionq.options import MS, parse_options

ANGLE = st.floats(allow_nan=False, allow_infinity=False, width=64)


@st.composite
def circuits(draw):
    """Any gates on three qubits, any angles free, any basis."""
    gates = []
    for gate in draw(st.lists(st.sampled_from(GATES), max_size=12)):
        qubits = tuple(draw(st.permutations(range(3))))[: gate.n_qubits]
        angles = tuple(draw(st.one_of(st.none(), ANGLE)) for _ in range(gate.n_angles))
        gates.append((gate.opcode, qubits, angles))
    return build_gate_list(3, gates), draw(st.text("XYZ", min_size=3, max_size=3))


@settings(deadline=None, max_examples=150)
@given(circuits(), st.data())
def test_qis_templates_equal_bound_circuits(circuit, data):
    """Whatever the gates and the bits of the angles, in every row of several."""
    gates, basis = circuit
    row = st.lists(ANGLE, min_size=gates.n_columns, max_size=gates.n_columns)
    rows = data.draw(st.lists(row, min_size=1, max_size=3))
    angles = np.array(rows).reshape(len(rows), gates.n_columns)
    measurement = samples(3, basis)
    rows = template_of(gates, measurement, parse_options("simulator")).rows(angles)
    circuit = compile_qis(gates, basis=measurement.basis)
    assert rows == [msgspec.json.encode(bind(circuit, row)) for row in angles]


@settings(deadline=None, max_examples=150)
@given(circuits(), st.sampled_from(["ms", "zz"]), st.integers(0, 2**32 - 1))
def test_native_templates_equal_bound_circuits(circuit, entangler, seed):
    """In native gates, too: how many rows are computed together changes no bit of a phase."""
    gates, basis = circuit
    angles = np.random.default_rng(seed).normal(scale=2.0, size=(3, gates.n_columns))
    measurement = samples(3, basis)
    options = parse_options(f"simulator,gateset=native,two_qubit={entangler}")
    rows = template_of(gates, measurement, options).rows(angles)
    whole, halves = (
        compile_native(gates, basis=measurement.basis, entangler=entangler, pieces=pieces) for pieces in (1, 2)
    )
    for row, wire in zip(angles, rows, strict=True):
        is_split = entangler == MS and whole.exceeds(row[np.newaxis]).any()
        assert wire == msgspec.json.encode(bind(halves if is_split else whole, row))


@settings(deadline=None, max_examples=150)
@given(circuits(), st.sampled_from(["simulator", "simulator,gateset=native"]), st.integers(0, 2**32 - 1))
def test_no_row_is_longer_than_foreseen(circuit, text, seed):
    """The bound that packing relies on holds for gates and bytes."""
    gates, basis = circuit
    template = template_of(gates, samples(3, basis), parse_options(text))
    for row in template.rows(np.random.default_rng(seed).normal(scale=1e-7, size=(3, gates.n_columns))):
        assert len(row) <= template.max_row_bytes
        assert len(msgspec.json.decode(row)) <= template.n_gates
