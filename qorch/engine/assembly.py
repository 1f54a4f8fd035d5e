"""Puts the pieces of a call together, as they arrive in any order, into one result per pub."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from qorch import machine
from qorch.engine.lookup import Duplicates, Found
from qorch.errors import InvalidResultError, UsageError
from qorch.model.arrays import FloatArray, IntArray, freeze
from qorch.model.counts import Counts, concatenate_counts, merge_counts
from qorch.model.measurement import BlockResult
from qorch.model.money import Money
from qorch.model.observable import Distribution
from qorch.model.result import PubResult, SampledDistribution, Source
from qorch.planning.estimation import (
    Moments,
    add_counts,
    combine_estimates,
    empty_moments,
    exact_expectations,
    expectations,
)
from qorch.planning.lowering import LoweredBatch, RowGroup

_CACHED_LEAST = (Source.EXECUTED, Source.TOPPED_UP, Source.REUSED, Source.RESUMED, Source.DUPLICATE)

SHARE_OF_MEMORY = 0.9
"""What results may take of this machine's memory."""


@dataclass(eq=False)
class _GroupState:
    """What has arrived for one group: moments of counts, or values, with variances if they are estimates.

    ``sources`` holds, per row, its rank in ``_CACHED_LEAST``.
    """

    moments: Moments
    values: FloatArray
    variances: FloatArray
    sources: npt.NDArray[np.uint8]
    is_filled: npt.NDArray[np.bool_]
    pieces: list[tuple[IntArray, Counts]] = field(default_factory=list)


class Assembly:
    """The results of one call in the making. Used from one thread at a time."""

    def __init__(self, lowered: LoweredBatch, found: Found, *, charge: Money | None) -> None:
        """Make room for every group."""
        self._lowered = lowered
        self._duplicates = found.duplicates
        self._charge = charge
        self._states = [_empty_state(group) for group in lowered.groups]

    def add(self, group: int, rows: IntArray, result: BlockResult, *, source: Source) -> None:
        """Add the results of some rows of a group; sampled rows may come again with further shots."""
        state = self._states[group]
        rank = np.uint8(_CACHED_LEAST.index(source))
        state.sources[rows] = np.minimum(state.sources[rows], rank)
        state.is_filled[rows] = True
        if result.counts is not None:
            add_counts(state.moments, result.counts, rows=rows)
            state.pieces.append((rows, result.counts))
        elif result.values is not None:
            state.values[rows] = result.values
            if result.variances is not None:
                state.variances[rows] = result.variances

    def finish(self) -> list[PubResult]:
        """One result per pub. Raises InvalidResultError if a row has no result."""
        for twins in self._duplicates:
            self._copy(twins)
        for index, state in enumerate(self._states):
            if not state.is_filled.all():
                row = int(np.flatnonzero(~state.is_filled)[0])
                raise InvalidResultError(f"row {row} of group {index} came back without a result")
        return [self._finish_pub(index) for index in range(len(self._lowered.batch.pubs))]

    def _copy(self, twins: Duplicates) -> None:
        state = self._states[twins.group]
        state.values[twins.rows] = state.values[twins.originals]
        state.sources[twins.rows] = _CACHED_LEAST.index(Source.DUPLICATE)
        state.is_filled[twins.rows] = state.is_filled[twins.originals]

    def _finish_pub(self, index: int) -> PubResult:
        pub = self._lowered.batch.pubs[index]
        groups = self._lowered.groups_of(index)
        states = [self._states[group] for group in groups]
        first = self._lowered.groups[groups[0]]
        is_exact = first.shots is None
        has_counts = not is_exact and not first.measurement.is_estimated
        samples = tuple(_in_row_order(state.pieces, pub.n_rows) for state in states) if has_counts else ()
        shots = states[0].moments.shots if has_counts else np.full(pub.n_rows, first.shots or 0, dtype=np.int64)
        ranks = np.minimum.reduce([state.sources for state in states])
        sources = freeze(np.array(_CACHED_LEAST, dtype=np.uint8)[ranks])
        if isinstance(pub.observables, Distribution) and not is_exact:
            return SampledDistribution(
                pub=pub, samples=samples[0], shots=freeze(shots), sources=sources, charge=self._charge
            )
        values, stderr = self._estimate(index, states, first)
        return PubResult(
            pub=pub,
            values=freeze(values),
            stderr=freeze(stderr),
            shots=freeze(shots),
            sources=sources,
            charge=self._charge,
            samples=samples,
        )

    def _estimate(self, index: int, states: Sequence[_GroupState], first: RowGroup) -> tuple[FloatArray, FloatArray]:
        grouping = self._lowered.groupings[index]
        if grouping is None:
            return states[0].values, np.zeros_like(states[0].values)
        if first.measurement.is_estimated:
            [state], [group] = states, grouping.groups
            return combine_estimates(state.values, state.variances, group=group, offsets=grouping.offsets)
        if first.shots is not None:
            return expectations([state.moments for state in states], grouping.offsets)
        values = np.repeat(grouping.offsets[np.newaxis], len(states[0].values), axis=0)
        for state, group in zip(states, grouping.groups, strict=True):
            values += exact_expectations(state.values, group)
        return values, np.zeros_like(values)


