"""Kernels: from states to probabilities, and from probabilities to histograms of shots."""

import numpy as np

from qorch_providers.local.draws import GROUP_SHOTS, fill_draws, fill_fine_draws
from qorch_providers.local.jit import compiled, inner
from qorch_providers.local.lanes import fma, load, lowest_bit, splat, store, store_rounded, unit, widen

CHUNK_SHOTS = 4096
"""Shots that are drawn at a time; a multiple of 64."""
_LARGEST_DRAW = 4294967295.0
MAX_GROUPS = 4096
"""Outcomes are searched in so many groups at most, and then within one."""
_LAST_DRAW = np.uint32(0xFFFFFFFE)


@inner
def fill_probabilities(readout, is_real, re, im, target):
    """``target[k]``: the probability of outcome k in every lane, not normalised. ``target`` may be ``re``."""
    zero = unit(target) - unit(target)
    for k in range(len(target)):
        j = readout[k] if len(readout) else k
        x = load(re, j)
        y = zero if is_real else load(im, j)
        store(target, k, fma(x, x, y * y))


@inner
def total(probabilities):
    """The sum over all outcomes, in float64 lanes."""
    sums = widen(load(probabilities, 0))
    for k in range(1, len(probabilities)):
        sums = sums + widen(load(probabilities, k))
    return sums


@inner
def fill_thresholds(probabilities, wide, thresholds):
    """Outcome k of a lane is drawn by the numbers from threshold k - 1 below threshold k.

    ``thresholds`` is a plain array, lane v of outcome k at ``k * V + v``. The last possible outcome has 2^32 - 1, and
    impossible ones have the threshold of the one before: rounding never invents an outcome. ``wide`` is any array of
    float64 lanes.
    """
    scale = splat(wide, _LARGEST_DRAW) / total(probabilities)
    sums, quarter = splat(wide, 0.0), splat(wide, 0.25)
    for k in range(len(probabilities)):
        sums = sums + widen(load(probabilities, k))
        store_rounded(thresholds, k, fma(sums, scale, quarter))


@inner
def sample_row(scratch, lanes, lane, stream, ordinal, first_shot, shots):
    """Add ``shots`` outcomes of the row in a lane to the histogram."""
    ends = scratch.ends
    group = len(scratch.thresholds) // (lanes * len(ends))
    for index in range(len(ends)):
        ends[index] = scratch.thresholds[((index + 1) * group - 1) * lanes + lane]
    bits = 0
    while 1 << bits < len(scratch.guide) - 1:
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
        if group == 1:
            count_outcomes(ends, scratch.guide, shift, draws, scratch.histogram)
        else:
            count_within_groups(scratch, lanes, lane, group, shift, draws)
        done += taken


@inner
def fill_guide(ends, shift, guide):
    """``guide[b]``: how many groups end in the buckets before b, which is the first that a number in b can be in.

    Without a branch: which buckets have an end cannot be predicted.
    """
    for bucket in range(len(guide)):
        guide[bucket] = 0
    for index in range(len(ends) - 1):
        guide[(ends[index] >> shift) + np.uint32(1)] += 1
    before = np.int32(0)
    for bucket in range(len(guide)):
        before += guide[bucket]
        guide[bucket] = before


@inner
def find_group(ends, guide, shift, draw):
    """The group of outcomes of a draw; the first step without a branch, because most searches end there."""
    index = np.uint64(guide[draw >> shift])
    index += np.uint64(ends[index] <= draw)
    while ends[index] <= draw:
        index += np.uint64(1)
    return index


@inner
def count_outcomes(ends, guide, shift, draws, histogram):
    """Count the outcome of every draw. The draw 2^32 - 1, which has no outcome, counts as the one below it."""
    for place in range(len(draws)):
        histogram[find_group(ends, guide, shift, min(draws[place], _LAST_DRAW))] += np.uint32(1)


@inner
def count_within_groups(scratch, lanes, lane, group, shift, draws):
    """The same where a group has several outcomes; which were seen is marked in a bitmap."""
    width, thresholds = np.uint64(lanes), scratch.thresholds
    for place in range(len(draws)):
        draw = min(draws[place], _LAST_DRAW)
        outcome = find_group(scratch.ends, scratch.guide, shift, draw) * np.uint64(group)
        half = np.uint64(group >> 1)
        while half:
            before = thresholds[(outcome + half - np.uint64(1)) * width + np.uint64(lane)]
            outcome += half * np.uint64(before <= draw)
            half >>= np.uint64(1)
        scratch.histogram[outcome] += np.uint32(1)
        scratch.seen[outcome >> np.uint64(6)] |= np.uint64(1) << (outcome & np.uint64(63))


@inner
def take_histogram(scratch, entries, row):
    """Move the outcomes that were seen to the entries of a row, and clear the histogram."""
    histogram = scratch.histogram
    start = row * entries.capacity
    end = start
    largest = np.uint32(0)
    if len(histogram) == len(scratch.ends):
        found = np.uint64(0)
        for outcome in range(len(histogram)):
            scratch.found[found] = outcome
            scratch.found_counts[found] = histogram[outcome]
            found += np.uint64(histogram[outcome] != 0)
            histogram[outcome] = 0
        for place in range(found):
            entries.outcomes[start + place] = scratch.found[place]
            entries.counts[start + place] = scratch.found_counts[place]
            largest = max(largest, scratch.found_counts[place])
        entries.lengths[row], entries.largest[row] = np.int64(found), largest
        return
    for word in range(len(scratch.seen)):
        bits = scratch.seen[word]
        scratch.seen[word] = 0
        while bits:
            outcome = 64 * word + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            entries.outcomes[end] = outcome
            entries.counts[end] = histogram[outcome]
            largest = max(largest, histogram[outcome])
            histogram[outcome] = 0
            end += 1
    entries.lengths[row], entries.largest[row] = end - start, largest


@inner
def sample_large(probabilities, stream, ordinal, first_shot, shots, draws, outcomes, counts):
    """Outcomes of one row with very many outcomes, ascending: one pass beside its sorted draws; how many there are."""
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
def pack_entries(lengths, capacity, wide, narrow):
    """Bring the entries of all rows, ``capacity`` apart, together and into the type of the target."""
    place = 0
    for row in range(len(lengths)):
        for entry in range(row * capacity, row * capacity + lengths[row]):
            narrow[place] = wide[entry]
            place += 1
