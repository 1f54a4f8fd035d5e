"""The money in a run's report: every amount follows from the ledger, and what cannot be told is not made up."""

import datetime as dt
import json
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paid_run import (
    ADJUSTED_MICROS,
    NOON,
    RESERVED_MICROS,
    SPENT_MICROS,
    make_entry,
    make_paid_job,
    make_paid_jobs,
    make_paid_run,
    paid_writes,
)

from qorch.audit.money.purchases import find_loss_change
from qorch.audit.money.sums import GROUPINGS, sum_balances, sum_days, sum_entries, sum_epochs
from qorch.audit.report import Report, make_report
from qorch.audit.verification import parse_anchor
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, LedgerBalance, LedgerRecord
from qorch.model.money import Money
from qorch.model.prices.card import Certainty, Minimums, PriceCard, UnitPrices
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord, MetricRecord, StepRecord, Write
from qorch.testing.conformance.store_records import make_block
from qorch.testing.fakes.store import MemoryStore

GARNET = PriceCard(
    backends=("braket:garnet",),
    currency="USD",
    certainty=Certainty.PUBLISHED,
    source="list",
    date=None,
    prices=UnitPrices(job=Decimal("0.30"), shot=Decimal("0.00145")),
)


def report_of(*writes: Write, card: PriceCard | None = None) -> Report:
    """The report of a run, which is the first of the records."""
    with closing(MemoryStore(WallClock())) as store:
        for write in writes:
            store.write([write]).result()
        return make_report(store, writes[0].run_id, card=card)  # type: ignore[union-attr]


def money_of(*writes: Write, card: PriceCard | None = None) -> dict[str, Any]:
    """The key ``money`` of a run's report, as JSON has it."""
    found: dict[str, Any] = json.loads(json.dumps(report_of(*writes, card=card).to_json()["money"]))
    return found


def dollars(micros: int) -> dict[str, object]:
    """An amount as it stands in JSON documents."""
    return {"currency": "USD", "micros": micros}


def test_what_is_spent_and_reserved_follows_from_the_entries() -> None:
    """A held job keeps its reservation, and what was spent so far is known nevertheless; both count in the budget."""
    report = report_of(*paid_writes())
    document = report.to_json()
    assert report.spend == Money("USD", SPENT_MICROS)
    assert (document["spend"], document["reserved"]) == (dollars(SPENT_MICROS), dollars(RESERVED_MICROS))
    budget = document["money"]["budget"]
    assert budget == {
        "limit": dollars(25_000_000),
        "left": dollars(25_000_000 - SPENT_MICROS - RESERVED_MICROS),
        "used_share": pytest.approx(0.374),
    }
    held = {"job": "cats-1/3.0.0", "state": "unknown", "reserved": dollars(RESERVED_MICROS)}
    assert document["money"]["reserved_jobs"] == [held]
    assert "spend 6.35 USD (and 3.00 USD reserved)" in str(report)
    assert "for cats-1/3.0.0 (unknown)" in str(report)


def test_every_grouping_sums_to_the_whole() -> None:
    """By run, backend, epoch and day: the same money each time."""
    money = money_of(*paid_writes())
    for name in ("run", "backend", "epoch", "day"):
        assert sum(line["spent"]["micros"] for line in money[f"by_{name}"]) == SPENT_MICROS
        assert sum(line["reserved"]["micros"] for line in money[f"by_{name}"]) == RESERVED_MICROS
    assert [(line["epoch"], line["spent"]["micros"]) for line in money["by_epoch"]] == [
        (0, 3_850_000), (1, 2_500_000), (None, 0)
    ]  # fmt: skip


def test_epochs_are_in_the_order_of_their_numbers() -> None:
    """The tenth comes after the ninth."""
    jobs = [make_paid_job("cats-1", step, 0, JobState.DONE) for step in range(12)]
    steps = [StepRecord("cats-1", step, 0, NOON, 100, 0, NOON, step) for step in range(12)]
    lines = sum_epochs([make_entry(job, EntryKind.SPENT, 1) for job in jobs], steps)
    assert [line.group for line in lines] == [str(epoch) for epoch in range(12)]


