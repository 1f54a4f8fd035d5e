"""Kernels: exact gradients by the adjoint method, which takes two states backward through a program.

With ``L = <psi|O|psi>``, ``lambda = O psi`` and a rotation ``exp(-i angle/2 P)`` just before the two states,
``dL/dangle = Im <lambda|P|psi>``. For a whole matrix of one qubit three such numbers (P = X, Y, Z) are enough: each
turn inside it turns that vector, as a Bloch vector, back to the turn before (Jones, Gacon, arXiv:2009.02823, for the
method).
"""

import numpy as np

from qorch_providers.local.numba_engine.evolution import parity, rotate_pair, scatter, shuffle
from qorch_providers.local.numba_engine.jit import inlined, internal
from qorch_providers.local.numba_engine.lanes import fma, load, store
from qorch_providers.local.program.primitives import AXIS_X, AXIS_Y, FLIP_X, FLIP_Z
from qorch_providers.local.program.program import DIAGONAL, GATHER, GENERAL, REAL, REAL_PAIR, ROTATE_PAIR


@inlined
def walk_back(tables, is_real, work, re, im, re2, im2, lre, lim):
    """Add the derivative by every angle of the program to ``work.slopes``, in lanes.

    The states are those at the end of the program; all of them are overwritten.
    """
    operations = tables.operations
    for index in range(len(operations) - 1, -1, -1):
        kind, a, b = operations[index, 0], operations[index, 1], operations[index, 2]
        first, second = operations[index, 3], operations[index, 4]
        if kind == GATHER:
            table = tables.scatters[first]
            signs = tables.signs[first]
            scatter(re, re2, table, signs)
            re, re2 = re2, re
            scatter(lre, re2, table, signs)
            lre, re2 = re2, lre
            if not is_real:
                scatter(im, im2, table, signs)
                im, im2 = im2, im
                scatter(lim, im2, table, signs)
                lim, im2 = im2, lim
        elif kind == ROTATE_PAIR:
            _back_through_pair(tables, first, is_real, a, b, work, re, im, lre, lim)
        elif kind == REAL_PAIR:
            _back_through(tables, first, kind, is_real, work, re, im, lre, lim, 1 << a)
            _back_through(tables, second, kind, is_real, work, re, im, lre, lim, 1 << b)
        elif kind in (REAL, GENERAL, DIAGONAL):
            _back_through(tables, first, kind, is_real, work, re, im, lre, lim, 1 << a)
        else:
            shuffle(kind, a, b, re)
            shuffle(kind, a, b, lre)
            if not is_real:
                shuffle(kind, a, b, im)
                shuffle(kind, a, b, lim)
    for qubit in range(len(tables.product)):
        matrix = np.int64(tables.product[qubit])  # of one type everywhere: functions are compiled once per type
        if tables.matrices[matrix, 1] < tables.matrices[matrix, 2]:
            tx, ty, tz = correlate(is_real, re, im, lre, lim, 1 << qubit)
            spread(tables, matrix, work, tx, ty, tz)


@internal
def _back_through_pair(tables, matrix, is_real, x_mask, z_mask, work, re, im, lre, lim):
    """Add the derivative by the angle of a Pauli rotation, and undo the rotation on both states."""
    slot = tables.turns[tables.matrices[matrix, 1], 1]
    slope = correlate_pair(is_real, x_mask, z_mask, re, im, lre, lim)
    store(work.slopes, slot, load(work.slopes, slot) + slope)
    c, s = load(work.matrices, 8 * matrix), load(work.matrices, 8 * matrix + 1)
    negative = (s - s) - s
    rotate_pair(c, negative, is_real, x_mask, z_mask, re, im)
    rotate_pair(c, negative, is_real, x_mask, z_mask, lre, lim)


@internal
def _back_through(tables, matrix, kind, is_real, work, re, im, lre, lim, stride):
    """Add the derivatives by the angles in one matrix of one qubit, and undo the matrix on both states."""
    at = 8 * matrix
    if kind == DIAGONAL:
        tz = undo_diagonal(work.matrices, at, re, im, lre, lim, stride)
        slot = tables.turns[tables.matrices[matrix, 1], 1]
        store(work.slopes, slot, load(work.slopes, slot) + tz)
    elif is_real:
        ty = undo_real(work.matrices, at, re, lre, stride)
        spread(tables, matrix, work, ty - ty, ty, ty - ty)
    else:
        tx, ty, tz = undo_general(work.matrices, at, re, im, lre, lim, stride)
        spread(tables, matrix, work, tx, ty, tz)


