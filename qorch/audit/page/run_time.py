"""One axis of time for a run: the seconds that its sessions worked, one after the other, without what lies between."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from qorch.model.arrays import FloatArray
from qorch.ports.records import SessionRecord


@dataclass(frozen=True)
class RunTime:
    """``offsets (S,)``: the seconds at which each session begins; ``seconds``: of all of them."""

    sessions: tuple[SessionRecord, ...]
    offsets: FloatArray
    seconds: float

    def offset(self, ordinal: int) -> float:
        """When a session begins; 0 for one that is not known."""
        return next(
            (float(at) for session, at in zip(self.sessions, self.offsets, strict=True) if session.ordinal == ordinal),
            0.0,
        )

    def at(self, moments: Sequence[datetime.datetime]) -> FloatArray:
        """Seconds ``(M,)`` of moments in UTC: within the last session that had begun by then."""
        if not self.sessions:
            return np.zeros(len(moments))
        began = np.array([session.started_at.timestamp() for session in self.sessions])
        stamps = np.array([moment.timestamp() for moment in moments], dtype=np.float64)
        which = np.clip(np.searchsorted(began, stamps, side="right") - 1, 0, len(began) - 1)
        lengths = np.array([session.wall_ns / 1e9 for session in self.sessions])
        inside: FloatArray = self.offsets[which] + np.clip(stamps - began[which], 0.0, lengths[which])
        return inside

    @property
    def borders(self) -> FloatArray:
        """Where one session ends and the next begins."""
        return self.offsets[1:]


def run_time(sessions: Sequence[SessionRecord]) -> RunTime:
    """The axis of a run's sessions."""
    lengths = np.array([session.wall_ns / 1e9 for session in sessions], dtype=np.float64)
    return RunTime(tuple(sessions), np.cumsum(lengths) - lengths, float(lengths.sum()))
