"""Kernels: the counter-based random numbers Philox4x32-10 (Salmon, Moraes, Dror, Shaw, SC'11).

The key is a row's stream; the counter is (index, domain, ordinal of the row). No two (stream, ordinal) pairs ever share
a counter under one key, so their numbers never overlap, and the number of shot s does not depend on what else is drawn.
"""

import numpy as np

from qorch_providers.local.numba_engine.jit import compiled
from qorch_providers.local.numba_engine.philox_vector import store_philox

OUTCOMES = 0
"""The domain of the draws that choose outcomes; noise of a shot uses the domains from 1 upwards."""
GROUP_SHOTS = 64
"""Shots come in groups of 64, from 16 counters of 4 words each: word w of counter i is shot ``16 w + i``."""
_COUNTERS = 16
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL_0, _WEYL_1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)


@compiled
def philox(index, domain, ordinal, stream):
    """Four random 32-bit words, as uint64."""
    c0, c1 = np.uint64(index) & _LOW, np.uint64(domain) & _LOW
    c2, c3 = np.uint64(ordinal) & _LOW, np.uint64(ordinal) >> _HALF
    k0, k1 = np.uint64(stream) & _LOW, np.uint64(stream) >> _HALF
    for _ in range(10):
        p0, p1 = _MULTIPLIER_0 * c0, _MULTIPLIER_1 * c2
        c0, c2 = (p1 >> _HALF) ^ c1 ^ k0, (p0 >> _HALF) ^ c3 ^ k1
        c1, c3 = p1 & _LOW, p0 & _LOW
        k0, k1 = (k0 + _WEYL_0) & _LOW, (k1 + _WEYL_1) & _LOW
    return c0, c1, c2, c3


@compiled
def fill_draws(stream, ordinal, first_group, draws):
    """Write the words of whole groups of shots, from ``first_group`` until ``draws`` is full (a multiple of 64)."""
    for group in range(len(draws) // GROUP_SHOTS):
        counter = np.uint64((first_group + group) * _COUNTERS)
        store_philox(draws, group * GROUP_SHOTS, counter, np.uint64(ordinal), np.uint64(stream))


@compiled
def draw_of_shot(stream, ordinal, shot):
    """The word of one shot, the same as from ``fill_draws``."""
    group, place = shot // GROUP_SHOTS, shot % GROUP_SHOTS
    words = philox(group * _COUNTERS + place % _COUNTERS, OUTCOMES, ordinal, stream)
    word = place // _COUNTERS
    if word == 0:
        return words[0]
    if word == 1:
        return words[1]
    return words[2] if word == 2 else words[3]


@compiled
def fill_fine_draws(stream, ordinal, first_shot, draws):
    """Write 63-bit draws of single shots, for distributions too fine for 32 bits."""
    for place in range(len(draws)):
        shot = first_shot + place
        words = philox(shot // 2, OUTCOMES, ordinal, stream)
        high, low = (words[2], words[3]) if shot % 2 else (words[0], words[1])
        draws[place] = ((high << _HALF) | low) >> np.uint64(1)
