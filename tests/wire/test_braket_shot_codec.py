"""What is kept of Braket's shots: bits, from which every document is written again byte for byte."""

import json

import numpy as np
import pytest
from braket_answers import COMPACT, SPACED, executable, program_result, set_result, shots_of, single_result
from ionq_circuits import block_of, gate_list, request_of

from qorch.errors import InvalidResultError
from qorch.model.job import RawResult
from qorch_providers.archive import encode_archive
from qorch_providers.braket.results.documents import RESULTS, TASK, decode_documents, encode_documents
from qorch_providers.braket.results.reading import read_answer

RNG = np.random.default_rng(7)


def set_of(n_rows: int, n_qubits: int, shots: int, separators: tuple[str, str] = COMPACT) -> bytes:
    """The result of a program set with random shots."""
    bits = RNG.integers(0, 2, (n_rows, shots, n_qubits))
    entries = [
        executable(row, measurements=bits[row].tolist(), measuredQubits=list(range(n_qubits))) for row in range(n_rows)
    ]
    return json.dumps(set_result([program_result(entries)]), separators=separators).encode()


@pytest.mark.parametrize("separators", [COMPACT, SPACED])
@pytest.mark.parametrize(
    ("n_rows", "n_qubits", "shots"), [(1, 1, 1), (3, 1, 5), (2, 2, 1), (2, 3, 1025), (5, 8, 40), (1, 34, 3)]
)
def test_usual_shots_are_kept_as_bits_and_written_again(
    n_rows: int, n_qubits: int, shots: int, separators: tuple[str, str]
) -> None:
    """Of every width and number, with blanks and without, beside other documents."""
    document = set_of(n_rows, n_qubits, shots, separators)
    documents = {TASK: b'{"status": "COMPLETED"}', RESULTS: document, "empty": b""}
    content = encode_documents(documents)
    assert decode_documents(content) == documents
    n_digits = n_rows * n_qubits * shots
    assert len(content) < sum(map(len, documents.values())) - n_digits + n_digits / 8 + 8 * n_rows + 150


def test_a_packed_answer_is_a_twelfth_of_its_text() -> None:
    """1,024 shots of 8 qubits are 1,024 bytes, and what is said of the executable."""
    document = set_of(20, 8, 1024)
    assert len(encode_documents({RESULTS: document})) < len(document) / 12


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"[0,", b"[2,"), (b"[1,", b'["1",'), (b"],[", b"] ,["), (b"]]", b"]}"), (b"[[", b"[[["), (b"[[", b"[ ["),
        (b"]]", b"],]"), (b"[[", b"[[],["), (b'"measurements":', b'"measurements":[[1,0]],"measurements":'),
        (b'"measurements":', b'"measurements": 3, "x":'), (b'"measurements":', b'"measurements" :\n '),
    ],
)  # fmt: skip
def test_unusual_shots_are_kept_as_they_came(old: bytes, new: bytes) -> None:
    """Whatever is unusual about one executable of several, or about where a document ends."""
    document = set_of(3, 3, 6)
    for changed in (document.replace(old, new, 1), new.join(document.rsplit(old, 1)), document.replace(old, new)):
        assert changed != document
        for body in (changed, changed[: changed.rindex(new) + len(new)]):
            assert decode_documents(encode_documents({RESULTS: body})) == {RESULTS: body}


def test_answers_that_an_older_qorch_kept_are_read() -> None:
    """It kept the text of the shots: the same counts, and the same documents, come of it."""
    counts = RNG.multinomial(50, np.full(8, 1 / 8))
    single = single_result(shots=50, measurements=shots_of(counts, RNG), measuredQubits=[0, 1, 2])
    document = json.dumps(single).encode()
    older = encode_archive([TASK.encode(), b"{}", RESULTS.encode(), document], magic=b"QBRA")
    assert decode_documents(older) == {TASK: b"{}", RESULTS: document}
    shape = request_of(block_of(gate_list(3), np.empty((1, 0)), shots=50)).shape
    for content in (older, encode_documents({RESULTS: document})):
        found = read_answer(shape, RawResult(content)).blocks[0].counts
        assert found is not None
        np.testing.assert_array_equal(found.dense()[0], counts)


def test_damaged_bits_only_raise_what_they_should() -> None:
    """Any byte of the header and the places of the shots may be wrong, and the bits may end early."""
    content = encode_documents({RESULTS: set_of(2, 3, 5)})
    packed_bytes = 32 + 16 + 4
    damaged = [content[:-1]]
    for place in range(len(content) - packed_bytes - 8, len(content) - 4):
        damaged += [content[:place] + bytes([byte]) + content[place + 1 :] for byte in (0, 1, 7, 255)]
    n_refused = 0
    for each in damaged:
        try:
            decode_documents(each)
        except InvalidResultError:
            n_refused += 1
    assert n_refused > len(damaged) / 2
    with pytest.raises(InvalidResultError, match="damaged"):
        decode_documents(encode_archive([RESULTS.encode(), b"{}", b"\x00" * 31], magic=b"QBRS"))