@internal
def spread(tables, matrix, work, tx, ty, tz):
    """Add the derivative by each turn of a matrix, the last one first, given the vector just after the matrix."""
    zero = tx - tx
    for turn in range(tables.matrices[matrix, 2] - 1, tables.matrices[matrix, 1] - 1, -1):
        kind, slot = tables.turns[turn, 0], tables.turns[turn, 1]
        if kind == FLIP_X:
            ty, tz = zero - ty, zero - tz
        elif kind == FLIP_Z:
            tx, ty = zero - tx, zero - ty
        else:
            c, s = load(work.cosines, slot), load(work.sines, slot)
            cosine, sine = c * c - s * s, c * s + c * s
            before = load(work.slopes, slot)
            if kind == AXIS_X:
                store(work.slopes, slot, before + tx)
                ty, tz = fma(cosine, ty, sine * tz), fma(cosine, tz, zero - sine * ty)
            elif kind == AXIS_Y:
                store(work.slopes, slot, before + ty)
                tx, tz = fma(cosine, tx, zero - sine * tz), fma(cosine, tz, sine * tx)
            else:
                store(work.slopes, slot, before + tz)
                tx, ty = fma(cosine, tx, sine * ty), fma(cosine, ty, zero - sine * tx)


@internal
def correlate(is_real, re, im, lre, lim, stride):
    """``Im <lambda|P|psi>`` for P = X, Y, Z on one qubit."""
    zero = load(re, 0) - load(re, 0)
    tx, ty, tz = zero, zero, zero
    for start in range(0, len(re), 2 * stride):
        for k in range(start, start + stride):
            j = k + stride
            x0, x1, u0, u1 = load(re, k), load(re, j), load(lre, k), load(lre, j)
            ty = fma(u1, x0, ty) - u0 * x1
            if not is_real:
                y0, y1, v0, v1 = load(im, k), load(im, j), load(lim, k), load(lim, j)
                ty = fma(v1, y0, ty) - v0 * y1
                tx = tx + (fma(u0, y1, u1 * y0) - fma(v0, x1, v1 * x0))
                tz = tz + (fma(u0, y0, v1 * x1) - fma(v0, x0, u1 * y1))
    return tx, ty, tz


@internal
def undo_real(matrices, at, re, lre, stride):
    """``correlate`` for real states, for which only Y counts; applies the transposed matrix to both states."""
    a, b = load(matrices, at), load(matrices, at + 2)
    c, d = load(matrices, at + 4), load(matrices, at + 6)
    ty = a - a
    for start in range(0, len(re), 2 * stride):
        for k in range(start, start + stride):
            j = k + stride
            x0, x1, u0, u1 = load(re, k), load(re, j), load(lre, k), load(lre, j)
            ty = fma(u1, x0, ty) - u0 * x1
            store(re, k, fma(a, x0, c * x1))
            store(re, j, fma(b, x0, d * x1))
            store(lre, k, fma(a, u0, c * u1))
            store(lre, j, fma(b, u0, d * u1))
    return ty


@internal
def undo_diagonal(matrices, at, re, im, lre, lim, stride):
    """``Im <lambda|Z|psi>``; applies the inverse of ``exp(-i angle/2 Z)`` to both states."""
    c, s = load(matrices, at), load(matrices, at + 1)
    zero = c - c
    negative = zero - s
    tz = zero
    for start in range(0, len(re), 2 * stride):
        for k in range(start, start + stride):
            j = k + stride
            x0, y0, u0, v0 = load(re, k), load(im, k), load(lre, k), load(lim, k)
            x1, y1, u1, v1 = load(re, j), load(im, j), load(lre, j), load(lim, j)
            tz = tz + (fma(u0, y0, v1 * x1) - fma(v0, x0, u1 * y1))
            store(re, k, fma(c, x0, negative * y0))
            store(im, k, fma(c, y0, s * x0))
            store(lre, k, fma(c, u0, negative * v0))
            store(lim, k, fma(c, v0, s * u0))
            store(re, j, fma(c, x1, s * y1))
            store(im, j, fma(c, y1, negative * x1))
            store(lre, j, fma(c, u1, s * v1))
            store(lim, j, fma(c, v1, negative * u1))
    return tz


