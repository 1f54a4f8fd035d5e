"""A price card: the unit prices and minimums of some backends, with their source, their date and their certainty."""

import datetime
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum

ZERO = Decimal(0)


class Certainty(StrEnum):
    """How sure a price is.

    EXACT: of a contract, or free by definition. PUBLISHED: read from the provider's price list at the card's date.
    PROXY: published for the same thing somewhere else, because the provider's own price is a matter of contract.
    UNKNOWN: not known, which is not 0.
    """

    EXACT = "exact"
    PUBLISHED = "published"
    PROXY = "proxy"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class UnitPrices:
    """Prices in units of the card's currency: exact decimals, also below a millionth.

    Of a job, an execution, a shot, a gate on one or on two qubits in one shot, and of a device's time.
    """

    job: Decimal = ZERO
    execution: Decimal = ZERO
    shot: Decimal = ZERO
    one_qubit_gate_shot: Decimal = ZERO
    two_qubit_gate_shot: Decimal = ZERO
    second: Decimal = ZERO
    minute: Decimal = ZERO

    @property
    def is_zero(self) -> bool:
        """Whether nothing costs anything."""
        return not any(getattr(self, each.name) for each in fields(self))

    @property
    def has_time(self) -> bool:
        """Whether the time of a device is billed."""
        return bool(self.second or self.minute)


@dataclass(frozen=True)
class Minimums:
    """The least that a job is billed for.

    ``job``: money for a job, ``mitigated_job`` for one with error mitigation (0: as any other). ``seconds``: of a
    device's time. ``step_seconds``: time is billed in begun steps of so many seconds; 0: as it was measured.
    """

    job: Decimal = ZERO
    mitigated_job: Decimal = ZERO
    seconds: Decimal = ZERO
    step_seconds: Decimal = ZERO


@dataclass(frozen=True, kw_only=True)
class PriceCard:
    """What backends cost whose names fit one of the patterns ``backends``.

    A pattern is the name of a backend without its options (what stands before the first comma), in which ``*`` stands
    for any text. ``plan``: of several cards for one backend, the plan that this one is of. ``examples``: names for
    which the card stands in comparisons. ``prices``: None exactly if the certainty is UNKNOWN. ``date``: when they were
    read; None if nobody read any. ``origin``: the file and line where the card stands.
    """

    backends: tuple[str, ...]
    currency: str
    certainty: Certainty
    source: str
    date: datetime.date | None
    prices: UnitPrices | None
    minimums: Minimums = field(default_factory=Minimums)
    plan: str = ""
    examples: tuple[str, ...] = ()
    note: str = ""
    origin: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is a price."""
        return self.prices is not None

    @property
    def is_free(self) -> bool:
        """Whether the price is known to be nothing."""
        return (
            self.prices is not None and self.prices.is_zero and not (self.minimums.job or self.minimums.mitigated_job)
        )
