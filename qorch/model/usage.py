"""What a provider reports that jobs were charged for: quantities with a unit, perhaps money, and if they are known."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from qorch.model.money import Money
from qorch.model.text import format_count

MICROS_PER_QUANTITY = 1_000_000
MOST_QUANTITY = 10**12
"""No job is charged for more of anything; a larger number is not believed."""


class UsageUnit(StrEnum):
    """What a provider counts.

    DEVICE_SECONDS: of a device, as IBM Quantum charges them. COMPUTE_SECONDS: IonQ's quantum compute time. TASKS and
    SHOTS: of Amazon Braket, which charges for each task and for each shot that was taken. SIMULATOR_SECONDS: of its
    simulators, at least as many as it charges for a task.
    """

    DEVICE_SECONDS = "device_seconds"
    COMPUTE_SECONDS = "compute_seconds"
    TASKS = "tasks"
    SHOTS = "shots"
    SIMULATOR_SECONDS = "simulator_seconds"

    @property
    def words(self) -> str:
        """The unit in a sentence, such as ``s of the device``."""
        return _WORDS[self]


_WORDS = {
    UsageUnit.DEVICE_SECONDS: "s of the device",
    UsageUnit.COMPUTE_SECONDS: "s of quantum compute time",
    UsageUnit.TASKS: "tasks",
    UsageUnit.SHOTS: "shots",
    UsageUnit.SIMULATOR_SECONDS: "s of a simulator",
}


class UsageState(StrEnum):
    """Whether a provider has counted what a job is charged for.

    PENDING: not yet, or not completely. REPORTED: what is told is final. NONE: it reports nothing for such a job.
    """

    PENDING = "pending"
    REPORTED = "reported"
    NONE = "none"


@dataclass(frozen=True)
class UsageQuantity:
    """So much of one unit: ``micros`` millionths of it, so that sums are exact."""

    unit: UsageUnit
    micros: int

    @property
    def amount(self) -> int | float:
        """The number of units; whole numbers are integers."""
        whole, rest = divmod(self.micros, MICROS_PER_QUANTITY)
        return whole if not rest else self.micros / MICROS_PER_QUANTITY

    def __str__(self) -> str:
        """Such as ``1,203.5 s of the device``."""
        words = self.unit.words
        is_one = self.micros == MICROS_PER_QUANTITY and self.unit in (UsageUnit.TASKS, UsageUnit.SHOTS)
        return f"{self.amount:,} {words.removesuffix('s') if is_one else words}"


@dataclass(frozen=True)
class ReportedUsage:
    """What a provider reports that a job was charged for. ``quantities``: one a unit; empty unless REPORTED.

    ``charge``: the money that it says that the job was charged; None if it tells only quantities, or counts in another
    unit, such as credits. Never an estimate, and None unless REPORTED.
    """

    state: UsageState
    quantities: tuple[UsageQuantity, ...] = ()
    charge: Money | None = None

    @property
    def is_final(self) -> bool:
        """Whether asking again would tell nothing new."""
        return self.state is not UsageState.PENDING

    def to_json(self) -> dict[str, object]:
        """As it stands in JSON documents; ``charge`` only if it is told."""
        charge = {} if self.charge is None else {"charge": self.charge.to_json()}
        return {"state": self.state.value, "quantities": _quantities_json(self.quantities), **charge}

    def with_charge(self, charge: Money) -> "ReportedUsage":
        """The same with the money that was charged; it is final then, whatever else was not told."""
        return replace(self, state=UsageState.REPORTED, charge=charge)

    def __str__(self) -> str:
        """Such as ``3 s of the device``, ``3 s of the device, charged 4.80 USD``, ``pending``, or ``not reported``."""
        if self.state is UsageState.NONE:
            return "not reported"
        quantities = " + ".join(map(str, self.quantities))
        charge = "" if self.charge is None else f"charged {self.charge}"
        return ", ".join(filter(None, (quantities, charge))) or self.state.value


PENDING_USAGE = ReportedUsage(UsageState.PENDING)
NO_USAGE = ReportedUsage(UsageState.NONE)


def report_usage(**amounts: float | None) -> ReportedUsage:
    """Usage from amounts by the name of their unit, as a provider wrote them; PENDING if one of them is no amount.

    An amount that is not known (None), negative, not finite or beyond MOST_QUANTITY is no amount.
    """
    quantities = []
    for name, amount in amounts.items():
        if amount is None or not math.isfinite(amount) or not 0 <= amount <= MOST_QUANTITY:
            return PENDING_USAGE
        quantities.append(UsageQuantity(UsageUnit(name), round(amount * MICROS_PER_QUANTITY)))
    return ReportedUsage(UsageState.REPORTED, tuple(quantities))


@dataclass(frozen=True)
class UsageTotals:
    """Sums over jobs that a provider may charge for: ``quantities`` by unit of the ``n_reported``.

    ``charges``: the money that it says that it charged for them, one amount for each currency.
    ``n_pending``: jobs of which it is not known yet. ``n_unreported``: jobs for which the provider reports nothing.
    """

    quantities: tuple[UsageQuantity, ...] = ()
    n_reported: int = 0
    n_pending: int = 0
    n_unreported: int = 0
    charges: tuple[Money, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As it stands in JSON documents; ``charges`` only if they are told."""
        charges = {"charges": [charge.to_json() for charge in self.charges]} if self.charges else {}
        return {
            "quantities": _quantities_json(self.quantities),
            "jobs_reported": self.n_reported,
            "jobs_pending": self.n_pending,
            "jobs_unreported": self.n_unreported,
            **charges,
        }

    def __str__(self) -> str:
        """Such as ``12 s of the device, reported of 3 jobs; pending of 2 jobs``; empty if there is nothing to say."""
        parts = []
        if self.n_reported:
            sums = " + ".join(map(str, [*self.quantities, *self.charges])) or "nothing"
            parts.append(f"{sums}, reported of {format_count(self.n_reported, 'job')}")
        if self.n_pending:
            parts.append(f"pending of {format_count(self.n_pending, 'job')}")
        if parts and self.n_unreported:
            parts.append(f"not reported of {format_count(self.n_unreported, 'job')}")
        return "; ".join(parts)


def sum_usage(usages: Iterable[ReportedUsage | None]) -> UsageTotals:
    """The sums of what is known of jobs; None: the provider was not asked yet, which is as good as PENDING."""
    micros: dict[UsageUnit, int] = {}
    charged: dict[str, int] = {}
    counts = dict.fromkeys(UsageState, 0)
    for usage in usages:
        counts[UsageState.PENDING if usage is None else usage.state] += 1
        for quantity in () if usage is None else usage.quantities:
            micros[quantity.unit] = micros.get(quantity.unit, 0) + quantity.micros
        if usage is not None and usage.charge is not None:
            charged[usage.charge.currency] = charged.get(usage.charge.currency, 0) + usage.charge.micros
    quantities = tuple(UsageQuantity(unit, micros[unit]) for unit in UsageUnit if unit in micros)
    return UsageTotals(
        quantities,
        counts[UsageState.REPORTED],
        counts[UsageState.PENDING],
        counts[UsageState.NONE],
        tuple(Money(currency, total) for currency, total in charged.items()),
    )


def _quantities_json(quantities: Iterable[UsageQuantity]) -> dict[str, int | float]:
    return {quantity.unit.value: quantity.amount for quantity in quantities}
