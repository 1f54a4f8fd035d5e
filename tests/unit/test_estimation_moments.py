"""Accumulating counts in pieces: values, errors, empty rows, several bases, and the time it takes."""

import time

import numpy as np
import pytest

import qorch.planning.estimation
from qorch.errors import InvalidResultError
from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.frequencies import frequencies
from qorch.model.observable import as_observables, group_observables
from qorch.planning.estimation import add_counts, empty_moments, exact_expectations, expectations


def counts_of(table: np.ndarray) -> Counts:
    """Histograms from counts of all outcomes ``(R, 2**n)``."""
    rows, outcomes = np.nonzero(table)
    n_qubits = int(table.shape[1]).bit_length() - 1
    offsets = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=len(table)))))
    kind = smallest_unsigned(table.shape[1] - 1)
    return Counts(n_qubits, outcomes.astype(kind), table[rows, outcomes].astype(np.uint16), offsets)


def random_table(n_rows: int, n_qubits: int, shots: int = 200, seed: int = 0) -> np.ndarray:
    """Counts of random distributions."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(1 << n_qubits, 0.3), size=n_rows)
    return np.stack([rng.multinomial(shots, share) for share in shares])


def values_per_outcome(text: str, n_qubits: int) -> np.ndarray:
    """The value of every outcome, for an observable of Z strings written as Python sees them."""
    (observable,) = as_observables(text, n_qubits=n_qubits)
    outcomes = np.arange(1 << n_qubits)
    total = np.zeros(len(outcomes))
    for term in observable.terms:
        signs = np.ones(len(outcomes))
        for qubit, _ in term.letters:
            signs *= 1 - 2 * ((outcomes >> qubit) & 1)
        total += term.coefficient * signs
    return total


OBSERVABLES = ["Z0", "-2*Z1 Z3", "0.5*Z0 + Z1 - 0.25*Z0 Z1 Z2", "3*I + Z2"]


def add_all(moments: list, counts: Counts, pieces: list[np.ndarray]) -> None:
    """Add the rows piece by piece."""
    for rows in pieces:
        for part in moments:
            add_counts(part, counts.take(rows), rows=rows)


def test_values_are_plain_means_and_errors_those_of_the_shots():
    """Values equal the mean over shots; variances equal the sample's, up to three pseudo-shots."""
    table = random_table(7, 4)
    grouping = group_observables(as_observables(OBSERVABLES, n_qubits=4), 4)
    assert len(grouping.groups) == 1
    moments = empty_moments(7, grouping.groups[0])
    add_counts(moments, counts_of(table), rows=np.arange(7))
    values, stderr = expectations([moments], grouping.offsets)
    for k, text in enumerate(OBSERVABLES):
        per_outcome = values_per_outcome(text, 4)
        mean = table @ per_outcome / 200
        np.testing.assert_allclose(values[:, k], mean, atol=1e-13)
        plain = table @ per_outcome**2 / 200 - mean**2
        spread = (grouping.groups[0].weights[k] ** 2).sum()
        np.testing.assert_allclose(stderr[:, k] ** 2 * 200, plain, atol=4 * 3 * spread / 200)


@pytest.mark.parametrize("chunk", [1, 5, 64, 1 << 18])
def test_pieces_in_any_order_and_chunks_of_any_size_give_the_same_bits(monkeypatch, chunk):
    """The values do not depend on how the rows come back, nor on how they are cut up."""
    monkeypatch.setattr(qorch.planning.estimation, "CHUNK_ENTRIES", chunk)
    counts = counts_of(random_table(6, 4))
    grouping = group_observables(as_observables(OBSERVABLES, n_qubits=4), 4)
    whole, parts = empty_moments(6, grouping.groups[0]), empty_moments(6, grouping.groups[0])
    add_all([whole], counts, [np.arange(6)])
    add_all([parts], counts, [np.array([4, 1]), np.array([5]), np.array([0, 3, 2])])
    values, stderr = expectations([whole], grouping.offsets)
    again, errors = expectations([parts], grouping.offsets)
    np.testing.assert_array_equal(values, again)
    np.testing.assert_allclose(stderr, errors, rtol=1e-12)


