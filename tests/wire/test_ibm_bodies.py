"""Bodies of IBM's jobs: one for whole gradients, with key, label and limits; what cannot be sent is refused before."""

import json

import numpy as np
import pytest
from ibm_circuits import COMPILER, KEY, body_of, device_of, options_of, read_body
from ionq_circuits import block_of, gate_list, request_of

from qorch.errors import CircuitError, ParameterError, ShotsError, UnknownNameError, UsageError
from qorch.model.job import JobRequest
from qorch.model.label import JobLabel
from qorch_providers.ibm.circuits.job_body import encode_job, measure_usage
from qorch_providers.ibm.circuits.limits import check_circuit, rows_per_job
from qorch_providers.ibm.circuits.sizes import MAX_BODY_BYTES, randomizations
from qorch_providers.ibm.device import check_device, read_device
from qorch_providers.ibm.labels import MAX_CHARACTERS, MAX_TAGS, key_tag, read_tags, tags_of

GATES = gate_list(2, ("ry", (0,), (None,)), ("rzz", (0, 1), (None,)), ("rx", (1,), (None,)))
FEZ = device_of()


def job(n_rows=2, *, basis="ZZ", shots=100):
    """One block."""
    return request_of(block_of(GATES, np.zeros((n_rows, 3)), basis=basis, shots=shots))


def rows(gates=GATES, text="ibm_fez", *, shots):
    """How many rows one job holds."""
    measurement = block_of(gates, np.zeros((1, gates.n_columns)), shots=10).measurement
    return rows_per_job(gates, measurement, device=FEZ, options=options_of(text), compiler=COMPILER, shots=shots)


def test_a_whole_gradient_is_one_job():
    """2,080 rows in two bases are two PUBs of one job, each circuit there once."""
    angles = np.random.default_rng(0).uniform(-3, 3, (1040, 3))
    body = body_of(request_of(*[block_of(GATES, angles, basis=basis) for basis in ("ZZ", "XX")]), FEZ, options_of())
    sent = read_body(body)
    assert [values.shape[0] for _, values, _ in sent] == [1040, 1040]
    assert len(body) < 100_000


def test_what_surrounds_the_circuits():
    """Device, program, tags, the longest time on the device, which budgets reserve; its session is no part of it."""
    label = JobLabel(job_id="run/0.0.0", rows="0:0-1", digest="d" * 64, context="e" * 64)
    request = JobRequest("run/0.0.0", job().blocks, label)
    options = options_of("ibm_fez,max_time=77,rep_delay=0.0002")
    arguments = {"key": KEY, "device": FEZ, "options": options, "compiler": COMPILER}
    body = json.loads(encode_job(request, **arguments))
    assert (body["program_id"], body["backend"], body["cost"]) == ("executor", "ibm_fez", 77)
    seconds = measure_usage(request, device=FEZ, options=options, compiler=COMPILER).seconds
    assert seconds is not None
    assert seconds.high == 77
    assert body["params"]["options"] == {"init_qubits": True, "rep_delay": 0.0002}
    assert body["tags"][0] == key_tag(KEY)
    assert read_tags(body["tags"]) == (KEY, label)
    assert "session_id" not in body


def test_suppression_is_asked_of_the_sampler():
    """dd= and twirling= choose the program that knows them, and divide the shots evenly."""
    body = json.loads(body_of(job(shots=1000), FEZ, options_of("ibm_fez,dd=XY4,twirling=measure")))
    assert body["program_id"] == "sampler"
    assert body["params"]["options"] == {
        "default_shots": 1000,
        "execution": {"init_qubits": True},
        "dynamical_decoupling": {"enable": True, "sequence_type": "XY4"},
        "twirling": {
            "enable_gates": False, "enable_measure": True, "num_randomizations": 25, "shots_per_randomization": 40,
        },
    }  # fmt: skip


@pytest.mark.parametrize(("shots", "parts"), [(1, 1), (7, 7), (32, 32), (1024, 32), (1000, 25), (96, 32)])
def test_randomizations_divide_the_shots(shots, parts):
    """As many random circuits as divide the shots, up to 32."""
    assert randomizations(shots) == parts


@pytest.mark.parametrize(
    ("request_", "text", "error", "words"),
    [
        (request_of(*job(shots=5).blocks, *job(shots=6).blocks), "", CircuitError, "one number of shots"),
        (job(0), "", CircuitError, "at least one row"),
        (job(3), ",rows=2", CircuitError, "rows=2"),
        (job(101, shots=100_000), "", ShotsError, "10100000"),
        (job(shots=None), "", CircuitError, "no exact values"),
        (job(shots=1009), ",twirling=all", ShotsError, "multiple of 32"),
        (job(), ",layout=7", CircuitError, "layout= names 1"),
        (request_of(block_of(GATES, [[0.0, np.nan, 0.0]])), "", ParameterError, "row 0 is not finite"),
    ],
)
def test_jobs_that_cannot_be_sent(request_, text, error, words):
    """A job that IBM would refuse is not encoded."""
    with pytest.raises(error, match=words):
        body_of(request_, FEZ, options_of(f"ibm_fez{text}"))


