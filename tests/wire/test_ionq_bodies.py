"""The bodies of POST /jobs: shapes, settings, limits."""

import json

import numpy as np
import pytest
from ionq_circuits import block_of, gate_list, random_gates, request_of, samples, with_samples

from qorch.errors import CircuitError, ShotsError
from qorch_providers.ionq.circuits.job_body import check_gates, encode_job
from qorch_providers.ionq.circuits.limits import rows_per_job
from qorch_providers.ionq.options import parse_options

KEY = "0123456789abcdef" * 4
BELL = gate_list(2, ("ry", (0,), (None,)), ("cx", (0, 1), ()))
THREE = gate_list(3, ("rx", (2,), (None,)))


def body(text, *blocks):
    """The decoded body of a job."""
    return json.loads(encode_job(request_of(*blocks), key=KEY, options=parse_options(text)))


def test_one_row_is_a_circuit_job():
    """The whole body, field by field."""
    assert body("simulator,noise=aria-1", block_of(BELL, [[0.3]], shots=1000)) == {
        "type": "ionq.circuit.v1",
        "name": "qorch 0123456789abcdef",
        "backend": "simulator",
        "shots": 1000,
        "metadata": {"qorch_key": KEY},
        "noise": {"model": "aria-1"},
        "input": {
            "gateset": "qis",
            "qubits": 2,
            "circuit": [
                {"gate": "ry", "target": 0, "rotation": 0.3},
                {"gate": "cnot", "control": 0, "target": 1},
            ],
        },
    }


def test_more_rows_are_a_multi_circuit_job():
    """Blocks of different circuits, sizes and bases go side by side, rows in order, each with its own qubits."""
    found = body("simulator", block_of(BELL, [[0.1], [0.2]]), block_of(THREE, [[0.5]], basis="XZY"))
    assert found["type"] == "ionq.multi-circuit.v1"
    assert found["input"]["qubits"] == 3
    assert "circuit" not in found["input"]
    circuits = found["input"]["circuits"]
    assert [circuit["qubits"] for circuit in circuits] == [2, 2, 3]
    assert [circuit["circuit"][0]["rotation"] for circuit in circuits] == [0.1, 0.2, 0.5]
    assert circuits[2]["circuit"][1:] == [
        {"gate": "h", "target": 0},
        {"gate": "si", "target": 2},
        {"gate": "h", "target": 2},
    ]


def test_the_old_protocol_has_a_body_of_its_own():
    """Version 0.3: target, format, debias at the top."""
    text = "qpu.aria-1,version=v0.3,debiasing=on"
    found = body(text, block_of(BELL, [[0.1], [0.2]], shots=500))
    circuits = found["input"].pop("circuits")
    assert [circuit["circuit"][0]["rotation"] for circuit in circuits] == [0.1, 0.2]
    assert found == {
        "name": "qorch 0123456789abcdef",
        "target": "qpu.aria-1",
        "shots": 500,
        "metadata": {"qorch_key": KEY},
        "error_mitigation": {"debias": True},
        "input": {"format": "ionq.circuit.v0", "gateset": "qis", "qubits": 2},
    }
    assert body(text, block_of(BELL, [[0.1]], shots=500))["input"]["circuit"][0]["rotation"] == 0.1


def test_machines_are_told_not_to_debias_unless_it_is_wanted():
    """They would do it by themselves from 500 shots on, and a debiased histogram is not counts."""
    row = block_of(BELL, [[0.1]], shots=500)
    assert body("qpu.forte-1", row)["settings"] == {"error_mitigation": {"debiasing": False}}
    assert body("qpu.forte-1,debiasing=on", row)["settings"] == {"error_mitigation": {"debiasing": True}}
    assert "settings" not in body("simulator", row)
    assert body("qpu.aria-1,version=v0.3", row)["error_mitigation"] == {"debias": False}


def test_dry_runs_and_the_native_gate_set_are_said():
    """Both where they were asked for, and neither elsewhere."""
    found = body("qpu.forte-1,gateset=native,dry_run=on", block_of(BELL, [[0.1]]))
    assert found["dry_run"] is True
    assert found["input"]["gateset"] == "native"
    assert {gate["gate"] for gate in found["input"]["circuit"]} <= {"gpi", "gpi2", "zz"}
    assert "dry_run" not in body("qpu.forte-1", block_of(BELL, [[0.1]]))


def test_noise_seeds_differ_from_job_to_job_and_repeat_with_it():
    """The same rows get the same seed, other rows and later shots another, all within 31 bits."""
    row = block_of(BELL, [[0.1]])
    others = [
        with_samples(row, offset=100),
        with_samples(row, streams=row.samples.streams + np.uint64(1)),
        with_samples(row, ordinals=row.samples.ordinals + np.uint64(1)),
    ]
    seeds = [body("simulator,noise=aria-1,seed=7", block)["noise"]["seed"] for block in (row, row, *others)]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 4
    assert all(0 < seed < 2**31 for seed in seeds)


