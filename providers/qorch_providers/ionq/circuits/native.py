"""qorch's gates in IonQ's native ones: GPi, GPi2 and an entangler, MS or ZZ, with rotations about Z carried along.

A rotation about Z is not a gate: it turns the frame of its qubit, against which the phases of all later gates count,
and is dropped before the measurement. Phases and angles are in turns. With ``s(f) = cos(2 pi f) X + sin(2 pi f) Y``
the gates are ``GPi(f) = s(f)``, ``GPi2(f) = exp(-i pi/4 s(f))``, ``MS(f, g, a) = exp(-i pi a s(f) s(g))`` and
``ZZ(a) = exp(-i pi a Z Z)``, as IonQ's guide to its native gates defines them. IonQ takes phases from -1 to 1 and
entangling angles up to 0.25, which entangle fully.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from qorch.model.arrays import FloatArray
from qorch.model.circuit import FIXED
from qorch_providers.ionq.circuits.slots import WireGate
from qorch_providers.ionq.options import MS

FULL_TURN = 2.0 * np.pi
MAX_ENTANGLING = 0.25
_ROUNDING = 1e-12


@dataclass(frozen=True, eq=False)
class AffineTable:
    """K numbers per row: ``factors * source[:, columns] + constants``, each array ``(K,)``; FIXED adds nothing."""

    columns: npt.NDArray[np.int64]
    factors: FloatArray
    constants: FloatArray

    def at(self, source: FloatArray) -> FloatArray:
        """The numbers ``(R, K)`` at rows of ``source (R, C)``."""
        values = np.broadcast_to(self.constants, (len(source), len(self.constants))).copy()
        free = np.flatnonzero(self.columns != FIXED)
        values[:, free] += source[:, self.columns[free]] * self.factors[free]
        return values


@dataclass(frozen=True, eq=False)
class NativeCircuit:
    """See WireCircuit. How the open numbers come from a row's angles:

    1. ``entangling`` gives the J free entangling angles in turns, which are folded into the range that IonQ takes; what
       was folded away is a number per angle that joins the row's turns, as columns D to D + J - 1 (see ``fold``).
    2. ``turns`` are the frame's rotations, qubit after qubit; their running sums, begun anew at each of ``starts``, are
       the frames.
    3. A phase slot is its own entry of ``phases`` less the frame number ``frames[slot]``, an angle slot ``share`` times
       the folded angle number ``angles[slot]``; the other of the two is FIXED.
    """

    gates: tuple[WireGate, ...]
    entangler: str
    entangling: AffineTable
    turns: AffineTable
    starts: npt.NDArray[np.int64]
    phases: AffineTable
    frames: npt.NDArray[np.int64]
    angles: npt.NDArray[np.int64]
    share: float

    def values(self, angles: FloatArray) -> FloatArray:
        """See WireCircuit: phases in [0, 1], entangling angles in [-0.25, 0.25] (ZZ) or from 0 (MS)."""
        turns = _turns(angles)
        folded, marks = fold(self.entangling.at(turns), entangler=self.entangler)
        source = np.hstack((turns, marks))
        values = self.phases.at(source)
        is_phase = self.frames != FIXED
        values[:, is_phase] -= self._frames(source)[:, self.frames[is_phase]]
        values[:, is_phase] %= 1.0
        values[:, ~is_phase] = folded[:, self.angles[~is_phase]] * self.share
        return values

    def _frames(self, source: FloatArray) -> FloatArray:
        """Frames in turns: all qubits' running sums, one after the other."""
        frames = self.turns.at(source)
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            np.cumsum(frames[:, start:stop], axis=1, out=frames[:, start:stop])
        return frames

    @property
    def may_exceed(self) -> bool:
        """Whether some rows may have an entangling angle that one gate cannot make."""
        return self.entangler == MS and len(self.entangling.columns) > 0

    def exceeds(self, angles: FloatArray) -> npt.NDArray[np.bool_]:
        """Which of R rows have an entangling angle that one MS gate cannot make."""
        folded, _ = fold(self.entangling.at(_turns(angles)), entangler=MS)
        return np.asarray((folded > MAX_ENTANGLING + _ROUNDING).any(axis=1))


def _turns(angles: FloatArray) -> FloatArray:
    """Radians in turns modulo 2: controlled rotations take half of the angle, and so have a period of two turns."""
    return np.asarray(np.fmod(angles / FULL_TURN, 2.0), dtype=np.float64)


def fold(turns: FloatArray, *, entangler: str) -> tuple[FloatArray, FloatArray]:
    """Entangling angles folded into IonQ's range, and the correction needed for that; both of the shape of ``turns``.

    ZZ has the period 1/2 up to a half turn of both qubits: the correction counts these. MS has the period 1; a negative
    sign becomes half a turn of its first phase, for which the correction is 1, and an angle up to 1/2 is left.
    """
    if entangler == MS:
        rest = turns - np.rint(turns)
        return np.abs(rest), (rest < 0.0).astype(np.float64)
    halves = np.rint(2.0 * turns)
    return turns - halves / 2.0, halves
