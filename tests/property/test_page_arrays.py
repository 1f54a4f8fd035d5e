"""The arithmetic below the pictures, against slow definitions of the same."""

import itertools
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qorch.audit.page.pictures import spread
from qorch.audit.page.reduction import mean_open, merge, sample, thin_line
from qorch.audit.page.scales import Scale, format_seconds, format_share, ticks, time_ticks

INTERVALS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 12), st.integers(0, 3)), max_size=30)


def split(found: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Begins, ends and groups."""
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    return table[:, 0].astype(float), (table[:, 0] + table[:, 1]).astype(float), table[:, 2]


@given(found=INTERVALS)
def test_intervals_that_overlap_count_once(found: list[tuple[int, int, int]]) -> None:
    """A moment belongs to a group after merging exactly if it did before, and to one interval of it only."""
    starts, ends, groups = split(found)
    merged = list(zip(*merge(starts, ends, groups), strict=True))
    for group in range(4):
        for moment in np.arange(0.25, 53, 0.5):
            before = any(
                begin < moment < end for begin, end, own in zip(starts, ends, groups, strict=True) if own == group
            )
            after = [1 for begin, end, own in merged if own == group and begin < moment < end]
            assert len(after) == before


@given(found=INTERVALS)
def test_the_mean_of_open_intervals(found: list[tuple[int, int, int]]) -> None:
    """Of each stretch: the sum of what the intervals have in it, by its length."""
    starts, ends, _ = split(found)
    edges = np.linspace(0.0, 53.0, 9)
    wanted = [
        sum(max(0.0, min(end, right) - max(begin, left)) for begin, end in zip(starts, ends, strict=True))
        / (right - left)
        for left, right in itertools.pairwise(edges)
    ]
    np.testing.assert_allclose(mean_open(starts, ends, edges), wanted, atol=1e-9)


@given(values=st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=400), most=st.integers(12, 60))
def test_a_thinned_line_keeps_its_ends_and_extremes(values: list[float], most: int) -> None:
    """It has as many points as asked for, at most, all of them from the line and in order."""
    y = np.array(values)
    x, kept = thin_line(np.arange(len(y), dtype=float), y, most=most)
    assert len(x) <= max(most, 2)
    np.testing.assert_array_equal(kept, y[x.astype(int)])
    assert (x[0], x[-1]) == (0, len(y) - 1)
    assert np.all(np.diff(x) > 0)
    if np.isfinite(y).any():
        assert np.nanmin(kept) == np.nanmin(y)
        assert np.nanmax(kept) == np.nanmax(y)


@given(count=st.integers(0, 5_000), most=st.integers(2, 200))
def test_a_sample_is_even_and_has_both_ends(count: int, most: int) -> None:
    """The distances differ by at most one."""
    chosen = sample(count, most)
    assert len(chosen) == min(count, most) or count == 0
    if count > 1:
        assert (chosen[0], chosen[-1]) == (0, count - 1)
        assert np.ptp(np.diff(chosen)) <= 1


@given(low=st.floats(-1e6, 1e6), reach=st.floats(1e-3, 1e9), most=st.integers(2, 12))
def test_ticks_are_few_and_inside(low: float, reach: float, most: int) -> None:
    """At least one of them is there, whatever the range; times, too."""
    for found in (ticks(low, low + reach, most=most), time_ticks(reach, most=most)):
        assert len(found) <= most + 1
    inside = ticks(low, low + reach, most=most)
    assert all(low - reach * 1e-3 <= value <= low + reach * 1.001 for value in inside)
    assert inside


@given(value=st.floats(0.001, 1000.0))
def test_a_scale_keeps_the_order(value: float) -> None:
    """Its ends are where they should be, and what lies outside is moved to them."""
    for is_log in (False, True):
        scale = Scale(0.001, 1000.0, 10.0, 90.0, is_log=is_log)
        assert scale.at(0.001) - 1e-9 <= scale.at(value) <= scale.at(value * 1.01) <= scale.at(5_000.0) + 1e-9
        assert (round(scale.at(0.001), 6), round(scale.at(5_000.0), 6)) == (10.0, 90.0)


@given(places=st.lists(st.floats(0, 500), max_size=8))
def test_labels_do_not_overlap(places: list[float]) -> None:
    """Each is at least a line below the one above it, and none was moved up."""
    moved = spread(places, gap=15.0)
    assert all(after >= before for before, after in zip(places, moved, strict=True))
    assert np.all(np.diff(sorted(moved)) >= 15.0 - 1e-9)


def test_durations_are_written_for_people() -> None:
    """In one unit or two, and never as sixty of one."""
    wanted = {
        0.0: "0 s", 2.5e-6: "2.5 µs", 0.0123: "12.3 ms", 1.25: "1.25 s", 59.99: "60 s", 119.6: "2 min",
        200.0: "3 min 20 s", 7_500.0: "2 h 5 min", 90_000.0: "1 d 1 h", math.inf: "unknown",
    }  # fmt: skip
    assert {seconds: format_seconds(seconds) for seconds in wanted} == wanted
    assert [format_share(share) for share in (0.0, 0.0001, 0.125, 1.0)] == ["0.0 %", "< 0.1 %", "12.5 %", "100.0 %"]
