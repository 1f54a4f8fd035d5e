"""The codec of stored blocks: what goes in comes out, and nothing else is believed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.errors import StoreCorruptError
from qorch.model.measurement import BlockResult
from qorch.testing.conformance.store_records import assert_same_result, make_block, sampled_results
from qorch_jobs_db.blocks import decode_places, decode_result, encode_places, encode_result, read_samples, stream_arrays

LABEL = b"block 1"


@settings(max_examples=100, deadline=None)
@given(result=sampled_results())
def test_counts_round_trip(result: BlockResult) -> None:
    """Bit for bit, in the same types."""
    assert_same_result(decode_result(encode_result(result, label=LABEL), label=LABEL, name="it"), result)


@settings(max_examples=50, deadline=None)
@given(
    rows=st.integers(0, 5),
    columns=st.integers(0, 5),
    words=st.lists(st.integers(0, 2**64 - 1), min_size=25, max_size=25),
)
def test_values_round_trip(rows: int, columns: int, words: list[int]) -> None:
    """Any 64 bits survive as a float, payloads of NaN included."""
    values = np.array(words, dtype=np.uint64)[: rows * columns].view(np.float64).reshape(rows, columns)
    content = encode_result(BlockResult(values=values), label=LABEL)
    found = decode_result(content, label=LABEL, name="it")
    assert found.values is not None
    assert found.values.shape == (rows, columns)
    assert found.values.tobytes() == values.tobytes()


@pytest.mark.parametrize("bit", range(8))
def test_every_changed_byte_is_noticed(bit: int) -> None:
    """A flip of any bit of any byte is an error that names the block."""
    content = encode_result(make_block(2).result, label=LABEL)
    for place in range(len(content)):
        broken = bytearray(content)
        broken[place] ^= 1 << bit
        with pytest.raises(StoreCorruptError, match="block 9"):
            decode_result(bytes(broken), label=LABEL, name="block 9")


def test_cut_content_is_noticed() -> None:
    """Content that ends early, or is not there at all, is an error."""
    content = encode_result(make_block(2).result, label=LABEL)
    for length in range(len(content)):
        with pytest.raises(StoreCorruptError):
            decode_result(content[:length], label=LABEL, name="it")


def test_content_of_another_block_is_noticed() -> None:
    """Sound content under another label is an error: a result must not move between blocks."""
    block = make_block(2)
    result = encode_result(block.result, label=LABEL)
    places = encode_places(block.rows.indices, *stream_arrays(block.rows.samples, n_rows=2), label=LABEL)
    with pytest.raises(StoreCorruptError):
        decode_result(result, label=b"block 2", name="it")
    with pytest.raises(StoreCorruptError):
        decode_places(places, label=b"block 2", name="it")


def test_counts_are_stored_in_their_own_small_types() -> None:
    """A row of 150 outcomes on 8 qubits takes little more than its 300 bytes."""
    content = encode_result(make_block(512, outcomes=150).result, label=LABEL)
    assert len(content) < 512 * 302 + 100


@pytest.mark.parametrize("stream", [0, 2**63 + 5])
def test_exact_blocks_are_read_whatever_is_stored_of_streams(stream: int) -> None:
    """Earlier versions stored streams of exact rows, this one stores zeros: both are read as exact values."""
    rows, words = np.arange(3, dtype=np.uint64), np.full(3, stream, dtype=np.uint64)
    places = encode_places(rows, words, rows, label=LABEL)
    indices, *found = decode_places(places, label=LABEL, name="it")
    assert indices.tolist() == [0, 1, 2]
    assert read_samples(*found, shots=None, offset=0) is None
    sampled = read_samples(*found, shots=9, offset=4)
    assert sampled is not None
    assert (sampled.streams.tolist(), sampled.shots, sampled.offset) == ([stream] * 3, 9, 4)
    assert [array.tolist() for array in stream_arrays(None, n_rows=3)] == [[0, 0, 0]] * 2
