"""Reads MNIST: four IDX files, plain or packed by gzip, of 28×28 images and of their labels."""

import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from qorch.errors import UsageError

SIDE = 28
"""Pixels: the height and the width of an image."""
N_CLASSES = 10
PARTS = TRAINING, TEST = "train", "t10k"
"""The two parts, as their files' names begin."""
COUNTS = {
    TRAINING: (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
    TEST: (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009),
}
"""Images of each digit in the files that everybody has; a quote goes by them, as it reads none."""
IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
"""The first four bytes, big-endian: unsigned bytes in three dimensions, and in one."""
MOST_ITEMS = 10**6
"""Of one file; a larger number in a header is a damaged one."""
FOLDERS = (".", "mnist", "MNIST/raw")
"""Where the files are looked for within --data-dir; the last is torchvision's."""
HOW_TO_GET = (
    "get the four files {train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or .gz, such as from"
    " https://ossci-datasets.s3.amazonaws.com/mnist/, and give their folder with --data-dir or QORCH_DATA_DIR"
)

Bytes = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


def load_mnist(data_dir: Path | None, part: str) -> tuple[Bytes, Labels]:
    """All images ``(N, 28, 28)`` of ``TRAINING`` or ``TEST``, 0 is background, and their digits ``(N,)``.

    Raises UsageError, naming the file, for one that is missing, damaged, or does not go with the other.
    """
    images_file = find_file(data_dir, f"{part}-images-idx3-ubyte")
    labels_file = find_file(data_dir, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_file, shape=(SIDE, SIDE)), read_idx(labels_file, shape=())
    if len(images) != len(labels):
        raise UsageError(
            f"{labels_file} has {len(labels)} labels, and {images_file} has {len(images)} images;"
            f" there is one label an image: {HOW_TO_GET}"
        )
    if labels.max() >= N_CLASSES:
        raise UsageError(f"{labels_file} has the label {labels.max()}; the labels of MNIST are 0 to 9: {HOW_TO_GET}")
    return images, labels.astype(np.int64)


def choose_digits(images: Bytes, labels: Labels, digits: tuple[int, ...]) -> tuple[Bytes, Labels]:
    """The images of these digits, in the order of the file, and their places in ``digits``, which are sorted."""
    is_chosen = np.isin(labels, digits)
    return images[is_chosen], np.searchsorted(digits, labels[is_chosen])


def check_classes(labels: Labels, digits: tuple[int, ...], *, part: str) -> None:
    """Raise UsageError unless there is an image of each digit; ``labels`` are places in ``digits``."""
    for place in np.flatnonzero(np.bincount(labels, minlength=len(digits)) == 0)[:1]:
        raise UsageError(
            f"no image of the {part} files that is used is a {digits[place]}; give a larger --limit, other --classes,"
            " or files that have this class"
        )


def count_images(digits: tuple[int, ...], *, limit: int | None) -> dict[str, int]:
    """How many images of these digits train, and how many test: a quarter as many, at least one, as far as there are.

    ``limit``: of those that train; None is all of both.
    """
    limits = (MOST_ITEMS, MOST_ITEMS) if limit is None else (limit, max(1, limit // 4))
    return {
        part: min(most, sum(COUNTS[part][digit] for digit in digits)) for part, most in zip(PARTS, limits, strict=True)
    }


def find_file(data_dir: Path | None, name: str) -> Path:
    """The file of that name, plain or .gz. Raises UsageError if there is none."""
    if data_dir is None:
        raise UsageError(f"MNIST needs the IDX file {name}: {HOW_TO_GET}")
    for folder in FOLDERS:
        for ending in ("", ".gz"):
            if (path := data_dir / folder / f"{name}{ending}").is_file():
                return path
    raise UsageError(f"there is no IDX file {name} or {name}.gz in {data_dir} or {data_dir / 'mnist'}: {HOW_TO_GET}")


def read_idx(path: Path, *, shape: tuple[int, ...]) -> Bytes:
    """An IDX file of unsigned bytes: ``(N, *shape)``, N at least 1.

    The format: a magic number, then N and ``shape``, each four bytes, big-endian, then the bytes; see "The MNIST
    database", Y. LeCun, C. Cortes, C. Burges. Raises UsageError, naming the file, if it is not one.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return _read_items(file, path=path, shape=shape)
    except (OSError, EOFError, zlib.error) as error:
        kind = "a gzip file" if path.suffix == ".gz" else "a file"
        raise UsageError(f"{path} cannot be read as {kind} of MNIST ({error}): {HOW_TO_GET}") from error


def _read_items(file: BinaryIO | gzip.GzipFile, *, path: Path, shape: tuple[int, ...]) -> Bytes:
    magic, count, *sides = _read_header(file, path=path, n_numbers=2 + len(shape))
    wanted = IMAGES_MAGIC if shape else LABELS_MAGIC
    if magic != wanted:
        kind = "images" if shape else "labels"
        raise UsageError(f"{path} begins with {magic}; an IDX file of {kind} begins with {wanted}: {HOW_TO_GET}")
    if tuple(sides) != shape:
        raise UsageError(f"{path} has images of {sides}; those of MNIST have {list(shape)} pixels: {HOW_TO_GET}")
    if not 1 <= count <= MOST_ITEMS:
        raise UsageError(f"{path} claims {count} items; an IDX file has 1 to {MOST_ITEMS}: {HOW_TO_GET}")
    n_bytes = count * int(np.prod(shape))
    # One byte more: a longer file is damaged, too, and gzip checks its sum at the end.
    body = file.read(n_bytes + 1)
    if len(body) != n_bytes:
        found = f"only {len(body)}" if len(body) < n_bytes else "more"
        raise UsageError(f"{path} has {found} bytes after its header, which claims {n_bytes}: {HOW_TO_GET}")
    return np.frombuffer(body, dtype=np.uint8).reshape(count, *shape)


def _read_header(file: BinaryIO | gzip.GzipFile, *, path: Path, n_numbers: int) -> tuple[int, ...]:
    header = file.read(4 * n_numbers)
    if len(header) < 4 * n_numbers:
        raise UsageError(f"{path} has only {len(header)} bytes, too few for the header of an IDX file: {HOW_TO_GET}")
    return struct.unpack(f">{n_numbers}I", header)
