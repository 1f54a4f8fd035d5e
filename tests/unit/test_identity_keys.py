"""Row keys, streams and idempotency keys: equal for equal things only."""

import hashlib

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit

from qorch.model.identity import Position, idempotency_key, job_id_of, row_keys, stream_of
from qorch.model.measurement import Measurement
from qorch.model.qiskit.compile import compile_circuit


def gates_of(name: str):
    """One rotation."""
    circuit = QuantumCircuit(1)
    getattr(circuit, name)(Parameter("p"), 0)
    return compile_circuit(circuit).gates


Z_BASIS = Measurement(np.zeros(1, np.uint8), is_exact=False)


def test_a_row_key_is_the_hash_of_circuit_measurement_and_angle_bits():
    """The key can be computed from the digests and the little-endian angles alone."""
    gates = gates_of("rx")
    keys = row_keys(gates, Z_BASIS, np.array([[0.25], [0.5]]))
    text = gates.digest + Z_BASIS.digest + np.array([0.5], dtype="<f8").tobytes()
    assert keys.shape == (2, 32)
    assert keys[1].tobytes() == hashlib.sha256(text).digest()


def test_row_keys_do_not_depend_on_the_batch_or_its_memory_order():
    """A row has the same key alone, among others, and in a transposed array."""
    gates = gates_of("rx")
    rows = np.asfortranarray(np.random.default_rng(0).normal(size=(9, 1)))
    together = row_keys(gates, Z_BASIS, rows)
    assert all((row_keys(gates, Z_BASIS, rows[[i]])[0] == together[i]).all() for i in range(9))


def test_one_bit_another_gate_or_another_measurement_makes_another_key():
    """Nothing that changes the distribution shares a key."""
    angle = np.array([[0.5]])
    exact = Measurement(Z_BASIS.basis, is_exact=True, masks=np.array([1], np.uint64))
    other_mask = Measurement(Z_BASIS.basis, is_exact=True, masks=np.array([2], np.uint64))
    all_of_them = Measurement(Z_BASIS.basis, is_exact=True)
    turned = Measurement(np.ones(1, np.uint8), is_exact=False)
    keys = [
        row_keys(gates_of("rx"), Z_BASIS, angle),
        row_keys(gates_of("rx"), Z_BASIS, np.nextafter(angle, 1.0)),
        row_keys(gates_of("ry"), Z_BASIS, angle),
        *(row_keys(gates_of("rx"), other, angle) for other in (exact, other_mask, all_of_them, turned)),
    ]
    assert len({key.tobytes() for key in keys}) == len(keys)


def test_streams_and_keys_of_different_places_differ():
    """No two calls share a stream, no two epochs a key; the same place always has the same."""
    places = [Position(step, call) for step in range(-1, 20) for call in range(20)]
    streams = {stream_of(seed, place) for seed in (0, 1) for place in places}
    assert len(streams) == 2 * len(places)
    assert stream_of(7, Position(1, 2)) == stream_of(7, Position(1, 2)) < 2**64
    assert job_id_of("run", Position(3, 1), 2) == "run/3.1.2"
    assert len({idempotency_key("store", "run/3.1.2", epoch=epoch) for epoch in range(3)}) == 3
