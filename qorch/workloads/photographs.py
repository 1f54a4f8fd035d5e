"""Reads photographs from folders: one folder a class, JPEG files of any size."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qorch.errors import MissingPackageError, UsageError

if TYPE_CHECKING:
    from PIL import Image

SIDE = 180
"""Pixels: the height and the width to which photographs are scaled."""
ENDINGS = (".jpg", ".jpeg")


def check_photographs(folder: Path, classes: Sequence[str], *, count: int, how_to_get: str) -> None:
    """Raise UsageError unless the folder has ``count`` JPEG files of each class, and no other class.

    ``how_to_get``: the end of the sentence about files that are missing. Raises MissingPackageError without Pillow.
    """
    _require_pillow()
    if not folder.is_dir():
        wanted = " and ".join(f"{folder / name}" for name in classes)
        raise UsageError(f"there is no folder {folder}; JPEG files are looked for in {wanted}: {how_to_get}")
    for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if inner.name not in classes:
            raise UsageError(f"the folder {inner} is of no class; those in {folder} are {', '.join(classes)}")
    for name in classes:
        found = len(_list_files(folder / name))
        if found < count:
            raise UsageError(
                f"{folder / name} has {found} JPEG files, and {count} are needed: give a smaller --limit; {how_to_get}"
            )


def load_photographs(
    folder: Path, classes: Sequence[str], *, count: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The first ``count`` photographs of each class by name: ``(N, 3, 180, 180)`` bytes, and class indices ``(N,)``.

    Raises UsageError, naming the file, for one that cannot be read.
    """
    files = [path for name in classes for path in _list_files(folder / name)[:count]]
    images = np.empty((len(files), 3, SIDE, SIDE), dtype=np.uint8)
    for index, path in enumerate(files):
        images[index] = read_photograph(path).transpose(2, 0, 1)
    return images, np.repeat(np.arange(len(classes)), count)


def read_photograph(path: Path) -> npt.NDArray[np.uint8]:
    """A JPEG file as ``(180, 180, 3)`` bytes of red, green and blue. Raises UsageError if it is none, or cut off."""
    from PIL import Image

    try:
        with Image.open(path, formats=("JPEG",)) as image:
            return _scale(image)
    # Pillow raises SyntaxError for some damaged headers.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} cannot be read as a JPEG file ({reason}); restore it, or take it away") from error


def _scale(image: "Image.Image") -> npt.NDArray[np.uint8]:
    whole = image.convert("RGB")
    return np.asarray(whole if whole.size == (SIDE, SIDE) else whole.resize((SIDE, SIDE)))


def _list_files(folder: Path) -> list[Path]:
    """The JPEG files of a folder by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and not path.name.startswith("."))


def _require_pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise MissingPackageError("photographs need Pillow: pip install 'qorch[images]'") from error
