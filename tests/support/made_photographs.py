"""Small photographs for `cats-vs-dogs`, which are made here: cats are red, and dogs are blue."""

from pathlib import Path

import numpy as np
from PIL import Image

from qorch.workloads.cats_vs_dogs import CLASSES, TRAINING, VALIDATION

MADE = {TRAINING: 9, VALIDATION: 2}


def make_photographs(folder: Path) -> Path:
    """Nine and two noisy photographs of each class; cats are red, and dogs are blue."""
    random = np.random.default_rng(0)
    for part, count in MADE.items():
        for name in CLASSES:
            (folder / "cats_vs_dogs" / part / name).mkdir(parents=True)
            for index in range(count):
                pixels = random.integers(0, 100, size=(20, 30, 3), dtype=np.uint8)
                pixels[:, :, 2 * CLASSES.index(name)] += 150
                Image.fromarray(pixels).save(folder / "cats_vs_dogs" / part / name / f"{index}.JPG", format="JPEG")
    return folder
