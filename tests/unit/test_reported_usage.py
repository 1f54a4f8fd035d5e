"""What providers report that jobs were charged for, as a value: exact sums, words, and nothing that is invented."""

import math

import pytest

from qorch.model.money import Money
from qorch.model.usage import (
    MOST_QUANTITY,
    NO_USAGE,
    PENDING_USAGE,
    UsageQuantity,
    UsageTotals,
    UsageUnit,
    report_usage,
    sum_usage,
)


@pytest.mark.parametrize("amount", [None, -1.0, math.nan, math.inf, MOST_QUANTITY + 1])
def test_what_is_no_amount_is_pending(amount: float | None) -> None:
    """One unknown quantity leaves the whole unknown."""
    assert report_usage(device_seconds=amount) == PENDING_USAGE
    assert report_usage(tasks=1, shots=amount) == PENDING_USAGE


def test_amounts_are_kept_to_a_millionth() -> None:
    """Whole numbers stay integers, also in JSON."""
    usage = report_usage(tasks=1, shots=1000)
    assert usage.quantities == (UsageQuantity(UsageUnit.TASKS, 10**6), UsageQuantity(UsageUnit.SHOTS, 10**9))
    assert usage.to_json() == {"state": "reported", "quantities": {"tasks": 1, "shots": 1000}}
    assert report_usage(compute_seconds=0.0052).to_json()["quantities"] == {"compute_seconds": 0.0052}


def test_money_is_in_documents_only_if_it_was_told() -> None:
    """And makes any usage final, with its quantities if there are some."""
    told = PENDING_USAGE.with_charge(Money("USD", 0))
    assert told.is_final
    assert told.to_json() == {"state": "reported", "quantities": {}, "charge": {"currency": "USD", "micros": 0}}
    both = report_usage(tasks=1).with_charge(Money("USD", 5))
    assert both.to_json() == {
        "state": "reported",
        "quantities": {"tasks": 1},
        "charge": {"currency": "USD", "micros": 5},
    }


@pytest.mark.parametrize(
    ("usage", "text"),
    [(report_usage(device_seconds=1203.5), "1,203.5 s of the device"), (report_usage(tasks=1, shots=1000),
     "1 task + 1,000 shots"), (report_usage(device_seconds=0), "0 s of the device"),
     (report_usage(compute_seconds=0.0052), "0.0052 s of quantum compute time"), (PENDING_USAGE, "pending"),
     (NO_USAGE, "not reported"), (NO_USAGE.with_charge(Money("USD", 12_416_600)), "charged 12.4166 USD"),
     (report_usage(simulator_seconds=3).with_charge(Money("USD", 3750)), "3 s of a simulator, charged 0.00375 USD")],
)  # fmt: skip
def test_usage_has_words(usage: object, text: str) -> None:
    """As tables show it."""
    assert str(usage) == text


def test_sums_are_exact_and_count_what_is_not_known() -> None:
    """By unit; a job that was not asked about is pending, too."""
    tenths = [report_usage(device_seconds=0.1)] * 10
    totals = sum_usage([*tenths, PENDING_USAGE, None, NO_USAGE, report_usage(tasks=1, shots=7)])
    assert totals.to_json() == {
        "quantities": {"device_seconds": 1, "tasks": 1, "shots": 7},
        "jobs_reported": 11, "jobs_pending": 2, "jobs_unreported": 1,
    }  # fmt: skip
    assert str(totals) == (
        "1 s of the device + 1 task + 7 shots, reported of 11 jobs; pending of 2 jobs; not reported of 1 job"
    )


def test_money_that_was_charged_is_summed_up() -> None:
    """A provider that reports money and no quantities has charged that, not nothing."""
    totals = sum_usage([NO_USAGE.with_charge(Money("USD", micros)) for micros in (12_416_600, 63_440_000)])
    assert str(totals) == "75.8566 USD, reported of 2 jobs"
    assert totals.to_json()["charges"] == [{"currency": "USD", "micros": 75_856_600}]
    assert "charges" not in sum_usage([PENDING_USAGE]).to_json()


@pytest.mark.parametrize(
    ("totals", "text"),
    [(UsageTotals(), ""), (UsageTotals(n_unreported=3), ""), (UsageTotals(n_pending=1), "pending of 1 job")],
)
def test_nothing_is_said_where_nothing_is_expected(totals: UsageTotals, text: str) -> None:
    """As of runs on free backends, and of providers that report nothing."""
    assert str(totals) == text