def test_what_the_money_bought_has_its_prices() -> None:
    """Executions at the mean price of those that were done, steps with all that was spent."""
    bought = money_of(*paid_writes())["bought"]
    assert (bought["jobs"], bought["executions"], bought["shots"], bought["gradient_steps"]) == (3, 300, 30_000, 3)
    assert bought["per_execution"] == dollars(19_500)
    assert bought["per_thousand_shots"] == dollars(195_000)
    assert bought["per_gradient_step"] == dollars(2_116_667)
    assert bought["loss"]["decrease"] == 0.5
    assert bought["loss"]["decrease_per_unit"] == pytest.approx(0.5 / 6.35)


def test_a_loss_that_went_up_bought_nothing_and_the_report_says_so() -> None:
    """No figure is made up of it; the same where no loss was logged."""
    rises = [MetricRecord("cats-1", step, 0, "loss", 1.0 + step, NOON) for step in range(3)]
    report = report_of(*paid_writes(), *rises)
    loss = report.to_json()["money"]["bought"]["loss"]
    assert (loss["decrease"], loss["decrease_per_unit"]) == (None, None)
    assert "it did not go down" in str(report)
    silent = report_of(*(write for write in paid_writes() if not isinstance(write, MetricRecord)))
    assert silent.to_json()["money"]["bought"]["loss"] is None
    assert "whether the loss went down is not known" in str(silent)


def test_a_loss_is_smoothed_over_a_tenth_of_its_values() -> None:
    """One outlier at either end is averaged away; values that are not finite do not count."""
    found = find_loss_change([float("nan"), *[3.0, 1.0], *[1.5] * 16, *[0.0, 1.0], float("inf")])
    assert found is not None
    assert (found.first, found.last, found.n_values) == (2.0, 0.5, 2)
    assert find_loss_change([1.0]) is None


def test_the_cache_saved_executions_at_the_run_s_own_mean_price() -> None:
    """It is an estimate, and without a price of its own a run has none."""
    assert money_of(*paid_writes())["saved"]["cache"] == dollars(50 * 19_500)
    free = [write for write in paid_writes() if not isinstance(write, LedgerRecord)]
    unpaid = [replace(write, state=JobState.RESERVED) if isinstance(write, JobRecord) else write for write in free]
    money = money_of(*unpaid)
    assert (money["saved"]["executions_from_cache"], money["saved"]["cache"]) == (350, None)


@pytest.mark.parametrize(
    ("card", "saved"),
    [
        pytest.param(GARNET, dollars(297 * 300_000), id="a fee for each job"),
        pytest.param(replace(GARNET, prices=UnitPrices(shot=Decimal(1))), dollars(0), id="no fee"),
        pytest.param(replace(GARNET, minimums=Minimums(job=Decimal(10))), None, id="a minimum"),
        pytest.param(replace(GARNET, prices=None, certainty=Certainty.UNKNOWN), None, id="unknown prices"),
        pytest.param(None, None, id="no card"),
    ],
)
def test_packing_saved_the_fees_of_the_jobs_that_were_not_needed(
    card: PriceCard | None, saved: dict[str, object] | None
) -> None:
    """By the card's price of a job; where that does not tell, it is not known."""
    document = money_of(*paid_writes(), card=card)["saved"]
    assert (document["jobs_saved"], document["packing"]) == (297, saved)


def test_what_was_paid_for_nothing_has_its_reason() -> None:
    """A job that failed, rows that were bought again, and results that are not stored any more."""
    again = make_paid_job("cats-1", 0, 7, JobState.DONE)
    kept = replace(make_block(40), run_id="cats-1", job_id="cats-1/0.0.0")
    writes = [*paid_writes(), again, make_entry(again, EntryKind.SPENT, 3_900_000), kept]
    report = report_of(*writes)
    unused = {part["why"]: part for part in report.to_json()["money"]["unused"]}
    assert unused["failed"] == {
        "why": "failed", "jobs": 1, "executions": 100, "spent": dollars(500_000), "is_estimate": False
    }  # fmt: skip
    assert (unused["bought again"]["executions"], unused["bought again"]["spent"]) == (100, dollars(2_437_500))
    assert (unused["pruned"]["executions"], unused["pruned"]["is_estimate"]) == (360, True)
    assert "0.50 USD for 100 executions in 1 failed job" in str(report)
    assert "for 100 executions that were bought more than once" in str(report)


def test_estimates_stand_beside_what_was_charged() -> None:
    """Of the jobs of which the provider told later what they cost."""
    assert money_of(*paid_writes())["adjusted"] == {
        "jobs": 1,
        "booked": dollars(2_000_000),
        "charged": dollars(2_000_000 + ADJUSTED_MICROS),
        "difference": dollars(ADJUSTED_MICROS),
    }


