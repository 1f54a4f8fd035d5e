"""The money of a run as text: the section of a report that says where it went."""

from collections.abc import Sequence

from qorch.audit.money.purchases import LOSS, Purchase
from qorch.audit.money.report import MoneyReport
from qorch.audit.money.savings import Savings
from qorch.audit.money.sums import SpendLine
from qorch.audit.money.unused import PRUNED, UnusedSpend
from qorch.model.money import Money
from qorch.model.text import format_count, printable

_MOST_LINES = 12
_MOST_JOBS = 5
_BAR = 30


def money_lines(money: MoneyReport) -> list[str]:
    """The section; empty for a run on a backend that charges nothing."""
    if not money.is_paid:
        return []
    if money.is_mixed:
        return [
            "Where the money went",
            f"  the entries are in {' and '.join(money.currencies)}, which cannot be added up",
            *_group_lines("day", money.lines["day"]),
        ]
    return [
        "Where the money went",
        *_balance_lines(money),
        *_group_lines("epoch", money.lines["epoch"]),
        *(_group_lines("day", money.lines["day"]) if len(money.lines["day"]) > 1 else []),
        *_purchase_lines(money.purchase),
        *_savings_lines(money.savings, money.purchase),
        *_unused_lines(money.unused),
        *_adjustment_lines(money),
    ]


def _balance_lines(money: MoneyReport) -> list[str]:
    used = "" if money.budget is None else f" of a budget of {money.budget}"
    if money.used_share is not None:
        used += f"; with what is reserved {money.used_share:.0%} of it is used"
    is_nothing_known = bool(money.jobs_unpriced) and not money.currencies
    lines = [] if is_nothing_known else [f"  spent {money.spent}{used}"]
    if money.jobs_unpriced:
        jobs = format_count(money.jobs_unpriced, "job" if is_nothing_known else "more job")
        lines.append(f"  no price was known for {jobs}: what they cost stands in the provider's bill")
    if money.reserved_jobs:
        shown = ", ".join(f"{printable(job.job_id)} ({job.state})" for job in money.reserved_jobs[:_MOST_JOBS])
        more = len(money.reserved_jobs) - _MOST_JOBS
        others = f" and {more:,} more" if more > 0 else ""
        lines.append(f"  reserved {money.reserved}, as they were not charged yet, for {shown}{others}")
    return lines


def _group_lines(grouping: str, lines: Sequence[SpendLine]) -> list[str]:
    total = sum(line.spent_micros for line in lines)
    shown = []
    for line in lines[:_MOST_LINES]:
        share = line.spent_micros / total if total > 0 else 0.0
        name = f"{grouping} {line.group}" if line.group[:1].isdigit() else line.group
        bar = "█" * round(max(0.0, share) * _BAR)
        shown.append(f"  {printable(name):<22}{line.spent!s:>16} {share:>7.1%}  {bar}".rstrip())
    if len(lines) > _MOST_LINES:
        shown.append(f"  and {len(lines) - _MOST_LINES:,} more; --json has all")
    return shown


def _purchase_lines(purchase: Purchase) -> list[str]:
    shots = "an unknown number of shots" if purchase.shots is None else format_count(purchase.shots, "shot")
    parts = [
        f"{format_count(purchase.executions, 'execution')}{_each(purchase.per_execution)}",
        f"{shots}{_each(purchase.per_thousand_shots, 'for 1,000')}",
        f"{format_count(purchase.steps, 'gradient step')}{_each(purchase.per_step)}",
    ]
    return [f"  it bought {' · '.join(parts)}", f"  {_describe_loss(purchase)}"]


def _each(price: Money | None, words: str = "each") -> str:
    return "" if price is None else f" ({price} {words})"


def _describe_loss(purchase: Purchase) -> str:
    loss, per_unit = purchase.loss, purchase.loss_decrease_per_unit
    if loss is None:
        return f"whether the loss went down is not known, as nothing was logged twice as '{LOSS}'"
    means = f"loss {loss.first:.4g} → {loss.last:.4g} (means of {format_count(loss.n_values, 'value')})"
    if loss.decrease is None:
        return f"{means}: it did not go down"
    return means if per_unit is None else f"{means}: {per_unit:.3g} less for each {purchase.spent.currency}"


def _savings_lines(savings: Savings, purchase: Purchase) -> list[str]:
    lines = []
    if savings.executions_from_cache:
        executions = format_count(savings.executions_from_cache, "execution")
        worth = (
            "their price is not known, as this run paid for none"
            if savings.cache is None
            else f"about {savings.cache}, at the run's own mean price (an estimate)"
        )
        lines.append(f"  the cache saved {executions}: {worth}")
    if savings.jobs_saved:
        jobs, packed = format_count(savings.jobs_saved, "job"), format_count(purchase.jobs, "job")
        worth = "what they would cost is not known" if savings.packing is None else f"{savings.packing} in fees"
        lines.append(f"  packing into {packed} saved {jobs}: {worth}")
    return lines


def _unused_lines(unused: Sequence[UnusedSpend]) -> list[str]:
    lost = [_describe_unused(part) for part in unused if part.why != PRUNED]
    pruned = [f"{part.spent} for {format_count(part.executions, 'execution')}" for part in unused if part.why == PRUNED]
    return [
        *([f"  paid and not used: {' · '.join(lost)}"] if lost else []),
        *(f"  paid, and the results deleted since: about {part}" for part in pruned),
    ]


def _describe_unused(part: UnusedSpend) -> str:
    what = format_count(part.executions, "execution")
    if part.is_estimate:
        return f"about {part.spent} for {what} that were bought more than once"
    return f"{part.spent} for {what} in {format_count(part.jobs, f'{part.why} job')}"


def _adjustment_lines(money: MoneyReport) -> list[str]:
    if money.adjustment is None:
        return []
    found = money.adjustment
    sign = "+" if found.difference.micros > 0 else ""
    jobs = format_count(found.jobs, "job")
    booked = f"{sign}{found.difference} to what was booked"
    return [f"  charged for {jobs}, as the provider told later: {found.charged}, {booked}"]
