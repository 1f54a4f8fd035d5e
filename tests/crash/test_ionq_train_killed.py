"""`qorch train` on an emulator of IonQ's service, killed and interrupted: the same weights, and nothing paid twice."""

import json
import random
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from campaign import assert_none_lost, assert_paid_once
from ionq_training import TRAINING, command, disturb, emulate
from train_process import start

from qorch.cli.main import run_command
from qorch_providers.emulators.ionq import RunningEmulator

Train = Callable[..., dict[str, object]]


@pytest.fixture
def train_here(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Train:
    """Runs the command to its end in this very process, which saves the seconds of loading torch; its document."""

    def train(db: Path, *arguments: str) -> dict[str, object]:
        monkeypatch.setenv("QORCH_DB", str(db))
        capfd.readouterr()
        code = run_command([*arguments, "--json"])
        out, err = capfd.readouterr()
        assert code == 0, err
        document: dict[str, object] = json.loads(out)
        return document

    return train


def train_whole(folder: Path, train: Train) -> dict[str, object]:
    """The training left alone, with which the others are compared."""
    with emulate() as emulator:
        document = train(folder / "whole.db", *TRAINING)
        assert_paid_once(emulator, rows=int(str(document["rows_executed"])))
    return document


def compare(db: Path, emulator: RunningEmulator, train: Train, whole: dict[str, object]) -> None:
    """Let the training come to its end: the same weights to the bit, every row paid once and reported once."""
    document = train(db, *command(emulator))
    assert document["weights_sha256"] == whole["weights_sha256"]
    assert document["metrics"] == whole["metrics"]
    assert (document["rows_executed"], document["rows_from_cache"]) == (whole["rows_executed"], 0)
    assert_paid_once(emulator, rows=int(str(whole["rows_executed"])))
    assert_none_lost(str(db), emulator)


def test_a_training_is_killed_twice_and_interrupted(tmp_path: Path, train_here: Train) -> None:
    """Two kills and a Ctrl-C, which ends within 5 s and says how to go on."""
    whole = train_whole(tmp_path, train_here)
    db = tmp_path / "q.db"
    with emulate() as emulator:
        for jobs in (2, 7):
            assert disturb(db, emulator, number=signal.SIGKILL, jobs=jobs)[0] == -signal.SIGKILL
        code, seconds, said = disturb(db, emulator, number=signal.SIGINT, jobs=4)
        assert (code, seconds < 5) == (130, True), said
        assert "resume with: qorch train digits --resume digits-" in said
        assert "Traceback" not in said
        compare(db, emulator, train_here, whole)


def test_a_resumed_training_is_interrupted_before_it_has_its_first_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how to go on, though it has not come to its first step."""
    db = tmp_path / "q.db"
    with emulate() as emulator:
        assert disturb(db, emulator, number=signal.SIGKILL, seconds=0.0)[0] == -signal.SIGKILL
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        monkeypatch.setenv("IONQ_API_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/v0.4")
        monkeypatch.setenv("IONQ_API_KEY", "dummy")
        process = start(db, "train", "digits", "--resume", "digits")
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "resume with: qorch train digits --resume digits-" in said


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_training_is_killed_twenty_times(tmp_path: Path, train_here: Train) -> None:
    """Killed at random moments after its first job of that life; a training that ends meanwhile is compared."""
    whole = train_whole(tmp_path, train_here)
    moments, kills, runs = random.Random(6), 0, 0
    while kills < 20:
        db = tmp_path / f"{runs}.db"
        with emulate() as emulator:
            code = -signal.SIGKILL
            while kills < 20 and code == -signal.SIGKILL:
                code, _, said = disturb(db, emulator, number=signal.SIGKILL, seconds=moments.uniform(0.0, 1.5))
                assert code in {0, -signal.SIGKILL}, said
                kills += code != 0
            compare(db, emulator, train_here, whole)
        runs += 1
    print(f"{kills} kills, {runs} trainings")
