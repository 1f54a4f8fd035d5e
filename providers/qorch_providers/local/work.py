"""The memory that one thread works in."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qorch_providers.local.lanes import allocate, flat
from qorch_providers.local.program import Program, plan_passes
from qorch_providers.local.sampling import CHUNK_SHOTS, MAX_GROUPS

BLOCK_BYTES = 16 << 10
"""Half of the real parts and half of the imaginary ones together fill a nearest cache of 32 KiB."""
MAX_GUIDE_BITS = 12

Array = npt.NDArray[Any]


class Work(NamedTuple):
    """Arrays of lanes, their flat views, and scratch for sampling; arrays that a job does not need have one element."""

    lanes: int
    passes: Array
    part: Array
    part2: Array
    re: Array
    im: Array
    re2: Array
    im2: Array
    lre: Array
    lim: Array
    diagonal: Array
    flat_diagonal: Array
    matrices: Array
    cosines: Array
    sines: Array
    halves: Array
    flat_cosines: Array
    flat_sines: Array
    slopes: Array
    flat_slopes: Array
    noise: Array
    flat_noise: Array
    cell: Array
    flat_cell: Array
    wide: Array
    thresholds: Array
    ends: Array
    guide: Array
    draws: Array
    fine_draws: Array
    histogram: Array
    seen: Array
    found: Array
    found_counts: Array


class Entries(NamedTuple):
    """Where histograms go: row r has ``lengths[r]`` of its ``capacity`` places from ``r * capacity`` on."""

    capacity: int
    outcomes: Array
    counts: Array
    lengths: Array


@dataclass(frozen=True)
class Purpose:
    """What a work space is for. ``fine_shots``: 64-bit draws to hold, where states are too large for thresholds."""

    samples: bool = False
    gradient: bool = False
    fine_shots: int = 0
    noise_sources: int = 0


def make_work(program: Program, *, scalar: npt.DTypeLike, lanes: int, purpose: Purpose) -> Work:
    """Allocate a work space for blocks of ``lanes`` rows of a program."""
    size = 1 << program.n_qubits
    tables = program.tables

    def lane_array(count: int, *, is_needed: bool = True) -> Array:
        return allocate(scalar, lanes, max(1, count) if is_needed else 1)

    block_qubits = (BLOCK_BYTES // (lanes * np.dtype(scalar).itemsize)).bit_length() - 1
    re, im = lane_array(size), lane_array(size, is_needed=not program.is_real)
    scratch = program.needs_scratch
    diagonal, slopes = lane_array(size, is_needed=purpose.gradient), lane_array(len(tables.angle_constants))
    cosines, sines = lane_array(len(tables.angle_constants)), lane_array(len(tables.angle_constants))
    noise, cell = lane_array(2 * purpose.noise_sources), lane_array(1)
    thresholds = size if purpose.samples else 1
    guide_bits = min(program.n_qubits + 2 if program.n_qubits < 9 else program.n_qubits + 1, MAX_GUIDE_BITS)
    return Work(
        lanes=lanes,
        passes=plan_passes(program, block_qubits=block_qubits),
        part=lane_array(min(size, 1 << block_qubits)),
        part2=lane_array(min(size, 1 << block_qubits)),
        re=re,
        im=im,
        re2=lane_array(size) if scratch else re,
        im2=lane_array(size, is_needed=not program.is_real) if scratch else im,
        lre=lane_array(size, is_needed=purpose.gradient),
        lim=lane_array(size, is_needed=purpose.gradient and not program.is_real),
        diagonal=diagonal,
        flat_diagonal=flat(diagonal),
        matrices=lane_array(8 * len(tables.matrices)),
        cosines=cosines,
        sines=sines,
        halves=np.empty(lanes * len(tables.angle_constants)),
        flat_cosines=flat(cosines),
        flat_sines=flat(sines),
        slopes=slopes,
        flat_slopes=flat(slopes),
        noise=noise,
        flat_noise=flat(noise),
        cell=cell,
        flat_cell=flat(cell),
        wide=allocate(np.float64, lanes, 1),
        thresholds=np.empty(thresholds * lanes, dtype=np.uint32),
        ends=np.empty(min(thresholds, MAX_GROUPS), dtype=np.uint32),
        guide=np.empty((1 << guide_bits) + 1, dtype=np.int32),
        draws=np.empty(CHUNK_SHOTS + 64, dtype=np.uint32),
        fine_draws=np.empty(max(1, purpose.fine_shots), dtype=np.uint64),
        histogram=np.zeros(thresholds, dtype=np.uint32),
        found=np.empty(min(thresholds, MAX_GROUPS) + 1, dtype=np.uint32),
        found_counts=np.empty(min(thresholds, MAX_GROUPS) + 1, dtype=np.uint32),
        seen=np.zeros(max(1, thresholds >> 6), dtype=np.uint64),
    )
