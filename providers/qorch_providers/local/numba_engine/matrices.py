"""Kernels that compute the 2×2 matrices of a program from rows of angles, lane by lane."""

import math

from qorch_providers.local.numba_engine.jit import internal
from qorch_providers.local.numba_engine.lanes import fma, load, store, unit
from qorch_providers.local.program.primitives import AXIS_X, AXIS_Y, AXIS_Z, FLIP_X, FLIP_Z, NOISE
from qorch_providers.local.program.program import DIAGONAL, REAL

# π/2 in three parts, the first two short enough for exact products (fdlibm, e_rem_pio2.c).
_PART_1 = 1.57079632673412561417
_PART_2 = 6.07710050630396597660e-11
_PART_3 = 2.02226624879595063154e-21
_LARGEST = 1e5


@internal
def fill_cosines(tables, angles, first, lanes, halves, cosines, sines):
    """Cosine and sine of every half angle of the rows from ``first``, ``(S * V,)``; the last row fills the lanes.

    ``halves`` is float64 scratch of the same length: angles are reduced in float64 at either precision. The method
    of reduction is chosen for each angle alone, so that a row's bits depend on the row alone.
    """
    last = len(angles) - 1
    largest = 0.0
    for slot in range(len(tables.angle_constants)):
        for lane in range(lanes):
            angle = tables.angle_constants[slot]
            for term in range(tables.angle_columns.shape[1]):
                column = tables.angle_columns[slot, term]
                angle += tables.angle_factors[slot, term] * angles[min(first + lane, last), column]
            halves[slot * lanes + lane] = 0.5 * angle
            largest = max(largest, abs(angle))
    for place in range(len(halves)):
        cosines[place], sines[place] = cosine_sine(halves[place])
    if largest > _LARGEST:
        for place in range(len(halves)):
            if abs(halves[place]) > 0.5 * _LARGEST:
                cosines[place], sines[place] = math.cos(halves[place]), math.sin(halves[place])


@internal
def cosine_sine(x):
    """Cosine and sine in float64 for moderate x: the polynomials of Cephes, within 2e-16; no branches."""
    quarter = math.floor(x * 0.63661977236758134308 + 0.5)
    r = ((x - quarter * _PART_1) - quarter * _PART_2) - quarter * _PART_3
    z = r * r
    sine = 1.58962301576546568060e-10 * z - 2.50507477628578072866e-8
    sine = (sine * z + 2.75573136213857245213e-6) * z - 1.98412698295895385996e-4
    sine = (sine * z + 8.33333333332211858878e-3) * z - 1.66666666666666307295e-1
    sine = r + r * z * sine
    cosine = -1.13585365213876817300e-11 * z + 2.08757008419747316778e-9
    cosine = (cosine * z - 2.75573141792967388112e-7) * z + 2.48015872888517045348e-5
    cosine = (cosine * z - 1.38888888888730564116e-3) * z + 4.16666666666665929218e-2
    cosine = 1.0 - 0.5 * z + z * z * cosine
    odd = quarter - 2.0 * math.floor(0.5 * quarter)
    upper = math.floor(0.5 * quarter) - 2.0 * math.floor(0.25 * quarter)
    sign = 1.0 - 2.0 * upper
    return sign * ((1.0 - odd) * cosine - odd * sine), sign * (odd * cosine + (1.0 - odd) * sine)


@internal
def fill_matrices(tables, cosines, sines, noise, matrices):
    """Multiply out the turns of every matrix: 8 lanes each, ``a b / c d`` as real and imaginary parts.

    A DIAGONAL one is ``exp(-i angle/2 Z)``, of which only cosine and sine are kept. ``noise`` holds, for every
    source, lanes that are 1 if X is inserted, and lanes that are -1 if Z is inserted.
    """
    for index in range(len(tables.matrices)):
        kind = tables.matrices[index, 0]
        start, stop = tables.matrices[index, 1], tables.matrices[index, 2]
        if kind == DIAGONAL:
            store(matrices, 8 * index, load(cosines, tables.turns[start, 1]))
            store(matrices, 8 * index + 1, load(sines, tables.turns[start, 1]))
        elif kind == REAL:
            _fill_real(tables, start, stop, cosines, sines, noise, matrices, 8 * index)
        else:
            _fill_general(tables, start, stop, cosines, sines, noise, matrices, 8 * index)


