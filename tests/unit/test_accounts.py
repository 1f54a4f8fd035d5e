"""What is reserved for jobs, and what becomes of it: every end of a job leaves nothing reserved, and its true price."""

import asyncio
import datetime
from collections import defaultdict
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qorch.engine.accounts import Accounts, give_up
from qorch.engine.journal import Journal
from qorch.model.identity import Position
from qorch.model.job import JobState
from qorch.model.ledger import EntryKind, JobBalance, LedgerRecord, balance_job, settle_job
from qorch.model.money import Money
from qorch.model.prices.card import Certainty, PriceCard, UnitPrices
from qorch.model.usage import NO_USAGE, PENDING_USAGE, ReportedUsage, report_usage
from qorch.planning.pricing import Cost
from qorch.ports.clock import WallClock
from qorch.ports.records import JobRecord, UsageRecord, Write
from qorch.testing.conformance.store_records import make_block, make_run
from qorch.testing.fakes.store import MemoryStore

TIMED = UnitPrices(second=Decimal("1.6"))
BY_SHOT = UnitPrices(job=Decimal("0.3"), shot=Decimal("0.01"))
BY_GATE = UnitPrices(two_qubit_gate_shot=Decimal("0.000975"))


class _DayClock(WallClock):
    """A clock that stands still, some days after a Monday."""

    days = 0

    def now(self) -> datetime.datetime:
        return datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC) + datetime.timedelta(days=self.days)


class _Books:
    """The accounts of one engine, and the entries that were written."""

    def __init__(self, prices: UnitPrices | None) -> None:
        certainty = Certainty.UNKNOWN if prices is None else Certainty.PUBLISHED
        card = PriceCard(
            backends=("b",), currency="USD", certainty=certainty, source="a test", date=None, prices=prices
        )
        self.entries: dict[str, list[LedgerRecord]] = defaultdict(list)
        self.clock = _DayClock()
        self.accounts = Accounts(card, "me", self.clock)

    def restart(self, **changes: object) -> None:
        """A later session knows only what was written; ``changes``: of the price card, which a user makes."""
        card = replace(self.accounts.card, **changes)  # type: ignore[arg-type]
        self.accounts = Accounts(card, "me", self.clock)

    def reserve(self, job: JobRecord, micros: int, *, expected: int | None = None) -> None:
        entry = self.accounts.reserve(job, Cost("USD", 0, micros if expected is None else expected, micros))
        self.entries[job.job_id].append(entry)
        self.accounts.note([entry])

    def write(self, *writes: Write) -> list[tuple[str, int]]:
        """What the records bring, as kind and amount."""
        closing = self.accounts.begin_closing(writes)
        made = self.accounts.close(closing, {job_id: self.entries[job_id] for job_id in closing.unread})
        for entry in made:
            self.entries[entry.job_id or ""].append(entry)
        return [(entry.kind.value, entry.micros) for entry in made]


def _job(clock: _DayClock, *, provider_id: str | None = "p", executions: int = 10) -> JobRecord:
    job = JobRecord("r/0.0.0", "r", Position(0, 0), JobState.PLANNED, executions, 100, clock.now())
    return replace(job, provider_id=provider_id, attempts=1)


def _usage(job: JobRecord, usage: ReportedUsage) -> UsageRecord:
    return UsageRecord(job.job_id, job.run_id, usage)


def test_a_job_of_exact_price_is_spent_as_it_ends() -> None:
    """What was reserved is spent with the job's end, as its price was known; a report of the same adds nothing."""
    books = _Books(BY_GATE)
    job = _job(books.clock)
    books.reserve(job, 500)
    assert books.write(replace(job, state=JobState.DONE), make_block(10), _usage(job, PENDING_USAGE)) == [
        ("spent", 500)
    ]
    assert books.write(_usage(job, replace(NO_USAGE, charge=Money("USD", 500)))) == []


