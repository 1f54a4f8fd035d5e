"""Damaged results of Braket: refused, or read as any reader of JSON would read them.

A flipped bit of a shot gives another valid result, which no reader can notice. So what is accepted is compared with a
slow reading of the damaged text itself, in plain Python, which refuses names that are there twice.
"""

import json

import numpy as np
import pytest
from braket_answers import (
    COMPACT,
    SPACED,
    executable,
    frequencies_of,
    program_result,
    set_result,
    shots_of,
    single_result,
)
from ionq_circuits import block_of, gate_list, request_of

from qorch.errors import InvalidResultError
from qorch.model.job import RawResult
from qorch.model.verification import verify_result
from qorch_providers.braket.results.documents import RESULTS, decode_documents, encode_documents
from qorch_providers.braket.results.reading import read_answer

SHOTS = 40
COUNTS = np.random.default_rng(2).multinomial(SHOTS - 16, np.full(8, 1 / 8), size=3) + 2
ALPHABET = b'0123456789.,:{}[]"eE+- \x00\\untrlsNaI'


class UnclearError(Exception):
    """The text says one thing twice."""


def shape_of(n_rows):
    """The shape of a job with one block of three qubits."""
    return request_of(block_of(gate_list(3), np.empty((n_rows, 0)), shots=SHOTS)).shape


def bodies():
    """(body, rows) in all accepted forms."""
    rng = np.random.default_rng(5)
    found = []
    for separators in (COMPACT, SPACED):
        for fields in (
            lambda row: {"measurements": shots_of(COUNTS[row], rng)},
            lambda row: {"measurementProbabilities": frequencies_of(COUNTS[row])},
        ):
            entries = [executable(row, measuredQubits=[0, 1, 2], **fields(row)) for row in range(3)]
            single = single_result(shots=SHOTS, measuredQubits=[0, 1, 2], **fields(0))
            for document, n_rows in ((set_result([program_result(entries)]), 3), (single, 1)):
                found.append((json.dumps(document, separators=separators).encode(), n_rows))
    return found


def once(pairs):
    """An object whose names are all different."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise UnclearError
    return found


def counts_of(entry):
    """The counts ``(8,)`` of an executable, as it says them; all zero if it does not."""
    table = np.zeros(8, dtype=np.int64)
    order = entry["measuredQubits"]
    if entry.get("measurements") is not None:
        for shot in entry["measurements"]:
            table[sum(bit << qubit for bit, qubit in zip(shot, order, strict=True))] += 1
        return table
    for name, share in entry["measurementProbabilities"].items():
        table[sum(int(bit) << qubit for bit, qubit in zip(name, order, strict=True))] += round(share * SHOTS)
    return table


def read_slowly(body, n_rows):
    """The counts ``(R, 8)`` that a text tells, row by row."""
    # Names that are not read may hold anything: a fast reader skips them.
    document = json.loads(body.decode(errors="replace"), object_pairs_hook=once, strict=False)
    if n_rows == 1:
        return np.stack([counts_of(document)])
    entries = {entry["inputsIndex"]: entry for entry in document["programResults"][0]["executableResults"]}
    return np.stack([counts_of(entries[row]) for row in range(n_rows)])


def flip(body, rng):
    """One bit."""
    place = int(rng.integers(len(body)))
    return body[:place] + bytes([body[place] ^ (1 << int(rng.integers(8)))]) + body[place + 1 :]


def delete(body, rng):
    """A span."""
    place = int(rng.integers(len(body)))
    return body[:place] + body[place + int(rng.integers(1, 20)) :]


def insert(body, rng):
    """Some letters that mean something in JSON."""
    place = int(rng.integers(len(body) + 1))
    return body[:place] + bytes(rng.choice(list(ALPHABET), size=int(rng.integers(1, 4))).tolist()) + body[place:]


def duplicate(body, rng):
    """A span, twice."""
    place = int(rng.integers(len(body)))
    span = body[place : place + int(rng.integers(1, 40))]
    return body[:place] + span + body[place:]


def edit_digit(body, rng):
    """One digit becomes another."""
    digits = [place for place, letter in enumerate(body) if chr(letter).isdigit()]
    place = digits[int(rng.integers(len(digits)))]
    return body[:place] + bytes([int(rng.choice(list(b"0123456789")))]) + body[place + 1 :]


def exchange(body, rng):
    """Two spans of the same length change places."""
    first, second = sorted(int(place) for place in rng.integers(0, len(body) - 12, size=2))
    size = min(int(rng.integers(1, 12)), max(1, second - first))
    a, b = body[first : first + size], body[second : second + size]
    return body[:first] + b + body[first + size : second] + a + body[second + size :]


MUTATIONS = (flip, delete, insert, duplicate, edit_digit, exchange)


def campaign(n_bodies, seed):
    """How many of so many mutated bodies are read: what their text tells. All of them are kept byte for byte."""
    rng = np.random.default_rng(seed)
    originals = bodies()
    accepted = 0
    for number in range(n_bodies):
        body, n_rows = originals[number % len(originals)]
        for _ in range(int(rng.integers(1, 4))):
            body = MUTATIONS[int(rng.integers(len(MUTATIONS)))](body, rng) or b"{"
        shape = shape_of(n_rows)
        content = encode_documents({RESULTS: body})
        assert decode_documents(content) == {RESULTS: body}
        try:
            result = verify_result(shape, read_answer(shape, RawResult(content)))
        except InvalidResultError:
            continue
        if result.lost:
            continue
        accepted += 1
        try:
            expected = read_slowly(body, n_rows)
        except UnclearError:
            # The last of two equal names counts, here as in every reader; it is still a whole result.
            continue
        np.testing.assert_array_equal(result.blocks[0].counts.dense(), expected, err_msg=repr(body))
    return accepted


def test_damaged_bodies_are_never_read_wrongly():
    """1,500 bodies with one to three edits each: refused, or read as they are."""
    assert 50 < campaign(1500, seed=1) < 900


@pytest.mark.soak
def test_many_damaged_bodies_are_never_read_wrongly():
    """20,000 others."""
    assert campaign(20_000, seed=2) > 500


def test_undamaged_bodies_are_read():
    """All forms are."""
    for body, n_rows in bodies():
        result = read_answer(shape_of(n_rows), RawResult(encode_documents({RESULTS: body})))
        np.testing.assert_array_equal(result.blocks[0].counts.dense(), COUNTS[:n_rows])


def test_damaged_frames_only_raise_what_they_should():
    """Edits anywhere in what was kept, names and lengths included, raise InvalidResultError or nothing."""
    rng = np.random.default_rng(4)
    refused = 0
    for number in range(400):
        body, n_rows = bodies()[0] if number == 0 else (b"{}", 1)
        content = encode_documents({RESULTS: body, "programs/0.json": b"[]"})
        for _ in range(int(rng.integers(1, 4))):
            content = MUTATIONS[int(rng.integers(4))](content, rng) or b"Q"
        try:
            read_answer(shape_of(n_rows), RawResult(content))
        except InvalidResultError:
            refused += 1
    assert refused >= 399
