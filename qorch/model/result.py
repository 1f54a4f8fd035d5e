"""Results of pubs: expectation values with standard errors, counts, and where each row came from."""

import copy
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

import numpy as np
import numpy.typing as npt

from qorch.errors import UsageError
from qorch.model.arrays import FloatArray, IntArray, freeze
from qorch.model.counts import Counts
from qorch.model.frequencies import frequencies
from qorch.model.kinds import check_kind
from qorch.model.money import Money
from qorch.model.observable import Distribution
from qorch.model.pub import Pub
from qorch.model.timing import Span

_ESTIMATED = (
    "the backend has estimated these expectation values itself and told no counts; take values and stderr, or run the"
    " pub on a backend that samples"
)


class Source(IntEnum):
    """Where the samples of a row came from."""

    EXECUTED = 0
    RESUMED = 1
    REUSED = 2
    TOPPED_UP = 3
    DUPLICATE = 4


@dataclass(frozen=True, eq=False)
class PubResult:
    """The result of a pub of N rows and K observables.

    ``values (N, K)``; ``stderr (N, K)``, 0 if exact; ``shots (N,)``, 0 if exact; ``sources (N,)`` of Source,
    the least cached basis of each row counting; ``charge`` what it cost, None if unknown; ``timeline`` the
    spans of the call that carried it. For ``qorch.probabilities()`` K is 2^n.

    A backend that estimates expectation values itself gives no counts: values and standard errors are its own, a value
    may lie outside of the observable's range, and ``shots`` are those that were asked for.
    """

    pub: Pub
    values: FloatArray
    stderr: FloatArray
    shots: IntArray
    sources: npt.NDArray[np.uint8]
    charge: Money | None
    timeline: tuple[Span, ...] = ()
    samples: tuple[Counts, ...] = field(default=(), repr=False)

    def __repr__(self) -> str:
        """Its size, without the arrays."""
        fewest, most = int(self.shots.min()), int(self.shots.max())
        shots = "exact" if most == 0 else f"{most} shots" if fewest == most else f"{fewest} to {most} shots"
        return (
            f"{type(self).__name__}({self.n_rows} rows, {self.n_values} values each, {shots},"
            f" {self.n_executed} executed)"
        )

    @property
    def n_values(self) -> int:
        """K."""
        observables = self.pub.observables
        return 1 << self.pub.circuit.n_qubits if isinstance(observables, Distribution) else len(observables)

    @property
    def n_rows(self) -> int:
        """N."""
        return self.pub.n_rows

    @property
    def is_estimated(self) -> bool:
        """Whether the backend itself has estimated values and errors, from shots of which it tells no counts."""
        return not self.samples and bool(self.shots.any())

    def with_timeline(self, timeline: tuple[Span, ...]) -> "PubResult":
        """The same result with this timeline."""
        twin = copy.copy(self)
        object.__setattr__(twin, "timeline", timeline)
        return twin

    def counts(self, row: int, *, basis: int = 0) -> dict[str, int]:
        """Bitstring → count of one row, qubit 0 rightmost; ``basis`` chooses among several measured bases.

        Raises UsageError if the pub was exact or the backend estimated its values, or if it has no such row or basis.
        """
        if not self.samples:
            raise UsageError(
                _ESTIMATED if self.is_estimated else "an exact result has no counts; ask for a number of shots"
            )
        for name, number in (("row", row), ("basis", basis)):
            check_kind(number, int | np.integer, name, wanted="a whole number")
        if not 0 <= basis < len(self.samples):
            raise UsageError(f"there is no basis {basis}; the pub was measured in {len(self.samples)}")
        if not -self.n_rows <= row < self.n_rows:
            raise UsageError(f"there is no row {row}; the pub has {self.n_rows}")
        return self.samples[basis].row(row % self.n_rows)

    @property
    def probabilities(self) -> FloatArray:
        """Relative frequencies, or exact probabilities if they were asked for: ``(N, 2**n)``.

        Raises UsageError for an exact result of other observables, and for values that the backend estimated.
        """
        if isinstance(self.pub.observables, Distribution):
            return self.values
        if self.is_estimated:
            raise UsageError(_ESTIMATED)
        if not self.samples:
            raise UsageError("ask for observables=qorch.probabilities() to get exact probabilities")
        table = self.samples[0].dense()
        return np.asarray(table / table.sum(axis=1, keepdims=True), dtype=np.float64)

    @property
    def n_executed(self) -> int:
        """Rows for which something was executed."""
        executed = np.isin(self.sources, (Source.EXECUTED, Source.TOPPED_UP))
        return int(executed.sum())


class SampledDistribution(PubResult):
    """The result of ``qorch.probabilities()`` from samples.

    Of 2^n outcomes few are ever seen: ``values`` and ``stderr (N, 2**n)`` are made from the counts when asked for.
    """

    def __init__(
        self,
        *,
        pub: Pub,
        samples: Counts,
        shots: IntArray,
        sources: npt.NDArray[np.uint8],
        charge: Money | None,
        timeline: tuple[Span, ...] = (),
    ) -> None:
        """``samples`` are the counts of all N rows."""
        fields = {"pub": pub, "shots": shots, "sources": sources, "charge": charge, "timeline": timeline}
        for name, value in {**fields, "samples": (samples,)}.items():
            object.__setattr__(self, name, value)

    @cached_property
    def _estimates(self) -> tuple[FloatArray, FloatArray]:
        values, stderr = frequencies(self.samples[0])
        return freeze(values), freeze(stderr)

    @property
    def values(self) -> FloatArray:
        """Relative frequencies ``(N, 2**n)``."""
        return self._estimates[0]

    @property
    def stderr(self) -> FloatArray:
        """Their standard errors ``(N, 2**n)``."""
        return self._estimates[1]