@pytest.mark.parametrize(("rows", "micros"), [(0, 0), (1, 51), (9, 451)])
def test_rows_that_failed_are_not_charged(rows: int, micros: int) -> None:
    """Of a job some of whose rows failed, those are spent that came: each costs the same, rounded up to a millionth."""
    books = _Books(BY_GATE)
    job = _job(books.clock)
    books.reserve(job, 501)
    blocks = [make_block(rows)] if rows else []
    made = books.write(replace(job, state=JobState.DONE), *blocks, _usage(job, PENDING_USAGE))
    assert made == [("spent", micros), ("released", 501 - micros)]


def test_the_providers_word_replaces_the_estimate() -> None:
    """What the provider reports hours later, in another session, is booked as the difference."""
    books = _Books(BY_GATE)
    job = _job(books.clock)
    books.reserve(job, 500)
    books.write(replace(job, state=JobState.DONE), make_block(10), _usage(job, PENDING_USAGE))
    books.restart()
    assert books.write(_usage(job, replace(NO_USAGE, charge=Money("USD", 420)))) == [("adjusted", -80)]
    assert books.write(_usage(job, replace(NO_USAGE, charge=Money("USD", 900)))) == [("adjusted", 480)]


def test_time_stays_reserved_until_it_is_counted() -> None:
    """A job billed by time keeps its upper bound reserved while the provider has not said how long it took."""
    books = _Books(TIMED)
    job = _job(books.clock)
    books.reserve(job, 1_920_000_000)
    assert books.write(replace(job, state=JobState.DONE), make_block(10), _usage(job, PENDING_USAGE)) == []
    assert books.write(_usage(job, report_usage(device_seconds=3.0))) == [
        ("spent", 4_800_000),
        ("released", 1_915_200_000),
    ]


def test_more_than_was_reserved_is_booked() -> None:
    """A job that cost more than its upper bound has its true price in the books, which blocks the next reservation."""
    books = _Books(TIMED)
    job = _job(books.clock)
    books.reserve(job, 1_600_000)
    moves = books.write(
        replace(job, state=JobState.DONE), make_block(10), _usage(job, report_usage(device_seconds=2.0))
    )
    assert moves == [("spent", 1_600_000), ("adjusted", 1_600_000)]


def test_unreported_time_costs_what_was_expected() -> None:
    """If a provider reports nothing of a job billed by time, the expected price is booked, and the reason says so."""
    books = _Books(TIMED)
    job = _job(books.clock)
    books.reserve(job, 1_000, expected=300)
    assert books.write(replace(job, state=JobState.DONE), make_block(10), _usage(job, NO_USAGE)) == [
        ("spent", 300),
        ("released", 700),
    ]
    assert "reports nothing" in books.entries[job.job_id][-1].reason


@pytest.mark.parametrize("prices", [TIMED, BY_SHOT, BY_GATE])
@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
def test_what_the_provider_does_not_have_is_released(prices: UnitPrices, state: JobState) -> None:
    """A job that was refused, or never sent, costs nothing, and nothing stays reserved for it."""
    books = _Books(prices)
    job = _job(books.clock, provider_id=None)
    books.reserve(job, 500)
    books.restart()
    assert books.write(replace(job, state=state)) == [("released", 500)]
    assert books.write(replace(job, state=state)) == []


def test_a_failed_job_is_not_charged_unless_the_provider_says_so() -> None:
    """Failed at the provider: nothing is spent by the card, and what the provider charges all the same is booked."""
    books = _Books(BY_SHOT)
    job = _job(books.clock)
    books.reserve(job, 500)
    assert books.write(replace(job, state=JobState.FAILED), _usage(job, NO_USAGE)) == [("spent", 0), ("released", 500)]
    assert books.write(_usage(job, report_usage(tasks=1, shots=20))) == [("adjusted", 500_000)]


