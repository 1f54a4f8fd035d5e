"""Price cards: what is read, what is refused with file and line, and which card applies to a backend."""

import datetime
from decimal import Decimal

import pytest

from qorch.backends import plan_offline
from qorch.config import read_config
from qorch.errors import ConfigError
from qorch.model.prices.book import PriceBook, decide_price
from qorch.model.prices.card import Certainty, Minimums, PriceCard, UnitPrices
from qorch.model.prices.reading import read_cards
from qorch.ports.clock import WallClock
from qorch.prices import load_prices

CARD = """# prices
[[card]]
backends = ["acme:*"]
certainty = "published"
source = "https://acme.example/prices"
date = 2026-11-20
currency = "USD"
prices = { job = 0.3, shot = 1 }
"""


def test_a_card_is_read_exactly() -> None:
    """Prices are decimals as they are written, never floats, and the card knows where it stands."""
    (card,) = read_cards(CARD.replace("shot = 1", "shot = 0.00145") + "minimums = { seconds = 3 }\n", name="acme.toml")
    assert card == PriceCard(
        backends=("acme:*",), currency="USD", certainty=Certainty.PUBLISHED, source="https://acme.example/prices",
        date=datetime.date(2026, 11, 20), prices=UnitPrices(job=Decimal("0.3"), shot=Decimal("0.00145")),
        minimums=Minimums(seconds=Decimal(3)), origin="acme.toml, line 2",
    )  # fmt: skip
    assert (card.is_free, card.is_known) == (False, True)


def test_prices_may_stand_in_tables_of_their_own() -> None:
    """As TOML allows; a mistake below such a header is found at its line, in the right card."""
    text = CARD.replace("prices = {", "# ") + "[card.prices]\nshot = 0.5\n"
    assert [card.prices for card in read_cards(text + text, name="f")] == [UnitPrices(shot=Decimal("0.5"))] * 2
    with pytest.raises(ConfigError, match=r"^f, line 20: shot is -1;"):
        read_cards(text + text.replace("0.5", "-1"), name="f")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("shot = 1", "shot = -0.1", "line 8: shot is -0.1; it must be a number from 0"),
        ("shot = 1", "shot = nan", "line 8: shot is NaN"),
        ("shot = 1", "shot = inf", "line 8: shot is Infinity"),
        ("shot = 1", "shot = 1e30", "line 8: shot is 1E"),
        ("shot = 1", 'shot = "1"', "line 8: .* got `str`"),
        ("shot = 1", "shot = true", "line 8: .* got `bool`"),
        ("shot = 1", "furlong = 1", "line 8: 'furlong' is not a unit; there are job, execution, shot"),
        ('prices = { job = 0.3, shot = 1 }', "", "line 2: prices are missing"),
        ('prices = { job = 0.3, shot = 1 }', "prices = {}", "line 2: prices are missing"),
        ("date = 2026-11-20", "", "line 2: .*missing required field `date`"),
        ("date = 2026-11-20", 'date = "2026-11-20"', "line 6: .* got `str`"),
        ('currency = "USD"', "", "line 2: currency is ''"),
        ('currency = "USD"', 'currency = "dollars"', "line 7: currency is 'dollars'"),
        ('"published"', '"surely"', "line 4: Invalid enum value 'surely'"),
        ('"published"', '"unknown"', "line 4: an unknown price has no prices"),
        ('["acme:*"]', "[]", "line 3: backends is empty"),
        ('["acme:*"]', '"acme:*"', "line 3: Expected `array`"),
        ('["acme:*"]', "[3]", "line 3: Expected `str`"),
        ('"https://acme.example/prices"', '" "', "line 5: source is empty"),
        ("prices = {", "pirces = {", "line 8: 'pirces' is not known here; there are backends, certainty, .*, note$"),
        ("prices = {", "prices = ", "line 8: "),
        ("# prices", "price = 1", "line 1: 'price' is not known here; there are card$"),
    ],
)  # fmt: skip
def test_a_wrong_card_is_refused_with_file_and_line(old: str, new: str, said: str) -> None:
    """Whatever is missing, negative, not a number, unknown or of a wrong kind."""
    assert old in CARD
    with pytest.raises(ConfigError, match=f"^cards.toml, {said}"):
        read_cards(CARD.replace(old, new), name="cards.toml")


@pytest.fixture(scope="module")
def shipped() -> PriceBook:
    """The cards that come with the adapters."""
    return load_prices(read_config({}))


@pytest.mark.parametrize(
    ("backend", "certainty"),
    [
        ("local", "exact"), ("local:precision=float64", "exact"), ("aer", "exact"), ("aer:noise=fake_fez", "exact"),
        ("braket:local", "exact"), ("ibm:fake_fez", "exact"), ("ionq:simulator", "exact"),
        ("ionq:qpu.forte-1,gateset=native", "proxy"), ("ibm:ibm_fez", "published"), ("ibm:least-busy", "published"),
        ("braket:garnet", "published"), ("braket:Garnet,rows=3", "published"), ("braket:sv1", "proxy"),
        ("braket:arn:aws:braket:eu-north-1::device/qpu/iqm/Garnet", "published"), ("braket:dm1", "unknown"),
        ("braket:emerald", "unknown"), ("braket:arn:aws:braket:us-east-1::device/qpu/acme/New", "unknown"),
    ],
)  # fmt: skip
def test_every_backend_has_a_card(shipped: PriceBook, backend: str, certainty: str) -> None:
    """Each card names its source; what runs on this machine and IonQ's simulator are free, and nothing else is."""
    card = shipped.find(backend)
    assert card is not None
    assert (card.certainty, card.is_free) == (certainty, certainty == "exact")
    assert card.source
    assert card.date is not None


def test_what_charges_is_not_free(shipped: PriceBook) -> None:
    """Of all backends that are compared, the adapter and the card agree on whether something costs."""
    for name in shipped.examples():
        card = shipped.find(name)
        assert card is not None
        planner = plan_offline(name, config=read_config({}), clock=WallClock())
        assert planner.capabilities.charges is not card.is_free, name
        assert planner.name == name


def test_a_contract_of_ones_own_wins(shipped: PriceBook) -> None:
    """Before a card that came with the adapter, whatever is more special; a plan chooses among cards alike."""
    (own,) = read_cards(CARD.replace("acme:*", "ionq:qpu.*"), name="config.toml")
    book = PriceBook((own,), shipped.shipped, {"ibm": "flex"})
    assert book.find("ionq:qpu.forte-1") is own
    assert book.is_own(own)
    flex, fake, usual = book.find("ibm:ibm_fez"), book.find("ibm:fake_fez"), shipped.find("ibm:ibm_fez")
    assert flex is not None
    assert fake is not None
    assert usual is not None
    assert (flex.plan, usual.plan, fake.is_free) == ("flex", "pay-as-you-go", True)


def test_without_a_card_the_word_of_the_adapter_counts() -> None:
    """What charges has an unknown price, which is not free; what does not charge is free."""
    charges, free = (decide_price("acme:x", charges=charges, book=PriceBook()) for charges in (True, False))
    assert (charges.certainty, charges.is_known, charges.is_free) == ("unknown", False, False)
    assert (free.is_known, free.is_free) == (True, True)