def check_room(groups: Sequence[RowGroup]) -> None:
    """Raise UsageError if the exact values of all groups together do not fit into this machine's memory."""
    exact = [group for group in groups if group.shots is None]
    if not exact:
        return
    needed = sum(8 * group.n_rows * group.measurement.n_values for group in exact)
    present = machine.memory_bytes()
    if needed > SHARE_OF_MEMORY * present:
        widest = max(exact, key=lambda group: group.n_rows * group.measurement.n_values)
        raise UsageError(
            f"the exact values of this call take {needed / 2**30:,.1f} GiB, {widest.measurement.n_values:,} values for"
            f" each of {widest.n_rows:,} rows; this machine has {present / 2**30:,.1f} GiB of memory: execute fewer"
            " rows at a time, or ask for expectation values instead of probabilities"
        )


def _empty_state(group: RowGroup) -> _GroupState:
    n_values = group.measurement.n_values
    return _GroupState(
        moments=empty_moments(group.n_rows, group.basis_group),
        values=np.zeros((group.n_rows, n_values)),
        variances=np.zeros((group.n_rows, n_values if group.measurement.is_estimated else 0)),
        sources=np.full(group.n_rows, len(_CACHED_LEAST) - 1, dtype=np.uint8),
        is_filled=np.zeros(group.n_rows, dtype=bool),
    )


def _in_row_order(pieces: list[tuple[IntArray, Counts]], n_rows: int) -> Counts:
    """All pieces as one, row after row; samples of one row that came in several pieces are pooled."""
    ordered = sorted(pieces, key=lambda piece: int(piece[0][0]))
    rows = np.concatenate([rows for rows, _ in ordered])
    counts = concatenate_counts([counts for _, counts in ordered])
    if len(rows) == n_rows:
        is_sorted = bool((rows == np.arange(n_rows)).all())
        return counts if is_sorted else counts.take(np.argsort(rows))
    return _pool(rows, counts, n_rows)


def _pool(rows: IntArray, counts: Counts, n_rows: int) -> Counts:
    """Merge repeated rows, one layer of repetitions at a time."""
    order = np.argsort(rows, kind="stable")
    first = np.searchsorted(rows[order], np.arange(n_rows))
    repeats = np.bincount(rows, minlength=n_rows)
    pooled = counts.take(order[first])
    for layer in range(1, int(repeats.max())):
        again = np.flatnonzero(repeats > layer)
        extra = counts.take(order[first[again] + layer])
        pooled = _replace(pooled, again, merge_counts(pooled.take(again), extra))
    return pooled


def _replace(counts: Counts, rows: IntArray, replacement: Counts) -> Counts:
    source = np.arange(counts.n_rows)
    source[rows] = counts.n_rows + np.arange(len(rows))
    return concatenate_counts([counts, replacement]).take(source)
