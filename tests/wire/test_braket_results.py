"""Results of Braket in all their shapes: inline or in parts, shots, probabilities, exact values and failures."""

import json
import time

import numpy as np
import pytest
from braket.default_simulator import StateVectorSimulator
from braket.ir.openqasm import Program, ProgramSet
from braket.task_result import GateModelTaskResult, ProgramSetTaskResult
from braket_answers import (
    COMPACT,
    SPACED,
    answer,
    executable,
    failure,
    frequencies_of,
    program_result,
    set_metadata,
    set_result,
    shots_of,
    single_result,
)
from braket_circuits import DESTINATION, GATE_SETS, KEY, SV1, device_of, encode
from ionq_circuits import block_of, gate_list, random_gates, request_of

from qorch.errors import InvalidResultError
from qorch.model.job import RawResult
from qorch.model.measurement import Measurement, RowBlock
from qorch.model.usage import report_usage
from qorch.model.verification import verify_result
from qorch.testing.reference import chi_square_sigmas, reference_parities, reference_probabilities
from qorch_providers.braket.circuits.task_body import encode_task
from qorch_providers.braket.results.documents import RESULTS, TASK, decode_documents, encode_documents
from qorch_providers.braket.results.measurements import cut_shots
from qorch_providers.braket.results.parts import location_of, missing_parts
from qorch_providers.braket.results.reading import read_answer

SHOTS = 200
QUBITS = [0, 1, 2]
RNG = np.random.default_rng(3)
COUNTS = RNG.multinomial(SHOTS, np.arange(1, 9) / 36, size=4)
"""Of rows of three qubits, asymmetric."""
DEBIASED = {"errorMitigation": [{"type": "braket.device_schema.error_mitigation.debias.Debias"}]}


def shape(n_rows=1, *more, n_qubits=3, shots=SHOTS):
    """The shape of a job with blocks of so many rows."""
    blocks = [block_of(gate_list(n_qubits), np.empty((rows, 0)), shots=shots) for rows in (n_rows, *more)]
    return request_of(*blocks).shape


def exact_shape(masks=None, n_qubits=3):
    """The shape of a job with one exact row."""
    wanted = None if masks is None else np.array(masks, dtype=np.uint64)
    measurement = Measurement(np.zeros(n_qubits, dtype=np.uint8), is_exact=True, masks=wanted)
    return request_of(RowBlock(gate_list(n_qubits), measurement, np.empty((1, 0)), None)).shape


def measured(row):
    """A row's fields, as single shots."""
    return {"measurements": shots_of(COUNTS[row], RNG), "measuredQubits": QUBITS}


def told(row):
    """A row's fields, as probabilities."""
    return {"measurementProbabilities": frequencies_of(COUNTS[row]), "measuredQubits": QUBITS}


def read(wanted, documents, separators=COMPACT):
    """As the engine reads it: verified."""
    return verify_result(wanted, read_answer(wanted, answer(documents, separators)))


def assert_counts(result, *rows, block=0):
    """A block of the result has the counts of these rows."""
    np.testing.assert_array_equal(result.blocks[block].counts.dense(), COUNTS[list(rows)])


def assert_refused(wanted, documents, match):
    """It is not read, and the error says why and which job it is."""
    with pytest.raises(InvalidResultError, match=match) as caught:
        read_answer(wanted, documents if isinstance(documents, RawResult) else answer(documents))
    assert "run/0.0.0" in str(caught.value)


@pytest.mark.parametrize("fields", [measured, told])
@pytest.mark.parametrize("separators", [COMPACT, SPACED])
def test_one_program(fields, separators):
    """Shots or their frequencies, qubit 0 first, in either spacing, as Amazon's schema has them."""
    result = single_result(shots=SHOTS, **fields(0))
    GateModelTaskResult.parse_obj(result)
    assert_counts(read(shape(), result, separators), 0)


@pytest.mark.parametrize("fields", [measured, told])
def test_qubits_in_another_order(fields):
    """The order of the measured qubits is heeded: column 0 may be qubit 2."""
    result = single_result(shots=SHOTS, **fields(0) | {"measuredQubits": [2, 0, 1]})
    table = COUNTS[0].reshape(2, 2, 2)  # axes: columns 2, 1, 0, which are the qubits 1, 0, 2
    expected = table.transpose(2, 0, 1).reshape(1, -1)
    found = read(shape(), result).blocks[0].counts
    np.testing.assert_array_equal(found.dense(), expected)


