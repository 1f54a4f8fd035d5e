"""MNIST's files: plain and packed, where they are looked for, and what is said of those that are not right."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from idx_files import idx_images, idx_labels, write_mnist

from qorch.errors import UsageError
from qorch.workloads.mnist import HOW_TO_GET, TEST, TRAINING, count_images, load_mnist

LABELS = idx_labels(np.zeros(40, dtype=np.uint8))
IMAGES = idx_images(np.zeros((40, 28, 28), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder with the four files."""
    return write_mnist(tmp_path / "data" / "mnist")


def test_plain_and_packed_files_are_the_same(folder: Path) -> None:
    """Found in the folder and in its subfolder, with one label an image."""
    images, labels = load_mnist(folder, TRAINING)
    assert (images.shape, labels.tolist()) == ((40, 28, 28), list(range(10)) * 4)
    plain = folder / "train-images-idx3-ubyte"
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    again, _ = load_mnist(folder.parent, TRAINING)
    assert np.array_equal(images, again)
    assert images[3, 0, 21] >= 200 > images[3, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("train-images-idx3-ubyte", IMAGES[:-1], "has only 31359 bytes after its header, which claims 31360"),
        ("train-images-idx3-ubyte", IMAGES + b"1", "has more bytes after its header"),
        ("train-images-idx3-ubyte", IMAGES[:10], "has only 10 bytes, too few for the header"),
        ("train-images-idx3-ubyte", LABELS + IMAGES, "begins with 2049; an IDX file of images begins with 2051"),
        ("train-images-idx3-ubyte", IMAGES[:4] + b"\xff" * 4 + IMAGES[8:], "claims 4294967295 items"),
        ("train-images-idx3-ubyte", idx_images(np.zeros((40, 32, 32), dtype=np.uint8)), "has images of [32, 32]"),
        ("train-labels-idx1-ubyte.gz", b"no gzip file", "cannot be read as a gzip file"),
        ("train-labels-idx1-ubyte.gz", gzip.compress(LABELS)[:-9], "cannot be read as a gzip file"),
        ("train-labels-idx1-ubyte.gz", gzip.compress(LABELS[:8]), "has only 0 bytes after its header"),
        (
            "train-labels-idx1-ubyte.gz",
            gzip.compress(idx_labels(np.zeros(39, dtype=np.uint8))),
            "has 39 labels, and",
        ),
        ("train-labels-idx1-ubyte.gz", gzip.compress(LABELS[:-1] + b"\x0a"), "has the label 10"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes, said: str) -> None:
    """With what is wrong, and how to get a good one."""
    (folder / name).write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_mnist(folder, TRAINING)
    text = str(caught.value)
    assert f"{folder / name} {said}" in text
    assert HOW_TO_GET in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: None, "needs the IDX file t10k-images-idx3-ubyte"),
        (lambda folder: folder / "none", "there is no IDX file t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz in"),
    ],
)
def test_missing_files_are_named(folder: Path, change: Callable[[Path], Path | None], said: str) -> None:
    """With and without a folder that was given."""
    with pytest.raises(UsageError) as caught:
        load_mnist(change(folder), TEST)
    assert said in str(caught.value)
    assert HOW_TO_GET in str(caught.value)


def test_a_quarter_as_many_images_test() -> None:
    """At least one, and at most those that there are."""
    assert count_images((3, 6), limit=100) == {TRAINING: 100, TEST: 25}
    assert count_images((3, 6), limit=1) == {TRAINING: 1, TEST: 1}
    assert count_images(tuple(range(10)), limit=None) == {TRAINING: 60_000, TEST: 10_000}
    assert count_images((3, 6), limit=60_000) == {TRAINING: 6131 + 5918, TEST: 1010 + 958}
