"""The aer backend's border, without a worker: options, frames, limits and verification."""

import contextlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qorch.errors import (
    CircuitError,
    InvalidResultError,
    MissingPackageError,
    QorchError,
    UnknownNameError,
    UsageError,
)
from qorch.model.arrays import AnyArray
from qorch.model.circuit import GateList, build_gate_list
from qorch.model.gates import GATES_BY_NAME
from qorch.model.job import JobRequest, JobResult
from qorch.model.measurement import Measurement, RowBlock
from qorch.model.samples import Samples
from qorch.model.verification import verify_result
from qorch.ports.clock import WallClock
from qorch_providers.aer import open_backend
from qorch_providers.aer_engine import limits
from qorch_providers.answers import read_answer
from qorch_providers.frames import Answer, Ready, decode_frame, encode_frame
from qorch_providers.workers.requests import MAX_KNOWN_GATES, KnownGates

ROOT = Path(__file__).parents[2]


def hadamards(n_qubits: int, n_gates: int = 1) -> GateList:
    """A circuit of so many qubits and gates."""
    return build_gate_list(n_qubits, [(GATES_BY_NAME["h"].opcode, (0,), ())] * n_gates)


def measured(n_qubits: int, *, is_exact: bool, masks: list[int] | None = None) -> Measurement:
    """All qubits in Z."""
    return Measurement(
        np.zeros(n_qubits, dtype=np.uint8),
        is_exact,
        None if masks is None else np.array(masks, dtype=np.uint64),
    )


def request_of(measurement: Measurement, *, shots: int | None) -> JobRequest:
    """Two rows of a two-qubit circuit."""
    names = np.zeros(2, dtype=np.uint64)
    samples = None if shots is None else Samples(names, names, shots)
    return JobRequest("job", (RowBlock(hadamards(2), measurement, np.zeros((2, 0)), samples),))


def answer(kind: Literal["counts", "values"], *arrays: AnyArray) -> bytes:
    """A frame that answers ``request_of``."""
    return b"".join(encode_frame(Answer("job", (kind,), 1, 2), arrays))


def decode_answer(request: JobRequest, content: bytes) -> JobResult:
    """Read and verified, as the engine does."""
    return verify_result(request.shape, read_answer(request.shape, content))


def u8(*values: int) -> AnyArray:
    """Bytes."""
    return np.array(values, dtype=np.uint8)


@pytest.mark.parametrize("options", ["nois=fake_fez", "noise", "noise=", "shots=3", "noise=fake_nowhere"])
def test_unknown_options_name_the_choices(options: str) -> None:
    """A misspelt key or device is an UnknownNameError that says what there is."""
    with pytest.raises(UnknownNameError, match=r"fake_"):
        open_backend(options, clock=WallClock())


def test_a_missing_noise_file_is_named(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(UnknownNameError, match=r"nothing\.json"):
        open_backend(f"noise={tmp_path / 'nothing.json'}", clock=WallClock())


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[]",
        '{"errors": [3]}',
        '{"errors": [{"type": "qerror", "operations": ["measure"]}]}',
        '{"errors": [{"type": "qerror", "operations": ["crx"]}]}',
        '{"errors": [{"type": "roerror", "operations": ["measure"], "gate_qubits": [[0, 1]]}]}',
    ],
)
def test_noise_files_that_cannot_be_honoured_are_refused(tmp_path: Path, content: str) -> None:
    """Nothing of a noise model is silently left out."""
    path = tmp_path / "noise.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"noise\.json"):
        open_backend(f"noise={path}", clock=WallClock())


def test_missing_packages_have_their_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without qiskit-aer the backend says how to install it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"pip install 'qorch\[aer\]'"):
        open_backend("", clock=WallClock())


def test_the_parent_imports_no_sdk() -> None:
    """Opening the backend loads neither qiskit nor torch."""
    script = (
        "import sys\nfrom qorch.ports.clock import WallClock\nfrom qorch_providers.aer import open_backend\n"
        "open_backend('', clock=WallClock())\n"
        "print([name for name in ('qiskit', 'qiskit_aer', 'torch') if name in sys.modules])"
    )
    paths = os.pathsep.join(str(ROOT / part) for part in (".", "providers", "jobs_db"))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_forty_qubits_are_a_circuit_error() -> None:
    """The message says how many qubits there are and how many are possible."""
    backend = open_backend("", clock=WallClock())
    with pytest.raises(CircuitError, match=r"circuit has 40 qubits; aer on this machine holds at most \d+"):
        backend.check(hadamards(40), measured(40, is_exact=False))


