"""Helpers for tests of stores: records as the engine would write them, and second processes."""

import datetime as dt
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from qorch.model.counts import Counts, smallest_unsigned
from qorch.model.identity import KEY_BYTES, Position
from qorch.model.job import JobState
from qorch.model.measurement import BlockResult, Measurement
from qorch.model.pauli_sums import PauliSums
from qorch.model.samples import Samples
from qorch.ports.provider_sessions import ProviderSessionRecord, ProviderSessionState, SessionPlan
from qorch.ports.records import BlockPlan, BlockRecord, BlockRows, JobPlan, JobRecord, RunRecord

NOW = dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC)
CONTEXT, MEASUREMENT, GATES = b"\x01" * 32, b"\x02" * 32, b"\x03" * 32
HERE = Position(0, 0)


def make_run(run_id: str, *, name: str = "name") -> RunRecord:
    """A run that was just started."""
    return RunRecord(run_id, name, "aer", 7, "resume", NOW)


def make_job(job_id: str, *, position: Position = HERE, shots: int | None = 100) -> JobRecord:
    """A job, before its first attempt, of the run that its id begins with."""
    return JobRecord(job_id, job_id.split("/")[0], position, JobState.PLANNED, 10, shots, NOW)


def make_provider_session(
    run_id: str, *, key: str | None = None, max_ttl_seconds: int | None = 28_001
) -> ProviderSessionRecord:
    """A session that is about to be opened."""
    plan = SessionPlan(key or f"key of {run_id}", "ibm_fez", "dedicated", max_ttl_seconds, NOW)
    return ProviderSessionRecord(plan, run_id, "ibm:account", ProviderSessionState.OPENING, NOW)


def make_block(rows: int, *, n_qubits: int = 8, outcomes: int = 5) -> BlockRecord:
    """A sampled block of job ``r/0.0.0``, with ``outcomes`` histogram entries in every row."""
    random = np.random.default_rng(rows)
    counts = Counts(
        n_qubits,
        np.tile(np.arange(outcomes), rows).astype(smallest_unsigned((1 << n_qubits) - 1)),
        random.integers(1, 200, rows * outcomes).astype(np.uint8),
        np.arange(rows + 1, dtype=np.int64) * outcomes,
    )
    return BlockRecord(
        job_id="r/0.0.0",
        run_id="r",
        position=HERE,
        rows=BlockRows(
            group=0,
            indices=np.arange(rows, dtype=np.uint64),
            keys=random.integers(0, 256, (rows, KEY_BYTES)).astype(np.uint8),
            context=CONTEXT,
            gates_digest=GATES,
            samples=Samples(np.full(rows, 2**64 - 1, dtype=np.uint64), np.arange(rows, dtype=np.uint64), 1000, 3),
        ),
        measurement_digest=MEASUREMENT,
        n_qubits=n_qubits,
        result=BlockResult(counts=counts),
        created_at=NOW,
    )


def with_rows(block: BlockRecord, **changes: Any) -> BlockRecord:
    """The block, with other fields in its BlockRows."""
    return replace(block, rows=replace(block.rows, **changes))


def make_plan(*, job_id: str = "r/0.0.0", rows: int = 3) -> JobPlan:
    """The plan of a job that carries one sampled block."""
    block = make_block(rows)
    measurement = Measurement(np.zeros(block.n_qubits, dtype=np.uint8), is_exact=False)
    return JobPlan(job_id, job_id.split("/")[0], (BlockPlan(block.rows, measurement),))


@st.composite
def job_plans(draw: st.DrawFn) -> JobPlan:
    """Plans of job ``r/0.0.0`` with up to three blocks: sampled and exact, with and without masks, and estimated."""
    return JobPlan("r/0.0.0", "r", tuple(draw(st.lists(_block_plans(), max_size=3))))


@st.composite
def _block_plans(draw: st.DrawFn) -> BlockPlan:
    n_rows = draw(st.integers(0, 5))
    word = st.integers(0, 2**64 - 1)
    numbers = st.lists(word, min_size=n_rows, max_size=n_rows).map(lambda found: np.array(found, dtype=np.uint64))
    n_qubits = draw(st.integers(1, 63))
    basis = draw(st.lists(st.integers(0, 2), min_size=n_qubits, max_size=n_qubits))
    masks = draw(st.none() | st.lists(word, max_size=4).map(lambda found: np.array(found, dtype=np.uint64)))
    keys = draw(st.binary(min_size=n_rows * KEY_BYTES, max_size=n_rows * KEY_BYTES))
    samples = draw(st.none() | st.builds(Samples, numbers, numbers, st.integers(1, 2**62), st.integers(0, 2**62)))
    rows = BlockRows(
        group=draw(st.integers(0, 2**31)),
        indices=draw(numbers),
        keys=np.frombuffer(keys, dtype=np.uint8).reshape(n_rows, KEY_BYTES),
        context=draw(st.binary(max_size=32)),
        gates_digest=draw(st.binary(max_size=32)),
        samples=samples,
    )
    sums = None if samples is None else draw(st.none() | _pauli_sums(n_qubits))
    letters = np.array(basis, dtype=np.uint8)
    return BlockPlan(rows, Measurement(letters, samples is None, masks if sums is None else None, sums))


