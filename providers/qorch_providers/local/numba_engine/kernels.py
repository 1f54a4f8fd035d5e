"""Kernels that threads run: each takes blocks of V rows from a shared counter until there are none left."""

from qorch_providers.local.numba_engine.adjoint import apply_observable, transform, walk_back
from qorch_providers.local.numba_engine.evolution import evolve
from qorch_providers.local.numba_engine.jit import compiled, inlined, internal
from qorch_providers.local.numba_engine.lanes import load, store, take_next
from qorch_providers.local.numba_engine.matrices import fill_cosines, fill_matrices
from qorch_providers.local.numba_engine.sampling import (
    ENDS_PADDING,
    fill_probabilities,
    fill_thresholds,
    sample_large,
    sample_row,
    split_lanes,
    take_histogram,
    total,
)


@inlined
def prepare_rows(tables, angles, first, work):
    """Compute the matrices of the V rows from ``first``."""
    fill_cosines(tables, angles, first, work.lanes, work.halves, work.flat_cosines, work.flat_sines)
    fill_matrices(tables, work.cosines, work.sines, work.noise, work.matrices)


@inlined
def probabilities_of_rows(tables, is_real, angles, first, work):
    """The array that holds the probabilities of the V rows from ``first``."""
    prepare_rows(tables, angles, first, work)
    re, im, re2, _ = evolve(tables, is_real, work)
    fill_probabilities(tables.readout, is_real, re, im, re2)
    return re2


@compiled
def sample_rows(counter, tables, is_real, angles, streams, ordinals, first_shot, shots, work, entries):
    """Sample histograms of all rows, those of a block together."""
    rows = len(angles)
    is_dense = len(work.scratch.histogram) == work.scratch.ends.shape[1] - ENDS_PADDING
    while True:
        first = take_next(counter) * work.lanes
        if first >= rows:
            break
        probabilities = probabilities_of_rows(tables, is_real, angles, first, work)
        fill_thresholds(probabilities, work.wide, work.scratch.thresholds)
        split_lanes(work.scratch.thresholds, work.lanes, work.scratch.ends)
        place = first // work.lanes * entries.capacity
        for row in range(first, min(first + work.lanes, rows)):
            sample_row(work.scratch, work.lanes, row - first, streams[row], ordinals[row], first_shot, shots)
            place = take_histogram(work.scratch, is_dense, entries, row, place)


@compiled
def sample_large_rows(counter, tables, is_real, angles, streams, ordinals, first_shot, shots, work, entries):
    """``sample_rows`` for states too large for thresholds: one lane, with memory only for the state and the draws."""
    while True:
        row = take_next(counter)
        if row >= len(angles):
            break
        probabilities = probabilities_of_rows(tables, is_real, angles, row, work)
        start, end = row * entries.capacity, (row + 1) * entries.capacity
        counts = entries.counts[start:end]
        found = sample_large(
            probabilities,
            streams[row],
            ordinals[row],
            first_shot,
            shots,
            work.fine_draws,
            entries.outcomes[start:end],
            counts,
        )
        entries.lengths[row], entries.largest[row] = found, counts[:found].max()


@compiled
def evaluate_rows(counter, tables, is_real, angles, masks, wants_all, work, values):
    """Exact parities ``(R, M)`` of the masks, or with ``wants_all`` all probabilities."""
    rows, lanes = len(angles), work.lanes
    while True:
        first = take_next(counter) * lanes
        if first >= rows:
            break
        probabilities = probabilities_of_rows(tables, is_real, angles, first, work)
        store(work.wide, 0, total(probabilities))
        if not wants_all:
            transform(probabilities)
        store_rows(probabilities, masks, wants_all, first, work, values)


@internal
def store_rows(probabilities, masks, wants_all, first, work, values):
    """Write lanes to rows: the elements ``masks``, or all, divided by the state's norm, which rounding keeps from 1."""
    lanes = work.lanes
    for place in range(values.shape[1]):
        k = place if wants_all else masks[place]
        store(work.cell, 0, load(probabilities, k))
        for lane in range(min(lanes, len(values) - first)):
            values[first + lane, place] = work.flat_cell[lane] / work.flat_wide[lane]


@compiled
def differentiate_rows(counter, tables, is_real, angles, layers, strings, weights, wants_all, work, gradients):
    """``gradients (R, D)``: the derivatives of each row's own observable; see ``apply_observable``.

    With ``wants_all`` the observable is diagonal, and ``weights (R, 2^n)`` is its diagonal.
    """
    rows, lanes = len(angles), work.lanes
    while True:
        first = take_next(counter) * lanes
        if first >= rows:
            break
        prepare_rows(tables, angles, first, work)
        re, im, re2, im2 = evolve(tables, is_real, work)
        if wants_all:
            apply_diagonal(weights, first, is_real, work, re, im)
        else:
            apply_observable(layers, strings, is_real, weights, first, work, re, im, work.lre, work.lim)
        for place in range(len(work.flat_slopes)):
            work.flat_slopes[place] = 0.0
        walk_back(tables, is_real, work, re, im, re2, im2, work.lre, work.lim)
        store_slopes(tables, first, work, gradients)


@internal
def apply_diagonal(weights, first, is_real, work, re, im):
    """``lambda = diagonal * psi``."""
    last, lanes = len(weights) - 1, work.lanes
    for lane in range(lanes):
        row = min(first + lane, last)
        for k in range(weights.shape[1]):
            work.flat_diagonal[k * lanes + lane] = weights[row, k]
    for k in range(len(re)):
        d = load(work.diagonal, k)
        store(work.lre, k, d * load(re, k))
        if not is_real:
            store(work.lim, k, d * load(im, k))


@internal
def store_slopes(tables, first, work, gradients):
    """Write derivatives by the columns of the rows, given those by the program's angles, in lanes."""
    for lane in range(min(work.lanes, len(gradients) - first)):
        for slot in range(len(tables.angle_constants)):
            slope = work.flat_slopes[slot * work.lanes + lane]
            for term in range(tables.angle_columns.shape[1]):
                column = tables.angle_columns[slot, term]
                gradients[first + lane, column] += tables.angle_factors[slot, term] * slope
