"""The index of stored samples, against a plain model of what it promises."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.model.samples import Samples
from qorch.planning.sample_index import EXACT, SampleIndex, duplicate_rows, occurrence_numbers
from qorch.ports.records import BlockKeys

KEYS = np.random.default_rng(7).integers(0, 256, (5, 32)).astype(np.uint8)


@dataclass(frozen=True)
class Piece:
    """One stored row, in plain words."""

    key: int
    stream: int
    ordinal: int
    offset: int
    shots: int


pieces = st.builds(
    Piece,
    key=st.integers(0, 3),
    stream=st.integers(0, 2),
    ordinal=st.integers(0, 1),
    offset=st.sampled_from([0, 0, 0, 8, 16]),
    shots=st.sampled_from([8, 16]),
)


def as_blocks(stored: list[list[Piece]]) -> list[BlockKeys]:
    """One stored block per piece: blocks of one piece each keep the order of storing."""
    flat = [piece for call in stored for piece in call]
    return [
        BlockKeys(
            block_id=number,
            keys=KEYS[[piece.key]],
            samples=Samples(
                np.array([piece.stream], dtype=np.uint64),
                np.array([piece.ordinal], dtype=np.uint64),
                piece.shots,
                piece.offset,
            ),
        )
        for number, piece in enumerate(flat, start=1)
    ]


def reachable_ends(stored: list[Piece], key: int) -> dict[tuple[int, int], set[int]]:
    """For every sample of a key, the numbers of shots for which it is stored without a gap."""
    ends: dict[tuple[int, int], set[int]] = {}
    for piece in stored:
        if piece.key == key:
            ends.setdefault((piece.stream, piece.ordinal), set())
    for sample, reached in ends.items():
        own = [p for p in stored if p.key == key and (p.stream, p.ordinal) == sample]
        frontier = {0}
        while frontier:
            start = frontier.pop()
            for piece in own:
                end = piece.offset + piece.shots
                if piece.offset == start and end not in reached:
                    reached.add(end)
                    frontier.add(end)
    return {sample: reached for sample, reached in ends.items() if reached}


@settings(max_examples=300, deadline=None)
@given(
    calls=st.lists(st.lists(pieces, max_size=4), max_size=6),
    queries=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    shots=st.sampled_from([8, 16, 24, 32]),
)
def test_exact_number_of_shots(calls: list[list[Piece]], queries: list[int], shots: int) -> None:
    """Under `reuse` every row gets a sample of exactly its shots, no two rows the same one, while there are any."""
    index = SampleIndex([])
    for number, call in enumerate(calls):
        if call:
            index.add(as_blocks(calls)[sum(map(len, calls[:number])) :][: len(call)])
    stored = [piece for call in calls for piece in call]
    given_out: dict[int, set[tuple[int, int]]] = {}
    found = 0
    for match in index.find(KEYS[queries], shots=shots, partial=False):
        for row, entry in zip(match.rows, match.entries, strict=True):
            sample = (int(match.table.streams[entry]), int(match.table.ordinals[entry]))
            key = queries[row]
            assert shots in reachable_ends(stored, key)[sample]
            assert sample not in given_out.setdefault(key, set())
            given_out[key].add(sample)
            found += 1
    expected = sum(
        min(queries.count(key), sum(shots in ends for ends in reachable_ends(stored, key).values()))
        for key in set(queries)
    )
    assert found == expected


@settings(max_examples=300, deadline=None)
@given(
    stored=st.lists(pieces, min_size=1, max_size=10),
    queries=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    shots=st.sampled_from([8, 16, 24, 32]),
)
def test_partial_samples(stored: list[Piece], queries: list[int], shots: int) -> None:
    """Under `top_up` every row gets the most useful stretch of a sample, whose pieces follow each other from shot 0."""
    index = SampleIndex(as_blocks([stored]))
    for match in index.find(KEYS[queries], shots=shots, partial=True):
        for row, entry in zip(match.rows, match.entries, strict=True):
            sample = (int(match.table.streams[entry]), int(match.table.ordinals[entry]))
            ends = reachable_ends(stored, queries[row])[sample]
            enough = [end for end in ends if end >= shots]
            assert match.table.ends[entry] == (min(enough) if enough else max(ends))
            while match.table.before[entry] >= 0:
                earlier = match.table.before[entry]
                assert match.table.ends[earlier] == match.table.offsets[entry]
                entry = earlier
            assert match.table.offsets[entry] == 0


def test_exact_values_serve_every_occurrence() -> None:
    """An exact value is no sample: all equal rows share it."""
    index = SampleIndex([BlockKeys(1, KEYS[[2]], None)])
    (match,) = index.find(KEYS[[2, 0, 2, 2]], shots=None, partial=False)
    assert match.rows.tolist() == [0, 2, 3]
    assert (match.shots == EXACT).all()
    assert index.find(KEYS[[2]], shots=8, partial=True) == []


@given(st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_duplicates_and_occurrences(labels: list[int]) -> None:
    """Duplicates are found by whole keys, in the order of first occurrence."""
    first, inverse = duplicate_rows(KEYS[labels])
    distinct = list(dict.fromkeys(labels))
    assert [labels[place] for place in first] == distinct
    assert [distinct[place] for place in inverse] == labels
    numbers = occurrence_numbers(KEYS[labels]).tolist()
    assert numbers == [labels[:place].count(label) for place, label in enumerate(labels)]


def test_equal_prefixes_are_not_equal_keys() -> None:
    """Two keys that agree in their first eight bytes never share a sample."""
    twins = np.zeros((2, 32), dtype=np.uint8)
    twins[1, 20] = 1
    zeros = np.zeros(1, dtype=np.uint64)
    index = SampleIndex([BlockKeys(1, twins[:1], Samples(zeros, zeros, 8))])
    assert index.find(twins[1:], shots=8, partial=False) == []
