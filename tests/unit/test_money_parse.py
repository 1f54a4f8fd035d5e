"""Amounts of money: what is read, what is refused, how it is shown and added."""

import pytest

from qorch.errors import MoneyError
from qorch.model.money import Money, parse_money


@pytest.mark.parametrize(
    ("text", "micros", "shown"),
    [
        ("25 USD", 25_000_000, "25.00 USD"),
        (" 0.000001 USD ", 1, "0.000001 USD"),
        ("1.5  EUR", 1_500_000, "1.50 EUR"),
        ("0 USD", 0, "0.00 USD"),
        ("1e3 USD", 1_000_000_000, "1000.00 USD"),
        ("1000000000 USD", 10**15, "1000000000.00 USD"),
        (".25 USD", 250_000, "0.25 USD"),
    ],
)
def test_amounts_are_read_and_shown(text, micros, shown):
    """Amounts are exact to a millionth, and show two to six decimals."""
    money = parse_money(text)
    assert money.micros == micros
    assert str(money) == shown


@pytest.mark.parametrize(
    "text",
    [
        "", "25", "USD", "25USD", "25 usd", "25 USD EUR", "25 US", "-1 USD", "nan USD", "inf USD", "1_0 USD",
        "\N{ARABIC-INDIC DIGIT TWO} USD", "1,5 USD", "0.0000001 USD", "1e-999999 USD", "1e999999 USD",
        "1e999999999999 USD", "1000000000.000001 USD", "0.00000100000000000000000000000000000000001 USD",
        "0x10 USD", "1e USD", ". USD",
    ],
)  # fmt: skip
def test_anything_else_is_no_money(text):
    """What is not exactly an amount from zero to 10^9 with a currency code is refused."""
    with pytest.raises(MoneyError):
        parse_money(text)


def test_amounts_of_one_currency_add():
    """Sums are exact; currencies never mix."""
    assert Money("USD", 1) + Money("USD", 2) == Money("USD", 3)
    with pytest.raises(MoneyError, match="cannot add EUR to USD"):
        Money("USD", 1) + Money("EUR", 1)