def test_exact_noise_has_a_stated_limit(tmp_path: Path) -> None:
    """Exact values with noise end at ten qubits; sampled ones do not."""
    path = tmp_path / "noise.json"
    path.write_text('{"errors": []}')
    backend = open_backend(f"noise={path}", clock=WallClock())
    backend.check(hadamards(10), measured(10, is_exact=True))
    backend.check(hadamards(11), measured(11, is_exact=False))
    with pytest.raises(CircuitError, match="up to 10"):
        backend.check(hadamards(11), measured(11, is_exact=True))


def test_the_context_changes_with_the_noise(tmp_path: Path) -> None:
    """No noise, one file, the same path with other content, and each device have contexts of their own."""
    path = tmp_path / "noise.json"
    options = ["", "noise=fake_fez", "noise=fake_lima"]
    contexts = {open_backend(text, clock=WallClock()).context(hadamards(1)) for text in options}
    for errors in ([], [{"type": "roerror", "operations": ["measure"], "probabilities": [[1, 0], [0, 1]]}]):
        path.write_text(json.dumps({"errors": errors}))
        contexts.add(open_backend(f"noise={path}", clock=WallClock()).context(hadamards(1)))
    assert len(contexts) == 5


def test_jobs_shrink_with_their_cost() -> None:
    """More qubits, gates, shots or noise never make a job larger, and there is always at least one row."""

    def rows(n: int, gates: int, shots: int | None, *, is_noisy: bool = False) -> int:
        measurement = measured(n, is_exact=shots is None)
        return limits.rows_per_job(hadamards(n, gates), measurement, shots=shots, is_noisy=is_noisy)

    assert rows(1, 1, 1) <= limits.MAX_ROWS_PER_JOB
    assert rows(8, 50, 100) >= rows(8, 500, 100) >= rows(8, 500, 10**7) >= 1
    assert rows(8, 50, 1_000) > rows(16, 50, 1_000) >= rows(27, 50, 1_000) == 1
    assert rows(6, 50, 1_000) > rows(6, 50, 1_000, is_noisy=True) >= 1
    assert rows(13, 1, None) * 8 * 2**13 <= limits.MAX_ANSWER_BYTES


def test_more_workers_hold_smaller_states() -> None:
    """Memory is shared by the workers, and each added qubit doubles the need."""
    whole = limits.max_qubits(workers=1, memory=16 << 30)
    assert limits.max_qubits(workers=2, memory=16 << 30) == whole - 1
    assert 48 << whole <= 16 << 30 < 48 << (whole + 1)


@given(
    st.lists(
        hnp.arrays(
            dtype=st.sampled_from([np.uint8, np.uint64, np.int64, np.float64]),
            shape=hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5),
            elements={"allow_nan": False},
        ),
        max_size=5,
    )
)
def test_frames_come_back_as_they_went(arrays: list[AnyArray]) -> None:
    """Types, shapes and values of all arrays survive, empty ones included."""
    message, read = decode_frame(b"".join(encode_frame(Ready(), arrays)))
    assert message == Ready()
    for sent, received in zip(arrays, read, strict=True):
        assert sent.dtype == received.dtype
        assert np.array_equal(sent, received)
        assert sent.shape == received.shape


@given(st.integers(1, 160), st.binary(max_size=40))
def test_frames_of_another_length_are_refused(cut: int, tail: bytes) -> None:
    """A frame that is cut short, or that something follows, raises InvalidResultError."""
    whole = b"".join(encode_frame(Answer("job", ("values",), 1, 2), [np.zeros((2, 8))]))
    with pytest.raises(InvalidResultError):
        decode_frame(whole[:-cut])
    with pytest.raises(InvalidResultError):
        decode_frame(whole + tail + b"\0")


