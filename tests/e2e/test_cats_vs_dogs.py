"""`cats-vs-dogs` on small photographs that are made here: training, resuming, quoting, and data that is not right."""

from pathlib import Path
from typing import Any

import pytest
from made_photographs import make_photographs
from PIL import Image

from qorch.errors import MissingPackageError, UsageError
from qorch.workloads import photographs
from qorch.workloads.base import Options
from qorch.workloads.cats_vs_dogs import TRAINING, VALIDATION, WORKLOAD, build_circuit, load_data

SMALL = ("--limit", "20", "--epochs", "1", "--batch-size", "8", "--shots", "10")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder that has the photographs."""
    return make_photographs(tmp_path / "data")


def test_the_circuit_is_the_one_that_was_described() -> None:
    """16 RY, 16 RZ and 56 CX after an encoding of 8 RY; every weight changes an expectation value."""
    circuit, inputs, weights = build_circuit()
    assert dict(circuit.count_ops()) == {"cx": 56, "ry": 8 + 16, "rz": 16}
    assert (len(inputs), len(weights), circuit.num_qubits) == (8, 32, 8)


def test_it_trains_as_it_is_quoted_and_goes_on(typed: Any, data: Path) -> None:
    """Without its photographs a quote is the same; a longer training is as good as one that was long from the start."""
    where = ("--data-dir", str(data))
    quote = typed("quote", "cats-vs-dogs", *SMALL, "--backend", "local", "--json").document
    trained = typed("train", "cats-vs-dogs", *SMALL, *where, "--json").document
    assert (quote["rows"], quote["jobs"]) == (trained["rows_executed"], trained["jobs"])
    assert trained["steps"] == 2
    assert quote["step"]["rows"] == 8 * (1 + 2 * (8 + 32))
    assert {"loss", "baseline_loss", "validation_accuracy", "baseline_accuracy"} <= set(trained["metrics"])
    longer = typed("train", "cats-vs-dogs", "--resume", "--epochs", "2", "--json").document
    whole = typed("train", "cats-vs-dogs", *SMALL, *where, "--epochs", "2", "--json").document
    assert longer["weights_sha256"] == whole["weights_sha256"] != trained["weights_sha256"]
    assert longer["metrics"] == whole["metrics"]


def test_photographs_are_scaled_and_have_their_labels(data: Path) -> None:
    """Eight and two of each class by name, 180×180, red before green before blue."""
    options = Options(shots=None, data_dir=data, limit=20)
    parts = load_data(options)
    images, labels = parts[TRAINING].tensors
    assert tuple(images.shape) == (16, 3, 180, 180)
    assert labels.tolist() == [0] * 8 + [1] * 8
    means = images.double().mean(dim=(2, 3))
    assert (means[:8].argmax(dim=1) == 0).all()
    assert (means[8:].argmax(dim=1) == 2).all()
    assert len(parts[VALIDATION]) == 4
    inner = load_data(Options(shots=None, data_dir=data / "cats_vs_dogs", limit=20))
    assert inner[TRAINING].tensors[0].equal(images)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--limit", "19"), "needs at least 20 photographs"),
        (("--batch-size", "1"), "batches of at least 2"),
        (("--lr", "0"), "--lr is '0'"),
        (("--gradient", "none"), "there is no gradient 'none'"),
    ],
)
def test_options_that_cannot_be_are_refused(typed: Any, data: Path, options: tuple[str, ...], said: str) -> None:
    """In a training and in a quote, with one sentence, and nothing is written."""
    for command in (("train", "--data-dir", str(data)), ("quote", "--backend", "local")):
        assert said in typed(command[0], "cats-vs-dogs", *command[1:], *SMALL, *options).error
    assert not typed.database.exists()


def test_data_that_is_not_right_is_named(typed: Any, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No folder, another one, too few files, an unknown class, a file that is cut off or no JPEG."""
    monkeypatch.delenv("QORCH_DATA_DIR", raising=False)

    def refuse(*where: str) -> str:
        outcome = typed("train", "cats-vs-dogs", *SMALL, *where)
        assert outcome.code == 2
        return str(outcome.err)

    train = data / "cats_vs_dogs" / "train"
    assert "needs JPEG files in train/cats, train/dogs, validation/cats, validation/dogs" in refuse()
    assert f"there is no folder {typed.folder}/train" in refuse("--data-dir", str(typed.folder))
    here = ("--data-dir", str(data))
    assert f"{train}/cats has 9 JPEG files, and 20 are needed" in refuse(*here, "--limit", "50")
    (train / "birds").mkdir()
    assert f"the folder {train}/birds is of no class; those in {train} are cats, dogs" in refuse(*here)
    (train / "birds").rmdir()
    assert not typed.database.exists()
    cut = train / "dogs" / "3.JPG"
    whole = cut.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"GIF89a", whole[:20]):
        cut.write_bytes(content)
        said = refuse(*here)
        assert f"{cut} cannot be read as a JPEG file" in said


def test_pillow_is_asked_for(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed, one sentence says how to install it."""
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(MissingPackageError, match=r"qorch\[images\]"):
        WORKLOAD.check(Options(shots=10, data_dir=data, limit=20))


def test_a_huge_photograph_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow does not unpack a file that would fill the memory, and the sentence names the file."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(UsageError, match="cannot be read as a JPEG file"):
        photographs.read_photograph(data / "cats_vs_dogs" / "train" / "cats" / "0.JPG")
