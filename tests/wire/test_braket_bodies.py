"""Bodies of CreateQuantumTask: what Amazon's own schemas accept, one program set for all rows, equal at every call."""

import json

import botocore.session
import numpy as np
import pytest
from botocore.validate import validate_parameters
from braket.device_schema.common.gate_model_device_parameters_v1 import GateModelDeviceParameters
from braket.device_schema.ionq import IonqDeviceParameters
from braket.device_schema.iqm import IqmDeviceParameters
from braket.error_mitigation import Debias
from braket.ir.openqasm import Program, ProgramSet
from braket_circuits import DESTINATION, GATE_SETS, KEY, SV1, device_of, encode
from ionq_circuits import block_of, gate_list, random_gates, request_of

from qorch.errors import CircuitError, ParameterError, ShotsError, UsageError
from qorch.model.job import JobRequest, Usage
from qorch.model.label import JobLabel
from qorch_providers.braket.circuits.durations import MOST_SECONDS
from qorch_providers.braket.circuits.limits import MAX_BODY_BYTES, check_circuit, check_device, rows_per_job
from qorch_providers.braket.circuits.task_body import Destination, encode_task, locate_row, measure_usage
from qorch_providers.braket.device import ProgramSetLimits
from qorch_providers.braket.options import parse_options

ROTATED = gate_list(2, ("ry", (0,), (None,)), ("cx", (0, 1), ()), ("rz", (1,), (None,)))
BELL = gate_list(2, ("h", (0,), ()), ("cx", (0, 1), ()))
ANGLES = np.array([[0.1, -2.0], [1.0, 1e-7], [3.0, 0.25]])
SERVICE = botocore.session.get_session().get_service_model("braket").operation_model("CreateQuantumTask").input_shape


def assert_accepted(body):
    """By the service's own model, and the action by Amazon's schema."""
    texts = {name: json.dumps(body[name]) for name in ("action", "deviceParameters") if name in body}
    report = validate_parameters(body | texts, SERVICE)
    assert not report, report
    kind = ProgramSet if "programs" in body["action"] else Program
    assert json.loads(kind.parse_raw(texts["action"]).json(exclude_none=True)) == body["action"]


def test_one_row_is_a_program():
    """Its numbers are inputs, its shots those of the row."""
    body = encode(request_of(block_of(ROTATED, ANGLES[:1])), device_of())
    assert_accepted(body)
    assert body["action"]["inputs"] == {"a0": 0.1, "a1": -2.0}
    assert {name: body[name] for name in body if name not in ("action", "tags")} == {
        "clientToken": KEY,
        "deviceArn": "arn:aws:braket:::device/quantum-simulator/amazon/sv1",
        "shots": 100,
        "outputS3Bucket": DESTINATION.bucket,
        "outputS3KeyPrefix": "tasks/qorch-0123456789abcdef",
    }


def test_several_rows_are_one_program_set():
    """One program for each block, with a list for each input, and the shots of all rows together."""
    request = request_of(block_of(ROTATED, ANGLES), block_of(ROTATED, ANGLES[:1], basis="XY"))
    body = encode(request, device_of())
    assert_accepted(body)
    first, second = body["action"]["programs"]
    assert first["inputs"] == {"a0": [0.1, 1.0, 3.0], "a1": [-2.0, 1e-7, 0.25]}
    assert second["inputs"] == {"a0": [0.1], "a1": [-2.0]}
    assert body["shots"] == 400


def test_rows_without_numbers_are_a_program_each():
    """Nothing but the programs would tell how many there are; rows are found by Braket's numbers for them."""
    request = request_of(block_of(BELL, np.empty((3, 0))), block_of(ROTATED, ANGLES))
    body = encode(request, device_of())
    assert_accepted(body)
    assert ["inputs" in each for each in body["action"]["programs"]] == [False, False, False, True]
    named = {"device": device_of(), "options": SV1}
    assert locate_row(request, program=2, inputs=0, **named) == (0, 2)
    assert locate_row(request, program=3, inputs=1, **named) == (1, 1)
    for program, inputs in ((3, 3), (4, 0)):
        with pytest.raises(IndexError):
            locate_row(request, program=program, inputs=inputs, **named)


@pytest.mark.parametrize("name", GATE_SETS)
def test_random_bodies_are_accepted(name):
    """Any gates, in any gate set: Amazon's schema reads every body back, alone and in a set."""
    for seed in range(12):
        rng = np.random.default_rng(seed)
        gates = random_gates(rng, 3, 10)
        angles = rng.normal(scale=3.0, size=(int(rng.integers(1, 5)), gates.n_columns))
        assert_accepted(encode(request_of(block_of(gates, angles, basis="XYZ")), device_of(name)))


