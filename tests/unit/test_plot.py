"""Metrics as pictures: what they are drawn against, and what cannot be drawn."""

import builtins
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from qorch.audit.plot import draw, places
from qorch.errors import MissingPackageError, UnknownNameError, UsageError
from qorch.ports.records import MetricRecord, StepRecord
from qorch.testing.conformance.store_records import NOW


def step(number: int, begin: float | None, end: float, *, session: int = 0) -> StepRecord:
    """A step that executed 10 circuits and had 5 from the cache; its times are seconds."""
    begun_at = None if begin is None else NOW + dt.timedelta(seconds=begin)
    return StepRecord("r", number, session, NOW + dt.timedelta(seconds=end), 10, 5, begun_at)


def test_each_axis_counts_its_own() -> None:
    """Steps by number, circuits with those of the cache, seconds without the pause between two sessions."""
    steps = [step(0, 0.0, 2.0), step(1, 2.5, 3.0), step(4, 100.0, 101.0, session=1)]
    assert places(steps, axis="steps") == {0: 0.0, 1: 1.0, 4: 4.0}
    assert places(steps, axis="circuits") == {0: 15.0, 1: 30.0, 4: 45.0}
    assert places(steps, axis="seconds") == pytest.approx({0: 2.0, 1: 2.5, 4: 3.5})


def test_steps_of_older_versions_began_when_the_one_before_ended() -> None:
    """Their begin was not recorded; the first of a session counts nothing."""
    steps = [step(0, None, 2.0), step(1, None, 3.0), step(2, None, 50.0, session=1)]
    assert places(steps, axis="seconds") == pytest.approx({0: 0.0, 1: 1.0, 2: 1.0})


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_every_metric_has_a_picture(suffix: str, tmp_path: Path) -> None:
    """Of the runs that logged it, names with signs of mathematics and control codes among them."""
    pytest.importorskip("matplotlib")
    odd = "$x^{ \x1b[1m"
    logged = [MetricRecord("r", 0, 0, "loss", 0.5, NOW), MetricRecord("r", -1, 0, odd, float("nan"), NOW)]
    file = tmp_path / f"x.{suffix}"
    assert draw([("a", [step(0, 0.0, 1.0)], logged), ("b", [], [])], file, metrics=None, axis="seconds") == [
        "loss",
        odd,
    ]
    assert file.read_bytes().startswith({"png": b"\x89PNG", "svg": b"<?xml"}[suffix])


def test_what_cannot_be_drawn_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A metric that was not logged, nothing at all, a folder that is not there, and matplotlib missing."""
    pytest.importorskip("matplotlib")
    curve = ("a", [step(0, 0.0, 1.0)], [MetricRecord("r", 0, 0, "loss", 0.5, NOW)])
    with pytest.raises(UnknownNameError, match="no run logged 'acc'; logged were: loss"):
        draw([curve], tmp_path / "x.png", metrics=["acc"], axis="steps")
    with pytest.raises(UsageError, match="logged no metrics"):
        draw([("a", [], [])], tmp_path / "x.png", metrics=None, axis="steps")
    with pytest.raises(UsageError, match="cannot write"):
        draw([curve], tmp_path / "missing" / "x.png", metrics=None, axis="steps")
    original = builtins.__import__

    def find(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(f"No module named '{name}'", name=name)
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", find)
    with pytest.raises(MissingPackageError, match=r"pip install 'qorch\[plot\]'"):
        draw([curve], tmp_path / "x.png", metrics=None, axis="steps")
