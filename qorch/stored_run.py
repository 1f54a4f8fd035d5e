"""Reads stored runs without resuming them, also while a process works on them."""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qorch.audit.report import Report, make_report
from qorch.config import LATEST, read_config
from qorch.errors import MissingPackageError, RunError, UnknownNameError, UsageError
from qorch.model.arrays import FloatArray, IntArray
from qorch.model.kinds import check_kind
from qorch.model.ledger import LedgerBalance
from qorch.model.money import Money
from qorch.ports.clock import WallClock
from qorch.ports.records import CheckpointRecord, MetricRecord, RunRecord, RunState, StepRecord
from qorch.ports.statistics import RunTotals
from qorch.ports.store import Runs, Store
from qorch.prices import find_card
from qorch.run.checkpoint.loop import Checkpoint, load_states
from qorch.run.resources import Saveable
from qorch.run.totals import MoneyTotals, state_now, total_money
from qorch.stores import database_file, open_store

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class History:
    """All numbers that a run logged, by step and in the order of logging; step -1 is before the first."""

    records: tuple[MetricRecord, ...] = field(repr=False)

    def __len__(self) -> int:
        """How many numbers."""
        return len(self.records)

    def __iter__(self) -> Iterator[MetricRecord]:
        """The numbers, each with its step, epoch, name, value and the time of logging."""
        return iter(self.records)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that were logged, in the order in which they first were."""
        return tuple(dict.fromkeys(record.name for record in self.records))

    def arrays(self, name: str) -> tuple[IntArray, FloatArray]:
        """The steps ``(M,)`` and the values ``(M,)`` of one name. Raises UnknownNameError if it was not logged."""
        found = [record for record in self.records if record.name == name]
        if not found:
            raise UnknownNameError(f"'{name}' was not logged; logged were: {', '.join(self.names) or 'nothing'}")
        steps = np.array([record.step for record in found], dtype=np.int64)
        return steps, np.array([record.value for record in found], dtype=np.float64)

    def to_pandas(self) -> "pandas.DataFrame":
        """One row per number: step, epoch (may be missing), name, value, logged_at (UTC).

        Raises MissingPackageError without pandas.
        """
        try:
            import pandas
        except ImportError as error:
            raise MissingPackageError("to_pandas() needs pandas: pip install pandas") from error
        columns = ("step", "epoch", "name", "value", "logged_at")
        frame = pandas.DataFrame({name: [getattr(record, name) for record in self.records] for name in columns})
        types = {"step": "int64", "epoch": "Int64", "value": "float64", "logged_at": "datetime64[us, UTC]"}
        return frame.astype(types)


@dataclass(frozen=True, repr=False)
class StoredRun:
    """A run as it was when it was read. Its methods open the database for as long as they read, and write nothing."""

    record: RunRecord
    totals: RunTotals
    place: str | Store
    money: MoneyTotals

    def __repr__(self) -> str:
        """Its id, state and size."""
        return f"StoredRun({self.run_id!r}, {self.state}, {self.totals.steps} steps on {self.record.backend})"

    def _repr_html_(self) -> str | None:
        """What is stored of it as pictures, for notebooks."""
        from qorch.audit.page.notebook import show_run

        with _opened(self.place) as store:
            return show_run(store, self.run_id)

    @property
    def run_id(self) -> str:
        """The unique id."""
        return self.record.run_id

    @property
    def name(self) -> str:
        """The name that the user gave."""
        return self.record.name

    @property
    def state(self) -> str:
        """``running``, ``interrupted`` (its process was killed), ``done``, ``stopped``, ``failed`` or ``cancelled``."""
        return self.record.state

    @property
    def created_at(self) -> datetime:
        """When it was started, in UTC."""
        return self.record.created_at

    @property
    def budget(self) -> Money | None:
        """The most that it may cost, if it has a budget of its own."""
        return self.record.budget

    @property
    def config(self) -> dict[str, Any]:
        """The backend, seed, cache and settings with which it was started."""
        record = self.record
        own = {"workload": record.workload, "backend": record.backend, "seed": record.seed, "cache": record.cache}
        return own | self.settings

    @property
    def settings(self) -> dict[str, Any]:
        """The argument ``settings=`` of ``start_run``, or all options of ``qorch train``."""
        return _decode(self.record.settings)

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, arguments and commit with which it was started; empty in runs of older versions."""
        return _decode(self.record.environment)

    @property
    def metrics(self) -> dict[str, float]:
        """The newest value of every logged name, and the final metrics of the run."""
        final: dict[str, float] = _decode(self.record.summary).get("metrics", {})
        return self.totals.metrics | final

    def history(self) -> History:
        """Every number that was logged."""
        with _opened(self.place) as store:
            return History(tuple(store.metrics(self.run_id)))

    def steps(self) -> list[StepRecord]:
        """The finished steps: number, epoch, begin, end, and circuits."""
        with _opened(self.place) as store:
            return store.steps(self.run_id)

    def report(self) -> Report:
        """Where the time and the money went; print it, or read its fields."""
        with _opened(self.place) as store:
            return make_report(store, self.run_id, card=find_card(self.record.backend, read_config()))

    def states(self) -> tuple[Any, ...]:
        """The states of the newest checkpoint, in the order of ``save=``. Raises RunError without a checkpoint."""
        return Checkpoint.decode(self._newest_checkpoint().content).objects

    def load_state(self, *objects: Saveable | None) -> int:
        """Give a model, an optimiser, … the states of the newest checkpoint; the number of its last step.

        In the order of ``save=``; None leaves a state out. Random states stay as they are. Raises RunError without a
        checkpoint, for another number of objects, or if an object does not take its state.
        """
        record = self._newest_checkpoint()
        states = Checkpoint.decode(record.content).objects
        if len(objects) != len(states):
            raise RunError(
                f"the checkpoint of run {self.run_id} holds {len(states)} states, and {len(objects)}"
                " objects were given: give them in the order of save=, with None for what is not wanted"
            )
        load_states(objects, states)
        return record.position.step

    def export(self, file: str | os.PathLike[str], *, state: int = 0) -> None:
        """Write a state of the newest checkpoint, the model's by default, as a file for ``torch.load``.

        Raises RunError without a checkpoint or such a state, UsageError if the file cannot be written.
        """
        import torch

        states = self.states()
        if not 0 <= state < len(states):
            raise RunError(f"the checkpoint of run {self.run_id} holds {len(states)} states; there is no state {state}")
        try:
            torch.save(_as_tensors(states[state]), os.fspath(file))
        except (OSError, RuntimeError, TypeError) as error:
            raise UsageError(f"cannot write {os.fspath(file)} ({error}); choose another file") from error

    def _newest_checkpoint(self) -> CheckpointRecord:
        with _opened(self.place) as store:
            found = store.last_checkpoint(self.run_id)
        if found is None:
            raise RunError(f"run {self.run_id} has no checkpoint; run.steps(..., save=(model, optimizer)) makes them")
        return found


