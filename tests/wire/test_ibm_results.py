"""Results of IBM's programs: every form gives the same counts, and what is damaged is refused or read right."""

import json

import numpy as np
import pytest
from damaged_json import CHANGES, changed, places
from ibm_circuits import body_of, device_of, options_of
from ibm_quantum_schemas.common import CompressedTensorModel
from ibm_quantum_schemas.common.tensor import TensorModel
from ionq_circuits import block_of, gate_list, request_of
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, PubResult, SamplerPubResult
from qiskit_ibm_runtime import RuntimeEncoder

from qorch.errors import InvalidResultError
from qorch.model.job import JobRequest, RawResult
from qorch.model.verification import verify_result
from qorch.testing.reference import chi_square_sigmas, reference_probabilities
from qorch_providers.emulators.ibm.devices import read_devices
from qorch_providers.emulators.ibm.programs.running import PROGRAMS
from qorch_providers.ibm.results.reading import read_answer

FORMS = ("sampler", "pub", "plain", "v2.0", "v1.1", "v0.1")
MAX_SIGMAS = 6.0


def shots_of(rng, n_rows, shots, n_bits):
    """Random bits ``(R, S, n)``, bit 0 first; the higher the bit, the rarer."""
    return rng.random((n_rows, shots, n_bits)) < 0.6 / (1 + np.arange(n_bits))


def answer(form, tables):
    """The body of an answer with a PUB for each table of bits ``(R, S, n)``, as IBM's own encoders write it."""
    if form == "plain":
        return json.dumps({"results": [{"data": {"meas": plain(table)}, "metadata": {}} for table in tables]}).encode()
    if form.startswith("v"):
        model = CompressedTensorModel if form == "v2.0" else TensorModel
        data = [
            {"results": {"meas": json.loads(model.from_numpy(table).model_dump_json())}, "metadata": {}}
            for table in tables
        ]
        document = {"schema_version": form, "data": data, "metadata": {"chunk_timing": []}, "passthrough_data": None}
        return json.dumps(document).encode()
    kind = SamplerPubResult if form == "sampler" else PubResult
    pubs = [
        kind(DataBin(meas=BitArray.from_bool_array(table, order="little"), shape=table.shape[:1])) for table in tables
    ]
    return json.dumps(PrimitiveResult(pubs, {"version": 2}), cls=RuntimeEncoder).encode()


def plain(table):
    """Bits as plain JSON."""
    weights = [1 << bit for bit in range(table.shape[2])]
    rows = [[hex(sum(w for w, bit in zip(weights, shot, strict=True) if bit)) for shot in row] for row in table]
    return {"samples": rows if len(rows) > 1 else rows[0], "num_bits": table.shape[2]}


def expected_rows(table):
    """The counts of each row, by numbers."""
    weights = [1 << bit for bit in range(table.shape[2])]
    found = []
    for row in table:
        numbers = [sum(w for w, bit in zip(weights, shot, strict=True) if bit) for shot in row]
        found.append({number: numbers.count(number) for number in set(numbers)})
    return found


def shape_of(tables, *, empty=False):
    """The shape of the job with these results; ``empty``: a block without rows is its first."""
    blocks = [block_of(gate_list(table.shape[2]), np.zeros((len(table), 0)), shots=table.shape[1]) for table in tables]
    if empty:
        blocks.insert(0, blocks[0].take(slice(0, 0)))
    return JobRequest("run/0.0.0", tuple(blocks)).shape


def read_rows(shape, body):
    """The counts of each row of all blocks, verified as the engine does."""
    result = verify_result(shape, read_answer(shape, RawResult(body)))
    return [
        {int(key, 2): count for key, count in block.counts.row(row).items()}
        for block in result.blocks
        for row in range(block.counts.n_rows)
    ]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("n_bits", [1, 7, 8, 9, 16, 17, 33, 63])
def test_every_form_of_results(form, n_bits):
    """All forms of both generations are read, whatever the number of qubits, rows and blocks."""
    rng = np.random.default_rng(n_bits)
    tables = [shots_of(rng, n_rows, 37, n_bits) for n_rows in (1, 3, 13)]
    shape = shape_of(tables, empty=True)
    assert read_rows(shape, answer(form, tables)) == [row for table in tables for row in expected_rows(table)]


@pytest.mark.parametrize("form", ["sampler", "v2.0"])
def test_many_rows_are_read_in_groups(form):
    """More rows than are read at once give the counts of each."""
    table = shots_of(np.random.default_rng(4), 700, 1001, 3)
    shape = shape_of([table])
    found = read_answer(shape, RawResult(answer(form, [table]))).blocks[0].counts
    numbers = table @ (1 << np.arange(3))
    expected = np.stack([np.bincount(row, minlength=8) for row in numbers])
    np.testing.assert_array_equal(found.dense(), expected)