def test_exact_values_have_no_shots():
    """One program whose pragmas ask for the values; rows of them are never packed."""
    body = encode(request_of(block_of(ROTATED, ANGLES[:1], shots=None)), device_of())
    assert_accepted(body)
    assert body["shots"] == 0
    with pytest.raises(CircuitError, match=r"3 rows; SV1 takes at most 1"):
        encode(request_of(block_of(ROTATED, ANGLES, shots=None)), device_of())
    with pytest.raises(CircuitError, match="no exact values"):
        encode(request_of(block_of(ROTATED, ANGLES[:1], shots=None)), device_of(has_exact_values=False))


def test_the_same_bytes_at_every_call():
    """The engine compares a digest before it sends a task again."""
    request = JobRequest("run/1.0.0", (block_of(ROTATED, ANGLES),), JobLabel("run/1.0.0", "0:0-2", "ab", "cd"))
    named = {"key": KEY, "device": device_of(), "options": SV1, "destination": DESTINATION}
    assert encode_task(request, **named) == encode_task(request, **named)
    assert json.loads(encode_task(request, **named))["tags"] == {
        "qorch-key": KEY,
        "qorch-job": "run/1.0.0".replace("/", "=2F"),
        "qorch-rows": "0:0-2",
        "qorch-digest": "ab",
        "qorch-context": "cd",
    }


def test_hybrid_jobs_and_bare_buckets():
    """A hybrid job's token goes with the task; without a prefix the name of the task is the whole prefix."""
    body = encode(request_of(block_of(BELL, [[]])), device_of(), destination=Destination("bucket", "", "token"))
    assert_accepted(body)
    assert (body["jobToken"], body["outputS3KeyPrefix"]) == ("token", "qorch-0123456789abcdef")


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ("braket.device_schema.ionq.ionq_device_capabilities", IonqDeviceParameters),
        ("braket.device_schema.iqm.iqm_device_capabilities", IqmDeviceParameters),
        ("braket.device_schema.aqt.aqt_device_capabilities", GateModelDeviceParameters),
    ],
)
def test_device_parameters_are_those_of_the_sdk(schema, kind):
    """Rewiring off and debiasing on, in the schema of the device; none of it unless an option asks."""
    device = device_of("forte", schema=schema, min_debiased_shots=50, can_keep_qubits=True)
    request = request_of(block_of(ROTATED, ANGLES[:1]))
    body = encode(request, device, parse_options("garnet,rewiring=off"))
    assert_accepted(body)
    parsed = kind.parse_raw(json.dumps(body["deviceParameters"]))
    assert json.loads(parsed.json(exclude_none=True)) == body["deviceParameters"]
    assert (parsed.paradigmParameters.qubitCount, parsed.paradigmParameters.disableQubitRewiring) == (2, True)
    if kind is IonqDeviceParameters:
        debiased = encode(request, device, parse_options("forte-1,debiasing=on"))["deviceParameters"]
        assert debiased["errorMitigation"] == Debias().serialize()
    assert "deviceParameters" not in encode(request, device)


def test_shots_that_a_device_does_not_run():
    """Of each row, of a set, and with debiasing: the limit is named before anything is sent."""
    request = request_of(block_of(ROTATED, ANGLES))
    with pytest.raises(ShotsError, match="from 200 to 100000"):
        encode(request, device_of(min_shots=200))
    with pytest.raises(ShotsError, match="from 1 to 50"):
        encode(request, device_of(max_shots=50))
    for limits in (ProgramSetLimits(100, 299), ProgramSetLimits(100, 1000, 301)):
        with pytest.raises(ShotsError, match="300 shots; a program set"):
            encode(request, device_of(program_sets=limits))
    debiased = parse_options("forte-1,debiasing=on")
    with pytest.raises(ShotsError, match="from 2500"):
        encode(request_of(block_of(ROTATED, ANGLES[:1])), device_of(min_debiased_shots=2500), debiased)


def test_tasks_that_hold_too_much():
    """Different shots, more rows than executables, or rows without program sets."""
    with pytest.raises(CircuitError, match="one number of shots"):
        encode(request_of(block_of(ROTATED, ANGLES), block_of(BELL, [[]], shots=5)), device_of())
    with pytest.raises(CircuitError, match="one number of shots and at least one row"):
        encode(request_of(), device_of())
    for device in (device_of(program_sets=None), device_of(program_sets=ProgramSetLimits(2, 1000))):
        with pytest.raises(CircuitError, match="3 rows"):
            encode(request_of(block_of(ROTATED, ANGLES)), device)


def test_angles_that_are_not_finite():
    """JSON has no infinity; the row is named."""
    with pytest.raises(ParameterError, match="row 1"):
        encode(request_of(block_of(ROTATED, [[1.0, 2.0], [np.inf, 0.0]])), device_of())