@pytest.mark.parametrize("fields", [measured, told])
def test_physical_qubits(fields):
    """Numbers of physical qubits count if the program named them: the first is qubit 0; else they are refused."""
    result = single_result(shots=SHOTS, source="b[0] = measure $3;", **fields(0) | {"measuredQubits": [3, 5, 11]})
    assert_counts(read(shape(), result), 0)
    result = single_result(shots=SHOTS, **fields(0) | {"measuredQubits": [3, 5, 11]})
    assert_refused(shape(), result, "not those of the circuit")


@pytest.mark.parametrize("n_qubits", [1, 2, 7, 8, 9, 16, 17, 33, 63])
@pytest.mark.parametrize("separators", [COMPACT, SPACED])
def test_every_width_of_outcomes(n_qubits, separators):
    """From one qubit to 63, with few and with many outcomes, in more shots than are compared at once."""
    shots = 2500
    bits = RNG.integers(0, 2, (3, shots, n_qubits))
    bits[2, :, 1:] = 0
    entries = [
        executable(index, measurements=row.tolist(), measuredQubits=list(range(n_qubits)))
        for index, row in enumerate(bits)
    ]
    found = read(shape(3, n_qubits=n_qubits, shots=shots), set_result([program_result(entries)]), separators)
    weights = 1 << np.arange(n_qubits, dtype=np.uint64)
    for index, row in enumerate(bits.astype(np.uint64)):
        outcomes, counts = np.unique((row * weights).sum(axis=1, dtype=np.uint64), return_counts=True)
        span = slice(*found.blocks[0].counts.offsets[index : index + 2])
        np.testing.assert_array_equal(found.blocks[0].counts.outcomes[span], outcomes)
        np.testing.assert_array_equal(found.blocks[0].counts.counts[span], counts)


def test_debiased_probabilities_are_rounded():
    """They are those of no set of shots: the nearest counts are taken, if the task says that it is debiased."""
    shares = {"000": 0.30201, "100": 0.69799}
    debiased = single_result(shots=10, measurementProbabilities=shares, measuredQubits=QUBITS, parameters=DEBIASED)
    assert read(shape(shots=10), debiased).blocks[0].counts.row(0) == {"000": 3, "001": 7}
    plain = single_result(shots=10, measurementProbabilities=shares, measuredQubits=QUBITS)
    assert_refused(shape(shots=10), plain, "row 0: its probabilities are not those of 10 shots")


def test_probabilities_with_few_decimals():
    """Seven decimals are enough to tell 3,000 shots apart; four are not."""
    counts = RNG.multinomial(3000, np.arange(1, 9) / 36)
    for decimals, is_read in ((7, True), (4, False)):
        shares = {name: round(share, decimals) for name, share in frequencies_of(counts).items()}
        result = single_result(shots=3000, measurementProbabilities=shares, measuredQubits=QUBITS)
        if is_read:
            assert read(shape(shots=3000), result).blocks[0].counts.dense()[0].tolist() == counts.tolist()
        else:
            assert_refused(shape(shots=3000), result, "not those of 3000 shots")


@pytest.mark.parametrize("fields", [measured, told])
@pytest.mark.parametrize("separators", [COMPACT, SPACED])
def test_program_sets_inline(fields, separators):
    """Executables belong to rows by their number, whatever their order, and programs to blocks."""
    programs = [
        program_result([executable(index, **fields(index)) for index in (2, 0, 1)]),
        program_result([executable(0, **fields(3))]),
    ]
    result = set_result(programs)
    ProgramSetTaskResult.parse_obj(result)
    found = read(shape(3, 1), result, separators)
    assert_counts(found, 0, 1, 2)
    assert_counts(found, 3, block=1)
    assert not found.lost


def test_shots_end_where_they_end():
    """Pretty-printed ones, and short ones after long ones whose length happens to end with those of another."""
    entries = [executable(row, **measured(row)) for row in range(2)]
    body = json.dumps(set_result([program_result(entries)]), indent=1).encode()
    rest, texts = cut_shots(body)
    assert [json.loads(bytes(text)) for text in texts] == [entry["measurements"] for entry in entries]
    assert [entry["measurements"] for entry in json.loads(rest)["programResults"][0]["executableResults"]] == [0, 1]
    assert_counts(read_answer(shape(2), RawResult(encode_documents({RESULTS: body}))), 0, 1)
    short, between = b"[[0],[1]]", b'},{"measurements":'
    long = b"[[" + b"1" * (len(short + between + short) - 4) + b"]]"
    rest, texts = cut_shots(b'[{"measurements":' + between.join([long, short, short]) + b"}]")
    assert [bytes(text) for text in texts] == [long, short, short]
    assert [entry["measurements"] for entry in json.loads(rest)] == [0, 1, 2]