@pytest.mark.parametrize("form", FORMS)
def test_damaged_documents_are_refused_or_read_right(form):
    """Whatever is missing, of another type or size in an answer: no count differs from the truth."""
    rng = np.random.default_rng(9)
    tables = [shots_of(rng, 2, 11, 3), shots_of(rng, 1, 11, 5)]
    shape, body = shape_of(tables), answer(form, tables)
    truth = read_rows(shape, body)
    document = json.loads(body)
    n_refused = 0
    for path in places(document):
        for change in CHANGES if path else ():
            if form == "plain" and "samples" in path and change in CHANGES[-2:] and isinstance(path[-1], int):
                continue  # another number is another result: nothing protects them in this form
            try:
                found = read_rows(shape, changed(document, path, change))
            except InvalidResultError:
                n_refused += 1
            else:
                assert found == truth, path
    assert n_refused > 50


@pytest.mark.parametrize("form", ["sampler", "v2.0"])
def test_damaged_bytes_are_refused_or_read_right(form):
    """A byte that changed, or an answer that was cut short anywhere, never changes a count."""
    rng = np.random.default_rng(5)
    tables = [shots_of(rng, 2, 40, 9)]
    shape, body = shape_of(tables), answer(form, tables)
    truth = read_rows(shape, body)
    for place in range(len(body)):
        spoiled = body[:place] + bytes([body[place] ^ int(rng.integers(1, 128))]) + body[place + 1 :]
        for content in (spoiled, body[:place]):
            try:
                found = read_rows(shape, content)
            except InvalidResultError:
                continue
            assert found == truth, (place, content[place - 20 : place + 20])


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"null", b'{"results":[]}', b"\xff", b"[" * 100_000, b'{"error":{"code":1}}']
)
def test_other_answers_are_refused(body):
    """What is no result at all is an InvalidResultError that names the job."""
    shape = shape_of([np.zeros((1, 3, 2), dtype=np.bool_)])
    with pytest.raises(InvalidResultError, match=r"run/0\.0\.0"):
        read_answer(shape, RawResult(body))


def test_an_answer_cannot_unpack_more_than_was_sent():
    """A small text that unpacks to gigabytes is refused early."""
    tables = [np.zeros((1, 8, 3), dtype=np.bool_)]
    bomb = [np.zeros((1, 8 << 20, 3), dtype=np.bool_)]
    with pytest.raises(InvalidResultError, match="more than all that was sent"):
        read_answer(shape_of(tables), RawResult(answer("v2.0", bomb)))
    with pytest.raises(InvalidResultError, match="larger than"):
        read_answer(shape_of(tables), RawResult(answer("sampler", bomb)))


def test_registers_beside_the_measured_one_are_refused():
    """Bits of another register, such as the flips of a twirled measurement, would change what is read."""
    table = np.zeros((1, 4, 2), dtype=np.bool_)
    document = json.loads(answer("v2.0", [table]))
    results = document["data"][0]["results"]
    results["measurement_flips.meas"] = results["meas"]
    with pytest.raises(InvalidResultError, match="registers"):
        read_answer(shape_of([table]), RawResult(json.dumps(document).encode()))


@pytest.mark.parametrize("text", ["ibm_fez", "ibm_fez,program=sampler,layout=24-21-23", "ibm_fez,fractional=on"])
def test_asymmetric_states_through_the_emulators_programs(text):
    """What a server that shares no code makes of a body is read as the reference's distribution, in every basis."""
    is_fractional = "fractional" in text
    device = device_of("fez", fractional=is_fractional)
    gates = gate_list(
        3, ("u", (0,), (None, 0.4, 1.0)), ("ry", (1,), (None,)), ("rzz", (0, 2), (None,)), ("cx", (1, 2), ()),
        ("rxx", (0, 1), (None,)), ("ry", (2,), (2.1,)),
    )  # fmt: skip
    angles = np.random.default_rng(3).uniform(-7, 7, (4, gates.n_columns))
    blocks = [block_of(gates, angles, basis=basis, shots=2000) for basis in ("ZZZ", "XYZ", "YZX")]
    request = request_of(*blocks)
    body = json.loads(body_of(request, device, options_of(text)))
    emulated = read_devices("ibm_fez", is_fractional=is_fractional)["ibm_fez"]
    run = PROGRAMS[body["program_id"]]
    outcome = run(json.dumps(body["params"]).encode(), emulated, None, np.random.default_rng(8))
    read = verify_result(request.shape, read_answer(request.shape, RawResult(outcome.encode(0.0, 1.0))))
    for block, found in zip(blocks, read.blocks, strict=True):
        expected = reference_probabilities(gates, angles, basis=block.measurement.basis)
        for row, probabilities in zip(found.counts.dense(), expected, strict=True):
            assert chi_square_sigmas(row, probabilities) < MAX_SIGMAS
