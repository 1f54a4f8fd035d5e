"""Answers of IonQ's server become results only where they are complete, consistent and the right ones."""

import json
import time

import numpy as np
import pytest
from ionq_answers import CHILDREN, OLD_JOB, answer, flat, job, registered, single, whole
from ionq_circuits import block_of, gate_list, request_of, with_samples

from qorch.errors import InvalidResultError
from qorch.model.job import RawResult
from qorch.model.measurement import Measurement, RowBlock
from qorch.testing.reference import chi_square_sigmas, reference_parities
from qorch_providers.ionq.options import parse_options
from qorch_providers.ionq.results.archive import decode_answer, encode_answer
from qorch_providers.ionq.results.reading import read_answer

IDEAL = parse_options("simulator")
QPU = parse_options("qpu.forte-1")
TABLE = np.random.default_rng(5).dirichlet(np.ones(4), size=3)
SHARES = np.array([[0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0], [0.25, 0.0, 0.7, 0.05]])


def shape_of(n_rows, *, shots=100, n_qubits=2, blocks=1, offset=0):
    """Rows of an empty circuit in blocks of the same size."""
    gates = gate_list(n_qubits)
    block = block_of(gates, np.empty((n_rows, 0)), shots=shots)
    return request_of(
        *(
            with_samples(block, ordinals=block.samples.ordinals + np.uint64(index), offset=offset)
            for index in range(blocks)
        )
    ).shape


def exact_shape(n_rows, *, masks=None, n_qubits=2):
    """Rows of which exact values are wanted."""
    gates = gate_list(n_qubits)
    measurement = Measurement(np.zeros(n_qubits, dtype=np.uint8), is_exact=True, masks=masks)
    return request_of(RowBlock(gates, measurement, np.empty((n_rows, 0)), None)).shape


def dense(result, index=0):
    """Counts of all outcomes of one block."""
    return result.blocks[index].counts.dense()


def test_histograms_of_a_machine_are_its_counts():
    """Probability times shots, row by row in the order of the children, whatever the order of the JSON."""
    shuffled = {child: flat(SHARES[CHILDREN.index(child)]) for child in (CHILDREN[2], CHILDREN[0], CHILDREN[1])}
    result = read_answer(shape_of(3), answer(job(), json.dumps(shuffled).encode()), options=QPU)
    np.testing.assert_array_equal(dense(result), np.rint(100 * SHARES))
    assert result.lost == ()
    assert result.blocks[0].counts.outcomes.dtype == np.uint8
    assert result.blocks[0].counts.row(1) == {"01": 100}


def test_rows_are_dealt_to_blocks_in_order():
    """The circuits of a job are its blocks' rows, one block after the other."""
    result = read_answer(shape_of(1, blocks=3), answer(job(), whole(SHARES)), options=QPU)
    assert [dense(result, index)[0].tolist() for index in range(3)] == np.rint(100 * SHARES).tolist()


@pytest.mark.parametrize("shape", [flat, registered])
def test_a_single_circuit_is_read_in_either_shape(shape):
    """Outcome 1 is qubit 0, the rightmost character: an asymmetric state tells them apart."""
    body = json.dumps(shape(np.array([0.0, 0.75, 0.0, 0.25]))).encode()
    result = read_answer(shape_of(1), answer(single(), body), options=QPU)
    assert result.blocks[0].counts.row(0) == {"01": 75, "11": 25}


def test_the_old_protocol_is_read():
    """Version 0.3 lists children under another name."""
    document = job(OLD_JOB, status="completed")
    options = parse_options("qpu.aria-1,version=v0.3")
    result = read_answer(shape_of(3), answer(document, whole(SHARES)), options=options)
    np.testing.assert_array_equal(dense(result), np.rint(100 * SHARES))


def test_exact_probabilities_are_sampled_here():
    """The ideal simulator's rows are drawn from their streams: honest, repeatable, and independent of each other."""
    rows = np.tile(TABLE[0], (3, 1))
    first = dense(read_answer(shape_of(3, shots=20_000), answer(job(), whole(rows)), options=IDEAL))
    again = dense(read_answer(shape_of(3, shots=20_000), answer(job(), whole(rows)), options=IDEAL))
    np.testing.assert_array_equal(first, again)
    assert (first.sum(axis=1) == 20_000).all()
    assert len({tuple(row) for row in first.tolist()}) == 3
    assert all(chi_square_sigmas(row, TABLE[0]) < 5 for row in first)


