"""Kernels: programs applied to blocks of states, V rows at a time.

States are arrays of lanes, real and imaginary parts apart; element k is amplitude k of V rows. If a program is
real, imaginary parts are never touched.
"""

from qorch_providers.local.numba_engine.jit import compiled, inlined, internal
from qorch_providers.local.numba_engine.lanes import fma, load, splat, store, unit
from qorch_providers.local.program.program import DIAGONAL, FLIP, GENERAL, REAL, REAL_PAIR, ROTATE_PAIR, SIGN


@inlined
def evolve(tables, is_real, work):  # noqa: C901 -- real and imaginary parts in step, and nothing is called twice
    """The final states, as the pair of arrays that holds them, and the pair that is free (if there is scratch).

    ``work.passes`` says which operations go through the state together; see ``passes.plan_passes``.
    """
    re, im, re2, im2 = work.re, work.im, work.re2, work.im2
    prepare(tables, is_real, work.matrices, re, im)
    for index in range(len(work.passes)):
        table, first, stop = work.passes[index, 0], work.passes[index, 1], work.passes[index, 2]
        size, lowest = 1 << work.passes[index, 3], work.passes[index, 4]
        shift, run = 0, 0
        if table >= 0:
            re, re2 = re2, re
            im, im2 = im2, im
        if lowest >= 0:
            run = size // (len(re) >> lowest)
            shift = lowest
            while 1 << (lowest - shift) < run:
                shift -= 1
        for start in range(0, len(re), size):
            real = re[start : start + size]
            imaginary = real if is_real else im[start : start + size]
            if run:
                real, imaginary = work.part, work.part2
                copy_runs(re, real, start // size * run, lowest, run, True)
                if not is_real:
                    copy_runs(im, imaginary, start // size * run, lowest, run, True)
            if table >= 0:
                gather(re2, real, tables.gathers[table], tables.signs[table], start)
                if not is_real:
                    gather(im2, imaginary, tables.gathers[table], tables.signs[table], start)
            for each in range(first, stop):
                apply(tables.operations, each, shift, is_real, work.matrices, real, imaginary)
            if run:
                copy_runs(re, real, start // size * run, lowest, run, False)
                if not is_real:
                    copy_runs(im, imaginary, start // size * run, lowest, run, False)
    return re, im, re2, im2


@internal
def copy_runs(state, part, offset, lowest, run, is_in):
    """Copy, for every value of the qubits from ``lowest`` on, ``run`` amplitudes in or out of a part."""
    for high in range(len(state) >> lowest):
        for k in range(run):
            if is_in:
                store(part, high * run + k, load(state, (high << lowest) + offset + k))
            else:
                store(state, (high << lowest) + offset + k, load(part, high * run + k))


@internal
def prepare(tables, is_real, matrices, re, im):
    """Set |0…0>, or the product state that a program starts with; each qubit doubles the part that is filled."""
    one = unit(matrices)
    zero = one - one
    if len(tables.product) == 0:
        for k in range(len(re)):
            store(re, k, zero)
        if not is_real:
            for k in range(len(im)):
                store(im, k, zero)
        store(re, 0, one)
        return
    store(re, 0, one)
    if not is_real:
        store(im, 0, zero)
    for qubit in range(len(tables.product)):
        at = 8 * tables.product[qubit]
        ar, ai, cr, ci = load(matrices, at), load(matrices, at + 1), load(matrices, at + 4), load(matrices, at + 5)
        half = 1 << qubit
        if is_real:
            for k in range(half):
                x = load(re, k)
                store(re, k + half, cr * x)
                store(re, k, ar * x)
        else:
            for k in range(half):
                x, y = load(re, k), load(im, k)
                store(re, k + half, fma(cr, x, zero - ci * y))
                store(im, k + half, fma(cr, y, ci * x))
                store(re, k, fma(ar, x, zero - ai * y))
                store(im, k, fma(ar, y, ai * x))


@inlined
def apply(operations, index, shift, is_real, matrices, re, im):
    """Apply one operation in place, to a whole state or to a part that holds all amplitudes that it needs.

    In a part of high qubits, qubit q is found at ``q - shift``.
    """
    kind, a, b = operations[index, 0], operations[index, 1], operations[index, 2]
    at = 8 * operations[index, 3]
    if kind == REAL_PAIR:
        turn_pair(matrices, at, 8 * operations[index, 4], re, 1 << (a - shift), 1 << (b - shift))
        if not is_real:
            turn_pair(matrices, at, 8 * operations[index, 4], im, 1 << (a - shift), 1 << (b - shift))
    elif kind == REAL:
        turn_real(matrices, at, re, 1 << (a - shift))
        if not is_real:
            turn_real(matrices, at, im, 1 << (a - shift))
    elif kind == GENERAL:
        turn_general(matrices, at, re, im, 1 << (a - shift))
    elif kind == DIAGONAL:
        turn_diagonal(matrices, at, re, im, 1 << (a - shift))
    elif kind == ROTATE_PAIR:
        rotate_pair(load(matrices, at), load(matrices, at + 1), is_real, a >> shift, b >> shift, re, im)
    else:
        shuffle(kind, a >> shift, b >> shift, re)
        if not is_real:
            shuffle(kind, a >> shift, b >> shift, im)


@internal
def turn_real(matrices, at, state, stride):
    """Apply a real matrix to one qubit."""
    a, b = load(matrices, at), load(matrices, at + 2)
    c, d = load(matrices, at + 4), load(matrices, at + 6)
    for start in range(0, len(state), 2 * stride):
        for k in range(start, start + stride):
            x0, x1 = load(state, k), load(state, k + stride)
            store(state, k, fma(a, x0, b * x1))
            store(state, k + stride, fma(c, x0, d * x1))


@internal
def turn_pair(matrices, at, at_low, state, high, low):
    """Apply real matrices to two qubits, four amplitudes at a time in registers."""
    a, b = load(matrices, at), load(matrices, at + 2)
    c, d = load(matrices, at + 4), load(matrices, at + 6)
    e, f = load(matrices, at_low), load(matrices, at_low + 2)
    g, h = load(matrices, at_low + 4), load(matrices, at_low + 6)
    for outer in range(0, len(state), 2 * high):
        for start in range(outer, outer + high, 2 * low):
            for k in range(start, start + low):
                x0, x1 = load(state, k), load(state, k + low)
                x2, x3 = load(state, k + high), load(state, k + high + low)
                y0, y2 = fma(a, x0, b * x2), fma(c, x0, d * x2)
                y1, y3 = fma(a, x1, b * x3), fma(c, x1, d * x3)
                store(state, k, fma(e, y0, f * y1))
                store(state, k + low, fma(g, y0, h * y1))
                store(state, k + high, fma(e, y2, f * y3))
                store(state, k + high + low, fma(g, y2, h * y3))


@internal
def turn_general(matrices, at, re, im, stride):
    """Apply a complex matrix to one qubit."""
    ar, ai, br, bi = load(matrices, at), load(matrices, at + 1), load(matrices, at + 2), load(matrices, at + 3)
    cr, ci, dr, di = load(matrices, at + 4), load(matrices, at + 5), load(matrices, at + 6), load(matrices, at + 7)
    zero = ar - ar
    nai, nbi, nci, ndi = zero - ai, zero - bi, zero - ci, zero - di
    for start in range(0, len(re), 2 * stride):
        for k in range(start, start + stride):
            j = k + stride
            x0, y0, x1, y1 = load(re, k), load(im, k), load(re, j), load(im, j)
            store(re, k, fma(ar, x0, fma(nai, y0, fma(br, x1, nbi * y1))))
            store(im, k, fma(ar, y0, fma(ai, x0, fma(br, y1, bi * x1))))
            store(re, j, fma(cr, x0, fma(nci, y0, fma(dr, x1, ndi * y1))))
            store(im, j, fma(cr, y0, fma(ci, x0, fma(dr, y1, di * x1))))


@internal
def turn_diagonal(matrices, at, re, im, stride):
    """Apply ``exp(-i angle/2 Z)`` to one qubit."""
    c, s = load(matrices, at), load(matrices, at + 1)
    negative = (s - s) - s
    for start in range(0, len(re), 2 * stride):
        for k in range(start, start + stride):
            x, y = load(re, k), load(im, k)
            store(re, k, fma(c, x, s * y))
            store(im, k, fma(c, y, negative * x))
        for k in range(start + stride, start + 2 * stride):
            x, y = load(re, k), load(im, k)
            store(re, k, fma(c, x, negative * y))
            store(im, k, fma(c, y, s * x))


@internal
def parity(bits):
    """1 if an odd number of bits is set, else 0."""
    bits ^= bits >> 32
    bits ^= bits >> 16
    bits ^= bits >> 8
    bits ^= bits >> 4
    bits ^= bits >> 2
    bits ^= bits >> 1
    return bits & 1


@compiled
def highest_bit(mask):
    """The highest power of two in a mask."""
    top = 1
    while top * 2 <= mask:
        top *= 2
    return top


@internal
def rotate_pair(c, s, is_real, x_mask, z_mask, re, im):
    """Apply ``exp(-i angle/2 P)`` with ``P |k> = i^y (-1)^|k & z_mask| |k ^ x_mask>``, y the number of Ys in P."""
    negative = (s - s) - s
    both = x_mask & z_mask
    if x_mask == 0:
        for k in range(len(re)):
            t, nt = (negative, s) if parity(k & z_mask) else (s, negative)
            x, y = load(re, k), load(im, k)
            store(re, k, fma(c, x, t * y))
            store(im, k, fma(c, y, nt * x))
    elif parity(both):
        _rotate_really(c, s, negative, x_mask, z_mask, re)
        if not is_real:
            _rotate_really(c, s, negative, x_mask, z_mask, im)
    else:
        top = highest_bit(x_mask)
        twist = 1 if both else 0
        for k in range(len(re)):
            if k & top:
                continue
            j = k ^ x_mask
            odd_k, odd_j = parity(k & z_mask) ^ twist, parity(j & z_mask) ^ twist
            tk, ntk = (negative, s) if odd_j else (s, negative)
            tj, ntj = (negative, s) if odd_k else (s, negative)
            x0, y0, x1, y1 = load(re, k), load(im, k), load(re, j), load(im, j)
            store(re, k, fma(c, x0, tk * y1))
            store(im, k, fma(c, y0, ntk * x1))
            store(re, j, fma(c, x1, tj * y0))
            store(im, j, fma(c, y1, ntj * x0))


@internal
def _rotate_really(c, s, negative, x_mask, z_mask, state):
    """``rotate_pair`` if P has one Y: -i times i is real, so that real and imaginary parts do not mix."""
    top = highest_bit(x_mask)
    for k in range(len(state)):
        if k & top:
            continue
        j = k ^ x_mask
        tk = negative if parity(j & z_mask) else s
        tj = negative if parity(k & z_mask) else s
        x0, x1 = load(state, k), load(state, j)
        store(state, k, fma(c, x0, tk * x1))
        store(state, j, fma(c, x1, tj * x0))


@internal
def gather(source, target, indices, signs, start):
    """``target[k] = signs[start + k] * source[indices[start + k]]``."""
    for k in range(len(target)):
        store(target, k, splat(source, signs[start + k]) * load(source, indices[start + k]))


@internal
def scatter(source, target, inverse, signs):
    """Undo ``gather``."""
    for k in range(len(inverse)):
        place = inverse[k]
        store(target, k, splat(source, signs[place]) * load(source, place))


@internal
def shuffle(kind, first, second, state):
    """FLIP: X on the qubit of mask ``second`` if all of mask ``first`` are 1. SIGN: the sign -1 if they are."""
    if kind == FLIP:
        for k in range(len(state)):
            if k & first == first and not k & second:
                x = load(state, k)
                store(state, k, load(state, k | second))
                store(state, k | second, x)
    elif kind == SIGN:
        for k in range(len(state)):
            if k & first == first:
                x = load(state, k)
                store(state, k, (x - x) - x)
