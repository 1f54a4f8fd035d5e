"""A database that an earlier revision really wrote, kept as a file: it opens, and keeps what it holds."""

import lzma
import math
from contextlib import closing
from pathlib import Path

import pytest

from qorch.audit.report import make_report
from qorch.ports.clock import WallClock
from qorch_jobs_db import open_store

KEPT = Path(__file__).parents[1] / "kept"


def test_a_database_of_revision_0002_keeps_its_runs_steps_and_metrics(tmp_path: Path) -> None:
    """A training, a call outside of steps and a metric that is NaN, written before metrics had rows of their own."""
    path = tmp_path / "x.db"
    path.write_bytes(lzma.decompress((KEPT / "revision-0002.db.xz").read_bytes()))
    with closing(open_store(str(path), clock=WallClock())) as store:
        assert store.check() == []
        assert [(run.name, run.charges) for run in store.runs()] == [("nan", False), ("scan", False), ("kept", False)]
        report = make_report(store, "kept")
        assert (report.steps, report.rows_executed, report.rows_from_cache) == (2, 1044, 0)
        assert report.metrics == {
            "loss": pytest.approx(0.6900694966316223), "test_accuracy": 0.5, "baseline_accuracy": 1.0
        }  # fmt: skip
        [trained] = [run for run in store.runs() if run.name == "kept"]
        assert len(store.metrics(trained.run_id)) == 3
        assert store.last_checkpoint(trained.run_id) is not None
        loss, accuracy = store.metrics(store.runs()[0].run_id)
        assert math.isnan(loss.value)
        assert (accuracy.name, accuracy.value, accuracy.step) == ("acc", 0.25, 0)
