"""What commands print: JSON that every reader takes, and tables whose ids can be copied."""

import io
import json
import math
import sys

import pytest

from qorch.cli.output import print_json, print_table

RUN = "digits-20261120-115158-a162"
JOB = f"{RUN}/12.0.0"
SENTENCE = "the provider says that a machine as old as this one is calibrated on Thursdays"


def refuse(name: str) -> float:
    """For ``json.loads``, which would take NaN and Infinity."""
    raise AssertionError(f"{name} is no JSON")


def test_numbers_that_are_not_finite_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    """At any depth; all others stay."""
    print_json({"steps": [{"loss": math.nan, "best": -math.inf, "step": 3}], "both": (math.inf, 0.5), "name": "ü"})
    document = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert document == {"steps": [{"loss": None, "best": None, "step": 3}], "both": [None, 0.5], "name": "ü"}


class Terminal(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.mark.parametrize("width", [30, 80, 100, 200])
@pytest.mark.parametrize("n_words", [1, 9])
def test_ids_are_never_cut(width: int, n_words: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the width of the terminal: sentences are wrapped, and a table that is too wide is plain."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    columns = ["run", "id", *(f"column {number}" for number in range(n_words)), "error"]
    print_table(columns, [[RUN, JOB, *["word"] * n_words, SENTENCE]])
    shown = terminal.getvalue()
    assert RUN in shown
    assert JOB in shown
    assert all(word in shown for word in SENTENCE.split())
    assert "…" not in shown