def test_drawn_shots_are_those_of_the_rows_streams():
    """Shot s is 32-bit word s of Philox with the key (stream, ordinal), as any program can compute."""
    counts = dense(read_answer(shape_of(3, shots=50), answer(job(), whole(TABLE)), options=IDEAL))
    for row in range(3):
        key = np.array([5, row], dtype=np.uint64)
        words = np.random.Philox(key=key).random_raw(25).astype("<u8").view("<u4")
        outcomes = np.searchsorted(np.cumsum(TABLE[row]), words / 2.0**32, side="right")
        np.testing.assert_array_equal(counts[row], np.bincount(outcomes, minlength=4))


def test_packing_changes_no_shot_and_a_top_up_goes_on():
    """100 shots are 37 and then 63 from there; a row alone is what it is among others."""
    packed = dense(read_answer(shape_of(3), answer(job(), whole(TABLE)), options=IDEAL))
    begun = dense(read_answer(shape_of(3, shots=37), answer(job(), whole(TABLE)), options=IDEAL))
    rest = dense(read_answer(shape_of(3, shots=63, offset=37), answer(job(), whole(TABLE)), options=IDEAL))
    np.testing.assert_array_equal(begun + rest, packed)
    alone = answer(single(), json.dumps(flat(TABLE[0])).encode())
    np.testing.assert_array_equal(dense(read_answer(shape_of(1), alone, options=IDEAL))[0], packed[0])


def test_exact_values_are_probabilities_or_parities():
    """Without shots the values themselves are given."""
    raw = answer(job(), whole(TABLE))
    values = read_answer(exact_shape(3), raw, options=IDEAL).blocks[0].values
    np.testing.assert_allclose(values, TABLE, atol=1e-12)
    masks = np.array([1, 3, 0], dtype=np.uint64)
    values = read_answer(exact_shape(3, masks=masks), raw, options=IDEAL).blocks[0].values
    np.testing.assert_allclose(values, reference_parities(TABLE, masks), atol=1e-12)


def test_mitigated_histograms_are_rounded_only_where_mitigation_was_asked_for():
    """Debiased shares are no counts: the nearest ones are taken with debiasing on, and refused without it."""
    raw = answer(single(), b'{"0":0.3333,"1":0.3336,"3":0.3331}')
    with pytest.raises(InvalidResultError, match="not those of 100 shots"):
        read_answer(shape_of(1), raw, options=QPU)
    result = read_answer(shape_of(1), raw, options=parse_options("qpu.forte-1,debiasing=on"))
    assert result.blocks[0].counts.row(0) == {"00": 33, "01": 34, "11": 33}


@pytest.mark.parametrize(("digits", "shots"), [(4, 1024), (5, 1024), (6, 1024), (4, 4096), (5, 40_000), (6, 100_000)])
def test_rounded_shares_are_the_counts_that_they_were(digits, shots):
    """Some servers round to 4 decimals or more: where that leaves no doubt about any count, every row is exact."""
    counts = np.random.default_rng(3).multinomial(shots, np.random.default_rng(4).dirichlet(np.ones(64)), size=3)
    body = whole((counts / shots).round(digits))
    result = read_answer(shape_of(3, shots=shots, n_qubits=6), answer(job(), body), options=QPU)
    np.testing.assert_array_equal(dense(result), counts)


@pytest.mark.parametrize(
    ("shares", "shots"),
    [
        ([0.3331, 0.6669, 0.0, 0.0], 1000),  # 4 decimals explain 0.05 of a shot, not 0.1
        ([0.12505, 0.87495, 0.0, 0.0], 4000),  # 5 decimals explain 0.02 of a shot, not 0.2
        ([0.1250500001, 0.8749499999, 0.0, 0.0], 4000),  # not rounded at all
        ([0.1252, 0.8, 0.0749, 0.0], 10_000),  # whole, of other shots
        ([0.1252, 0.8748, 0.0, 0.0], 8192),  # in doubt: 1,025.6 shots
    ],
)
def test_shares_that_no_rounding_explains_are_refused(shares, shots):
    """Neither more than the digits that are there, nor a count that might be another one."""
    body = json.dumps(flat(shares)).encode()
    with pytest.raises(InvalidResultError, match=f"not those of {shots} shots") as caught:
        read_answer(shape_of(1, shots=shots), answer(single(), body), options=QPU)
    assert ("ask for fewer" in str(caught.value)) == (shots == 8192)


