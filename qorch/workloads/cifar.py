"""Reads CIFAR-10: the files of its binary version, plain or packed by gzip, of 32×32 images and their labels."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from qorch.errors import UsageError

SIDE, CHANNELS = 32, 3
"""Pixels: the height and the width of an image; red, green and blue."""
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAINING = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST = ("test_batch.bin",)
RECORD_BYTES = 1 + CHANNELS * SIDE * SIDE
"""A label and the pixels of an image; see "The CIFAR-10 dataset", A. Krizhevsky: the binary version."""
MOST_IMAGES = 10**6
"""Of one file; a larger one is no file of CIFAR-10."""
FOLDERS = (".", "cifar10", "cifar-10-batches-bin")
"""Where the files are looked for within --data-dir; the last is that of the archive."""
HOW_TO_GET = (
    "get the binary version, such as https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz, unpack it, and give its"
    " folder with --data-dir or QORCH_DATA_DIR"
)


def load_cifar10(
    data_dir: Path | None, names: tuple[str, ...] = TRAINING
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """All images ``(N, 3, 32, 32)`` of the files ``TRAINING`` or ``TEST``, and their classes ``(N,)``.

    Raises UsageError, naming the file, for one that is missing, cut off or damaged.
    """
    records = np.concatenate([_read_records(find_file(data_dir, name)) for name in names])
    return records[:, 1:].reshape(-1, CHANNELS, SIDE, SIDE), records[:, 0].astype(np.int64)


def find_file(data_dir: Path | None, name: str) -> Path:
    """The file of that name, plain or .gz. Raises UsageError if there is none."""
    if data_dir is None:
        raise UsageError(f"CIFAR-10 needs the file {name}: {HOW_TO_GET}")
    for folder in FOLDERS:
        for ending in ("", ".gz"):
            if (path := data_dir / folder / f"{name}{ending}").is_file():
                return path
    raise UsageError(
        f"there is no file {name} or {name}.gz in {data_dir} or {data_dir / 'cifar10'}{_see_pickles(data_dir)}:"
        f" {HOW_TO_GET}"
    )


def _see_pickles(data_dir: Path) -> str:
    """A clause if the Python version is there, which is what torchvision unpacks."""
    found = [data_dir / folder / "cifar-10-batches-py" for folder in (".", "cifar10")]
    is_here = any(folder.is_dir() for folder in found)
    return ", and the Python version, cifar-10-batches-py, is not read, as it consists of pickles" if is_here else ""


def _read_records(path: Path) -> npt.NDArray[np.uint8]:
    """``(N, 3073)`` bytes, N at least 1; each begins with a label from 0 to 9."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(MOST_IMAGES * RECORD_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        kind = "a gzip file" if path.suffix == ".gz" else "a file"
        raise UsageError(f"{path} cannot be read as {kind} of CIFAR-10 ({error}): {HOW_TO_GET}") from error
    if not content or len(content) % RECORD_BYTES or len(content) > MOST_IMAGES * RECORD_BYTES:
        raise UsageError(
            f"{path} has {len(content)} bytes, which is not one or more records of {RECORD_BYTES} bytes;"
            f" it is cut off, or no binary file of CIFAR-10: {HOW_TO_GET}"
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD_BYTES)
    if (largest := int(records[:, 0].max())) >= len(CLASSES):
        raise UsageError(f"{path} has the label {largest}; the labels of CIFAR-10 are 0 to 9: {HOW_TO_GET}")
    return records