def test_a_held_job_keeps_its_reservation() -> None:
    """While nobody knows whether a job was accepted, its money stays reserved; given up, it counts as not spent."""
    books = _Books(BY_SHOT)
    job = _job(books.clock, provider_id=None)
    books.reserve(job, 500)
    assert books.write(replace(job, state=JobState.UNKNOWN)) == []
    (entry,) = give_up(books.entries[job.job_id], replace(job, state=JobState.CANCELLED))
    assert (entry.kind, entry.micros, entry.day) == (EntryKind.RELEASED, 500, books.entries[job.job_id][0].day)


def test_a_held_job_whose_answer_cannot_be_read_keeps_its_reservation() -> None:
    """It ran, but how many of its rows failed is not known before its answer is read."""
    books = _Books(BY_GATE)
    job = _job(books.clock)
    books.reserve(job, 500)
    assert books.write(replace(job, state=JobState.UNKNOWN), _usage(job, NO_USAGE)) == []
    done = replace(job, state=JobState.DONE)
    assert books.write(done, make_block(8), _usage(job, NO_USAGE)) == [("spent", 400), ("released", 100)]


def test_a_job_given_up_that_was_accepted_is_spent() -> None:
    """A job that a person gave up though the provider has it may be billed, so it counts as spent."""
    books = _Books(BY_SHOT)
    job = _job(books.clock)
    books.reserve(job, 500)
    (entry,) = give_up(books.entries[job.job_id], replace(job, state=JobState.CANCELLED))
    assert (entry.kind, entry.micros) == (EntryKind.SPENT, 500)


def test_entries_name_the_job() -> None:
    """Each entry has the job's run, step, attempt and executions, who pays, and the day of the reservation."""
    books = _Books(BY_GATE)
    job = _job(books.clock)
    books.reserve(job, 500)
    books.clock.days = 3
    books.write(replace(job, state=JobState.DONE), make_block(10), _usage(job, PENDING_USAGE))
    first, last = books.entries[job.job_id]
    assert (last.run_id, last.step, last.attempt, last.executions, last.account) == ("r", 0, 1, 10, "me")
    assert (first.day, last.day) == (first.recorded_at.date(), first.day)
    assert last.recorded_at - first.recorded_at == datetime.timedelta(days=3)


def test_what_another_process_has_booked_is_not_booked_again() -> None:
    """Two processes that are told what a job took, one of which has reserved it, book it once between them."""
    books = _Books(TIMED)
    job, other = _job(books.clock), Accounts(books.accounts.card, "me", books.clock)
    store = MemoryStore(books.clock)
    store.write([make_run("r"), replace(job, state=JobState.SUBMITTED)]).result()
    told = _usage(job, report_usage(device_seconds=3.0))

    async def settle() -> None:
        owner, another = (
            Journal(store, clock=books.clock, is_durable=True, accounts=accounts)
            for accounts in (books.accounts, other)
        )
        reserved = books.accounts.reserve(job, Cost("USD", 0, 10_000_000, 10_000_000))
        await owner.write_ahead([reserved])
        books.accounts.note([reserved])
        await owner.record([replace(job, state=JobState.DONE), make_block(10), _usage(job, PENDING_USAGE)])
        for journal in (another, owner, another):
            await journal.record([told])

    asyncio.run(settle())
    assert [(entry.kind.value, entry.micros) for entry in store.ledger()] == [
        ("reserved", 10_000_000),
        ("spent", 4_800_000),
        ("released", 5_200_000),
    ]


def test_nothing_is_remembered_of_jobs_that_are_over() -> None:
    """However many jobs end, and however they end, accounts hold only those that are open."""
    books = _Books(TIMED)
    for state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED):
        job = _job(books.clock)
        books.reserve(job, 500)
        books.write(replace(job, state=state), _usage(job, report_usage(device_seconds=0.0001)))
    assert repr(books.accounts) == repr(Accounts(books.accounts.card, "me", books.clock))


