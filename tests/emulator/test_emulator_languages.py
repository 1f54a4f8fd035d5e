"""The small languages of the emulators: latencies, rate limits, faults, prices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qorch.errors import UsageError
from qorch.model.latency import Latency, parse_latency
from qorch_providers.emulators.ionq.money import GatePrices, Prices, parse_prices
from qorch_providers.emulators.ionq.settings import ROUTES, Settings, read_faults, read_settings
from qorch_providers.emulators.kit.faults import FaultPlan
from qorch_providers.emulators.kit.rates import RateLimiter, parse_rate_limits

SECONDS = st.floats(0.0, 1e6, allow_nan=False)


@given(SECONDS, SECONDS)
def test_latencies_are_read_as_written(first: float, second: float) -> None:
    """Every form gives back its numbers, to the last bit."""
    least, most = sorted((first, second))
    assert parse_latency(f"{first!r}") == Latency("constant", first)
    assert parse_latency(f"{least!r} .. {most!r}") == Latency("uniform", least, most)
    assert parse_latency(f"normal({first!r}, {second!r})") == Latency("normal", first, second)
    assert parse_latency(f"lognormal({first!r},{second!r})") == Latency("lognormal", first, second)
    assert parse_latency(f"exponential({first!r})") == Latency("exponential", first)


@given(st.text("0123456789.()-,eE+ normalexpti", max_size=20))
def test_other_text_is_refused_with_a_sentence(text: str) -> None:
    """Whatever is written, the answer is a sound latency or a UsageError, never another exception."""
    try:
        latency = parse_latency(text)
    except UsageError as error:
        refusal = str(error)
        latency = Latency()
    else:
        refusal = text
    assert text in refusal
    assert 0.0 <= latency.draw_seconds(np.random.default_rng(0)) < float("inf")


@pytest.mark.parametrize("text", ["", "-1", "4..2", "normal(1)", "exponential(1,2)", "1e999", "nan", "uniform(1,2)"])
def test_wrong_latencies_are_refused(text: str) -> None:
    """Negative, reversed, incomplete and infinite ones."""
    with pytest.raises(UsageError, match="is not a latency"):
        parse_latency(text)


@pytest.mark.parametrize(
    ("text", "mean"), [("2..4", 3.0), ("normal(3,0.5)", 3.0), ("lognormal(3,0.1)", 3.015), ("exponential(2)", 2.0)]
)
def test_latencies_have_their_mean(text: str, mean: float) -> None:
    """The mean of 20,000 draws is within 2 percent of the distribution's."""
    rng = np.random.default_rng(5)
    latency = parse_latency(text)
    drawn = [latency.draw_seconds(rng) for _ in range(20_000)]
    assert np.mean(drawn) == pytest.approx(mean, rel=0.02)
    assert min(drawn) >= 0.0


@given(st.lists(st.floats(0.0, 30.0), max_size=60), st.integers(1, 5))
def test_no_window_holds_more_than_the_limit(gaps: list[float], calls: int) -> None:
    """Whenever calls come, every window of the limit's length holds at most so many that were let through."""
    limiter = RateLimiter(parse_rate_limits(f"{calls}/min", default_route="post", routes=ROUTES))
    passed: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        wait = limiter.admit("post", now_seconds=now)
        if wait == 0.0:
            passed.append(now)
        else:
            assert limiter.admit("get", now_seconds=now) == 0.0
    for start in passed:
        assert sum(start <= moment < start + 60.0 for moment in passed) <= calls


def test_waiting_as_told_is_enough() -> None:
    """A call that comes back after the wait is let through, and one a little earlier is not."""
    limiter = RateLimiter(parse_rate_limits("2/sec", default_route="post", routes=ROUTES))
    assert [limiter.admit("post", now_seconds=moment) for moment in (0.0, 0.5)] == [0.0, 0.0]
    wait = limiter.admit("post", now_seconds=0.75)
    assert wait == 0.25
    assert limiter.admit("post", now_seconds=0.75 + wait - 0.01) > 0.0
    assert limiter.admit("post", now_seconds=0.75 + wait) == 0.0


def struck(text: str, calls: int, *, route: str = "post", now_seconds: float = 0.0) -> list[int]:
    """Which of so many calls of a route are struck, counted from 1."""
    plan = FaultPlan(read_faults(text), np.random.default_rng(3))
    return [number for number in range(1, calls + 1) if plan.draw(route, now_seconds=now_seconds)]


def test_faults_strike_the_calls_that_they_name() -> None:
    """The n-th, a row of them, all from one on, all, and none of another route."""
    assert struck("post:reset@3", 6) == [3]
    assert struck("post:503-after@2x3", 6) == [2, 3, 4]
    assert struck("post:hang@5+", 6) == [5, 6]
    assert struck("html", 3) == [1, 2, 3]
    assert struck("get:reset", 3) == []
    assert struck("post:reset@1, 503@3", 4) == [1, 3]


def test_faults_strike_with_their_probability() -> None:
    """About a tenth of 2,000 calls, and the same ones whenever the seed is the same."""
    first = struck("post:503%0.1", 2000)
    assert 150 < len(first) < 250
    assert struck("post:503%0.1", 2000) == first


def test_faults_strike_within_their_window() -> None:
    """From the first second on, up to and without the last."""
    assert struck("429@10s..60s", 1, now_seconds=9.9) == []
    assert struck("429@10s..60s", 1, now_seconds=10.0) == [1]
    assert struck("429@10s..60s", 1, now_seconds=60.0) == []


@pytest.mark.parametrize(
    "text", ["nonsense", "post:505", "nowhere:reset", "nan-before", "reset%2", "reset@0", "reset@", "503@1s..xs", ":"]
)
def test_wrong_faults_are_refused(text: str) -> None:
    """Unknown kinds, routes and forms raise UsageError with the text in the message."""
    with pytest.raises(UsageError, match="'"):
        read_faults(text)


def test_prices_are_dollars_per_shot() -> None:
    """A bare price is that of QPUs, instead of those of gates; the simulator is free unless it is named."""
    published = GatePrices(220, 975, 12_416_600, 97_500_000)
    assert parse_prices("") == Prices(0, 0, published)
    assert parse_prices("simulator=0.1") == Prices(100_000, 0, published)
    assert parse_prices("0.01") == Prices(0, 10_000, None)
    assert parse_prices("simulator=0.000001, qpu=2") == Prices(1, 2_000_000, None)
    gates = parse_prices("gate1=0.00022,gate2=0.000975,minimum=12.4166")
    assert gates == Prices(0, 0, GatePrices(220, 975, 12_416_600))
    quantities = {"n_one": 3, "n_two": 2, "shots": 1000}
    assert gates.estimate_micros("qpu.forte-1", **quantities, is_mitigated=False) == 12_416_600
    assert gates.estimate_micros("qpu.forte-1", **quantities | {"shots": 10_000}, is_mitigated=False) == 26_100_000
    assert gates.estimate_micros("simulator", **quantities, is_mitigated=True) == 0
    with pytest.raises(UsageError, match="is not a price"):
        parse_prices("-1")


def test_settings_come_from_text() -> None:
    """The command line's texts become the settings; unknown names and wrong values raise UsageError."""
    settings = read_settings({"port": "81", "time_scale": "2.5", "list_children": "true", "queue": "1..2"})
    assert settings == Settings(port=81, time_scale=2.5, list_children=True, queue="1..2")
    for options in ({"nothing": "1"}, {"port": "many"}, {"results": "none"}, {"time_scale": "0"}, {"port": "70000"}):
        with pytest.raises(UsageError):
            read_settings(options)
