"""Budgets over random books: what they cover, what is used of them, and that no sequence of grants goes beyond one."""

import datetime
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qorch.errors import BudgetError
from qorch.model.budget import Budget, BudgetPeriod
from qorch.model.ledger import LedgerBalance
from qorch.model.money import Money
from qorch.planning.budgets import Buyer, applied_budgets, use_of

TODAY = datetime.date(2026, 11, 30)
USD = "USD"

amounts = st.integers(0, 50)
buyers = st.builds(
    Buyer,
    run_id=st.sampled_from(["a", "b"]),
    run_name=st.sampled_from(["digits-1", "digits-2", "cats"]),
    backend=st.sampled_from(["ionq:qpu.forte-1", "ionq:qpu.aria-1,noise=x", "IONQ:QPU.Forte-1", "braket:sv1"]),
    account=st.sampled_from(["ionq:1", "ionq:12", ""]),
)
scopes = st.builds(
    Budget,
    limit=st.builds(Money, st.just(USD), st.integers(0, 120)),
    name=st.sampled_from(["lab", "night"]),
    per=st.sampled_from([None, *BudgetPeriod]),
    backend=st.sampled_from(["", "ionq", "ionq:qpu", "ionq:qpu.forte-1", "braket"]),
    account=st.sampled_from(["", "ionq:1"]),
    runs=st.sampled_from(["", "digits-*", "cats"]),
    origin=st.just("f, line 1"),
)
days = st.sampled_from([TODAY, TODAY - datetime.timedelta(days=1), TODAY - datetime.timedelta(days=30)])


@st.composite
def balances(draw: st.DrawFn) -> LedgerBalance:
    """What some run has reserved and spent on some day."""
    of = draw(buyers)
    currency = draw(st.sampled_from([USD, USD, USD, "EUR"]))
    return LedgerBalance(
        of.run_id, of.run_name, of.backend, of.account, draw(days), currency, draw(amounts), draw(amounts)
    )


@given(st.lists(scopes, max_size=4), st.none() | st.integers(0, 120), buyers, st.lists(balances(), max_size=8), amounts)
def test_a_grant_keeps_within_all_that_apply(
    some: list[Budget], own: int | None, buyer: Buyer, books: list[LedgerBalance], needed: int
) -> None:
    """It is refused exactly if one of them has less left; what is used is what the books say, and the grant."""
    applied = applied_budgets(None if own is None else Money(USD, own), some, buyer)
    expected = [
        sum(
            each.reserved_micros + each.spent_micros
            for each in books
            if each.currency == USD
            and each.day >= applied.since(TODAY)
            and each.day >= budget.first_day(TODAY)
            and budget.covers(run_id=each.run_id, run_name=each.run_name, backend=each.backend, account=each.account)
        )
        for budget in applied.budgets
    ]
    limits = [budget.limit.micros for budget in applied.budgets]
    is_covered = not needed or all(used + needed <= limit for used, limit in zip(expected, limits, strict=True))
    try:
        uses = applied.grant(books, Money(USD, needed), today=TODAY, n_jobs=1)
    except BudgetError:
        assert not is_covered
    else:
        assert is_covered
        assert [use.used.micros for use in uses] == [used + needed for used in expected]


@given(st.lists(st.tuples(buyers, st.integers(1, 30), st.booleans()), max_size=30), st.lists(scopes, max_size=3))
def test_no_sequence_of_grants_goes_beyond_a_limit(wanted: list[tuple[Buyer, int, bool]], some: list[Budget]) -> None:
    """Whoever reserves, settles or gives back: what is used of a budget never exceeds it."""
    books: list[LedgerBalance] = []
    for buyer, needed, is_settled in wanted:
        applied = applied_budgets(Money(USD, 60), some, buyer)
        try:
            applied.grant(books, Money(USD, needed), today=TODAY, n_jobs=1)
        except BudgetError:
            continue
        sums = (0, needed // 2) if is_settled else (needed, 0)
        books.append(LedgerBalance(buyer.run_id, buyer.run_name, buyer.backend, buyer.account, TODAY, USD, *sums))
        for budget in applied.budgets:
            assert use_of(budget, books, today=TODAY, currency=USD).used.micros <= budget.limit.micros


@given(st.lists(scopes, max_size=4), buyers)
def test_budgets_of_a_run_are_those_that_cover_it(some: list[Budget], buyer: Buyer) -> None:
    """By the beginning of names up to a separator, without regard to case in backends, and patterns of runs."""
    for scope in some:
        backend, beginning = buyer.backend.lower(), scope.backend
        is_covered = (
            (backend + ":").startswith(beginning + ":")
            or any(backend.startswith(beginning + mark) for mark in ".,")
            or not beginning
        )
        is_covered &= scope.account in ("", buyer.account)
        is_covered &= scope.runs in ("", buyer.run_name) or (scope.runs == "digits-*" and "digits" in buyer.run_name)
        assert (scope in applied_budgets(None, [scope], buyer).budgets) == is_covered


@pytest.mark.parametrize(
    ("per", "today", "first", "following"),
    [
        (BudgetPeriod.DAY, (2026, 12, 31), (2026, 12, 31), (2027, 1, 1)),
        (BudgetPeriod.MONTH, (2026, 12, 31), (2026, 12, 1), (2027, 1, 1)),
        (BudgetPeriod.MONTH, (2028, 2, 1), (2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_periods_begin_and_end(
    per: BudgetPeriod, today: tuple[int, int, int], first: tuple[int, int, int], following: tuple[int, int, int]
) -> None:
    """A day, and a month of any length, also at the end of a year."""
    day = datetime.date(*today)
    assert (per.first_day(day), per.next_day(day)) == (datetime.date(*first), datetime.date(*following))


def test_a_refusal_says_which_budget_and_how_to_go_on() -> None:
    """Each that is short, with its limit and what is used of it; what the call needs; where to raise it; a command."""
    month = Budget(limit=Money(USD, 20_000_000), name="lab", per=BudgetPeriod.MONTH, origin="c.toml, line 3")
    buyer = Buyer("digits-1", "digits", "ionq:qpu.forte-1", "", workload="digits")
    books = [LedgerBalance("digits-1", "digits", buyer.backend, "", TODAY, USD, 1_000_000, 9_000_000)]
    needed = Money(USD, 12_420_000)
    with pytest.raises(BudgetError) as both:
        applied_budgets(Money(USD, 15_000_000), [month], buyer).grant(books, needed, today=TODAY, n_jobs=2)
    assert str(both.value) == (
        "the next 2 jobs may cost 12.42 USD, which is more than is left: the budget of this run (15.00 USD) has"
        " 9.00 USD spent and 1.00 USD reserved; the budget 'lab' (20.00 USD a month; c.toml, line 3) has 9.00 USD spent"
        " and 1.00 USD reserved. Nothing more was sent, and what was executed is stored. To go on, raise the limit of"
        " 'lab' (c.toml, line 3) or wait until 2026-12-01 (UTC), and give the run a larger one: qorch train digits"
        ' --resume digits-1 --budget "22.42 USD"'
    )
    script = replace(buyer, workload=None)
    with pytest.raises(BudgetError, match=r"resume=True\)$"):
        applied_budgets(None, [month], script).grant(books, needed, today=TODAY, n_jobs=2)