@internal
def undo_general(matrices, at, re, im, lre, lim, stride):
    """``correlate``; applies the adjoint matrix to both states."""
    ar, ai, br, bi = load(matrices, at), load(matrices, at + 1), load(matrices, at + 2), load(matrices, at + 3)
    cr, ci, dr, di = load(matrices, at + 4), load(matrices, at + 5), load(matrices, at + 6), load(matrices, at + 7)
    zero = ar - ar
    nai, nbi, nci, ndi = zero - ai, zero - bi, zero - ci, zero - di
    tx, ty, tz = zero, zero, zero
    for start in range(0, len(re), 2 * stride):
        for k in range(start, start + stride):
            j = k + stride
            x0, y0, x1, y1 = load(re, k), load(im, k), load(re, j), load(im, j)
            u0, v0, u1, v1 = load(lre, k), load(lim, k), load(lre, j), load(lim, j)
            tx = tx + (fma(u0, y1, u1 * y0) - fma(v0, x1, v1 * x0))
            ty = ty + (fma(u1, x0, v1 * y0) - fma(u0, x1, v0 * y1))
            tz = tz + (fma(u0, y0, v1 * x1) - fma(v0, x0, u1 * y1))
            store(re, k, fma(ar, x0, fma(ai, y0, fma(cr, x1, ci * y1))))
            store(im, k, fma(ar, y0, fma(nai, x0, fma(cr, y1, nci * x1))))
            store(re, j, fma(br, x0, fma(bi, y0, fma(dr, x1, di * y1))))
            store(im, j, fma(br, y0, fma(nbi, x0, fma(dr, y1, ndi * x1))))
            store(lre, k, fma(ar, u0, fma(ai, v0, fma(cr, u1, ci * v1))))
            store(lim, k, fma(ar, v0, fma(nai, u0, fma(cr, v1, nci * u1))))
            store(lre, j, fma(br, u0, fma(bi, v0, fma(dr, u1, di * v1))))
            store(lim, j, fma(br, v0, fma(nbi, u0, fma(dr, v1, ndi * u1))))
    return tx, ty, tz


@internal
def correlate_pair(is_real, x_mask, z_mask, re, im, lre, lim):
    """``Im <lambda|P|psi>`` for a Pauli string P; see ``rotate_pair``."""
    zero = load(re, 0) - load(re, 0)
    slope = zero
    both = x_mask & z_mask
    has_one_y = parity(both)
    twist = 1 if both and not has_one_y else 0
    for k in range(len(re)):
        j = k ^ x_mask
        x, u = load(re, k), load(lre, j)
        if has_one_y:
            part = u * x if is_real else fma(u, x, load(lim, j) * load(im, k))
        else:
            part = u * load(im, k) - load(lim, j) * x
        slope = slope - part if parity(k & z_mask) ^ twist else slope + part
    return slope


@internal
def transform(values):
    """Walsh and Hadamard's transform in place: ``new[m] = sum over k of (-1)^|k & m| old[k]``."""
    stride = 1
    size = len(values)
    while 4 * stride <= size:
        for start in range(0, size, 4 * stride):
            for k in range(start, start + stride):
                x0, x1 = load(values, k), load(values, k + stride)
                x2, x3 = load(values, k + 2 * stride), load(values, k + 3 * stride)
                even, odd, even2, odd2 = x0 + x1, x0 - x1, x2 + x3, x2 - x3
                store(values, k, even + even2)
                store(values, k + stride, odd + odd2)
                store(values, k + 2 * stride, even - even2)
                store(values, k + 3 * stride, odd - odd2)
        stride *= 4
    if stride < size:
        for k in range(stride):
            x0, x1 = load(values, k), load(values, k + stride)
            store(values, k, x0 + x1)
            store(values, k + stride, x0 - x1)


@internal
def apply_observable(layers, strings, is_real, weights, first, work, re, im, lre, lim):
    """``lambda = O psi``, with the observable of each row from ``first``: its weights ``(R, M)`` of M Pauli strings.

    Strings with the same X part share a layer: row ``layers[l]`` is the X mask, whether the factor is i, and the range
    of ``strings``, their Z masks.
    """
    zero = load(re, 0) - load(re, 0)
    for k in range(len(re)):
        store(lre, k, zero)
        if not is_real:
            store(lim, k, zero)
    for layer in range(len(layers)):
        x_mask, is_imaginary = layers[layer, 0], layers[layer, 1]
        if is_imaginary and is_real:
            continue
        fill_diagonal(strings, layers[layer, 2], layers[layer, 3], weights, first, work)
        for k in range(len(re)):
            j = k ^ x_mask
            d = load(work.diagonal, k)
            if is_imaginary:
                store(lre, j, load(lre, j) - d * load(im, k))
                store(lim, j, fma(d, load(re, k), load(lim, j)))
            else:
                store(lre, j, fma(d, load(re, k), load(lre, j)))
                if not is_real:
                    store(lim, j, fma(d, load(im, k), load(lim, j)))


@internal
def fill_diagonal(strings, start, stop, weights, first, work):
    """``diagonal[k]``: the sum of the weights of strings start to stop, each with its sign at k."""
    last = len(weights) - 1
    lanes = work.lanes
    for place in range(len(work.flat_diagonal)):
        work.flat_diagonal[place] = 0.0
    for string in range(start, stop):
        for lane in range(lanes):
            work.flat_diagonal[strings[string] * lanes + lane] += weights[min(first + lane, last), string]
    transform(work.diagonal)