@given(st.integers(0, 100), st.binary(min_size=1, max_size=60))
@example(96, b"a")
def test_overwritten_frames_raise_nothing_else(place: int, noise: bytes) -> None:
    """Random bytes in a frame's prefix or header give InvalidResultError or another sound frame."""
    whole = bytearray(b"".join(encode_frame(Answer("job", ("values",), 1, 2), [np.zeros((2, 8))])))
    whole[place : place + len(noise)] = noise[: len(whole) - place]
    with contextlib.suppress(InvalidResultError):
        decode_frame(bytes(whole))


@pytest.mark.parametrize(
    ("outcomes", "counts", "offsets"),
    [
        (u8(0, 3, 1), u8(5, 5, 9), [0, 2, 3]),
        (u8(3, 0, 1), u8(5, 5, 10), [0, 2, 3]),
        (u8(0, 0, 1), u8(5, 5, 10), [0, 2, 3]),
        (u8(0, 4, 1), u8(5, 5, 10), [0, 2, 3]),
        (u8(0, 3, 1), u8(10, 0, 10), [0, 2, 3]),
        (u8(0, 3), u8(5, 5), [0, 2, 2]),
        (u8(0, 3, 1), u8(5, 5, 10), [0, 3]),
        (u8(0, 3, 1), u8(5, 5), [0, 2, 3]),
        (u8(0, 3, 1), u8(5, 5, 10), [1, 2, 3]),
        (u8(0, 3, 1).astype(np.int64), u8(5, 5, 10), [0, 2, 3]),
    ],
)
def test_counts_that_do_not_add_up_are_refused(outcomes: AnyArray, counts: AnyArray, offsets: list[int]) -> None:
    """Wrong sums, order, range, emptiness, lengths or types are each an InvalidResultError."""
    request = request_of(measured(2, is_exact=False), shots=10)
    sound = answer("counts", u8(0, 3, 1), u8(5, 5, 10), np.array([0, 2, 3]))
    assert decode_answer(request, sound).blocks[0].n_rows == 2
    with pytest.raises(InvalidResultError, match="job"):
        decode_answer(request, answer("counts", outcomes, counts, np.array(offsets)))


@pytest.mark.parametrize(
    ("masks", "row"),
    [
        (None, [0.5, 0.5, 0.1, 0.0]),
        (None, [1.5, -0.5, 0.0, 0.0]),
        (None, [np.nan, 0.5, 0.5, 0.0]),
        (None, [1.0, 0.0, 0.0]),
        ([1, 2], [0.5, 1.1]),
        ([1, 2], [np.inf, 0.0]),
        ([1, 2], [0.5]),
    ],
)
def test_values_out_of_range_are_refused(masks: list[int] | None, row: list[float]) -> None:
    """Probabilities and parities must be finite, in range, normalised and of the right number."""
    request = request_of(measured(2, is_exact=True, masks=masks), shots=None)
    with pytest.raises(InvalidResultError):
        decode_answer(request, answer("values", np.array([row, row])))


def test_an_answer_to_another_job_is_refused() -> None:
    """The job's id is part of the answer."""
    request = replace(request_of(measured(2, is_exact=True), shots=None), job_id="another")
    with pytest.raises(QorchError, match="another"):
        decode_answer(request, answer("values", np.full((2, 4), 0.25)))


def test_gate_lists_are_sent_once_and_forgotten_in_time() -> None:
    """A known circuit is not sent again, and a worker never keeps more than the limit."""
    known = KnownGates()
    kept: set[bytes] = set()
    for n_gates in [*range(1, MAX_KNOWN_GATES + 20), MAX_KNOWN_GATES + 19, 1]:
        gates = hadamards(1, n_gates)
        names = np.zeros(1, dtype=np.uint64)
        block = RowBlock(gates, measured(1, is_exact=False), np.zeros((1, 0)), Samples(names, names, 1))
        sent, forget = known.use(JobRequest("job", (block,)))
        assert (gates.digest in kept) is not bool(sent)
        kept |= {item.digest for item in sent}
        kept -= set(forget)
        assert gates.digest in kept
        assert len(kept) <= MAX_KNOWN_GATES
