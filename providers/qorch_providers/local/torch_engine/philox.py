"""The random words of the numba engine's ``philox.py`` in plain numpy, for machines without Numba."""

import numpy as np

from qorch.model.arrays import UIntArray

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYLS = (0x9E3779B9, 0xBB67AE85)
_GROUP_SHOTS, _COUNTERS = 64, 16


def uniform_words(stream: int, ordinal: int, *, first_shot: int, shots: int) -> UIntArray:
    """32-bit words of the shots from ``first_shot`` on, ``(shots,)``: word w of counter i is shot ``16 w + i``."""
    first = first_shot // _GROUP_SHOTS
    last = -(-(first_shot + shots) // _GROUP_SHOTS)
    counters = np.arange(first * _COUNTERS, last * _COUNTERS, dtype=np.uint64)
    words = _philox(counters, ordinal, stream).reshape(4, last - first, _COUNTERS)
    ordered = np.moveaxis(words, 0, 1).reshape(-1)
    start = first_shot - first * _GROUP_SHOTS
    return ordered[start : start + shots]


def _philox(counters: UIntArray, ordinal: int, stream: int) -> UIntArray:
    """Philox4x32-10, the four words of every counter: ``(4, len(counters))``."""
    c0, c1 = counters & _LOW, np.zeros_like(counters)
    c2, c3 = np.full_like(counters, ordinal & 0xFFFFFFFF), np.full_like(counters, ordinal >> 32)
    keys = [stream & 0xFFFFFFFF, stream >> 32]
    for turn in range(10):
        k0, k1 = (np.uint64((key + turn * weyl) & 0xFFFFFFFF) for key, weyl in zip(keys, _WEYLS, strict=True))
        p0, p1 = _MULTIPLIERS[0] * c0, _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
    return np.stack([c0, c1, c2, c3])