@pytest.mark.parametrize("indent", [None, 1])
def test_bits_may_be_texts(indent):
    """As the simulators of Amazon's SDK write them, whose own classes read both."""
    single = json.loads(json.dumps(measured(0)))
    texts = [[str(bit) for bit in shot] for shot in single["measurements"]]
    body = json.dumps(single_result(shots=SHOTS, **single | {"measurements": texts}), indent=indent).encode()
    GateModelTaskResult.parse_raw(body)
    assert_counts(read_answer(shape(1), RawResult(encode_documents({RESULTS: body}))), 0)
    texts[0][0] = "2"
    assert_refused(shape(1), single_result(shots=SHOTS, **single | {"measurements": texts}), "neither 0 nor 1")


def test_rows_without_inputs_are_programs_of_their_own():
    """Then there are more programs than blocks, and they follow each other."""
    programs = [program_result([executable(0, **measured(row))]) for row in (0, 1)]
    programs.append(program_result([executable(index, **measured(index)) for index in (0, 1, 2)]))
    found = read(shape(2, 3), set_result(programs))
    assert_counts(found, 0, 1)
    assert_counts(found, 0, 1, 2, block=1)
    assert_refused(shape(2, 2), set_result(programs), "3 rows of a block; 2 were sent")
    assert_refused(shape(2, 3, 1, 1), set_result(programs), "3 programs, less than were sent")
    assert_refused(shape(1, 1), set_result(programs), "3 programs; 2 were sent")


def in_parts():
    """A program set whose parts are objects of their own."""
    documents = {
        RESULTS: set_result(["programs/0/results.json"], "metadata.json", ["bucket", "tasks/1"]),
        "metadata.json": set_metadata([3]),
        "programs/0/results.json": program_result(["executables/0.json", "executables/1.json"], "program.json"),
        "programs/0/program.json": {"source": "b[0] = measure $1;"},
        "programs/0/executables/0.json": executable(1, **measured(1) | {"measuredQubits": [1, 2, 3]}),
        "programs/0/executables/1.json": executable(0, **measured(0) | {"measuredQubits": [1, 2, 3]}),
    }
    return {name: json.dumps(each).encode() for name, each in documents.items()}


def test_program_sets_in_parts():
    """The paths of missing parts are told, level by level, until nothing is missing; then they are read."""
    whole = in_parts()
    documents = {}
    levels = []
    while missing := missing_parts(documents):
        levels.append(missing)
        documents |= {name: whole[name] for name in missing}
    assert levels == [
        (RESULTS,),
        ("metadata.json", "programs/0/results.json"),
        ("programs/0/program.json", "programs/0/executables/0.json", "programs/0/executables/1.json"),
    ]
    assert location_of(documents) == ("bucket", "tasks/1")
    assert_counts(read(shape(2), documents), 0, 1)
    for name in whole.keys() - {RESULTS, "programs/0/program.json"}:
        assert_refused(shape(2), {other: body for other, body in whole.items() if other != name}, f"lacks {name}")


def test_results_without_parts_lack_none():
    """A task with one program, and a set that is inline."""
    inline = set_result([program_result([executable(0, **measured(0))])])
    for result in (single_result(shots=SHOTS, **measured(0)), inline):
        documents = {RESULTS: json.dumps(result).encode()}
        assert missing_parts(documents) == ()
        assert location_of(documents) is None
    assert missing_parts({TASK: b"{}"}) == (RESULTS,)


@pytest.mark.parametrize("path", ["../other/results.json", "/etc/passwd", "a//b", "a/./b", "", "a\\b", "é", "a\nb"])
def test_paths_that_lead_elsewhere(path):
    """A part is below the directory of its task."""
    documents = {RESULTS: json.dumps(set_result([path], set_metadata([1]))).encode()}
    with pytest.raises(InvalidResultError, match="is not the path of a part"):
        missing_parts(documents)


