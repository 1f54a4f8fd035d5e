"""Rows of a program set equal, byte for byte, what each would be by itself; labels survive in tags."""

import json
import re

from braket_circuits import DESTINATION, GATE_SETS, KEY, SV1, device_of
from hypothesis import given, settings
from hypothesis import strategies as st
from ionq_circuits import block_of, request_of

from qorch.model.circuit import build_gate_list
from qorch.model.gates import GATES
from qorch.model.label import JobLabel
from qorch_providers.braket.circuits.task_body import encode_task
from qorch_providers.braket.labels import MAX_VALUE, read_tags, tags_of

ANGLE = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)
TEXT = st.one_of(st.none(), st.text(min_size=1, max_size=60), st.text("0123456789,;:-", min_size=1, max_size=400))
ALLOWED = re.compile(r"[a-zA-Z0-9 +\-=._:/@]*")


@st.composite
def circuits(draw):
    """Any gates on three qubits, any angles free, any basis, and a device."""
    gates = []
    for gate in draw(st.lists(st.sampled_from(GATES), max_size=8)):
        qubits = tuple(draw(st.permutations(range(3))))[: gate.n_qubits]
        angles = tuple(draw(st.one_of(st.none(), ANGLE)) for _ in range(gate.n_angles))
        gates.append((gate.opcode, qubits, angles))
    basis = draw(st.text("XYZ", min_size=3, max_size=3))
    return build_gate_list(3, gates), basis, device_of(draw(st.sampled_from(list(GATE_SETS))))


def action_of(block, device):
    """The action of a task with this block alone, as bytes."""
    body = encode_task(request_of(block), key=KEY, device=device, options=SV1, destination=DESTINATION)
    return json.loads(body)["action"]


@settings(deadline=None, max_examples=150)
@given(circuits(), st.data())
def test_rows_equal_those_built_alone(circuit, data):
    """Whatever the gates and the bits of the angles: the numbers of a set are those of the single programs."""
    gates, basis, device = circuit
    row = st.lists(ANGLE, min_size=gates.n_columns, max_size=gates.n_columns)
    rows = data.draw(st.lists(row, min_size=2, max_size=4))
    block = block_of(gates, rows, basis=basis)
    alone = [action_of(block.take(slice(index, index + 1)), device) for index in range(len(rows))]
    together = action_of(block, device)
    start, stop = together.index("[") + 1, together.rindex("]")
    if '"inputs"' not in alone[0]:
        assert together[start:stop] == ",".join(alone)
        return
    tables = [dict(re.findall(r'"(a\d+)":([^,}]+)', text.partition('"inputs":')[2])) for text in alone]
    lists = ",".join(f'"{name}":[{",".join(table[name] for table in tables)}]' for name in tables[0])
    assert together[start:stop] == alone[0].partition('"inputs":')[0] + f'"inputs":{{{lists}}}}}'


@settings(deadline=None, max_examples=200)
@given(TEXT, TEXT, TEXT, TEXT)
def test_labels_come_back_from_tags(job_id, rows, digest, context):
    """Any text, in tags that AWS takes: at most 50, of 256 letters out of its alphabet each."""
    tags = tags_of(KEY, JobLabel(job_id, rows, digest, context))
    assert read_tags(tags) == (KEY, JobLabel(job_id, rows, digest, context))
    assert len(tags) <= 50
    assert all(ALLOWED.fullmatch(value) and 0 < len(value) <= MAX_VALUE for value in tags.values())


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(list(tags_of(KEY, JobLabel("a", "b" * 400, "c", "d")))), st.text()))
def test_tags_of_others_are_no_label(tags):
    """Tags that somebody edited give None, or what can be read, and never an error."""
    key, label = read_tags(tags)
    assert key is None or key == tags["qorch-key"]
    assert label.n_rows is None


def test_texts_too_long_for_tags_are_left_out():
    """A label's text has at most 400 characters; one that needs more tags than 10 is not kept in part."""
    tags = tags_of(KEY, JobLabel("é" * 600, "0:0-9", None, None))
    assert read_tags(tags) == (KEY, JobLabel(None, "0:0-9", None, None))
    assert read_tags(tags_of(KEY, None)) == (KEY, JobLabel())
    assert read_tags({"qorch-key": "another tool's", "qorch-rows": "=ZZ"}) == (None, JobLabel())