def test_rounded_exact_probabilities_are_refused_with_a_hint():
    """What the ideal simulator computes is exact, or else it is said that a server rounds."""
    body = json.dumps(flat([0.3333, 0.3333, 0.0, 0.3333])).encode()
    for shape in (shape_of(1), exact_shape(1)):
        with pytest.raises(InvalidResultError, match="seems to round"):
            read_answer(shape, answer(single(), body), options=IDEAL)


@pytest.mark.parametrize("nothing", [b"null", b"{}", b"{\n }"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_a_child_without_probabilities_is_only_lost_where_it_failed(nothing, separators):
    """An empty place in the common results is nothing by itself: the circuit's own document decides."""
    rows = {child: flat(row) for child, row in zip(CHILDREN, SHARES, strict=True)}
    plain = json.dumps({**rows, CHILDREN[1]: "gone"}, separators=separators).encode()
    body = plain.replace(b'"gone"', nothing)
    failed = single(id=CHILDREN[1], status="failed")
    result = read_answer(shape_of(3), answer(job(), body, failed, b""), options=QPU)
    assert [part.rows.tolist() for part in result.lost[0]] == [[1]]
    own = json.dumps(flat(SHARES[1])).encode()
    result = read_answer(shape_of(3), answer(job(), body, single(id=CHILDREN[1]), own), options=QPU)
    np.testing.assert_array_equal(dense(result), np.rint(100 * SHARES))
    with pytest.raises(InvalidResultError, match="lack the circuit"):
        read_answer(shape_of(3), answer(job(), body), options=QPU)


def test_failed_children_are_lost_rows_and_the_others_stay():
    """Rows 0 and 2 are kept with their own counts; row 1 may run again."""
    failed = single(id=CHILDREN[1], status="failed", failure={"code": "InternalError", "message": "x"})
    done = [single(id=CHILDREN[index]) for index in (0, 2)]
    bodies = [json.dumps(flat(SHARES[index])).encode() for index in (0, 2)]
    documents = (job(status="failed"), done[0], bodies[0], failed, b"", done[1], bodies[1])
    partial = json.dumps({CHILDREN[0]: flat(SHARES[0]), CHILDREN[2]: flat(SHARES[2])}).encode()
    for raw in (answer(*documents), answer(job(), partial, failed, b"")):
        result = read_answer(shape_of(3), raw, options=QPU)
        np.testing.assert_array_equal(dense(result), np.rint(100 * SHARES[[0, 2]]))
        assert [(part.rows.tolist(), part.reason, part.is_repeatable) for part in result.lost[0]] == [
            ([1], "InternalError: x", True)
        ]


def test_lost_rows_are_told_apart_by_their_reasons():
    """Failures of IonQ's side may be repeated, those of the circuit not, and one without a code may."""
    failures = ({"code": "QuantumComputerError", "message": "a"}, {"code": "NotEnoughQubits", "message": "b"}, None)
    failed = [single(id=child, status="failed", failure=why) for child, why in zip(CHILDREN, failures, strict=True)]
    documents = [part for document in failed for part in (document, b"")]
    result = read_answer(shape_of(3), answer(job(status="failed"), *documents), options=QPU)
    assert [(part.rows.tolist(), part.reason, part.is_repeatable) for part in result.lost[0]] == [
        ([0], "QuantumComputerError: a", True),
        ([1], "NotEnoughQubits: b", False),
        ([2], "failed at IonQ without a reason", True),
    ]
    assert result.lost_in(0).tolist() == [0, 1, 2]


def test_a_failed_job_has_lost_everything():
    """Nothing is there, and nothing is invented."""
    result = read_answer(shape_of(3), answer(job(status="failed", child_job_ids=[])), options=QPU)
    assert result.lost_in(0).tolist() == [0, 1, 2]
    assert result.blocks[0].n_rows == 0
    assert read_answer(shape_of(1), answer(single(status="canceled")), options=QPU).lost_in(0).tolist() == [0]
    assert read_answer(exact_shape(1), answer(single(status="failed")), options=IDEAL).blocks[0].values.shape == (0, 4)


GOOD = whole(SHARES)


@pytest.mark.parametrize(
    ("documents", "match"),
    [
        ((job(),), "lack the circuit"),
        ((job(status="started"), GOOD), "not over"),
        ((job(child_job_ids=[*CHILDREN[:2]]), GOOD), "has 2 circuits; 3 were sent"),
        ((job(child_job_ids=[*CHILDREN, "d"]), GOOD), "has 4 circuits"),
        ((job(child_job_ids=[CHILDREN[0]] * 3), GOOD), "twice"),
        ((job(), GOOD.replace(CHILDREN[1].encode(), b"e")), "does not have"),
        ((job(), whole(SHARES[:2], children=CHILDREN[:2])), "lack the circuit"),
        ((job(), GOOD.replace(b'"0": 0.1', b'"0": 0.05, "0": 0.1')), "twice"),
        ((job(), GOOD[:-1] + b', "' + CHILDREN[0].encode() + b'": {"0": 1}}'), "twice"),
        ((job(), GOOD.replace(b'"0"', b'"\\u0030"')), "escaped"),
        ((job(), GOOD.replace(b'"3"', b'"03"')), "not an outcome"),
        ((job(), GOOD.replace(b'"3"', b'"4"')), "not an outcome"),
        ((job(), GOOD.replace(b'"3"', b'"-1"')), "not an outcome"),
        ((job(), GOOD.replace(b'"3"', '"٣"'.encode())), "not an outcome"),
        ((job(), GOOD.replace(b"0.4", b"0.41")), "sum"),
        ((job(), GOOD.replace(b"0.4", b"NaN")), "cannot be read|not results|not prob"),
        ((job(), GOOD.replace(b"0.4", b"1e999")), "not prob"),
        ((job(), GOOD.replace(b"0.4", b"1" * 400)), "not prob"),
        ((job(), GOOD.replace(b"0.4", b'"0.4"')), "not prob"),
        ((job(), GOOD.replace(b"0.4", b"0.6").replace(b"0.2", b"-0.2").replace(b"0.3", b"0.5")), "outside|not those"),
        ((job(), GOOD[:-7]), "not results"),
        ((job(), b"<html>502</html>"), "not results"),
        ((job(), b"[" * 100_000 + b"]" * 100_000), "not results"),
        ((job(), b'{"%b":' % CHILDREN[0].encode() + b'{"a":' * 100_000), "not results"),
        ((job(), b"\x00"), "not results"),
        ((b"\xff\xfe", GOOD), "cannot be read"),
        ((b"[" * 100_000, GOOD), "cannot be read"),
        ((job(), GOOD, single(id="z", status="failed"), b""), "not a child"),
        ((), "no documents"),
    ],
)
def test_what_is_amiss_is_refused(documents, match):
    """Every one with InvalidResultError that says what is wrong."""
    with pytest.raises(InvalidResultError, match=match):
        read_answer(shape_of(3), answer(*documents), options=QPU)


def test_a_result_without_outcomes_is_refused():
    """An empty distribution and other registers are no results."""
    other = {"probabilities": {"registers": {"output_all": {"00": 1.0}, "c": {"0": 1.0}}}}
    for body in (b"{}", b"null", json.dumps(other).encode(), json.dumps(registered([1.0, 0.0])).encode(), b""):
        with pytest.raises(InvalidResultError):
            read_answer(shape_of(1), answer(single(), body), options=QPU)


def test_exact_values_of_a_machine_are_refused():
    """Shares of shots are no exact values."""
    with pytest.raises(InvalidResultError, match="only the ideal simulator"):
        read_answer(exact_shape(1), answer(single(), b'{"0":1}'), options=QPU)


def test_answers_are_kept_verbatim():
    """What goes into the frames comes out, empty documents and all; damaged frames are refused."""
    documents = [b"", b"{}", b"\x00" * 9, b""]
    content = encode_answer(documents)
    assert decode_answer(content) == documents
    for damaged in (content[:-1], content + b"x", b"", b"QIQB" + content[4:], content[:4] + b"\x02" + content[5:]):
        with pytest.raises(InvalidResultError):
            decode_answer(damaged)
    with pytest.raises(InvalidResultError):
        read_answer(shape_of(1), RawResult(b"{}"), options=QPU)


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_reading_a_row_costs_microseconds():
    """1,024 shots among 256 outcomes: 600 µs a row at most, JSON and sampling together (90 on an idle core)."""
    rows = np.random.default_rng(0).dirichlet(np.ones(256), size=300)
    children = tuple(f"{index:08d}-aaaa-bbbb" for index in range(300))
    raw = answer(job(child_job_ids=list(children)), whole(rows, children=children))
    shape = shape_of(300, shots=1024, n_qubits=8)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        read_answer(shape, raw, options=IDEAL)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) / 300 <= 600e-6, f"{min(seconds) / 300 * 1e6:.0f} µs"