def test_failed_executables_are_lost_rows():
    """By reason, repeatable if Braket says so; the other rows are read."""
    entries = [
        failure(0),
        executable(1, **measured(1)),
        failure(2, reason="too\u202e long", is_retryable=False),
        failure(3),
    ]
    result = set_result([program_result(entries)])
    ProgramSetTaskResult.parse_obj(result)
    found = read(shape(4), result)
    assert_counts(found, 1)
    assert [(part.rows.tolist(), part.reason, part.is_repeatable) for part in found.lost[0]] == [
        ([0, 3], "DEVICE: no ions", True),
        ([2], "DEVICE: too\\u202e long", False),
    ]


def test_all_executables_failed():
    """Then there are no rows, and all are lost."""
    found = read(shape(2), set_result([program_result([failure(0), failure(1)])]))
    assert (found.blocks[0].n_rows, found.lost_in(0).tolist()) == (0, [0, 1])


def test_executables_that_only_the_metadata_tells_of():
    """One that was cancelled or failed has no entry of its own; one that nothing tells of is not invented."""
    metadata = set_metadata([0]) | {
        "programMetadata": [
            {
                "executables": [
                    {},
                    {"status": "CANCELLED"},
                    {"failureReason": "hot", "retryable": True, "category": "DEVICE"},
                ]
            }
        ]
    }
    found = read(shape(3), set_result([program_result([executable(0, **measured(0))])], metadata))
    assert_counts(found, 0)
    assert [(part.rows.tolist(), part.reason, part.is_repeatable) for part in found.lost[0]] == [
        ([1], "cancelled at Braket before it was run", False),
        ([2], "DEVICE: hot", True),
    ]
    assert_refused(shape(4), set_result([program_result([executable(0, **measured(0))])], metadata), "lack the exec")


def test_exact_parities():
    """By the qubits that each is of, in any order."""
    values = [(["z", "z"], [0, 2], 0.25), (["z"], [1], -1.0), (["i"], [0], 1.0)]
    results = [
        {"type": {"type": "expectation", "observable": letters, "targets": targets}, "value": value}
        for letters, targets, value in values
    ]
    found = read(exact_shape([0b010, 0, 0b101]), single_result(shots=0, resultTypes=results))
    assert found.blocks[0].values.tolist() == [[-1.0, 1.0, 0.25]]
    missing = single_result(shots=0, resultTypes=results[1:])
    assert_refused(exact_shape([0b010, 0b101]), missing, "lacks 1 of 2")


@pytest.mark.parametrize(
    ("metadata", "seconds"),
    [({"executionDuration": 5321}, 5.321), ({"executionDuration": 16, "noise": 1}, 3), ({"executionDuration": 0}, 3),
     ({"executionDuration": -1}, None), ({"executionDuration": "16"}, None), ({"executionDuration": 10**40}, None),
     ({}, None), (None, None), (7, None)],
)  # fmt: skip
def test_simulators_tell_the_time_that_is_charged(metadata, seconds):
    """At least three seconds; where that cannot be read the result is good all the same."""
    result = single_result(shots=SHOTS, **measured(0))
    result["additionalMetadata"]["simulatorMetadata"] = metadata
    found = read(shape(), result)
    assert found.usage == (None if seconds is None else report_usage(simulator_seconds=seconds))
    assert_counts(found, 0)
    assert read(shape(), single_result(shots=SHOTS, **measured(0))).usage is None


def test_exact_probabilities():
    """The first target is the highest bit at Braket, qubit 0 the lowest at qorch; parities follow from them."""
    table = np.random.default_rng(1).dirichlet(np.ones(8))
    for targets in ([0, 1, 2], [2, 0, 1], None):
        axes = [2 - qubit for qubit in targets or [0, 1, 2]]
        value = table.reshape(2, 2, 2).transpose(axes).ravel().tolist()
        result = single_result(
            shots=0, resultTypes=[{"type": {"type": "probability", "targets": targets}, "value": value}]
        )
        GateModelTaskResult.parse_obj(result)
        np.testing.assert_array_equal(read(exact_shape(), result).blocks[0].values, [table])
        masks = np.arange(9, dtype=np.uint64) % 8
        expected = reference_parities(table[np.newaxis], masks)
        np.testing.assert_allclose(read(exact_shape(masks), result).blocks[0].values, expected, atol=1e-14)


