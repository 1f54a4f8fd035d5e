"""Every second is attributed once: phases always sum to the wall time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.model.timing import UNATTRIBUTED, Phase, Span, attribute

MOMENTS = st.integers(0, 10**12)
SPANS = st.lists(
    st.builds(lambda phase, a, b: Span(phase, min(a, b), max(a, b)), st.sampled_from(list(Phase)), MOMENTS, MOMENTS),
    max_size=30,
)


@settings(deadline=None)
@given(SPANS, MOMENTS, MOMENTS)
def test_phases_sum_to_the_wall_time(spans, one, other):
    """Whatever overlaps, nests or hangs over the ends, the seconds sum to the interval."""
    start, stop = min(one, other), max(one, other)
    seconds = attribute(spans, started_ns=start, ended_ns=stop)
    assert list(seconds) == [*(phase.value for phase in Phase), UNATTRIBUTED]
    assert min(seconds.values()) >= 0
    assert abs(sum(seconds.values()) - (stop - start) / 1e9) < 1e-9


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            lambda p, a, n: Span(p, a, a + n), st.sampled_from(list(Phase)), st.integers(0, 40), st.integers(0, 20)
        ),
        max_size=8,
    )
)
def test_every_moment_goes_to_the_first_open_phase(spans):
    """Nanosecond by nanosecond, the first open phase in the order of Phase counts."""
    order = list(Phase)
    expected = dict.fromkeys([*(phase.value for phase in Phase), UNATTRIBUTED], 0)
    for moment in range(10, 50):
        open_phases = [span.phase for span in spans if span.started_ns <= moment < span.ended_ns]
        name = min(open_phases, key=order.index).value if open_phases else UNATTRIBUTED
        expected[name] += 1
    seconds = attribute(spans, started_ns=10, ended_ns=50)
    assert {name: round(value * 1e9) for name, value in seconds.items()} == expected