@internal
def _fill_real(tables, start, stop, cosines, sines, noise, matrices, at):
    one = unit(matrices)
    zero = one - one
    a, b, c, d = one, zero, zero, one
    for turn in range(start, stop):
        kind, operand = tables.turns[turn, 0], tables.turns[turn, 1]
        if kind == AXIS_Y:
            cosine, sine = load(cosines, operand), load(sines, operand)
            a, c = fma(cosine, a, zero - sine * c), fma(sine, a, cosine * c)
            b, d = fma(cosine, b, zero - sine * d), fma(sine, b, cosine * d)
        elif kind == FLIP_X:
            a, b, c, d = c, d, a, b
        elif kind == FLIP_Z:
            c, d = zero - c, zero - d
        elif kind == NOISE:
            flip, sign = load(noise, 2 * operand), load(noise, 2 * operand + 1)
            keep = one - flip
            c, d = sign * c, sign * d
            a, c = keep * a + flip * c, keep * c + flip * a
            b, d = keep * b + flip * d, keep * d + flip * b
    store(matrices, at, a)
    store(matrices, at + 1, zero)
    store(matrices, at + 2, b)
    store(matrices, at + 3, zero)
    store(matrices, at + 4, c)
    store(matrices, at + 5, zero)
    store(matrices, at + 6, d)
    store(matrices, at + 7, zero)


@internal
def _rotate(kind, c, s, ar, ai, cr, ci):
    """``exp(-i angle/2 P)`` times the column (a, c), for P = X, Y or Z."""
    zero = c - c
    if kind == AXIS_X:
        return fma(c, ar, s * ci), fma(c, ai, zero - s * cr), fma(c, cr, s * ai), fma(c, ci, zero - s * ar)
    if kind == AXIS_Y:
        return fma(c, ar, zero - s * cr), fma(c, ai, zero - s * ci), fma(s, ar, c * cr), fma(s, ai, c * ci)
    return fma(c, ar, s * ai), fma(c, ai, zero - s * ar), fma(c, cr, zero - s * ci), fma(c, ci, s * cr)


@internal
def _fill_general(tables, start, stop, cosines, sines, noise, matrices, at):
    """Multiply out a complex matrix: its columns are the turns applied to (1, 0) and to (0, 1)."""
    one = unit(matrices)
    zero = one - one
    for column in range(2):
        ar, ai, cr, ci = one, zero, zero, zero
        if column:
            ar, cr = zero, one
        for turn in range(start, stop):
            kind, operand = tables.turns[turn, 0], tables.turns[turn, 1]
            if kind <= AXIS_Z:
                ar, ai, cr, ci = _rotate(kind, load(cosines, operand), load(sines, operand), ar, ai, cr, ci)
            elif kind == FLIP_X:
                ar, ai, cr, ci = cr, ci, ar, ai
            elif kind == FLIP_Z:
                cr, ci = zero - cr, zero - ci
            else:
                flip, sign = load(noise, 2 * operand), load(noise, 2 * operand + 1)
                keep = one - flip
                cr, ci = sign * cr, sign * ci
                ar, cr = keep * ar + flip * cr, keep * cr + flip * ar
                ai, ci = keep * ai + flip * ci, keep * ci + flip * ai
        store(matrices, at + 2 * column, ar)
        store(matrices, at + 2 * column + 1, ai)
        store(matrices, at + 4 + 2 * column, cr)
        store(matrices, at + 5 + 2 * column, ci)