def test_money_that_the_provider_names_is_booked_without_a_price() -> None:
    """If no price is known, nothing is reserved; what the provider says that a job cost is spent all the same."""
    books = _Books(None)
    job = _job(books.clock)
    charged = NO_USAGE.with_charge(Money("EUR", 70))
    assert books.write(replace(job, state=JobState.DONE), _usage(job, charged)) == [("spent", 0), ("adjusted", 70)]
    assert {entry.currency for entry in books.entries[job.job_id]} == {"EUR"}


@pytest.mark.parametrize("prices", [None, UnitPrices()])
def test_nothing_is_kept_where_nothing_costs_or_no_price_is_known(prices: UnitPrices | None) -> None:
    """Free jobs, and jobs whose price is not known, have no entries: an unknown price is not 0."""
    books = _Books(prices)
    job = _job(books.clock)
    assert not books.accounts.is_kept
    assert (
        books.write(replace(job, state=JobState.DONE), make_block(10), _usage(job, report_usage(tasks=1, shots=20)))
        == []
    )


OTHER_CARDS = [{"currency": "EUR"}, {"prices": UnitPrices()}, {"prices": None, "certainty": Certainty.UNKNOWN}]


@pytest.mark.parametrize("changes", OTHER_CARDS)
@pytest.mark.parametrize("usage", [PENDING_USAGE, NO_USAGE, report_usage(tasks=1, shots=20)])
def test_a_card_in_another_currency_does_not_price_earlier_jobs(
    changes: dict[str, object], usage: ReportedUsage
) -> None:
    """What was reserved by another card is spent as it was reserved: no amount changes its currency, none stays."""
    books = _Books(BY_SHOT)
    job = _job(books.clock)
    books.reserve(job, 500)
    books.restart(**changes)
    assert books.write(replace(job, state=JobState.DONE), make_block(10), _usage(job, usage)) == [("spent", 500)]
    assert books.write(_usage(job, replace(usage, charge=Money("USD", 700)))) == [("adjusted", 200)]


@pytest.mark.parametrize("changes", OTHER_CARDS)
def test_time_that_another_card_reserved_is_settled(changes: dict[str, object]) -> None:
    """Of a job that is over and waited for its charge, what was reserved is spent once the provider has counted."""
    books = _Books(TIMED)
    job = _job(books.clock)
    books.reserve(job, 1_000)
    assert books.write(replace(job, state=JobState.DONE), make_block(10), _usage(job, PENDING_USAGE)) == []
    books.restart(**changes)
    assert books.write(_usage(job, report_usage(device_seconds=3.0))) == [("spent", 1_000)]
    books.restart(**changes)
    assert books.write(_usage(job, report_usage(device_seconds=3.0))) == []


@pytest.mark.parametrize("changes", OTHER_CARDS)
def test_what_another_card_reserved_for_an_unsent_job_is_released(changes: dict[str, object]) -> None:
    """A job that was never sent keeps no money, whatever the card says now."""
    books = _Books(BY_SHOT)
    job = _job(books.clock, provider_id=None)
    books.reserve(job, 500)
    books.restart(**changes)
    assert books.write(replace(job, state=JobState.CANCELLED)) == [("released", 500)]


@given(
    reserved=st.integers(0, 10**9),
    charges=st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
)
def test_settling_ends_with_the_last_charge(reserved: int, charges: list[int]) -> None:
    """However often a job's charge changes, it has cost the last one, and no reservation went negative."""
    template = LedgerRecord("r", "r/0.0.0", EntryKind.RESERVED, "USD", reserved, datetime.datetime.now(datetime.UTC))
    balance = JobBalance().after(template)
    entries = [template]
    for charge in charges:
        for kind, micros in settle_job(balance, charge):
            entries.append(replace(template, kind=kind, micros=micros))
            balance = balance.after(entries[-1])
            assert balance.reserved_micros >= 0
        assert (balance.reserved_micros, balance.spent_micros) == (0, charge)
        assert settle_job(balance, charge) == ()
    assert balance == balance_job(entries)
