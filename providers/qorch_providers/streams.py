"""Uniform random numbers by row: counter-based, so that no packing changes a bit and a top-up goes on where it ended.

Draw s of a row is draw s of Philox4x64-10 with the key (stream, ordinal) (Salmon, Moraes, Dror, Shaw, SC'11).
"""

from typing import Any

import numpy as np

from qorch.model.arrays import FloatArray

_DRAWS_PER_COUNTER = 4


class RowStream:
    """The uniform draws of rows; one generator is re-keyed for every row, which is cheaper than a new one."""

    def __init__(self) -> None:
        """Make the generator; its first key is never used."""
        self._bits = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._bits)
        self._counter, self._key = np.zeros(4, dtype=np.uint64), np.zeros(2, dtype=np.uint64)
        self._state: Any = {
            "bit_generator": "Philox",
            "state": {"counter": self._counter, "key": self._key},
            "buffer": np.zeros(_DRAWS_PER_COUNTER, dtype=np.uint64),
            "buffer_pos": _DRAWS_PER_COUNTER,
            "has_uint32": 0,
            "uinteger": 0,
        }

    def seek(self, stream: int, ordinal: int, *, offset: int) -> None:
        """Go to draw ``offset`` of the stream (stream, ordinal)."""
        skipped = self._turn(stream, ordinal, offset=offset)
        if skipped:
            self._generator.random(skipped)

    def fill(self, out: FloatArray) -> None:
        """The next draws, uniform in [0, 1)."""
        self._generator.random(out=out)

    def draw(self, stream: int, ordinal: int, *, offset: int, shots: int) -> FloatArray:
        """Draws ``offset`` to ``offset + shots`` of the stream (stream, ordinal), uniform in [0, 1)."""
        skipped = self._turn(stream, ordinal, offset=offset)
        return self._generator.random(skipped + shots)[skipped:]

    def _turn(self, stream: int, ordinal: int, *, offset: int) -> int:
        """Go to the counter that draw ``offset`` comes from; how many of its draws come before."""
        counter, skipped = divmod(offset, _DRAWS_PER_COUNTER)
        self._counter[0] = counter
        self._key[:] = stream, ordinal
        self._bits.state = self._state
        return skipped