def test_exact_values_that_are_none():
    """Sums, ranges, sizes and kinds are checked; a set has no exact values."""

    def result(kind, value, **fields):
        return single_result(shots=0, resultTypes=[{"type": {"type": kind, **fields}, "value": value}])

    whole = exact_shape(n_qubits=1)
    assert_refused(whole, result("probability", [0.5, 0.6]), "sum to 1.1")
    assert_refused(whole, result("probability", [1.1, -0.1]), "negative")
    assert_refused(whole, result("probability", [1.0]), "not those of 1 qubits")
    assert_refused(whole, result("probability", 1.0), "not those of 1 qubits")
    assert_refused(whole, result("probability", [1.0, 0.0], targets=[1]), "not those of 1 qubits")
    assert_refused(whole, single_result(shots=0), "no probabilities")
    parity = exact_shape([1], n_qubits=1)
    for fields in ({"observable": ["x"], "targets": [0]}, {"observable": ["z"], "targets": [3]}, {}):
        assert_refused(parity, result("expectation", 0.5, **fields), "not asked for")
    assert_refused(parity, result("variance", 0.5, observable=["z"], targets=[0]), "not asked for")
    assert_refused(whole, set_result([program_result([executable(0, **measured(0))])]), "block 0, exact values")


ROW = measured(0)


@pytest.mark.parametrize(
    ("document", "match"),
    [
        (b"", "0 bytes that are not a result"),
        (b"\x80\x04\x95\x1b\x00\x00\x00\x00\x00\x00\x00}", "Python pickle, which is never loaded"),
        (b"[" * 100_000, "not a result"),
        (json.dumps(single_result(shots=SHOTS, **ROW)).encode()[:-40], "not a result"),
        ({"braketSchemaHeader": {"name": "braket.task_result.annealing_task_result"}}, "not a result of circuits"),
        (single_result(shots=SHOTS + 1, **ROW), "201 shots; 200 were asked for"),
        (single_result(shots=SHOTS, measuredQubits=QUBITS), "row 0: its probabilities cannot be read"),
        (single_result(shots=SHOTS, measurements=ROW["measurements"][1:], measuredQubits=QUBITS), "199 came back"),
        (single_result(shots=SHOTS, measurements=[[0, 1]] * SHOTS, measuredQubits=QUBITS), "has not 3 bits"),
        (single_result(shots=SHOTS, measurements=[[0, 1, 2]] * SHOTS, measuredQubits=QUBITS), "neither 0 nor 1"),
        (single_result(shots=SHOTS, measurements=7, measuredQubits=QUBITS), "where no executable is"),
        (single_result(shots=SHOTS, measurements=ROW["measurements"]), "measured qubits are None"),
        (single_result(shots=SHOTS, **ROW | {"measuredQubits": [0, 1, 1]}), "measured qubits are"),
        (single_result(shots=SHOTS, **ROW | {"measuredQubits": [0, 1]}), "measured qubits are"),
        (single_result(shots=SHOTS, **told(0) | {"measurementProbabilities": {"000": 0.5}}), "not those of 200 shots"),
        (single_result(shots=SHOTS, **told(0) | {"measurementProbabilities": {"00": 1.0}}), "has not 3 bits"),
        (single_result(shots=SHOTS, **told(0) | {"measurementProbabilities": {}}), "no outcomes"),
        (single_result(shots=SHOTS, **told(0) | {"measurementProbabilities": {"000": 1.5, "111": -0.5}}), "negative"),
        (set_result([program_result([executable(0, **ROW), executable(0, **ROW)])]), "there twice"),
        (set_result([program_result([executable(-1, **ROW)])]), "there twice, or is none"),
        (set_result([program_result([executable(0, **ROW), executable(1, **ROW)])]), "2 executables; 1 were sent"),
        (set_result([]), "0 programs, less than"),
    ],
)
def test_results_that_are_refused(document, match):
    """Nothing is filled in, dropped or guessed."""
    assert_refused(shape(), document, match)


def test_answers_of_other_jobs_and_damaged_ones():
    """Several rows are not the answer of one program; what was stored is checked, too."""
    assert_refused(shape(2), single_result(shots=SHOTS, **ROW), "one program; 2 rows were sent")
    assert_refused(shape(), RawResult(encode_documents({TASK: b"{}"})), "has no results.json")
    content = answer(single_result(shots=SHOTS, **ROW)).content
    for damaged in (b"", content[:-1], content + b"x", b"QIQA" + content[4:]):
        with pytest.raises(InvalidResultError):
            read_answer(shape(), RawResult(damaged))
    documents = {RESULTS: b"{}", "programs/ä": b""}
    assert decode_documents(encode_documents(documents)) == documents


