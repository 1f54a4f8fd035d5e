"""Damaged result bodies of IonQ: refused, or read as what they were before.

Every outcome has a share, so that no single edit turns a distribution into another valid one. What no reader can notice
is left out: two shares exchanged, or two circuits.
"""

import json

import numpy as np
import pytest
from ionq_answers import answer, flat, job, registered, single, whole
from ionq_circuits import block_of, gate_list, request_of

from qorch.errors import InvalidResultError
from qorch.model.job import RawResult
from qorch.model.measurement import Measurement, RowBlock
from qorch_providers.ionq.options import parse_options
from qorch_providers.ionq.results.archive import encode_answer
from qorch_providers.ionq.results.reading import read_answer

SHOTS = 1000
N_OUTCOMES = 8
COUNTS = np.random.default_rng(2).multinomial(SHOTS - 80, np.full(8, 1 / 8), size=3) + 10
ALPHABET = b'0123456789.,:{}[]"eE+- \x00\\untrlsNaI'
QPU = parse_options("qpu.forte-1")
IDEAL = parse_options("simulator")
TOLERANCE = 2e-6 * N_OUTCOMES


def request_with(n_rows, *, is_exact):
    """Rows of three qubits, sampled or exact."""
    block = block_of(gate_list(3), np.empty((n_rows, 0)), shots=SHOTS)
    if not is_exact:
        return request_of(block).shape
    measurement = Measurement(block.measurement.basis, is_exact=True)
    return request_of(RowBlock(block.gates, measurement, block.angles, None)).shape


def bodies():
    """(job document, body, rows) in all accepted shapes."""
    shares = COUNTS / SHOTS
    return [
        (job(), whole(shares), 3),
        (single(), json.dumps(flat(shares[0])).encode(), 1),
        (single(), json.dumps(registered(shares[0])).encode(), 1),
    ]


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
    letters = bytes(rng.choice(list(ALPHABET), size=int(rng.integers(1, 4))).tolist())
    return body[:place] + letters + body[place:]


def duplicate(body, rng):
    """A span, twice."""
    place = int(rng.integers(len(body)))
    span = body[place : place + int(rng.integers(1, 40))]
    return body[:place] + span + body[place:]


def duplicate_pair(body, rng):
    """One outcome, twice, with the same or another share."""
    pairs = body.split(b", ")
    place = int(rng.integers(len(pairs)))
    key = pairs[place].rpartition(b":")[0].rpartition(b"{")[2]
    return b", ".join([*pairs[: place + 1], key + b": 0.1", *pairs[place + 1 :]])


def reorder(body, rng):
    """Keys of every object in another order: the same meaning."""

    def shuffled(value):
        if not isinstance(value, dict):
            return value
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key]) for key in keys}

    return json.dumps(shuffled(json.loads(body))).encode()


def edit_number(body, rng):
    """One digit becomes another."""
    digits = [place for place, letter in enumerate(body) if chr(letter).isdigit()]
    place = digits[int(rng.integers(len(digits)))]
    return body[:place] + bytes([int(rng.choice(list(b"0123456789")))]) + body[place + 1 :]


MUTATIONS = (flip, delete, insert, duplicate, duplicate_pair, edit_number)


def check_reading(document, body, n_rows):
    """How many of two readings are accepted; what is accepted is the truth."""
    accepted = 0
    for options, is_exact in ((QPU, False), (IDEAL, True)):
        try:
            result = read_answer(request_with(n_rows, is_exact=is_exact), answer(document, body), options=options)
        except InvalidResultError:
            continue
        accepted += 1
        if is_exact:
            assert np.abs(result.blocks[0].values - COUNTS[:n_rows] / SHOTS).max() <= TOLERANCE, body
        else:
            np.testing.assert_array_equal(result.blocks[0].counts.dense(), COUNTS[:n_rows], err_msg=repr(body))
    return accepted


def campaign(n_bodies, seed):
    """Readings accepted of so many mutated bodies, read twice each."""
    rng = np.random.default_rng(seed)
    originals = bodies()
    accepted = 0
    for number in range(n_bodies):
        document, body, n_rows = originals[number % len(originals)]
        for _ in range(int(rng.integers(1, 4))):
            body = MUTATIONS[int(rng.integers(len(MUTATIONS)))](body, rng) or b"{"
        accepted += check_reading(document, body, n_rows)
    return accepted


def test_damaged_bodies_are_never_read_wrongly():
    """1,000 bodies with one to three edits each: refused, or harmless (a blank, a digit that rounds away)."""
    accepted = campaign(1000, seed=1)
    assert 0 < accepted < 200


@pytest.mark.soak
def test_many_damaged_bodies_are_never_read_wrongly():
    """10,000 others."""
    assert 0 < campaign(10_000, seed=2) < 2000


def test_order_means_nothing():
    """Bodies with their keys in another order are accepted, and are the same."""
    rng = np.random.default_rng(3)
    for document, body, n_rows in bodies():
        for _ in range(10):
            assert check_reading(document, reorder(body, rng), n_rows) == 2


def test_damaged_documents_and_frames_only_raise_what_they_should():
    """Edits anywhere in what was kept, job documents and lengths included, raise InvalidResultError or nothing."""
    rng = np.random.default_rng(4)
    refused = 0
    for number in range(600):
        document, body, n_rows = bodies()[number % 3]
        content = encode_answer([document, body])
        for _ in range(int(rng.integers(1, 4))):
            content = MUTATIONS[int(rng.integers(4))](content, rng) or b"Q"
        try:
            read_answer(request_with(n_rows, is_exact=False), RawResult(content), options=QPU)
        except InvalidResultError:
            refused += 1
    assert refused > 500