def test_angles_come_back_bit_for_bit():
    """The decimals are the shortest that read back as the same float64."""
    angles = np.random.default_rng(0).normal(size=(200, 1)) * 10.0 ** np.arange(-100, 100)[:, np.newaxis]
    found = body("simulator", block_of(BELL, angles))["input"]["circuits"]
    assert [circuit["circuit"][0]["rotation"] for circuit in found] == angles[:, 0].tolist()


def test_exact_rows_go_to_the_ideal_simulator_only():
    """They have no number of shots, but a job must have one."""
    exact = block_of(BELL, [[0.1]], shots=None)
    assert body("simulator", exact)["shots"] == 1
    for text in ("qpu.forte-1", "simulator,noise=aria-1"):
        with pytest.raises(CircuitError, match="exact"):
            body(text, exact)


def test_what_no_job_can_hold_is_refused():
    """Two numbers of shots, too many or too few shots, no rows, too many circuits or gates."""
    row = block_of(BELL, [[0.1]])
    with pytest.raises(CircuitError, match="one number of shots"):
        body("simulator", row, with_samples(row, shots=7))
    with pytest.raises(CircuitError, match="at least one row"):
        body("simulator", block_of(BELL, np.empty((0, 1))))
    for text, shots in (("simulator", 0), ("simulator", 1_000_001), ("qpu.forte-1,debiasing=on", 499)):
        with pytest.raises(ShotsError, match=str(shots)):
            body(text, with_samples(row, shots=shots))
    with pytest.raises(CircuitError, match="5001 circuits"):
        body("simulator", block_of(BELL, np.zeros((5001, 1))))
    long = gate_list(1, *[("h", (0,), ())] * 300)
    with pytest.raises(CircuitError, match="gates"):
        body("simulator", block_of(long, np.empty((501, 0))))


@pytest.mark.parametrize("text", ["simulator", "simulator,gateset=native", "qpu.forte-1,gateset=native"])
def test_the_largest_job_is_within_all_limits(text):
    """As many rows as are said to fit do fit, and some more would break a limit."""
    gates = random_gates(np.random.default_rng(1), 4, 60)
    options = parse_options(text)
    n_rows = rows_per_job(gates, samples(4, "XYXY"), options)
    angles = np.random.default_rng(2).normal(size=(n_rows, gates.n_columns))
    content = encode_job(request_of(block_of(gates, angles, basis="XYXY")), key=KEY, options=options)
    entries = json.loads(content)["input"]["circuits"]
    n_gates = sum(len(entry["circuit"]) for entry in entries)
    assert len(entries) == n_rows <= 5000
    assert n_gates <= 150_000
    assert len(content) <= 10_000_000
    assert n_rows > 4900 or n_gates > 120_000 or len(content) > 8_000_000


def test_rows_per_job_obeys_every_limit():
    """Circuits, gates with the rotations of the basis, the user's own number, and the length of the answer."""
    simulator, machine = parse_options("simulator"), parse_options("qpu.forte-1")
    assert rows_per_job(BELL, samples(2), simulator) == 5000
    hundred = gate_list(2, *[("h", (0,), ())] * 98)
    assert rows_per_job(hundred, samples(2), simulator) == 1530
    assert rows_per_job(hundred, samples(2, "XX"), simulator) == 1500
    assert rows_per_job(BELL, samples(2), parse_options("simulator,rows=1")) == 1
    wide = gate_list(16, ("h", (0,), ()))
    assert rows_per_job(wide, samples(16), simulator) * 65_536 * 30 <= 32 << 20
    assert rows_per_job(wide, samples(16), machine, shots=100) == 5000


def test_gates_are_checked_before_anything_is_sent(monkeypatch):
    """The limit and what to do are in the sentence; the limits are lowered here, since large circuits take long."""
    options = parse_options("simulator")
    check_gates(BELL, options)
    with pytest.raises(CircuitError, match=r"30 qubits.*at most 29"):
        check_gates(gate_list(30), options)
    monkeypatch.setattr("qorch_providers.ionq.circuits.limits.MAX_GATES", 100)
    check_gates(gate_list(1, *[("h", (0,), ())] * 100), options)
    with pytest.raises(CircuitError, match=r"101 IonQ gates.*at most 100.*shorter"):
        check_gates(gate_list(1, *[("h", (0,), ())] * 101), options)
    monkeypatch.setattr("qorch_providers.ionq.circuits.limits.MAX_BODY_BYTES", 25_000)
    with pytest.raises(CircuitError, match=r"bytes of JSON.*at most 25000.*shorter"):
        check_gates(gate_list(1, *[("rx", (0,), (None,))] * 99), options)
