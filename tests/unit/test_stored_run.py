"""Runs are read without reopening them: what they logged, their weights, and beside the process that works on them."""

import builtins
import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import qorch
from qorch.errors import MissingPackageError, QorchError, RunError, UnknownNameError, UsageError
from qorch.ports.clock import WallClock
from qorch.ports.records import MetricRecord, RunRecord, RunState
from qorch.run.totals import INTERRUPTED
from qorch.testing.conformance.store_records import NOW
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore
from qorch_jobs_db import open_store


def make_parts() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A model and its optimiser."""
    model = torch.nn.Linear(2, 1)
    return model, torch.optim.Adam(model.parameters(), lr=0.1)


def train(db: Any, *, name: str = "fit", steps: int = 3) -> torch.nn.Module:
    """A run that trains a model without circuits; the model as it ended."""
    model, optimizer = make_parts()
    with qorch.start_run(
        name, backend=FakeBackend(), db=db, seed=7, progress=lambda _: None, settings={"lr": 0.1}
    ) as run:
        for batch in run.steps(torch.ones(steps, 1, 2), save=(model, optimizer)):
            loss = (model(batch) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(loss=loss.item())
    return model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """A database with one run, and the model as it ended."""
    path = tmp_path_factory.mktemp("stored") / "x.db"
    return path, train(path)


def test_a_run_tells_what_it_was_and_came_to(trained: tuple[Path, torch.nn.Module]) -> None:
    """By name, id and latest: settings, environment, newest metrics, steps, and the report."""
    path, _ = trained
    stored = qorch.open_run("fit", db=path)
    assert qorch.open_run(stored.run_id, db=str(path)) == qorch.open_run("latest", db=path) == stored
    assert (stored.name, stored.state) == ("fit", RunState.DONE)
    assert stored.config == {"workload": None, "backend": "fake", "seed": 7, "cache": "resume", "lr": 0.1}
    assert stored.environment["packages"]["torch"] == torch.__version__
    assert stored.environment["packages"]["numpy"] == np.__version__
    assert len(stored.steps()) == stored.totals.steps == 3
    assert stored.metrics == stored.report().metrics
    assert repr(stored) == f"StoredRun('{stored.run_id}', done, 3 steps on fake)"
    assert qorch.runs(db=path) == [stored]


def test_history_is_every_number_in_order(trained: tuple[Path, torch.nn.Module]) -> None:
    """As records, and as arrays by name; a name that was not logged is said to be unknown."""
    history = qorch.open_run("fit", db=trained[0]).history()
    steps, values = history.arrays("loss")
    assert (history.names, len(history)) == (("loss",), 3)
    assert steps.tolist() == [0, 1, 2]
    assert values.tolist() == [record.value for record in history]
    with pytest.raises(UnknownNameError, match="logged were: loss"):
        history.arrays("accuracy")


def test_history_is_a_table_of_pandas() -> None:
    """One row per number, with missing epochs, NaN and times in UTC."""
    pandas = pytest.importorskip("pandas")
    store = MemoryStore(WallClock())
    values = ((-1, None, math.nan), (0, 4, 0.5))
    metrics = [MetricRecord("r", step, 0, "m", value, NOW, epoch) for step, epoch, value in values]
    store.write([RunRecord("r", "r", "aer", 7, "resume", NOW, state=RunState.DONE), *metrics]).result()
    table = qorch.open_run("r", db=store).history().to_pandas()
    assert list(table) == ["step", "epoch", "name", "value", "logged_at"]
    assert table["step"].tolist() == [-1, 0]
    assert table["epoch"].isna().tolist() == [True, False]
    assert table["value"].isna().tolist() == [True, False]
    assert table["logged_at"][1] == pandas.Timestamp(NOW)


def test_without_pandas_it_is_said_how_to_get_it(
    trained: tuple[Path, torch.nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where a table is asked for."""
    monkeypatch.setattr(builtins, "__import__", without("pandas"))
    with pytest.raises(MissingPackageError, match="pip install pandas"):
        qorch.open_run("fit", db=trained[0]).history().to_pandas()