def test_topping_up_equals_one_sample_of_all_shots():
    """A row that comes again with further shots is one sample of the sum."""
    first, second = random_table(3, 3, 100, seed=1), random_table(3, 3, 300, seed=2)
    grouping = group_observables(as_observables(["Z0", "Z0 + Z1"], n_qubits=3), 3)
    topped, whole = empty_moments(3, grouping.groups[0]), empty_moments(3, grouping.groups[0])
    add_counts(topped, counts_of(first), rows=np.arange(3))
    add_counts(topped, counts_of(second), rows=np.arange(3))
    add_counts(whole, counts_of(first + second), rows=np.arange(3))
    np.testing.assert_array_equal(topped.shots, [400, 400, 400])
    for ours, theirs in zip(
        expectations([topped], grouping.offsets), expectations([whole], grouping.offsets), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_rows_without_entries_change_nothing_and_are_refused_at_the_end():
    """Empty histograms between full ones shift nothing; a row that never got a shot is an error."""
    table = random_table(5, 3)
    table[[0, 2, 4]] = 0
    grouping = group_observables(as_observables(["Z0"], n_qubits=3), 3)
    moments = empty_moments(5, grouping.groups[0])
    add_counts(moments, counts_of(table), rows=np.arange(5))
    assert moments.shots.tolist() == [0, 200, 0, 200, 0]
    with pytest.raises(InvalidResultError, match="row 0 has no shots"):
        expectations([moments], grouping.offsets)
    with pytest.raises(InvalidResultError, match="row 0 has no shots"):
        frequencies(counts_of(table))
    add_counts(moments, counts_of(random_table(3, 3)), rows=[4, 0, 2])
    values, _ = expectations([moments], grouping.offsets)
    expected = table[[1, 3]] @ values_per_outcome("Z0", 3) / 200
    np.testing.assert_allclose(values[[1, 3], 0], expected)


def test_several_bases_add_their_variances():
    """An observable of X and Z strings is the sum of two independent samples and its constant."""
    grouping = group_observables(as_observables(["2*I + 0.5*Z0 + X1 + X0"], n_qubits=2), 2)
    assert len(grouping.groups) == 2
    moments = [empty_moments(4, group) for group in grouping.groups]
    tables = [random_table(4, 2, seed=seed) for seed in (1, 2)]
    singles = []
    for part, table in zip(moments, tables, strict=True):
        add_counts(part, counts_of(table), rows=np.arange(4))
        singles.append(expectations([part], np.zeros(1)))
    values, stderr = expectations(moments, grouping.offsets)
    np.testing.assert_allclose(values, 2.0 + singles[0][0] + singles[1][0])
    np.testing.assert_allclose(stderr**2, singles[0][1] ** 2 + singles[1][1] ** 2)


def test_counts_only_gives_no_columns():
    """Without observables the estimates have shape (N, 0), and the shots are still counted."""
    grouping = group_observables((), 3)
    moments = empty_moments(4, grouping.groups[0])
    add_counts(moments, counts_of(random_table(4, 3)), rows=np.arange(4))
    values, stderr = expectations([moments], grouping.offsets)
    assert values.shape == stderr.shape == (4, 0)
    assert moments.shots.tolist() == [200] * 4


def test_constants_are_certain():
    """A multiple of the identity has its value and no error."""
    grouping = group_observables(as_observables(["2.5*I"], n_qubits=2), 2)
    moments = empty_moments(1, grouping.groups[0])
    add_counts(moments, counts_of(random_table(1, 2)), rows=[0])
    values, stderr = expectations([moments], grouping.offsets)
    assert (values.tolist(), stderr.tolist()) == ([[2.5]], [[0.0]])


def test_sixty_three_qubits_fit():
    """The highest bit of the widest outcome counts like any other."""
    grouping = group_observables(as_observables(["Z62", "Z0 Z62"], n_qubits=63), 63)
    outcomes = np.array([1, (1 << 62) + 1], dtype=np.uint64)
    counts = Counts(63, outcomes, np.array([3, 1], dtype=np.uint8), np.array([0, 2]))
    moments = empty_moments(1, grouping.groups[0])
    add_counts(moments, counts, rows=[0])
    assert expectations([moments], grouping.offsets)[0].tolist() == [[0.5, -0.5]]


def test_exact_parities_are_weighed_with_the_same_bits_for_any_number_of_rows():
    """Exact values are weights times parities, bit-equal whether rows come alone or together."""
    grouping = group_observables(as_observables(OBSERVABLES, n_qubits=4), 4)
    parities = np.random.default_rng(0).uniform(-1, 1, (50, len(grouping.groups[0].masks)))
    together = exact_expectations(parities, grouping.groups[0])
    alone = np.concatenate([exact_expectations(row[np.newaxis], grouping.groups[0]) for row in parities])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together, parities @ grouping.groups[0].weights.T)


def test_frequencies_are_shares_of_the_shots():
    """Frequencies are counts over shots and sum to one; an outcome never seen still has an error."""
    table = random_table(5, 3)
    values, stderr = frequencies(counts_of(table))
    np.testing.assert_allclose(values, table / 200)
    assert (stderr > 0).all()


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_a_row_costs_at_most_three_microseconds():
    """8 qubits, 1,024 shots, one observable: at most 3 µs of processor time per row."""
    table = random_table(1000, 8, shots=1024)
    counts = counts_of(np.tile(table, (4, 1)))
    grouping = group_observables(as_observables(["Z0 Z1"], n_qubits=8), 8)
    seconds = []
    for _ in range(5):
        started = time.process_time()
        moments = empty_moments(4000, grouping.groups[0])
        add_counts(moments, counts, rows=np.arange(4000))
        expectations([moments], grouping.offsets)
        seconds.append(time.process_time() - started)
    assert min(seconds) / 4000 < 3e-6
