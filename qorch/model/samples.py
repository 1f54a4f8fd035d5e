"""Which random samples of a block's rows are meant: their streams, and which shots of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from qorch.errors import ShotsError, UsageError
from qorch.model.arrays import IntArray, UIntArray

_WORD = np.dtype(np.uint64)


@dataclass(frozen=True, eq=False)
class Samples:
    """The shots ``offset`` to ``offset + shots`` of every one of R rows. None in place of it means exact values.

    A seeded sampler takes shot s of row r from place ``offset + s`` of the random stream that is named by
    ``streams[r]`` and ``ordinals[r]``, both uint64 ``(R,)``. Raises UsageError for other arrays, ShotsError for less
    than one shot or an offset below 0.
    """

    streams: UIntArray
    ordinals: UIntArray
    shots: int
    offset: int = 0

    def __post_init__(self) -> None:
        """Check the arrays and the numbers."""
        streams, ordinals = self.streams, self.ordinals
        if streams.ndim != 1 or streams.shape != ordinals.shape:
            shapes = f"{streams.shape} and {ordinals.shape}"
            raise UsageError(f"streams and ordinals have the shapes {shapes}; both must be (rows,)")
        if streams.dtype != _WORD or ordinals.dtype != _WORD:
            types = f"{streams.dtype} and {ordinals.dtype}"
            raise UsageError(f"streams and ordinals are of type {types}; both must be uint64")
        if self.shots < 1 or self.offset < 0:
            raise ShotsError(f"samples have {self.shots} shots from {self.offset} on; take at least 1, from 0 or later")

    @property
    def n_rows(self) -> int:
        """R."""
        return len(self.streams)

    @property
    def end(self) -> int:
        """The shot after the last one."""
        return self.offset + self.shots

    def take(self, rows: "slice | IntArray | npt.NDArray[np.bool_]") -> "Samples":
        """The samples of the chosen rows."""
        return Samples(self.streams[rows], self.ordinals[rows], self.shots, self.offset)


def take_samples(samples: Samples | None, rows: Any) -> Samples | None:
    """The samples of the chosen rows; None of None."""
    return None if samples is None else samples.take(rows)


def format_shots(samples: Samples | None) -> str:
    """Shots and offset as they stand in digests, such as ``1024/0``; ``None/0`` for exact values."""
    return "None/0" if samples is None else f"{samples.shots}/{samples.offset}"
