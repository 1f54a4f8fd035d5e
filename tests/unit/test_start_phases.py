"""What a run does once, before it can train, has phases of its own, which are no gains of a longer run."""

import itertools
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit

import qorch
from qorch.audit.phases import LABELS
from qorch.audit.report import make_report
from qorch.model.timing import ONCE, Phase
from qorch.ports.clock import WallClock
from qorch.run.import_watch import ImportWatch
from qorch.testing.fakes.backend import FakeBackend
from qorch.testing.fakes.store import MemoryStore


class CountingClock(WallClock):
    """Every look at it is a nanosecond later."""

    def __init__(self) -> None:
        """At zero."""
        self._ticks = itertools.count()

    def monotonic_ns(self) -> int:
        """The next nanosecond."""
        return next(self._ticks)

    def now(self) -> datetime:
        """Always the same."""
        return datetime(2026, 1, 1, tzinfo=UTC)


def test_imports_are_timed_and_loaders_left_as_they_were(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module within another lies within its time; nothing is timed after the watch has stopped."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ["qorch_outer_module", "qorch_inner_module", "qorch_later_module"]
    (tmp_path / f"{names[0]}.py").write_text(f"import {names[1]}\n")
    for name in names[1:]:
        (tmp_path / f"{name}.py").write_text("")
    watch = ImportWatch(CountingClock())
    try:
        outer = __import__(names[0])
    finally:
        watch.stop()
        watch.stop()
    __import__(names[2])
    (inner_begun, inner_ended), (begun, ended) = watch.take_intervals()
    assert begun < inner_begun < inner_ended < ended
    assert watch.take_intervals() == []
    assert "exec_module" not in vars(outer.__loader__)
    assert watch not in sys.meta_path
    for name in names:
        monkeypatch.delitem(sys.modules, name)


class SlowBackend(FakeBackend):
    """Compiled kernels for a while."""

    def take_slow_starts(self) -> list[tuple[Phase, int, int]]:
        """Once, from its opening on."""
        taken, self.slow = getattr(self, "slow", []), []
        return taken


def test_what_is_done_once_is_no_gain() -> None:
    """It is in the report under its own name, within the sum, and the pace of a step does not contain it."""
    angle = Parameter("a")
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    pub = qorch.Pub(qorch.compile_circuit(circuit), np.zeros((3, 1)), observables=["Z0"], shots=10)
    store, backend = MemoryStore(WallClock()), SlowBackend()
    with qorch.start_run("slow", backend=backend, db=store, seed=1, progress="off") as run:
        for step in run.steps(range(3)):
            begun = WallClock().monotonic_ns()
            run.execute([pub])
            if step == 0:
                backend.slow = [(Phase.COMPILE, begun, WallClock().monotonic_ns())]
    assert not any(isinstance(finder, ImportWatch) for finder in sys.meta_path)
    report = make_report(store, run.run_id)
    seconds = {part.phase: part.seconds for part in report.phases}
    assert seconds["compile kernels"] > 0
    assert seconds["before the first step"] > 0
    assert sum(seconds.values()) == pytest.approx(report.wall_seconds)
    (gains,) = [line for line in str(report).splitlines() if "left to gain" in line]
    assert not any(LABELS[phase] in gains for phase in ONCE)
    assert "from " in gains


@pytest.mark.parametrize("wrong", [False, True, "none", 3])
def test_progress_is_a_function_or_off(wrong: object) -> None:
    """Anything else is said before a run begins."""
    store = MemoryStore(WallClock())
    with pytest.raises(qorch.QorchError, match="give a function that takes a Progress, 'off', or None"):
        qorch.start_run("shown", backend=FakeBackend(), db=store, progress=wrong)  # type: ignore[arg-type]
    assert store.runs() == []


def test_progress_off_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """And by default there is a line at the first step and at the last, though the loader has no length."""
    for progress in ("off", None):
        with qorch.start_run(
            "shown", backend=FakeBackend(), db=MemoryStore(WallClock()), seed=1, progress=progress
        ) as run:  # type: ignore[arg-type]
            for _ in run.steps(iter(range(4))):
                pass
        lines = capfd.readouterr().err.splitlines()
        assert [line.split(" · ")[0] for line in lines] == ([] if progress else ["step 1/?", "step 4/?"])
