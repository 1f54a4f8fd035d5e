"""Sums of Pauli strings: what is asked of a backend that estimates, and the bases in which that is measured."""

from dataclasses import replace

import numpy as np
import pytest

from qorch.errors import UsageError
from qorch.model.circuit import free_circuit
from qorch.model.gates import GATES_BY_NAME
from qorch.model.measurement import Measurement
from qorch.model.observable import Observable, PauliTerm, group_observables, parse_observable
from qorch.model.pauli_sums import ANY_BASIS, NO_LETTER, sum_observables
from qorch.model.pub import Batch, Pub
from qorch.planning.estimation import combine_estimates, exact_expectations
from qorch.planning.lowering import lower
from qorch.testing.conformance.backend import angles_for, circuit_of_gate, sums_of
from qorch.testing.reference import reference_parities, reference_probabilities, reference_sums


def random_observables(rng: np.random.Generator, n_qubits: int = 3) -> tuple[Observable, ...]:
    """Four observables of up to four terms, constants, repeated and opposite ones among them."""
    found = []
    for index in range(4):
        terms = []
        for _ in range(rng.integers(1, 5)):
            chosen = np.flatnonzero(rng.random(n_qubits) < 0.6)
            letters = tuple((int(qubit), int(rng.integers(0, 3))) for qubit in chosen)
            terms.append(PauliTerm(float(rng.choice([-1.0, 0.5, 1.0, 2.0])), letters))
        found.append(Observable(f"o{index}", tuple(terms)))
    return tuple(found)


@pytest.mark.parametrize("seed", range(12))
def test_weights_and_sums_are_the_observables(seed: int) -> None:
    """By sums or by bases and masks: exact values of the same observables are the same."""
    observables = random_observables(np.random.default_rng(seed))
    gates = circuit_of_gate(GATES_BY_NAME["crx"])
    angles = angles_for(gates, 2, seed=seed)
    summed = sum_observables(observables, 3)
    found = summed.offsets + reference_sums(gates, angles, summed.sums) @ summed.weights.T
    grouping = group_observables(observables, 3)
    wanted = np.tile(grouping.offsets, (2, 1))
    for group in grouping.groups:
        shares = reference_probabilities(gates, angles, basis=group.basis)
        wanted += exact_expectations(reference_parities(shares, group.masks), group)
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert (np.count_nonzero(summed.weights, axis=1) <= 1).all()


@pytest.mark.parametrize("seed", range(12))
def test_every_string_is_measured_in_its_basis(seed: int) -> None:
    """Its letters are those of the basis; no basis is without a string, and there are no more than by grouping."""
    observables = random_observables(np.random.default_rng(seed))
    sums = sum_observables(observables, 3).sums
    for letters, place in zip(sums.letters, sums.basis_of_string, strict=True):
        acts = letters != NO_LETTER
        assert acts.any()
        assert (sums.bases[place][acts] == letters[acts]).all()
    assert set(sums.basis_of_string.tolist()) == set(range(len(sums.bases)))
    assert (sums.bases <= ANY_BASIS).all()


def test_equal_sums_are_asked_for_once() -> None:
    """Multiples of one string, a constant more, another order, repeated terms; other coefficients are another sum."""
    texts = ["Z0", "-2*Z0 + 1", "Z0 + X1", "X1 + Z0 + 3", "Z0 + 2*X1", "Z0 + Z0"]
    summed = sum_observables(tuple(map(parse_observable, texts)), 2)
    assert len(summed.sums) == 3
    assert summed.weights[2:5].argmax(axis=1).tolist() == [1, 1, 2]
    assert summed.weights[[0, 1, 5], 0].tolist() == [1.0, -2.0, 2.0]
    assert summed.offsets.tolist() == [0.0, 1.0, 0.0, 3.0, 0.0, 0.0]


def test_digests_tell_sums_and_kinds_apart() -> None:
    """Letters, coefficients and where a sum ends count; estimates are other rows than counts and exact values."""
    texts = (("Z0",), ("X0",), ("Z1",), ("Z0", "Z1"), ("Z1", "Z0"), ("Z0 + Z1",), ("Z0 - Z1",), ("Z0 + 2*Z1",))
    basis = np.zeros(2, dtype=np.uint8)
    measurements = [Measurement(basis, is_exact=False, sums=sums_of(*each, n_qubits=2)) for each in texts]
    measurements += [Measurement(basis, is_exact=exact) for exact in (False, True)]
    assert len({each.digest for each in measurements}) == len(texts) + 2
    assert sums_of("Z0", n_qubits=2).digest == sums_of("Z0", n_qubits=2).digest
    for wrong in ({"is_exact": True}, {"masks": np.zeros(1, dtype=np.uint64)}):
        with pytest.raises(UsageError, match="leave is_exact and masks out"):
            replace(measurements[0], **wrong)


def test_a_pub_is_one_group_of_as_many_rows() -> None:
    """However many bases its observables need; its streams are those of any sampled row."""
    gates = circuit_of_gate(GATES_BY_NAME["crx"])
    pub = Pub(free_circuit(gates), angles_for(gates, 5), observables=["Z0", "X0", "Y1 + 2"], shots=100)
    lowered = lower(Batch((pub, pub)), default_shots=None, estimates=True)
    assert [(group.pub, group.n_rows) for group in lowered.groups] == [(0, 5), (1, 5)]
    assert lowered.groups[1].ordinals.tolist() == [5, 6, 7, 8, 9]
    grouping = lowered.groupings[0]
    assert grouping is not None
    values, stderr = combine_estimates(
        np.full((5, 3), 0.5), np.full((5, 3), 0.04), group=grouping.groups[0], offsets=grouping.offsets
    )
    assert values[0].tolist() == [0.5, 0.5, 2.5]
    assert stderr[0] == pytest.approx([0.2, 0.2, 0.2])