def without(package: str) -> Callable[..., Any]:
    """Python's import on a machine that does not have this package."""
    original = builtins.__import__

    def find(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(f"No module named '{name}'", name=name)
        return original(name, *rest, **more)

    return find


def test_weights_come_back_to_the_bit(trained: tuple[Path, torch.nn.Module]) -> None:
    """Into a model and an optimiser in the order of save=, or into one of them; random states stay."""
    path, ended = trained
    stored = qorch.open_run("fit", db=path)
    model, optimizer = make_parts()
    random = torch.random.get_rng_state()
    assert stored.load_state(model, optimizer) == 2
    assert torch.equal(torch.random.get_rng_state(), random)
    for name, tensor in ended.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    assert optimizer.state_dict()["state"][0]["step"] == 3
    other, _ = make_parts()
    stored.load_state(other, None)
    assert torch.equal(other.weight, model.weight)


def test_an_exported_file_is_safe_to_load(trained: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    """`torch.load(weights_only=True)` takes the model's state, and the optimiser's."""
    path, ended = trained
    stored = qorch.open_run("fit", db=path)
    stored.export(tmp_path / "model.pt")
    stored.export(tmp_path / "optimizer.pt", state=1)
    model, optimizer = make_parts()
    model.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
    optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    assert torch.equal(model.state_dict()["weight"], ended.state_dict()["weight"])
    with pytest.raises(RunError, match="holds 2 states"):
        stored.export(tmp_path / "x.pt", state=2)
    with pytest.raises(UsageError, match="cannot write"):
        stored.export(tmp_path / "missing" / "x.pt")


def test_any_state_that_a_checkpoint_takes_can_be_exported(tmp_path: Path) -> None:
    """Arrays become tensors, of texts lists; nested values, bytes and large integers stay."""

    class Odd:
        def state_dict(self) -> dict[str, Any]:
            return {
                "array": np.arange(3.0),
                "names": np.array(["a", "b"]),
                "tree": [(1, None), {"big": 2**80, "raw": b"\x00\xff"}],
                5: True,
            }

        def load_state_dict(self, _state: Any) -> None:
            raise KeyError("moved")

    store = MemoryStore(WallClock())
    with qorch.start_run("odd", backend=FakeBackend(), db=store) as run:
        run.checkpoint(Odd())
    stored = qorch.open_run("odd", db=store)
    stored.export(tmp_path / "odd.pt")
    found = torch.load(tmp_path / "odd.pt", weights_only=True)
    assert torch.equal(found.pop("array"), torch.arange(3.0, dtype=torch.float64))
    assert found == {"names": ["a", "b"], "tree": [(1, None), {"big": 2**80, "raw": b"\x00\xff"}], 5: True}
    with pytest.raises(RunError, match="a Odd, does not take state 0"):
        stored.load_state(Odd())


def test_a_dict_takes_its_state_back() -> None:
    """As it was saved, beside a model that is left out."""
    store, best = MemoryStore(WallClock()), {"loss": 0.5}
    with qorch.start_run("dicts", backend=FakeBackend(), db=store, progress="off") as run:
        run.checkpoint(torch.nn.Linear(1, 1), best)
    found = {"old": 1.0}
    qorch.open_run("dicts", db=store).load_state(None, found)
    assert found == best


def test_what_is_not_there_is_a_qorch_error(trained: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    """A run, a database, a checkpoint, an object too many, a model of another shape; and nothing is made by looking."""
    stored = qorch.open_run("fit", db=trained[0])
    with pytest.raises(UnknownNameError, match="no run 'nobody'"):
        qorch.open_run("nobody", db=trained[0])
    with pytest.raises(UnknownNameError, match="no database"):
        qorch.open_run("fit", db=tmp_path / "y.db")
    assert qorch.runs(db=tmp_path / "y.db") == []
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="db is a int"):
        qorch.runs(db=3)  # type: ignore[arg-type]
    with pytest.raises(RunError, match=r"holds 2 states, and 1 objects"):
        stored.load_state(torch.nn.Linear(2, 1))
    with pytest.raises(RunError, match=r"object 0, a Linear, does not take state 0.*size mismatch"):
        stored.load_state(torch.nn.Linear(3, 1), None)
    with qorch.start_run("bare", backend=FakeBackend(), db=tmp_path / "z.db"):
        pass
    with pytest.raises(QorchError, match="no checkpoint"):
        qorch.open_run("bare", db=tmp_path / "z.db").states()


def test_a_run_is_read_while_it_trains(tmp_path: Path) -> None:
    """Neither is its right to work taken, nor a session written; and once its process is gone, it is interrupted."""
    path = tmp_path / "x.db"
    with qorch.start_run("live", backend=FakeBackend(), db=path) as run:
        with run.step(0):
            run.log(loss=1.0)
        stored = qorch.open_run("live", db=path)
        assert (stored.state, stored.metrics, stored.totals.sessions) == (RunState.RUNNING, {"loss": 1.0}, 1)
        with run.step(1):
            run.log(loss=0.5)
        assert len(stored.history()) == 2
    with closing(open_store(str(path), clock=WallClock())) as store:
        store.write([RunRecord("killed", "killed", "aer", 7, "resume", NOW)]).result()
    assert qorch.open_run("killed", db=path).state == INTERRUPTED
    with qorch.start_run("killed", backend=FakeBackend(name="aer"), db=path, resume=True):
        assert qorch.open_run("killed", db=path).state == RunState.RUNNING


def test_a_deleted_run_is_not_there(tmp_path: Path) -> None:
    """Neither by its id, nor by its name, which a new run may take with resume=True."""
    path = tmp_path / "x.db"
    train(path, name="gone", steps=1)
    [stored] = qorch.runs(db=path)
    with closing(open_store(str(path), clock=WallClock())) as store:
        store.delete_run(stored.run_id, keep_books=True)
    assert qorch.runs(db=path) == []
    with pytest.raises(UnknownNameError, match="was deleted"):
        qorch.open_run(stored.run_id, db=path)
    with pytest.raises(UsageError, match="was deleted"):
        qorch.start_run(stored.run_id, backend=FakeBackend(), db=path, resume=True)
    with qorch.start_run("gone", backend=FakeBackend(), db=path, resume=True) as run:
        assert run.run_id != stored.run_id