def test_shots_are_never_taken_from_elsewhere():
    """A field named measurements that is in no executable, or twice in one, is not read as shots."""
    text = json.dumps(ROW["measurements"])
    good = json.dumps(single_result(shots=SHOTS, **ROW))
    twice = good.replace('"measurements":', f'"measurements": {text}, "measurements":', 1)
    assert_refused(shape(), twice.encode(), "twice in one")
    elsewhere = good.replace('"taskMetadata":', f'"other": {{"measurements": {text}}}, "taskMetadata":', 1)
    assert_refused(shape(), elsewhere.encode(), "where no executable is")
    quoted = single_result(shots=SHOTS, source='x "measurements":[[0]]', **ROW)
    assert_counts(read(shape(), quoted), 0)


@pytest.mark.serial
@pytest.mark.flaky(reruns=2)
def test_a_packed_execution_costs_microseconds(slowness):
    """Encoding and reading 100 rows of 8 qubits, 64 angles and 1,024 shots: 90 µs of CPU a row at most."""
    layer = [("ry", (qubit,), (None,)) for qubit in range(8)] + [("cx", (q, (q + 1) % 8), ()) for q in range(8)]
    block = block_of(gate_list(8, *layer * 8), RNG.normal(size=(100, 64)), shots=1024)
    request = request_of(block)
    bits = RNG.integers(0, 2, (100, 1024, 8))
    entries = [executable(row, measurements=bits[row].tolist(), measuredQubits=list(range(8))) for row in range(100)]
    source = encode(request, device_of())["action"]["programs"][0]
    document = json.dumps(set_result([program_result(entries, source)])).encode()
    named = {"key": KEY, "device": device_of(), "options": SV1, "destination": DESTINATION}
    seconds = []
    for _ in range(12):
        started = time.process_time()
        encode_task(request, **named)
        assert missing_parts({RESULTS: document}) == ()
        read_answer(request.shape, RawResult(encode_documents({RESULTS: document})))
        seconds.append(time.process_time() - started)
    assert min(seconds) / 100 <= 90e-6 * slowness(), f"{min(seconds) / 100 * 1e6:.1f} µs"


def run_in_sdk(body):
    """Amazon's simulator executes the action as it is sent; the text of its result."""
    kind = ProgramSet if "programs" in body["action"] else Program
    parsed = kind.parse_raw(json.dumps(body["action"]))
    result = StateVectorSimulator().run(parsed, shots=body["shots"])
    for each in getattr(result, "resultTypes", None) or []:
        each.value = np.asarray(each.value).tolist()
    return result.json().encode()


@pytest.mark.parametrize("seed", range(6))
def test_the_sdks_simulator_end_to_end(seed):
    """What is sent, run by Amazon's simulator and read back, has the distributions of the reference, in any basis."""
    rng = np.random.default_rng(seed)
    names = list(GATE_SETS)
    blocks = []
    for _ in range(2):
        gates = random_gates(rng, 3, 8)
        angles = rng.uniform(-7, 7, (int(rng.integers(1, 3)), gates.n_columns))
        blocks.append(block_of(gates, angles, basis="".join(rng.choice(list("XYZ"), 3)), shots=400))
    request = request_of(*blocks)
    body = run_in_sdk(encode(request, device_of(names[seed % len(names)])))
    result = verify_result(request.shape, read_answer(request.shape, answer(body)))
    for block, found in zip(blocks, result.blocks, strict=True):
        expected = reference_probabilities(block.gates, block.angles, basis=block.measurement.basis)
        for row in range(block.n_rows):
            assert chi_square_sigmas(found.counts.dense()[row], expected[row]) < 5.0


@pytest.mark.parametrize("masks", [None, [0b101, 0, 0b010], list(range(9))])
def test_the_sdks_exact_values_end_to_end(masks):
    """Exact probabilities and parities of Amazon's simulator are those of the reference."""
    rng = np.random.default_rng(8)
    gates = random_gates(rng, 3, 12)
    row = rng.uniform(-7, 7, (1, gates.n_columns))
    basis = block_of(gates, row, basis="YXZ").measurement.basis
    wanted = None if masks is None else np.array(masks, dtype=np.uint64)
    request = request_of(RowBlock(gates, Measurement(basis, is_exact=True, masks=wanted), row, None))
    body = run_in_sdk(encode(request, device_of()))
    result = verify_result(request.shape, read_answer(request.shape, answer(body)))
    expected = reference_probabilities(gates, row, basis=basis)
    if wanted is not None:
        expected = reference_parities(expected, wanted)
    np.testing.assert_allclose(result.blocks[0].values, expected, atol=1e-10)
