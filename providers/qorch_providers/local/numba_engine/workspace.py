"""The arrays that one thread works with."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qorch_providers.local.numba_engine.lanes import allocate, flat
from qorch_providers.local.numba_engine.passes import plan_passes
from qorch_providers.local.numba_engine.sampling import CHUNK_SHOTS, ENDS_PADDING, GUIDE_PADDING, MAX_GROUPS
from qorch_providers.local.program.program import Program

BLOCK_BYTES = 16 << 10
"""Half of the real parts and half of the imaginary ones together fill a nearest cache of 32 KiB."""
MAX_GUIDE_BITS = 12
_FLAT = ("diagonal", "cosines", "sines", "slopes", "noise", "cell", "wide")

Array = npt.NDArray[Any]


class Scratch(NamedTuple):
    """Arrays for sampling: the thresholds of all lanes, and what is computed from those of one lane."""

    thresholds: Array
    ends: Array
    guide: Array
    draws: Array
    found: Array
    histogram: Array
    seen: Array


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
    flat_wide: Array
    fine_draws: Array
    scratch: Scratch


class Entries(NamedTuple):
    """Arrays for histograms: those of the rows of block b, ``lengths[r]`` places each, start at ``b * capacity``.

    ``outcomes`` and ``counts`` are memory, uint8, for unsigned numbers of ``width`` bytes (or, if states are too
    large for thresholds, plain uint64 and uint32 arrays). ``largest[r]`` is the largest count of a row.
    """

    lanes: int
    capacity: int
    width: int
    outcomes: Array
    counts: Array
    lengths: Array
    largest: Array


@dataclass(frozen=True)
class Purpose:
    """The purpose of a work space. ``fine_shots``: 64-bit draws to hold, if states are too large for thresholds."""

    name: str
    samples: bool = False
    gradient: bool = False
    fine_shots: int = 0
    noise_sources: int = 0


def make_work(program: Program, *, scalar: npt.DTypeLike, lanes: int, purpose: Purpose) -> Work:
    """Allocate a work space for blocks of ``lanes`` rows of a program."""
    block_qubits = (BLOCK_BYTES // (lanes * np.dtype(scalar).itemsize)).bit_length() - 1
    states = _states(program, scalar, lanes, purpose, part=1 << min(program.n_qubits, block_qubits))
    small = _coefficients(program, scalar, lanes, purpose)
    flats = {f"flat_{name}": flat(array) for name, array in (states | small).items() if name in _FLAT}
    return Work(
        lanes=lanes,
        passes=plan_passes(program, block_qubits=block_qubits),
        **states,
        **small,
        **flats,
        fine_draws=np.empty(max(1, purpose.fine_shots), dtype=np.uint64),
        scratch=_scratch(program, lanes, purpose),
    )


def _states(program: Program, scalar: npt.DTypeLike, lanes: int, purpose: Purpose, *, part: int) -> dict[str, Array]:
    """Arrays of amplitudes. Imaginary parts, scratch and second states have one element if they are not needed."""
    size = 1 << program.n_qubits
    imaginary = 1 if program.is_real else size
    second, second_imaginary = (size, imaginary) if purpose.gradient else (1, 1)
    re, im = allocate(scalar, lanes, size), allocate(scalar, lanes, imaginary)
    return {
        "re": re,
        "im": im,
        "re2": allocate(scalar, lanes, size) if program.needs_scratch else re,
        "im2": allocate(scalar, lanes, imaginary) if program.needs_scratch else im,
        "lre": allocate(scalar, lanes, second),
        "lim": allocate(scalar, lanes, second_imaginary),
        "diagonal": allocate(scalar, lanes, second),
        "part": allocate(scalar, lanes, part),
        "part2": allocate(scalar, lanes, part),
    }


def _coefficients(program: Program, scalar: npt.DTypeLike, lanes: int, purpose: Purpose) -> dict[str, Array]:
    """Arrays that do not grow with the state."""
    slots = max(1, len(program.tables.angle_constants))
    return {
        "matrices": allocate(scalar, lanes, 8 * max(1, len(program.tables.matrices))),
        "cosines": allocate(scalar, lanes, slots),
        "sines": allocate(scalar, lanes, slots),
        "slopes": allocate(scalar, lanes, slots),
        "halves": np.empty(lanes * len(program.tables.angle_constants)),
        "noise": allocate(scalar, lanes, 2 * max(1, purpose.noise_sources)),
        "cell": allocate(scalar, lanes, 1),
        "wide": allocate(np.float64, lanes, 1),
    }


def _scratch(program: Program, lanes: int, purpose: Purpose) -> Scratch:
    """Arrays for sampling by thresholds; tiny if that is not needed."""
    size = 1 << program.n_qubits if purpose.samples else 1
    groups = min(size, MAX_GROUPS)
    guide_bits = min(program.n_qubits + 3 if program.n_qubits < 9 else program.n_qubits + 2, MAX_GUIDE_BITS)
    return Scratch(
        thresholds=np.empty(size * lanes, dtype=np.uint32),
        ends=np.empty((lanes, groups + ENDS_PADDING), dtype=np.uint32),
        guide=np.empty((1 << guide_bits) + GUIDE_PADDING, dtype=np.uint16),
        draws=np.empty(CHUNK_SHOTS + 64, dtype=np.uint32),
        found=np.empty(size + 1, dtype=np.uint64),
        histogram=np.zeros(size, dtype=np.uint32),
        seen=np.zeros(max(1, size >> 6), dtype=np.uint64),
    )
