"""Properties of prices, for whatever card and quantities: monotone, never below a minimum, rounded once and up."""

import datetime
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qorch.model.job import Interval, Usage
from qorch.model.money import Money
from qorch.model.prices.card import Certainty, Minimums, PriceCard, UnitPrices
from qorch.planning.pricing import Cost, price, price_all

AMOUNTS = st.decimals(0, 100, places=9)
TIMES = st.floats(0, 1e5)
UNIT_PRICES = st.builds(UnitPrices, *[AMOUNTS] * 7)
MINIMUMS = st.builds(Minimums, AMOUNTS, AMOUNTS, AMOUNTS, st.sampled_from([Decimal(0), Decimal(1), Decimal("0.1")]))
CARDS = st.builds(
    lambda prices, minimums: PriceCard(
        backends=("x",), currency="USD", certainty=Certainty.EXACT, source="s", date=datetime.date(2026, 1, 1),
        prices=prices, minimums=minimums,
    ),
    UNIT_PRICES, MINIMUMS,
)  # fmt: skip
COUNTS = st.integers(0, 10**9)
USAGES = st.builds(
    Usage, COUNTS, COUNTS, COUNTS, COUNTS,
    st.lists(TIMES, min_size=3, max_size=3).map(lambda times: Interval(*sorted(times))), st.booleans(),
)  # fmt: skip


def cost_of(usage: Usage, card: PriceCard) -> Cost:
    """The price, which is known."""
    cost = price(usage, card)
    assert cost is not None
    return cost


@given(USAGES, CARDS)
def test_the_price_is_the_sum_of_products_rounded_up_once(usage: Usage, card: PriceCard) -> None:
    """Compared with fractions, which do not round; begun steps of time count whole."""
    prices, least, seconds = card.prices, card.minimums, usage.seconds
    assert prices is not None
    assert seconds is not None
    for found, end in zip(
        (cost_of(usage, card).low_micros, cost_of(usage, card).expected_micros, cost_of(usage, card).high_micros),
        (seconds.low, seconds.expected, seconds.high),
        strict=True,
    ):
        time = max(Fraction(repr(end)), Fraction(least.seconds))
        if step := Fraction(least.step_seconds):
            time = -(-time // step) * step
        amount = (
            Fraction(prices.job) + usage.executions * Fraction(prices.execution) + usage.shots * Fraction(prices.shot)
            + usage.one_qubit_gate_shots * Fraction(prices.one_qubit_gate_shot)
            + usage.two_qubit_gate_shots * Fraction(prices.two_qubit_gate_shot)
            + time * (Fraction(prices.second) + Fraction(prices.minute) / 60)
        )  # fmt: skip
        wanted = max(amount, Fraction(least.job), Fraction(least.mitigated_job) if usage.is_mitigated else 0)
        exact = wanted * 10**6
        assert 0 <= found - exact < 1, (found, exact)


@given(USAGES, CARDS, st.sampled_from(["executions", "shots", "one_qubit_gate_shots", "two_qubit_gate_shots"]), COUNTS)
def test_more_never_costs_less(usage: Usage, card: PriceCard, quantity: str, more: int) -> None:
    """And no job costs less than its minimum; the interval is in order, and its high end is what is reserved."""
    cost, larger = (
        cost_of(usage, card),
        cost_of(replace(usage, **{quantity: getattr(usage, quantity) + more}), card),
    )
    assert cost.low_micros <= larger.low_micros
    assert cost.high_micros <= larger.high_micros
    assert cost.low_micros >= card.minimums.job * 10**6
    assert cost.low_micros <= cost.expected_micros <= cost.high_micros
    assert cost.high == Money("USD", cost.high_micros)


@given(st.lists(USAGES, max_size=5), CARDS)
def test_a_batch_costs_the_sum_of_its_jobs(usages: list[Usage], card: PriceCard) -> None:
    """Each is rounded by itself, as each is billed by itself; so many equal jobs are so many times one."""
    total = price_all(usages, card)
    assert total is not None
    assert total.high_micros == sum(cost_of(usage, card).high_micros for usage in usages)
    for usage in usages[:1]:
        assert price_all([usage] * 3, card) == cost_of(usage, card).times(3)


@given(USAGES, CARDS)
def test_what_is_not_known_is_not_nothing(usage: Usage, card: PriceCard) -> None:
    """An unknown price, or the price of a time that nobody estimates, is None; what is not billed costs nothing."""
    unknown = replace(card, prices=None)
    assert price(usage, unknown) is None
    assert price_all([usage], unknown) is None
    assert card.prices is not None
    untimed = replace(usage, seconds=None)
    assert (price(untimed, card) is None) == card.prices.has_time
    assert price(None, card) == Cost("USD")


def test_an_interval_is_in_order() -> None:
    """An estimate whose ends are swapped, or not finite, is an error of the adapter."""
    for ends in ((2.0, 1.0, 3.0), (0.0, 1.0, float("inf")), (-1.0, 0.0, 1.0), (0.0, float("nan"), 1.0)):
        with pytest.raises(ValueError, match="not in order"):
            Interval(*ends)