def open_run(name_or_id: str, *, db: str | os.PathLike[str] | Store | None = None) -> StoredRun:
    """Read a run: that with this id, or the newest with this name, or the newest of all for ``"latest"``.

    Claims nothing and writes nothing, also while a process works on the run. Raises UnknownNameError if there is no
    such run or database, StoreError if the database cannot be read.
    """
    check_kind(name_or_id, str, "the run", wanted="its name or id")
    place, missing = _find_place(db)
    if missing:
        raise UnknownNameError(f"there is no run '{name_or_id}': there is no database at {missing}")
    with _opened(place) as store:
        record = require_record(store, name_or_id)
        if record.state == RunState.DELETED:
            raise UnknownNameError(f"run {record.run_id} was deleted; see `qorch jobs --run {record.run_id}`")
        return _read_run(store, record, place, totals=store.run_totals(), balances=store.ledger_balances())


def runs(*, db: str | os.PathLike[str] | Store | None = None) -> list[StoredRun]:
    """All runs, newest first; none if there is no database yet. Raises StoreError if it cannot be read."""
    place, missing = _find_place(db)
    if missing:
        return []
    with _opened(place) as store:
        return list_runs(store, place)


def list_runs(store: Store, place: str | Store) -> list[StoredRun]:
    """All runs of an open store, newest first; ``place``: the store, or the file from which they read later."""
    totals = store.run_totals()
    balances: dict[str, list[LedgerBalance]] = defaultdict(list)
    for balance in store.ledger_balances():
        balances[balance.run_id].append(balance)
    return [
        _read_run(store, record, place, totals=totals, balances=balances[record.run_id])
        for record in store.runs()
        if record.run_id in totals
    ]


def _read_run(
    store: Store,
    record: RunRecord,
    place: str | Store,
    *,
    totals: Mapping[str, RunTotals],
    balances: Iterable[LedgerBalance],
) -> StoredRun:
    current = replace(record, state=state_now(store, record))
    return StoredRun(current, totals[record.run_id], place, total_money(record, balances))


def require_record(store: Runs, name_or_id: str) -> RunRecord:
    """The run of that id or name, or the newest for ``latest``. Raises UnknownNameError if there is none."""
    found = next(iter(store.runs()), None) if name_or_id == LATEST else store.find_run(name_or_id)
    if found is None:
        raise UnknownNameError(f"there is no run '{name_or_id}' in {store.location}; see `qorch runs`")
    return found


def _find_place(db: str | os.PathLike[str] | Store | None) -> tuple[str | Store, Path | None]:
    """Where the database is, or the store that is open already; and the file, if it does not exist.

    Raises UsageError for anything else.
    """
    if db is not None and not isinstance(db, str | os.PathLike):
        if not hasattr(db, "run_totals"):
            raise UsageError(f"db is a {type(db).__name__}; give the path of a database, its URL, or a Store")
        return db, None
    url = os.fspath(db or read_config().db)
    file = database_file(url)
    if file is None:
        return url, None
    return str(file), None if file.exists() else file


@contextmanager
def _opened(place: str | Store) -> Iterator[Store]:
    if not isinstance(place, str):
        yield place
        return
    with closing(open_store(place, clock=WallClock())) as store:
        yield store


def _decode(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found


def _as_tensors(tree: Any) -> Any:
    """The tree with tensors for arrays, which ``torch.load`` takes without trusting the file."""
    import torch

    if isinstance(tree, np.ndarray):
        return torch.from_numpy(tree) if tree.dtype.kind in "biufc" else tree.tolist()
    if isinstance(tree, dict):
        return {key: _as_tensors(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return type(tree)(_as_tensors(value) for value in tree)
    return tree
