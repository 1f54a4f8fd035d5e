"""MNIST and CIFAR-10 as tensors: loaded, split for training and validation, and taken in shuffled batches."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from qorch.errors import UsageError
from qorch.workloads.cifar import load_cifar10
from qorch.workloads.mnist import TRAINING, load_mnist

Loader = torch.utils.data.DataLoader[tuple[torch.Tensor, ...]]
VALIDATION_SHARE = 0.2
LEAST_IMAGES = 20


@dataclass(frozen=True)
class ImageSet:
    """What its images are like: channels, pixels a side, mean and spread of pixels from 0 to 1, training images."""

    channels: int
    side: int
    mean: float
    spread: float
    count: int


IMAGE_SETS = {"mnist": ImageSet(1, 28, 0.1307, 0.3081, 60_000), "cifar10": ImageSet(3, 32, 0.4734, 0.2516, 50_000)}


def load_images(name: str, data_dir: Path | None) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """All training images ``(N, C, H, W)`` of a set as bytes, and their classes ``(N,)``.

    Raises UsageError for files that are missing, damaged, or have fewer than LEAST_IMAGES.
    """
    images, labels = load_cifar10(data_dir) if name == "cifar10" else load_mnist(data_dir, TRAINING)
    if len(images) < LEAST_IMAGES:
        raise UsageError(f"{data_dir} has {len(images)} images of {name}; a training needs at least {LEAST_IMAGES}")
    about = IMAGE_SETS[name]
    return images.reshape(-1, about.channels, about.side, about.side), labels


def split_images(
    name: str, data_dir: Path | None, *, limit: int | None, seed: int
) -> tuple[torch.utils.data.TensorDataset, torch.utils.data.TensorDataset]:
    """Training and validation images (at most ``limit`` together), drawn by the seed; pixels of mean 0 and spread 1."""
    images, labels = load_images(name, data_dir)
    about = IMAGE_SETS[name]
    order = np.random.default_rng(seed).permutation(len(images))[:limit]
    pixels = torch.as_tensor(images[order]).float().div_(255 * about.spread).sub_(about.mean / about.spread)
    classes = torch.as_tensor(labels[order])
    first = count_training(len(order))
    return (
        torch.utils.data.TensorDataset(pixels[:first], classes[:first]),
        torch.utils.data.TensorDataset(pixels[first:], classes[first:]),
    )


def count_training(n_images: int) -> int:
    """What is left of the images for training."""
    return n_images - round(n_images * VALIDATION_SHARE)


def make_loader(data: torch.utils.data.TensorDataset, *, batch_size: int) -> Loader:
    """Shuffled full batches, each taken from the tensors at once, which is far faster than image by image."""
    order = torch.utils.data.BatchSampler(torch.utils.data.RandomSampler(data), batch_size, drop_last=True)
    return torch.utils.data.DataLoader(data, sampler=order, batch_size=None)
