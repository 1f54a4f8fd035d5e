"""Mocks as a user meets them: trained on, quoted, budgeted, and learned from."""

from pathlib import Path
from typing import Any

import pytest

TINY = """description = "nothing takes long"
[latencies]
network = { seconds = "0.001..0.002", source = "a test" }
queue = { seconds = "0.002", source = "a test" }
execution = { seconds = "0.001", source = "a test" }
"""
TRAINING = ("--limit", "20", "--epochs", "1", "--shots", "10", "--seed", "3")


@pytest.fixture
def mock(tmp_path: Path) -> str:
    """The name of a mock that does not let anybody wait."""
    (tmp_path / "tiny.toml").write_text(TINY)
    return f"mock:ionq.qpu.forte-1,profile={tmp_path / 'tiny.toml'}"


def test_a_mock_is_trained_on_and_learned_from(
    typed: Any, mock: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It costs what was quoted, which is shown as a mock's; the wall holds; the history makes a profile."""
    [quote] = [typed("quote", "digits", *TRAINING, "--backend", mock, "--json").document]
    outcome = typed("train", "digits", *TRAINING, "--backend", mock, "--budget", "1000 USD", "--name", "whole")
    assert outcome.code == 0, outcome.err
    assert "is a mock: nothing is sent, and nothing is charged" in caplog.text
    assert "(a mock: nothing was charged)" in outcome.out
    document = typed("report", "whole", "--json").document
    assert document["is_mock"]
    assert document["spend"] == quote["spend"]
    refused = typed("train", "digits", *TRAINING, "--backend", mock, "--budget", "1 USD")
    assert refused.code == 3
    learned = tmp_path / "learned.toml"
    assert typed("profile", "learn", "whole", "--out", str(learned)).code == 0
    assert "is there already" in typed("profile", "learn", "whole", "--out", str(learned)).error
    figures = {each["name"]: each for each in typed("profile", "show", str(learned), "--json").document["figures"]}
    assert figures["queue"]["value"].startswith(("0.002", "lognormal(0.002"))
    assert figures["queue"]["observations"] == 2


def test_a_profile_is_shown_with_its_sources(typed: Any) -> None:
    """By the name of the backend that it describes."""
    shown = typed("profile", "show", "mock:ibm.ibm_fez")
    assert shown.code == 0
    [shot] = [line for line in shown.out.splitlines() if line.startswith("per_shot")]
    assert "0.00035 s" in shot
    assert "0.35 ms a shot" in shot