def test_rows_per_job_keeps_every_limit():
    """Executables, the option, total shots, answers and bytes; 1 for exact values, debiasing and without sets."""
    block = block_of(ROTATED, ANGLES)

    def rows(shots=100, text="sv1", gates=ROTATED, measurement=block.measurement, **changes):
        named = {"device": device_of(**changes), "options": parse_options(text), "shots": shots}
        return rows_per_job(gates, measurement, **named)

    assert rows() == rows(shots=None) == 100
    assert rows(text="sv1,rows=7") == 7
    assert rows(shots=20_000) == 10
    assert rows(shots=300_000) == 1
    assert rows(program_sets=None) == rows(text="forte-1,debiasing=on") == 1
    assert rows(shots=None, measurement=block_of(ROTATED, ANGLES[:1], shots=None).measurement) == 1
    endless = ProgramSetLimits(10**6, 10**12)
    assert rows(shots=100_000, program_sets=endless) == 31
    wide = gate_list(2, *[("rx", (0,), (None,))] * 3000)
    most = rows(shots=1, gates=wide, program_sets=endless)
    body = encode_task(
        request_of(*[block_of(wide, np.full((1, 3000), -2.2250738585072014e-308), shots=1)] * most),
        key=KEY, device=device_of(program_sets=endless), options=SV1, destination=DESTINATION,
    )  # fmt: skip
    assert 0.6 * MAX_BODY_BYTES < len(body) <= MAX_BODY_BYTES


def test_circuits_that_no_task_can_hold():
    """Width, length and distributions have limits, which the errors name."""
    named = {"options": SV1, "device": device_of()}
    z_of = lambda n, shots=1: block_of(gate_list(n), np.empty((1, 0)), shots=shots).measurement  # noqa: E731
    check_circuit(gate_list(34), z_of(34), **named)
    with pytest.raises(CircuitError, match="35 qubits; SV1 has 34"):
        check_circuit(gate_list(35), z_of(35), **named)
    with pytest.raises(CircuitError, match=r"SV1 has 108, and qorch reads outcomes of at most 63"):
        check_circuit(gate_list(64), z_of(64), device=device_of(n_qubits=108), options=SV1)
    with pytest.raises(CircuitError, match="at most 20 qubits are read"):
        check_circuit(gate_list(21), z_of(21, None), **named)
    long = gate_list(1, *[("rx", (0,), (None,))] * 90_000)
    with pytest.raises(CircuitError, match="make the circuit shorter"):
        check_circuit(long, z_of(1), **named)


def test_options_that_a_device_lacks():
    """Each is named, with what to leave out."""
    for text, told in (
        ("garnet,rewiring=off,verbatim=on", "verbatim"),
        ("garnet,rewiring=off", "rewiring"),
        ("forte-1,debiasing=on", "debiasing"),
    ):
        with pytest.raises(UsageError, match=f"leave {told}="):
            check_device(device_of(), parse_options(text))
    able = device_of(has_verbatim_boxes=True, can_keep_qubits=True, min_debiased_shots=1)
    check_device(able, parse_options("garnet,rewiring=off,verbatim=on,debiasing=on"))


def test_usage_counts_gates_as_they_are_sent():
    """A gate that is rewritten counts as what it became; exact values take no shots; a QPU is not billed by time."""
    request = request_of(block_of(gate_list(2, ("cz", (0, 1), ())), np.empty((3, 0))))
    machine, forte = device_of(is_simulator=False), device_of("forte", is_simulator=False)
    assert measure_usage(request, device=machine, options=SV1) == Usage(3, 300, 0, 300)
    assert measure_usage(request, device=forte, options=SV1) == Usage(3, 300, 600, 300)
    exact = request_of(block_of(BELL, [[]], shots=None))
    assert measure_usage(exact, device=machine, options=SV1) == Usage(1, 0, 0, 0)
    debiased = measure_usage(request, device=forte, options=parse_options("forte-1,debiasing=on"))
    assert debiased == Usage(3, 300, 600, 300, is_mitigated=True)


def test_simulators_are_measured_by_time():
    """An estimate that grows with gates, qubits and shots, twice the qubits for density matrices, up to the limit."""

    def seconds(n_qubits, arn="sv1", gates=1):
        block = block_of(gate_list(n_qubits, *[("cz", (0, 1), ())] * gates), np.empty((1, 0)))
        found = measure_usage(request_of(block), device=device_of(arn=arn), options=SV1).seconds
        assert 0.0 <= found.low <= found.expected <= found.high <= MOST_SECONDS
        return found

    small, wide, long = seconds(2), seconds(30), seconds(30, gates=50)
    assert small.high == 3.0  # what is billed anyway
    assert small.expected < wide.expected < long.expected
    assert seconds(15, arn="x/dm1").expected == pytest.approx(wide.expected)
    assert seconds(34, gates=2000).expected == MOST_SECONDS
