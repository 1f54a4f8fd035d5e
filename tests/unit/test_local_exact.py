"""Exact values of the local engines on random circuits, against the independent reference simulator."""

import numpy as np
import pytest
from local_circuits import open_local, random_gates, run_blocks

from qorch.model.arrays import FloatArray
from qorch.model.circuit import GateList, build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.testing.conformance.backend import block_of, values_of
from qorch.testing.reference import reference_parities, reference_probabilities

TOLERANCES = {"precision=float64": 1e-12, "precision=float32": 1e-6}


def worst_error(options: str, circuits: list[GateList], *, rng: np.random.Generator, rows: int) -> float:
    """The largest deviation from the reference over probabilities in random bases, and parities."""
    blocks, wanted = [], []
    for gates in circuits:
        angles = rng.uniform(-7, 7, (rows, gates.n_columns))
        basis = rng.integers(3, size=gates.n_qubits).astype(np.uint8)
        masks = rng.integers(1 << gates.n_qubits, size=4).astype(np.uint64)
        reference = reference_probabilities(gates, angles, basis=basis)
        blocks += [
            block_of(gates, angles, shots=None, basis=basis.tolist()),
            block_of(gates, angles, shots=None, basis=basis.tolist(), masks=masks),
        ]
        wanted += [reference, reference_parities(reference, masks)]
    found = run_blocks(open_local(options), *blocks)
    return max(float(np.abs(values_of(part) - table).max()) for part, table in zip(found, wanted, strict=True))


def random_circuits(rng: np.random.Generator, count: int, *, largest: int) -> list[GateList]:
    """Circuits from 1 qubit to ``largest`` and from 1 to 60 gates."""
    sizes = rng.integers(1, largest + 1, size=count)
    return [random_gates(rng, int(size), int(rng.integers(1, 61))) for size in sizes]


@pytest.mark.parametrize("options", TOLERANCES)
def test_random_circuits_agree_with_the_reference(options: str) -> None:
    """150 circuits up to 9 qubits over the whole gate list, in random bases."""
    rng = np.random.default_rng(31)
    assert worst_error(options, random_circuits(rng, 150, largest=9), rng=rng, rows=3) < TOLERANCES[options]


@pytest.mark.soak
@pytest.mark.parametrize("options", TOLERANCES)
def test_a_thousand_random_circuits_agree_with_the_reference(options: str) -> None:
    """1,000 circuits up to 12 qubits over the whole gate list, in random bases."""
    rng = np.random.default_rng(32)
    assert worst_error(options, random_circuits(rng, 1_000, largest=12), rng=rng, rows=3) < TOLERANCES[options]


def test_torch_engine_agrees_with_the_reference() -> None:
    """The fallback gives the same values."""
    rng = np.random.default_rng(33)
    assert worst_error("engine=torch", random_circuits(rng, 40, largest=8), rng=rng, rows=3) < 1e-12


@pytest.mark.parametrize("options", ["", "engine=torch"])
def test_circuits_too_wide_for_gathers_agree_with_the_reference(options: str) -> None:
    """At 17 qubits CX, CZ, SWAP and CCX are applied gate by gate."""
    rng = np.random.default_rng(34)
    assert worst_error(options, [random_gates(rng, 17, 40)], rng=rng, rows=2) < 1e-12


@pytest.mark.parametrize("options", TOLERANCES)
def test_huge_angles_are_reduced_before_rounding(options: str) -> None:
    """An angle of a billion turns gives the probability of its float64 value, in float32 too."""
    gates = build_gate_list(1, [(GATES_BY_NAME["ry"].opcode, (0,), (None,))])
    angles: FloatArray = np.array([[1e9], [-3e7 + 0.1], [2e5], [9e4], [1e12]])
    (found,) = run_blocks(open_local(options), block_of(gates, angles, shots=None))
    np.testing.assert_allclose(values_of(found)[:, 1], np.sin(0.5 * angles[:, 0]) ** 2, atol=TOLERANCES[options])


@pytest.mark.parametrize("options", TOLERANCES)
def test_a_huge_angle_changes_no_bit_of_the_rows_beside_it(options: str) -> None:
    """Every angle is reduced in a way of its own, whatever its neighbours in the lanes need."""
    rng = np.random.default_rng(35)
    gates = random_gates(rng, 4, 40)
    angles = rng.uniform(-3, 3, (8, gates.n_columns))
    beside = angles.copy()
    beside[7, 0] = 1e6
    found = [
        values_of(run_blocks(open_local(options), block_of(gates, rows, shots=None))[0])[:7]
        for rows in (angles, beside)
    ]
    assert np.array_equal(found[0], found[1])


def test_rows_without_columns_and_circuits_without_gates_are_served() -> None:
    """A circuit without gates stays in |0…0>, whatever the number of rows."""
    gates = build_gate_list(2, [])
    (found,) = run_blocks(open_local(), block_of(gates, np.zeros((3, 0)), shots=None))
    assert values_of(found).tolist() == [[1.0, 0.0, 0.0, 0.0]] * 3


def test_answers_of_every_shape_can_be_read() -> None:
    """Also those whose last number of columns, or of rows, is written as a byte that looks like a blank."""
    rng = np.random.default_rng(49)
    gates = random_gates(rng, 5, 8)
    angles = rng.uniform(-3, 3, (31, gates.n_columns))
    (found,) = run_blocks(open_local(), block_of(gates, angles, shots=None))
    assert values_of(found).shape == (31, 32)
    (sampled,) = run_blocks(open_local(), block_of(gates, angles, shots=10))
    assert sampled.n_rows == 31
