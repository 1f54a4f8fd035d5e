"""Circuits that run after a step, such as those of a validation, count with it, whatever session ran them."""

import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.ports.clock import WallClock
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore


class CrashError(Exception):
    """Ends a training in the middle."""


def program(store: MemoryStore, *, crash_at: str | None = None, resume: bool = False) -> None:
    """Two epochs of two steps of one row, each followed by a validation of two calls with 2 and 3 rows."""
    circuit = QuantumCircuit(1)
    circuit.ry(Parameter("a"), 0)

    def execute(place: str, rows: int) -> None:
        if place == crash_at:
            raise CrashError
        values = [[0.1 * row + len(place)] for row in range(rows)]
        run.execute(qorch.Pub(circuit, values, observables="Z0", shots=10))

    with qorch.start_run("rows", backend=FakeBackend(), db=store, seed=5, resume=resume, progress="off") as run:
        for epoch in run.epochs(2, save=({},)):
            for index in run.steps(range(2)):
                execute(f"step {epoch}.{index}", 1)
            execute(f"validation {epoch}", 2)
            execute(f"more validation {epoch}", 3)


@pytest.mark.parametrize(
    "places", [(), ("step 1.1",), ("validation 0",), ("more validation 0", "more validation 1"), ("more validation 1",)]
)
def test_the_rows_of_all_steps_are_the_rows_of_the_run(places: tuple[str, ...]) -> None:
    """One row in the first step of an epoch, and six in the last with its validation; nothing from the cache."""
    store = MemoryStore(WallClock())
    for number, place in enumerate(places):
        with pytest.raises(CrashError):
            program(store, crash_at=place, resume=number > 0)
    program(store, resume=bool(places))
    [run] = store.runs()
    assert [(step.executions, step.executions_from_cache) for step in store.steps(run.run_id)] == [
        (1, 0), (6, 0), (1, 0), (6, 0)
    ]  # fmt: skip
    assert qorch.open_run("rows", db=store).report().rows_executed == 14
