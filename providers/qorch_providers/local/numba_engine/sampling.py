"""Kernels that compute probabilities from states, and sample histograms of shots from probabilities."""

import numpy as np

from qorch_providers.local.numba_engine.jit import compiled, internal
from qorch_providers.local.numba_engine.lanes import fma, load, lowest_bit, splat, store, store_rounded, unit, widen
from qorch_providers.local.numba_engine.philox import GROUP_SHOTS, fill_draws, fill_fine_draws
from qorch_providers.local.numba_engine.philox_vector import RUN, store_run

CHUNK_SHOTS = 4096
"""Shots that are drawn at a time; a multiple of 64."""
_LARGEST_DRAW = 4294967295.0
MAX_GROUPS = 4096
"""The largest number of groups of outcomes: a search finds the group first, then the outcome in it."""
_LAST_DRAW = np.uint32(0xFFFFFFFE)
ENDS_PADDING = 16
"""Numbers between the lanes' ends: at distances of powers of two they would share cache lines."""
GUIDE_PADDING = 2 * int(RUN)
NARROW, WIDE = 2, 4
"""Bytes of the numbers in ``work.Entries``: two ways are enough, because every one is compiled apart."""
ZERO, ONE, HALF = np.uint64(0), np.uint64(1), np.uint64(32)
"""Indices are unsigned: signed ones are checked for being negative."""


@internal
def fill_probabilities(readout, is_real, re, im, target):
    """``target[k]``: the probability of outcome k in every lane, not normalised. ``target`` may be ``re``."""
    zero = unit(target) - unit(target)
    for k in range(len(target)):
        j = readout[k] if len(readout) else k
        x = load(re, j)
        y = zero if is_real else load(im, j)
        store(target, k, fma(x, x, y * y))


@internal
def total(probabilities):
    """The sum over all outcomes, in float64 lanes."""
    sums = widen(load(probabilities, 0))
    for k in range(1, len(probabilities)):
        sums = sums + widen(load(probabilities, k))
    return sums


@internal
def fill_thresholds(probabilities, wide, thresholds):
    """Fill the thresholds: a number from threshold k - 1 up to below threshold k draws outcome k of a lane.

    ``thresholds`` is a plain array, lane v of outcome k at ``k * V + v``. The last possible outcome has 2^32 - 1, and
    impossible ones have the threshold of the one before: rounding never invents an outcome. ``wide`` is any array of
    float64 lanes.
    """
    scale = splat(wide, _LARGEST_DRAW) / total(probabilities)
    sums, quarter = splat(wide, 0.0), splat(wide, 0.25)
    for k in range(len(probabilities)):
        sums = sums + widen(load(probabilities, k))
        store_rounded(thresholds, k, fma(sums, scale, quarter))


@internal
def split_lanes(thresholds, lanes, ends):
    """``ends[v, g]``: the last threshold of group g in lane v; next to each other in memory, for fast searches."""
    groups = np.uint64(ends.shape[1] - ENDS_PADDING)
    group = np.uint64(len(thresholds)) // (groups * np.uint64(lanes))
    for lane in range(lanes):
        row = ends[lane]
        at, step = np.uint64(lane) + (group - ONE) * np.uint64(lanes), group * np.uint64(lanes)
        for index in range(groups):
            row[index] = thresholds[at]
            at += step


@internal
def sample_row(scratch, lanes, lane, stream, ordinal, first_shot, shots):
    """Add ``shots`` outcomes of the row in a lane to the histogram."""
    ends = scratch.ends[lane, : scratch.ends.shape[1] - ENDS_PADDING]
    group = len(scratch.thresholds) // (lanes * len(ends))
    bits = 0
    while 2 << bits <= len(scratch.guide) - GUIDE_PADDING:
        bits += 1
    shift = np.uint32(32 - bits)
    fill_guide(ends, shift, scratch.guide)
    done = 0
    while done < shots:
        first, skipped = (first_shot + done) // GROUP_SHOTS, (first_shot + done) % GROUP_SHOTS
        taken = min(shots - done, CHUNK_SHOTS)
        whole = (skipped + taken + GROUP_SHOTS - 1) // GROUP_SHOTS * GROUP_SHOTS
        fill_draws(stream, ordinal, first, scratch.draws[:whole])
        draws = scratch.draws[skipped : skipped + taken]
        for place in range(len(draws)):
            draws[place] = min(draws[place], _LAST_DRAW)
        if group == 1:
            count_outcomes(ends, scratch.guide, shift, draws, scratch.histogram)
        else:
            count_within_groups(scratch, ends, lanes, lane, group, shift, draws)
        done += taken


@internal
def fill_guide(ends, shift, guide):
    """``guide[b]``: how many groups end in the buckets before b, which is the first that a number in b can be in.

    Every end writes a run of buckets, and later ends write over it: neither the distance to the next end nor how many
    share a bucket can be predicted, so neither decides a branch (but for long distances).
    """
    reached = ZERO
    for index in range(np.uint64(len(ends))):
        after = np.uint64(ends[index] >> shift) + ONE
        while reached < after:
            store_run(guide, reached, index)
            reached += RUN
        store_run(guide, after, index + ONE)
        reached = after + RUN


