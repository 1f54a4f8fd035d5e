"""What a job costs: quantities times prices, exactly, or as an interval where a quantity is an estimate."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from decimal import ROUND_CEILING, Context, Decimal

from qorch.errors import MoneyError
from qorch.model.job import Usage
from qorch.model.money import MICROS_PER_UNIT, Money
from qorch.model.prices.card import PriceCard, UnitPrices
from qorch.model.usage import ReportedUsage, UsageState, UsageUnit

_EXACT = Context(prec=60)
"""Digits enough for every product of a price and a quantity."""

_TIMES = (UsageUnit.DEVICE_SECONDS, UsageUnit.COMPUTE_SECONDS, UsageUnit.SIMULATOR_SECONDS)


@dataclass(frozen=True)
class Cost:
    """Money for one or several jobs, in micro-units: the least, what is most likely, and the most.

    All three are equal where prices and quantities are exact.
    """

    currency: str
    low_micros: int = 0
    expected_micros: int = 0
    high_micros: int = 0

    @property
    def is_exact(self) -> bool:
        """Whether there is nothing to estimate."""
        return self.low_micros == self.high_micros

    @property
    def low(self) -> Money:
        """The least."""
        return Money(self.currency, self.low_micros)

    @property
    def expected(self) -> Money:
        """What is most likely."""
        return Money(self.currency, self.expected_micros)

    @property
    def high(self) -> Money:
        """The most: what a budget has to reserve."""
        return Money(self.currency, self.high_micros)

    def times(self, count: int) -> "Cost":
        """So many times this."""
        return Cost(self.currency, count * self.low_micros, count * self.expected_micros, count * self.high_micros)

    def __add__(self, other: "Cost") -> "Cost":
        """Raise MoneyError if the currencies differ."""
        if other.currency != self.currency:
            raise MoneyError(f"cannot add {other.currency} to {self.currency}")
        return Cost(
            self.currency,
            self.low_micros + other.low_micros,
            self.expected_micros + other.expected_micros,
            self.high_micros + other.high_micros,
        )

    def __str__(self) -> str:
        """Such as ``1.25 USD``, or ``about 3.20 USD (2.00 to 960.00 USD)``."""
        if self.is_exact:
            return str(self.expected)
        return f"about {self.expected} ({str(self.low).removesuffix(f' {self.currency}')} to {self.high})"


def price(usage: Usage | None, card: PriceCard) -> Cost | None:
    """What a job of these quantities costs; None if that is not known, and nothing if nothing is billed (None).

    The amount of a job is rounded up to the next micro-unit, once: published prices times whole quantities are whole
    micro-units anyway, and of device time providers bill what was begun. The low and the high end are those of the
    estimated seconds; without an estimate the price of time is not known.
    """
    if card.prices is None:
        return None
    if usage is None:
        return Cost(card.currency)
    if not card.prices.has_time:
        micros = _price_job(usage, card, card.prices, seconds=0.0)
        return Cost(card.currency, micros, micros, micros)
    if usage.seconds is None:
        return None
    ends = (usage.seconds.low, usage.seconds.expected, usage.seconds.high)
    return Cost(card.currency, *(_price_job(usage, card, card.prices, seconds=seconds) for seconds in ends))


def price_all(usages: Iterable[Usage | None], card: PriceCard) -> Cost | None:
    """What several jobs cost together; None if that of one is not known."""
    total = Cost(card.currency)
    for usage in usages:
        cost = price(usage, card)
        if cost is None:
            return None
        total += cost
    return total


def price_reported(reported: ReportedUsage, card: PriceCard) -> int | None:
    """What a job was charged, in micro-units, by what its provider reports; None if that does not tell it.

    Money that the provider names counts before its quantities times the card's prices; of these, all that the card has
    a price for must be reported.
    """
    if reported.charge is not None and reported.charge.currency == card.currency:
        return reported.charge.micros
    if reported.state is not UsageState.REPORTED or card.prices is None:
        return None
    amounts = {quantity.unit: quantity.amount for quantity in reported.quantities}
    seconds = [amounts[unit] for unit in _TIMES if unit in amounts]
    told = {
        *(("second", "minute") if seconds else ()),
        *(("job",) if amounts.get(UsageUnit.TASKS) == 1 else ()),
        *(("shot",) if UsageUnit.SHOTS in amounts else ()),
    }
    priced = {each.name for each in fields(card.prices) if getattr(card.prices, each.name)}
    if not priced <= told:
        return None
    usage = Usage(executions=0, shots=int(amounts.get(UsageUnit.SHOTS, 0)))
    return _price_job(usage, card, card.prices, seconds=sum(seconds))


def _price_job(usage: Usage, card: PriceCard, prices: UnitPrices, *, seconds: float) -> int:
    quantities = (
        (prices.job, 1),
        (prices.execution, usage.executions),
        (prices.shot, usage.shots),
        (prices.one_qubit_gate_shot, usage.one_qubit_gate_shots),
        (prices.two_qubit_gate_shot, usage.two_qubit_gate_shots),
    )
    amount = Decimal(0)
    for each, count in quantities:
        amount = _EXACT.fma(each, count, amount)
    if prices.has_time:
        amount = _EXACT.add(amount, _price_time(card, prices, seconds))
    least = card.minimums.mitigated_job if usage.is_mitigated else Decimal(0)
    return _ceil_micros(max(amount, card.minimums.job, least))


def _price_time(card: PriceCard, prices: UnitPrices, seconds: float) -> Decimal:
    # The shortest decimal of a float: a time of 0.1 s is not a hair more.
    billed = max(Decimal(repr(float(seconds))), card.minimums.seconds)
    step = card.minimums.step_seconds
    if step:
        billed = _EXACT.multiply(_EXACT.divide(billed, step).to_integral_value(ROUND_CEILING), step)
    # Multiplied first: a minute's price need not have a finite sixtieth.
    by_minute = _EXACT.divide(_EXACT.multiply(prices.minute, billed), Decimal(60))
    return _EXACT.add(_EXACT.multiply(prices.second, billed), by_minute)


def _ceil_micros(amount: Decimal) -> int:
    return int(_EXACT.multiply(amount, Decimal(MICROS_PER_UNIT)).to_integral_value(ROUND_CEILING))