@st.composite
def _pauli_sums(draw: st.DrawFn, n_qubits: int) -> PauliSums:
    lengths = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    numbers = st.integers(0, 2**32 - 1).map(np.random.default_rng)
    letters = draw(numbers).integers(0, 4, (sum(lengths), n_qubits)).astype(np.uint8)
    coefficients = draw(numbers).normal(size=sum(lengths))
    return PauliSums(letters, coefficients, np.cumsum([0, *lengths], dtype=np.int64))


def assert_same_plan(found: JobPlan, written: JobPlan) -> None:
    """Every field equal, arrays bit for bit and in their types."""
    assert (found.job_id, found.run_id, len(found.blocks)) == (written.job_id, written.run_id, len(written.blocks))
    for mine, theirs in zip(found.blocks, written.blocks, strict=True):
        _assert_same_rows(mine.rows, theirs.rows)
        assert mine.shape.n_qubits == theirs.shape.n_qubits
        assert mine.measurement.digest == theirs.measurement.digest
        assert mine.measurement.is_exact == theirs.measurement.is_exact
        assert (mine.measurement.masks is None) == (theirs.measurement.masks is None)
        assert (mine.measurement.sums is None) == (theirs.measurement.sums is None)


@st.composite
def sampled_results(draw: st.DrawFn) -> BlockResult:
    """Histograms of 1 to 6 rows on up to 63 qubits, some rows empty, in every integer type."""
    n_qubits = draw(st.sampled_from([1, 8, 9, 16, 17, 33, 63]))
    entry = st.tuples(st.integers(0, (1 << n_qubits) - 1), st.integers(1, 2 ** draw(st.integers(1, 62))))
    rows = draw(st.lists(st.lists(entry, max_size=6, unique_by=lambda item: item[0]), min_size=1, max_size=6))
    entries = [item for row in rows for item in sorted(row)]
    largest = max((count for _, count in entries), default=0)
    counts = Counts(
        n_qubits,
        np.array([outcome for outcome, _ in entries], dtype=smallest_unsigned((1 << n_qubits) - 1)),
        np.array([count for _, count in entries], dtype=smallest_unsigned(largest)),
        np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64),
    )
    return BlockResult(counts=counts)


def assert_same_block(found: BlockRecord, written: BlockRecord) -> None:
    """Every field equal, arrays bit for bit and in their types."""
    _assert_same_rows(found.rows, written.rows)
    plain = ("job_id", "run_id", "position", "measurement_digest", "n_qubits", "created_at")
    assert [getattr(found, name) for name in plain] == [getattr(written, name) for name in plain]
    assert_same_result(found.result, written.result)


def _assert_same_rows(found: BlockRows, written: BlockRows) -> None:
    for name in ("indices", "keys"):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
        assert getattr(found, name).dtype == getattr(written, name).dtype
    plain = ("group", "context", "gates_digest")
    assert [getattr(found, name) for name in plain] == [getattr(written, name) for name in plain]
    assert_same_samples(found.samples, written.samples)


def assert_same_samples(found: Samples | None, written: Samples | None) -> None:
    """The same streams, bit for bit, and the same shots of them; or both None."""
    assert (found is None) == (written is None)
    if found is None or written is None:
        return
    for name in ("streams", "ordinals"):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))
        assert getattr(found, name).dtype == getattr(written, name).dtype
    assert (found.shots, found.offset) == (written.shots, written.offset)


def assert_same_result(found: BlockResult, written: BlockResult) -> None:
    """Equal bit for bit, in the same types, and read-only."""
    if written.values is not None:
        assert found.values is not None
        assert found.values.shape == written.values.shape
        assert found.values.tobytes() == written.values.tobytes()
        assert (found.variances is None) == (written.variances is None)
        if found.variances is not None and written.variances is not None:
            assert found.variances.shape == written.variances.shape
            assert found.variances.tobytes() == written.variances.tobytes()
        return
    assert isinstance(found.counts, Counts)
    assert isinstance(written.counts, Counts)
    assert found.counts.n_qubits == written.counts.n_qubits
    for name in ("outcomes", "counts", "offsets"):
        mine, theirs = getattr(found.counts, name), getattr(written.counts, name)
        np.testing.assert_array_equal(mine, theirs)
        assert mine.dtype == theirs.dtype
        assert not mine.flags.writeable


def start_python(code: str) -> "subprocess.Popen[str]":
    """Run code in another interpreter that finds the same packages, with pipes for its input and output."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