@internal
def find_group(ends, guide, shift, draw):
    """The group of outcomes of a draw; the first step without a branch, because most searches end there."""
    index = np.uint64(guide[draw >> shift])
    index += np.uint64(ends[index] <= draw)
    while ends[index] <= draw:
        index += ONE
    return index


@internal
def count_outcomes(ends, guide, shift, draws, histogram):
    """Count the outcome of every draw; they are below 2^32 - 1, which has no outcome."""
    for place in range(np.uint64(len(draws))):
        histogram[find_group(ends, guide, shift, draws[place])] += np.uint32(1)


@internal
def count_within_groups(scratch, ends, lanes, lane, group, shift, draws):
    """``count_outcomes`` for groups of several outcomes; those that were seen are marked in a bitmap."""
    width, thresholds = np.uint64(lanes), scratch.thresholds
    for place in range(np.uint64(len(draws))):
        draw = draws[place]
        outcome = find_group(ends, scratch.guide, shift, draw) * np.uint64(group)
        half = np.uint64(group >> 1)
        while half:
            before = thresholds[(outcome + half - ONE) * width + np.uint64(lane)]
            outcome += half * np.uint64(before <= draw)
            half >>= ONE
        scratch.histogram[outcome] += np.uint32(1)
        scratch.seen[outcome >> np.uint64(6)] |= ONE << (outcome & np.uint64(63))


@internal
def take_histogram(scratch, is_dense, entries, row, start):
    """Move the outcomes that were seen to the entries from ``start``, and clear the histogram; returns their end."""
    found = scratch.found
    end, largest = find_all(scratch.histogram, found) if is_dense else find_marked(scratch, found)
    if entries.width == NARROW:
        write(found[:end], entries.outcomes.view(np.uint16)[start:], entries.counts.view(np.uint16)[start:])
    else:
        write(found[:end], entries.outcomes.view(np.uint32)[start:], entries.counts.view(np.uint32)[start:])
    entries.lengths[row], entries.largest[row] = np.int64(end), largest
    return start + np.int64(end)


@internal
def find_all(histogram, found):
    """Write outcomes (upper half) with counts (lower half) above 0; returns how many, and the largest count.

    One more place is written to: whether an outcome was seen cannot be predicted, so it decides no branch.
    """
    end, largest = ZERO, np.uint32(0)
    for outcome in range(np.uint64(len(histogram))):
        count = histogram[outcome]
        found[end] = outcome << HALF | np.uint64(count)
        end += np.uint64(count != 0)
    for place in range(len(histogram)):
        largest = max(largest, histogram[place])
        histogram[place] = 0
    return end, largest


@internal
def find_marked(scratch, found):
    """``find_all`` for the outcomes that are marked in the bitmap, which is cleared."""
    end, largest, histogram = ZERO, np.uint32(0), scratch.histogram
    for word in range(np.uint64(len(scratch.seen))):
        bits = scratch.seen[word]
        scratch.seen[word] = 0
        while bits:
            outcome = np.uint64(64) * word + np.uint64(lowest_bit(bits))
            bits &= bits - ONE
            found[end] = outcome << HALF | np.uint64(histogram[outcome])
            largest = max(largest, histogram[outcome])
            histogram[outcome] = 0
            end += ONE
    return end, largest


@internal
def write(found, outcomes, counts):
    """Split what was found into outcomes and counts, in the types of the targets."""
    for place in range(np.uint64(len(found))):
        outcomes[place] = found[place] >> HALF
        counts[place] = found[place]


@internal
def sample_large(probabilities, stream, ordinal, first_shot, shots, draws, outcomes, counts):
    """Sample one row with very many outcomes, in one pass over its sorted draws; returns how many were seen."""
    fill_fine_draws(stream, ordinal, first_shot, draws[:shots])
    ordered = np.sort(draws[:shots])
    everything = 0.0
    for k in range(len(probabilities)):
        everything += probabilities[k]
    scale = 9223372036854775807.0 / everything
    place, found, reached, last = 0, 0, 0.0, 0
    for k in range(len(probabilities)):
        if probabilities[k] > 0.0:
            last = k
        reached += probabilities[k]
        threshold = reached * scale
        start = place
        while place < shots and ordered[place] < threshold:
            place += 1
        if place > start:
            outcomes[found], counts[found] = k, place - start
            found += 1
        if place == shots:
            break
    if place < shots:
        if found and outcomes[found - 1] == last:
            counts[found - 1] += shots - place
        else:
            outcomes[found], counts[found] = last, shots - place
            found += 1
    return found


@compiled
def pack_entries(offsets, lanes, capacity, wide, narrow):
    """Copy the entries of all blocks, ``capacity`` apart, into one array in the type of the target."""
    rows = len(offsets) - 1
    for first in range(0, rows, lanes):
        start, stop = offsets[first], offsets[min(first + lanes, rows)]
        source, target = wide[first // lanes * capacity :], narrow[start:stop]
        for place in range(np.uint64(len(target))):
            target[place] = source[place]
