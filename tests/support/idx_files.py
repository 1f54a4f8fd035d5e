"""Small files in MNIST's format, made for tests."""

import gzip
import struct
from pathlib import Path

import numpy as np

from qorch.workloads.mnist import IMAGES_MAGIC, LABELS_MAGIC, PARTS, Bytes

N_IMAGES = {"train": 40, "t10k": 20}


def write_mnist(folder: Path) -> Path:
    """Forty images to train and twenty to test, as plain and as packed files: each digit is a bright field or two."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part in PARTS:
        labels = np.arange(N_IMAGES[part], dtype=np.uint8) % 10
        images = random.integers(0, 20, size=(len(labels), 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[:7, 7 * (label % 4) : 7 * (label % 4) + 7] += 200
            image[14:21, 7 * (label // 4) : 7 * (label // 4) + 7] += 200
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_images(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_labels(labels), mtime=0))
    return folder


def idx_images(images: Bytes) -> bytes:
    """Images ``(N, rows, columns)`` as a file."""
    return struct.pack(">4I", IMAGES_MAGIC, *images.shape) + images.tobytes()


def idx_labels(labels: Bytes) -> bytes:
    """Labels ``(N,)`` as a file."""
    return struct.pack(">2I", LABELS_MAGIC, len(labels)) + labels.tobytes()