def test_a_circuit_that_is_too_wide():
    """The message names both numbers of qubits; more than 63 cannot be read on any device."""
    for record, n_qubits, words in (("lagos", 8, "8 qubits; ibm_lagos has 7"), ("fez", 64, "at most 63")):
        gates = gate_list(n_qubits)
        measurement = block_of(gates, np.zeros((1, 0))).measurement
        with pytest.raises(CircuitError, match=words):
            check_circuit(gates, measurement, device=device_of(record), options=options_of(), compiler=COMPILER)


def test_how_many_rows_a_job_holds():
    """Executions, the body and the answer bound a job; the option bounds it further."""
    assert rows(text="ibm_fez,max_time=10800", shots=1024) == 9765
    assert rows(text="ibm_fez,max_time=10800", shots=10_000_000) == 1
    assert rows(text="ibm_fez,rows=50", shots=1024) == 50
    large = gate_list(4, *(("ry", (place % 4,), (None,)) for place in range(800)))
    most = rows(large, shots=1)
    angles = np.random.default_rng(1).uniform(-3, 3, (most, 800))
    body = body_of(request_of(block_of(large, angles, shots=1)), FEZ, options_of())
    assert 0.5 * MAX_BODY_BYTES < len(body) <= MAX_BODY_BYTES


def test_no_job_is_larger_than_its_time_allows():
    """By IBM's formula: 2 s, and 0.35 ms for each shot, of which 0.25 ms are the delay that an option may change."""
    assert rows(shots=1024) == 3342
    assert rows(text="ibm_fez,max_time=30", shots=1024) == 78
    assert rows(text="ibm_fez,max_time=30,rep_delay=0", shots=1024) == 273
    with pytest.raises(
        CircuitError, match="10000000 shots needs more time of ibm_fez than max_time=1200 s allows: raise"
    ):
        rows(shots=10_000_000)


def test_usage_counts_gates_as_they_are_sent():
    """The compiled circuit's gates count, times the shots of all rows."""
    usage = measure_usage(job(3, shots=10), device=FEZ, options=options_of(), compiler=COMPILER)
    isa = COMPILER.compile(GATES, device=FEZ, options=options_of())
    assert (usage.executions, usage.shots) == (3, 30)
    assert usage.two_qubit_gate_shots == 30 * isa.n_two_qubit > 0
    assert usage.one_qubit_gate_shots == 30 * isa.n_one_qubit > 0


@pytest.mark.parametrize("length", [0, 5, 100, 284, 285, 400])
def test_labels_come_back_from_tags(length):
    """A label is kept in at most 8 tags of 86 characters; rows that do not fit are left out."""
    label = JobLabel(
        "run/12.0.3", "0:" + "1,2;3:4-5,"[: length % 10] + "7" * (length - length % 10), "d" * 64, "c" * 64
    )
    tags = tags_of(KEY, label)
    assert len(tags) <= MAX_TAGS
    assert max(map(len, tags)) <= MAX_CHARACTERS
    key, found = read_tags(list(reversed(tags)))
    assert key == KEY
    assert found == (label if len(label.rows) <= 284 else JobLabel(label.job_id, None, label.digest, label.context))


@pytest.mark.parametrize(
    "tags", [[], ["other"], ["qorch-key:x"], [key_tag(KEY), key_tag("0" * 64)], ["qorch-rows-1/2:0:1"], ["qorch-rows-"]]
)
def test_foreign_and_damaged_tags(tags):
    """Tags of others, or ours in part, give neither key nor label."""
    assert read_tags(tags) == (None, JobLabel())


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", UnknownNameError, "ibm has no device ''"),
        ("ibm-fez", UnknownNameError, "such as ibm_fez"),
        ("ibm_fez,speed=1", UnknownNameError, "optimization=0..3"),
        ("ibm_fez,optimization=4", UsageError, "from 0 to 3"),
        ("ibm_fez,layout=1-1", UsageError, "twice"),
        ("ibm_fez,layout=a", UsageError, "such as 0-1-3"),
        ("ibm_fez,max_time=20000", UsageError, "10800"),
        ("ibm_fez,program=executor,dd=XX", UsageError, "leave program=executor out"),
        ("ibm_fez,fractional=on,twirling=gates", UsageError, "cannot twirl fractional gates"),
        ("fake_fez,max_time=5,dd=XX", UsageError, "has no option dd, max_time"),
    ],
)
def test_options_that_cannot_be(text, error, words):
    """Every wrong option is refused by name, with what to write."""
    with pytest.raises(error, match=words):
        options_of(text)


@pytest.mark.parametrize(
    ("record", "text", "words"),
    [
        ("fez", "ibm_fez,fractional=on", "no fractional gates"),
        ("fez", "ibm_fez,layout=3-156", "qubits 0 to 155"),
        ("fez", "ibm_fez,rep_delay=0.1", "from 0 to 0.0005 seconds"),
        ("almaden", "ibm_almaden", "no rz and sx"),
        ("armonk", "ibm_armonk,rep_delay=0.1", "leave rep_delay= out"),
    ],
)
def test_options_that_the_device_does_not_have(record, text, words):
    """They are refused once the device is known."""
    with pytest.raises(UsageError, match=words):
        check_device(device_of(record), options_of(text))


@pytest.mark.parametrize("documents", [(b"", b""), (b"{}", b""), (b"[1]", b"{}"), (b"{", b"{}"), (b"{}", b"\xff")])
def test_devices_that_cannot_be_read(documents):
    """What is no configuration is refused."""
    with pytest.raises(Exception, match="cannot be read"):
        read_device(*documents)