def test_a_job_that_was_never_sent_is_priced_by_its_release() -> None:
    """What was reserved for it was released, so it cost nothing."""
    job = make_paid_job("cats-1", 0, 0, JobState.CANCELLED)
    entries = [make_entry(job, kind, 5) for kind in (EntryKind.RESERVED, EntryKind.RELEASED)]
    report = report_of(make_paid_run(), job, *entries)
    assert report.spend == Money("USD", 0)
    assert report.money.reserved == Money("USD", 0)


def test_a_job_without_a_price_makes_the_sum_unknown() -> None:
    """What is known is still told, apart from it."""
    other = make_paid_job("cats-1", 9, 0, JobState.DONE)
    report = report_of(*paid_writes(), other)
    assert report.spend is None
    assert report.to_json()["money"]["jobs_without_price"] == 1
    assert report.to_json()["money"]["spent"] == dollars(SPENT_MICROS)
    assert "no price was known for 1 more job" in str(report)


def test_an_unknown_price_is_never_nothing() -> None:
    """Of a run without any price, neither the report nor its document says that something cost 0."""
    report = report_of(make_paid_run(), make_paid_job("cats-1", 0, 0, JobState.DONE))
    bought = report.to_json()["money"]["bought"]
    assert (bought["per_execution"], bought["per_thousand_shots"], bought["per_gradient_step"]) == (None, None, None)
    assert "no price was known for 1 job:" in str(report)
    assert "0.00 USD" not in str(report)


def test_currencies_are_never_added_up() -> None:
    """A run whose prices changed their currency has lines in each, and no sum."""
    job = make_paid_jobs()[0]
    report = report_of(*paid_writes(), make_entry(job, EntryKind.ADJUSTED, 7, currency="EUR"))
    money = report.to_json()["money"]
    assert (report.spend, money["spent"], money["bought"]) == (None, None, None)
    assert [line["spent"]["currency"] for line in money["by_day"]] == ["EUR", "USD"]
    assert "the entries are in EUR and USD, which cannot be added up" in str(report)


def test_a_free_run_has_no_section_about_money_but_the_anchor() -> None:
    """Which is that of the whole database; `qorch audit verify` takes it as it is printed."""
    free = replace(make_paid_run("free-1"), charges=False, backend="local")
    with closing(MemoryStore(WallClock())) as store:
        store.write(paid_writes()).result()
        store.write([free]).result()
        report = make_report(store, "free-1")
        anchor = store.ledger_anchor()
    assert "Where the money went" not in str(report)
    printed = str(report).rpartition("anchor ")[2].partition("\n")[0]
    assert parse_anchor(printed) == anchor
    assert report.to_json()["ledger"] == {"entries": 14, "digest": anchor.head}


_DAYS = st.dates(dt.date(2026, 1, 1), dt.date(2026, 12, 31))
_BALANCES = st.lists(
    st.builds(
        LedgerBalance,
        st.sampled_from("ab"), st.just("name"), st.sampled_from(["x", "y"]), st.sampled_from(["", "z"]),
        _DAYS | st.just(dt.date.min), st.sampled_from(["USD", "EUR"]), st.integers(0, 10**9), st.integers(-9, 10**9),
    ),
    max_size=8,
)  # fmt: skip


@given(balances=_BALANCES, by=st.sampled_from(sorted(GROUPINGS)))
def test_the_books_of_a_database_sum_to_the_same_by_everything(balances: list[LedgerBalance], by: str) -> None:
    """Whatever is grouped by, in each currency nothing is lost, and nothing counted twice."""
    lines = sum_balances(balances, by=by)
    assert len({(line.group, line.currency) for line in lines}) == len(lines)
    for currency in ("USD", "EUR"):
        own, shown = ([each for each in group if each.currency == currency] for group in (balances, lines))
        assert sum(each.spent_micros for each in own) == sum(line.spent_micros for line in shown)
        assert sum(each.reserved_micros for each in own) == sum(line.reserved_micros for line in shown)


def test_entries_of_older_versions_have_the_day_of_their_writing() -> None:
    """They do not tell the day of their job."""
    entry = replace(make_entry(make_paid_jobs()[0], EntryKind.SPENT, 5), day=dt.date.min)
    assert [line.group for line in sum_days([entry])] == ["2026-11-29"]
    assert sum_entries([], name=str) == ()
