"""Free results stay below QORCH_KEEP_FREE while runs go on; what is deleted meanwhile is executed again."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import ParameterVector, QuantumCircuit

import qorch
from qorch.config import KEEP_FREE_BYTES, format_size, read_config
from qorch.errors import UsageError
from qorch.ports.clock import WallClock
from qorch.run.resources import Progress
from qorch.testing.fakes.backend import FREE, FakeBackend
from qorch.testing.fakes.store import MemoryStore
from qorch_jobs_db import SqlStore, open_store

N_QUBITS = 4
ROWS = 200


class Weights:
    """A state to save."""

    def state_dict(self) -> dict[str, int]:
        """Nothing much."""
        return {"w": 1}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Nothing to do."""


def pub(seed: int, *, rows: int = ROWS) -> qorch.Pub:
    """Random rows of a small circuit."""
    angles = ParameterVector("a", N_QUBITS)
    circuit = QuantumCircuit(N_QUBITS)
    for qubit in range(N_QUBITS):
        circuit.ry(angles[qubit], qubit)
    values = np.random.default_rng(seed).uniform(-3, 3, (rows, N_QUBITS))
    return qorch.Pub(circuit, values, observables="Z0", shots=64)


def quiet(_progress: Progress) -> None:
    """Show nothing."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    """An empty database."""
    opened = open_store(str(tmp_path / "x.db"), clock=WallClock())
    yield opened
    opened.close()


def train(store: SqlStore | MemoryStore, *, steps: int = 30, cache: str | None = None) -> np.ndarray:
    """Steps of new rows on the local backend; what they came to."""
    with qorch.start_run("train", backend="local", seed=3, db=store, cache=cache, progress=quiet) as run:
        return np.concatenate([run.execute(pub(step))[0].values for step in run.steps(range(steps), save=[Weights()])])


def test_free_results_stay_below_the_bound(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says so in a session; the values are those of a run that keeps everything."""
    expected = train(MemoryStore(WallClock()))
    monkeypatch.setenv("QORCH_KEEP_FREE", "50KB")
    with caplog.at_level(logging.WARNING, logger="qorch.store"):
        values = train(store)
    assert (values == expected).all()
    assert store.cache_statistics().free_bytes <= 50_000
    assert store.cache_statistics().rows > 0
    [line] = [record.getMessage() for record in caplog.records if record.name == "qorch.store"]
    assert "50KB" in line
    assert "QORCH_KEEP_FREE" in line
    assert "'reuse'" in line


def test_without_a_bound_everything_stays(
    store: SqlStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing is said; so it is with the bound that a database has by default, as long as it is not reached."""
    monkeypatch.setenv("QORCH_KEEP_FREE", "unlimited")
    train(store, steps=3)
    monkeypatch.delenv("QORCH_KEEP_FREE")
    train(store, steps=3)
    assert store.cache_statistics().rows == 6 * ROWS
    assert [record for record in caplog.records if record.name == "qorch.store"] == []


def test_off_keeps_no_free_results(store: SqlStore) -> None:
    """Its jobs are stored all the same, and counted."""
    train(store, steps=3, cache="off")
    assert store.cache_statistics().rows == 0
    assert sum(job.n_executions for job in store.jobs()) == 3 * ROWS


def test_what_is_paid_for_is_kept_under_off_and_any_bound(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the user deletes it."""
    monkeypatch.setenv("QORCH_KEEP_FREE", "0")
    backend = FakeBackend(capabilities=replace(FREE, charges=True))
    with qorch.start_run(
        "paid", backend=backend, db=store, cache="off", accept_unknown_price=True, progress=quiet
    ) as run:
        run.execute(pub(1, rows=20))
    train(store, steps=3)
    assert [(run, rows) for run, rows, _ in store.cache_statistics().runs] == [(run.run_id, 20)]


def test_reuse_executes_again_what_was_deleted_meanwhile(store: SqlStore) -> None:
    """A session that knows the keys of rows which another one prunes executes them, without an error."""
    wanted = pub(1)
    with qorch.start_run("scan", backend="local", seed=3, db=store, cache="reuse", progress=quiet) as run:
        (first,) = run.execute(wanted)
        run.execute(wanted)
        assert run.totals.rows_executed == ROWS
        other = run.execute(pub(2))[0].values
        store.prune()
        again = run.execute([wanted, pub(2)])
        assert run.totals.rows_executed == 4 * ROWS
        assert again[0].values.shape == first.values.shape
        assert again[1].values.shape == other.shape
        assert (run.execute(wanted)[0].values == again[0].values).all()
        assert run.totals.rows_executed == 4 * ROWS


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2GB", 2 * 10**9), ("100MB", 10**8), ("1.5 gib", 3 * 2**29), ("0", 0), ("4096", 4096), ("10k", 10_000),
        ("unlimited", None), ("Unlimited", None), ("", KEEP_FREE_BYTES),
    ],
)  # fmt: skip
def test_sizes_are_read(text: str, wanted: int | None) -> None:
    """Decimal and binary units, whole and broken numbers."""
    assert read_config({"QORCH_KEEP_FREE": text}).keep_free_bytes == wanted


@pytest.mark.parametrize("text", ["2x", "-1", "GB", "1 i", "2GB!", "nan", "1e9", "٣MB"])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    """The message names the variable, and what it may be."""
    with pytest.raises(UsageError, match=r"QORCH_KEEP_FREE is .* such as 2GB"):
        read_config({"QORCH_KEEP_FREE": text})


def test_sizes_are_written_as_they_are_read() -> None:
    """In the largest decimal unit that fits."""
    assert [format_size(size) for size in (0, 999, 50_000, 1_500_000, 2 * 10**9)] == [
        "0",
        "999",
        "50KB",
        "1.5MB",
        "2GB",
    ]
