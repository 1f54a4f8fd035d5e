"""Sampling of the local engines: random numbers, distributions, and bits that depend on nothing but the row."""

import numpy as np
import pytest
from local_circuits import open_local, random_gates, run_blocks
from scipy import stats

from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.testing.conformance.backend import assert_same_counts, block_of, counts_of, rows_of, with_shots
from qorch.testing.reference import reference_probabilities
from qorch_providers.local.numba_engine.philox import draw_of_shot, fill_draws, fill_fine_draws, philox
from qorch_providers.local.torch_engine.philox import uniform_words

ONES = 0xFFFFFFFFFFFFFFFF


@pytest.mark.parametrize(
    ("index", "domain", "ordinal", "stream", "words"),
    [
        (0, 0, 0, 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        (0xFFFFFFFF, 0xFFFFFFFF, ONES, ONES, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            0x243F6A88, 0x85A308D3, 0x0370734413198A2E, 0x299F31D0A4093822,
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)  # fmt: skip
def test_philox_gives_the_published_numbers(
    index: int, domain: int, ordinal: int, stream: int, words: tuple[int, ...]
) -> None:
    """The known answers of Random123 for Philox4x32-10."""
    assert philox(np.uint64(index), np.uint64(domain), np.uint64(ordinal), np.uint64(stream)) == words


def test_vector_draws_are_those_of_single_shots_and_of_numpy() -> None:
    """The vector instructions, the plain kernel and the fallback give the same words."""
    draws = np.empty(192, dtype=np.uint32)
    stream, ordinal = np.uint64(ONES - 5), np.uint64(2**40 + 3)
    fill_draws(stream, ordinal, 7, draws)
    singles = [draw_of_shot(stream, ordinal, 7 * 64 + place) for place in range(192)]
    assert draws.tolist() == singles
    assert uniform_words(int(stream), int(ordinal), first_shot=7 * 64 + 5, shots=100).tolist() == singles[5:105]


def test_fine_draws_of_neighbouring_shots_differ() -> None:
    """63-bit draws continue at any shot and never repeat."""
    draws, later = np.empty(1000, dtype=np.uint64), np.empty(10, dtype=np.uint64)
    fill_fine_draws(np.uint64(1), np.uint64(2), 0, draws)
    fill_fine_draws(np.uint64(1), np.uint64(2), 333, later)
    assert later.tolist() == draws[333:343].tolist()
    assert len(set(draws.tolist())) == 1000
    assert int(draws.max()) >> 63 == 0


@pytest.mark.parametrize("options", ["", "precision=float64"])
def test_a_thousand_rows_pass_a_chi_square_test(options: str) -> None:
    """P-values of 1,000 rows of random circuits are uniform: neither too bad nor too good."""
    rng = np.random.default_rng(51)
    p_values = []
    for n_qubits in (3, 4, 5, 6):
        gates = random_gates(rng, n_qubits, 40)
        angles = rng.uniform(-3, 3, (250, gates.n_columns))
        (found,) = run_blocks(open_local(options), block_of(gates, angles, shots=4_000, stream=n_qubits))
        wanted = reference_probabilities(gates, angles, basis=np.zeros(n_qubits, dtype=np.uint8))
        p_values += [_p_value(*pair) for pair in zip(counts_of(found).dense(), wanted, strict=True)]
    assert stats.kstest(p_values, "uniform").pvalue > 1e-4
    assert min(p_values) > 1e-7


def _p_value(seen: np.ndarray, probabilities: np.ndarray) -> float:
    """Outcomes that are expected fewer than five times count as one."""
    expected = probabilities * seen.sum()
    is_rare = expected < 5
    observed = np.append(seen[~is_rare], seen[is_rare].sum())
    wanted = np.append(expected[~is_rare], expected[is_rare].sum())
    if wanted[-1] < 1:
        observed, wanted = observed[:-1], wanted[:-1]
    return float(stats.chi2.sf(((observed - wanted) ** 2 / wanted).sum(), max(1, len(wanted) - 1)))


@pytest.mark.parametrize("n_qubits", [1, 6, 11, 13, 15])
def test_packing_and_threads_change_no_bit(n_qubits: int) -> None:
    """Rows alone, in any order and on any number of threads give the histograms of the whole block."""
    rng = np.random.default_rng(52)
    gates = random_gates(rng, n_qubits, 25)
    block = block_of(gates, rng.uniform(-3, 3, (19, gates.n_columns)), shots=700)
    (whole,) = run_blocks(open_local(threads=1), block)
    order = rng.permutation(19).tolist()
    pieces = run_blocks(open_local(threads=3), rows_of(block, order[:1]), rows_of(block, order[1:12]))
    for piece, rows in zip(pieces, (order[:1], order[1:12]), strict=True):
        assert_same_counts(counts_of(piece), counts_of(whole).take(rows))


def test_shots_beyond_one_chunk_continue_the_stream() -> None:
    """10,000 shots are 5,001 shots and 4,999 more at that offset, across the chunks of the sampler."""
    rng = np.random.default_rng(53)
    gates = random_gates(rng, 4, 20)
    block = block_of(gates, rng.uniform(-3, 3, (3, gates.n_columns)), shots=10_000)
    parts = [with_shots(block, 5_001), with_shots(block, 4_999, offset=5_001), block]
    first, second, whole = (counts_of(part).dense() for part in run_blocks(open_local(), *parts))
    assert np.array_equal(first + second, whole)


def test_impossible_outcomes_are_never_seen() -> None:
    """A GHZ state has two outcomes in ten million shots, whatever rounding does to the zeros between."""
    h, cx = GATES_BY_NAME["h"].opcode, GATES_BY_NAME["cx"].opcode
    gates = build_gate_list(12, [(h, (0,), ()), *((cx, (qubit, qubit + 1), ()) for qubit in range(11))])
    (found,) = run_blocks(open_local(), block_of(gates, np.zeros((1, 0)), shots=10**7))
    assert set(counts_of(found).row(0)) == {"0" * 12, "1" * 12}
    assert abs(counts_of(found).row(0)["0" * 12] - 5e6) < 6 * np.sqrt(2.5e6)


def test_states_too_large_for_thresholds_are_sampled_and_continue() -> None:
    """At 21 qubits the sorted draws run beside the state: right outcomes, and top-ups that continue."""
    h, cx, ry = (GATES_BY_NAME[name].opcode for name in ("h", "cx", "ry"))
    chain = [(cx, (qubit, qubit + 1), ()) for qubit in range(19)]
    gates = build_gate_list(21, [(h, (0,), ()), *chain, (ry, (20,), (None,))])
    block = block_of(gates, np.array([[2.0]]), shots=3_000)
    parts = [with_shots(block, 1_001), with_shots(block, 1_999, offset=1_001), block]
    first, second, whole = (counts_of(part).row(0) for part in run_blocks(open_local(), *parts))
    assert {key: first.get(key, 0) + second.get(key, 0) for key in whole} == whole
    share = np.sin(1.0) ** 2
    assert set(whole) == {top + 20 * low for top in "01" for low in "01"}
    assert abs(whole["1" + "0" * 20] - 1_500 * share) < 6 * np.sqrt(1_500 * share)


def test_torch_draws_the_same_shots() -> None:
    """The fallback's histograms are those of the numba engine, in float64 bit for bit."""
    rng = np.random.default_rng(54)
    gates = random_gates(rng, 6, 30)
    block = block_of(gates, rng.uniform(-3, 3, (9, gates.n_columns)), shots=1_000, shot_offset=77)
    (fast,) = run_blocks(open_local("precision=float64"), block)
    (slow,) = run_blocks(open_local("engine=torch,precision=float64"), block)
    assert_same_counts(counts_of(fast), counts_of(slow))


def test_counts_are_in_the_smallest_types() -> None:
    """Outcomes of 9 qubits need 16 bits; counts up to 255 need 8."""
    gates = build_gate_list(9, [(GATES_BY_NAME["h"].opcode, (qubit,), ()) for qubit in range(9)])
    (found,) = run_blocks(open_local(), block_of(gates, np.zeros((2, 0)), shots=1_024))
    assert counts_of(found).outcomes.dtype == np.uint16
    assert counts_of(found).counts.dtype == np.uint8


@pytest.mark.parametrize(
    ("n_qubits", "shots", "types"),
    [
        (2, 70_000, ("u1", "u4")),
        (2, 40_000, ("u1", "u2")),
        (17, 300, ("u4", "u2")),
        (17, 250, ("u4", "u1")),
        (17, 70_000, ("u4", "u4")),
    ],
)
def test_counts_of_every_width_come_back_whole(n_qubits: int, shots: int, types: tuple[str, str]) -> None:
    """Histograms are kept as wide as they must be until the largest count is known; no count is cut off."""
    gates = build_gate_list(n_qubits, [(GATES_BY_NAME["ry"].opcode, (n_qubits - 1,), (None,))])
    angles = np.linspace(0.1, 0.8, 11)[:, None]
    (found,) = run_blocks(open_local(), block_of(gates, angles, shots=shots))
    counts = counts_of(found)
    assert (counts.outcomes.dtype, counts.counts.dtype) == types
    assert counts.shots.tolist() == [shots] * 11
    share = counts.counts[counts.offsets[:-1]] / shots
    assert np.abs(share - np.cos(angles[:, 0] / 2) ** 2).max() < 6 * 0.5 / np.sqrt(shots)
