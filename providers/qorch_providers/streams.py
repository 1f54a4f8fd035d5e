"""Uniform random numbers by row: counter-based, so that no packing changes a bit and a top-up goes on where it ended.

Draw s of a row is draw s of Philox4x64-10 with the key (stream, ordinal) (Salmon, Moraes, Dror, Shaw, SC'11).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

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

    def words(self, stream: int, ordinal: int, *, offset: int, count: int) -> npt.NDArray[np.uint32]:
        """Words ``offset`` to ``offset + count`` of the stream (stream, ordinal): uint32, two of them per draw.

        In half of the time that as many draws take, for whom 32 bits are fine enough.
        """
        skipped = 2 * self._turn(stream, ordinal, offset=offset // 2) + offset % 2
        raw = self._bits.random_raw((skipped + count + 1) // 2)
        return np.asarray(raw, dtype="<u8").view("<u4")[skipped : skipped + count]

    def _turn(self, stream: int, ordinal: int, *, offset: int) -> int:
        """Go to the counter that draw ``offset`` comes from; how many of its draws come before."""
        counter, skipped = divmod(offset, _DRAWS_PER_COUNTER)
        self._counter[0] = counter
        self._key[:] = stream, ordinal
        self._bits.state = self._state
        return skipped
