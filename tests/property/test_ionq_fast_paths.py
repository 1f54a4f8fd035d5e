"""The fast ways of reading an answer say exactly what the general ones say, or leave the answer to them."""

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.errors import InvalidResultError
from qorch_providers.ionq.results.distributions import Distribution, _split_any, _split_plainly, reader_of
from qorch_providers.ionq.results.sampling import draw_counts

SEEDS = st.integers(0, 2**32 - 1)


def row_of(random: np.random.Generator, n_qubits: int) -> dict[str, float]:
    """A row as a server sends it: some outcomes are not there, and the order is any."""
    kept = random.permutation(1 << n_qubits)[: random.integers(1, (1 << n_qubits) + 1)]
    shares = random.dirichlet(np.ones(len(kept)))
    return {str(outcome): float(share) for outcome, share in zip(kept, shares, strict=True)}


def outcome_of(read: Callable[[bytes], Distribution], body: bytes) -> tuple[list[int], list[float]] | str:
    """What a reader makes of a body: numbers, or that it refuses it."""
    try:
        found = read(body)
    except InvalidResultError:
        return "refused"
    return found.outcomes.tolist(), found.probabilities.tolist()


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, n_qubits=st.integers(1, 6), damage=st.sampled_from(["", ":", "{", "}", '"', "0", ",", "\\", "9"]))
def test_dense_rows_are_read_as_others_are(seed: int, n_qubits: int, damage: str) -> None:
    """Sound, sparse, permuted or damaged: the same numbers to the bit, or the same refusal."""
    random = np.random.default_rng(seed)
    text = json.dumps(row_of(random, n_qubits))
    if damage:
        place = int(random.integers(len(text)))
        text = text[:place] + damage + text[place + int(random.integers(2)) :]
    fast = reader_of(n_qubits)
    assert fast.dense is not None
    body = text.encode()
    assert outcome_of(fast.read, body) == outcome_of(replace(fast, dense=None).read, body)


def test_an_outcome_that_is_there_twice_is_refused() -> None:
    """Also in a dense row, where a struct would keep the last."""
    body = b'{"0":0.25,"1":0.25,"2":0.25,"3":0.25,"3":0.25}'
    assert outcome_of(reader_of(2).read, body) == "refused"


@settings(max_examples=300, deadline=None)
@given(seed=SEEDS, damage=st.sampled_from(["", "{", "}", '"', ",", "\\", '},"a":{', '{"a":{}}', " "]))
def test_children_are_cut_apart_as_json_says(seed: int, damage: str) -> None:
    """Where the cut is made at all, pieces that are JSON are those of the whole document."""
    random = np.random.default_rng(seed)
    whole = {f"c{index}": row_of(random, 2) for index in range(random.integers(1, 5))}
    text = json.dumps(whole, separators=(",", ":"))
    place = int(random.integers(len(text)))
    body = (text[:place] + damage + text[place:]).encode()
    found = _split_plainly(body, 10)
    if not damage:
        assert found is not None
    if found is None:
        return
    try:
        pieces = {name: json.loads(bytes(piece)) for name, piece in found.items()}
    except ValueError:
        return  # refused when it is read
    assert pieces == json.loads(body)
    assert {name: bytes(piece) for name, piece in found.items()} == _split_any(body, 10)


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, n_rows=st.integers(1, 4), n_outcomes=st.integers(1, 200), shots=st.integers(1, 400))
def test_rows_drawn_together_draw_what_each_draws_alone(seed: int, n_rows: int, n_outcomes: int, shots: int) -> None:
    """By the inverse distribution function, also where words lie at its steps; and never what is impossible."""
    random = np.random.default_rng(seed)
    shares = random.dirichlet(np.full(n_outcomes, 0.3), n_rows)
    shares[:, 1:][random.random((n_rows, n_outcomes - 1)) < 0.3] = 0.0
    words = random.integers(0, 2**32, (n_rows, shots), dtype=np.uint32)
    wanted = []
    for row, drawn in zip(shares, words, strict=True):
        steps = np.cumsum(row) / row.sum() * 2.0**32
        near = random.random(shots) < 0.3
        drawn[near] = np.clip(random.choice(steps, near.sum()) + random.integers(-2, 3, near.sum()), 0, 2**32 - 1)
        wanted.append(steps)
    counts = draw_counts(shares, words)
    assert (counts.sum(axis=1) == shots).all()
    assert not counts[shares == 0.0].any()
    for found, drawn, steps in zip(np.cumsum(counts, axis=1), words, wanted, strict=True):
        # A step lies between two words, and is rounded to one of them.
        assert ((drawn[:, np.newaxis] <= steps - 1.5).sum(axis=0) <= found).all()
        assert (found <= (drawn[:, np.newaxis] <= steps + 1.5).sum(axis=0)).all()
    alone = [draw_counts(share[np.newaxis], drawn[np.newaxis])[0] for share, drawn in zip(shares, words, strict=True)]
    np.testing.assert_array_equal(counts, alone)
