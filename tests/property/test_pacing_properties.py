"""Whatever several processes do to an account's throttle, in any order: limits hold, and pauses are obeyed."""

import dataclasses

from hypothesis import given, settings
from hypothesis import strategies as st

from qorch.engine.remote import pacing
from qorch.engine.remote.pacing import Throttle, decode_throttle, encode_throttle
from qorch.ports.policy import OnUnknown, Rate, Terms

HOLDERS = ("a", "b", "c")
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["admit", "accept", "reject", "refuse", "limit", "finish", "withdraw", "die", "leave"]),
        st.sampled_from(HOLDERS),
        st.sampled_from([0.0, 0.01, 0.7, 2.4]),
    ),
    min_size=5,
    max_size=120,
)
"""All of it in less than FORGET_SECONDS: that silent processes no longer count has a test of its own."""
RATES = st.none() | st.builds(Rate, st.integers(1, 6), st.sampled_from([1.0, 10.0, 60.0]))


class Account:
    """A model: what is really under way, and when what has arrived; the state goes through its bytes at every move."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.now = 1000.0
        self.state: bytes | None = None
        self.sending: dict[str, list[float]] = {name: [] for name in HOLDERS}
        self.jobs = dict.fromkeys(HOLDERS, 0)
        self.latest_arrivals: list[float] = []
        self.paused_until = 0.0

    @property
    def throttle(self) -> Throttle:
        """The state as any process finds it."""
        return decode_throttle(self.state)

    def keep(self, throttle: Throttle) -> None:
        """Store it."""
        self.state = encode_throttle(throttle)

    def admit(self, holder: str) -> None:
        """Let one go where that is allowed, and check that it was right to."""
        throttle, admission = pacing.admit(self.throttle, holder, now=self.now, terms=self.terms)
        self.keep(throttle)
        if admission.wait_seconds > 0:
            return
        assert self.now >= self.paused_until
        self.sending[holder].append(self.now)
        self.jobs[holder] += 1
        assert sum(self.jobs.values()) <= self.terms.most_jobs
        self.check_window()

    def check_window(self) -> None:
        """A submission may have arrived at any moment until its answer: the latest is the worst."""
        rate = self.terms.rate
        if rate is not None:
            recent = [at for at in self.latest_arrivals if at > self.now - rate.seconds]
            assert len(recent) + sum(map(len, self.sending.values())) <= rate.calls

    def answer(self, move: str, holder: str) -> None:
        """One of the holder's submissions is answered."""
        if not self.sending[holder]:
            return
        admitted_at = self.sending[holder].pop(0)
        if move != "withdraw":
            self.latest_arrivals.append(self.now)
        if move == "accept":
            self.keep(pacing.accept(self.throttle, holder, now=self.now, terms=self.terms))
            return
        self.jobs[holder] -= 1
        if move == "reject":
            self.keep(pacing.reject(self.throttle, holder, now=self.now))
        elif move == "withdraw":
            self.keep(pacing.withdraw(self.throttle, holder, now=self.now))
        else:
            wait = 20.0 if move == "limit" else None
            self.paused_until = max(self.paused_until, self.now + (wait or 0.0))
            self.keep(
                pacing.refuse(
                    self.throttle,
                    holder,
                    now=self.now,
                    terms=self.terms,
                    admitted_at=admitted_at,
                    jitter=0.5,
                    retry_after_seconds=wait,
                )
            )

    def finish(self, holder: str) -> None:
        """One of the holder's accepted jobs is over."""
        if self.jobs[holder] > len(self.sending[holder]):
            self.jobs[holder] -= 1
            self.keep(pacing.finish(self.throttle, holder, now=self.now))

    def end(self, holder: str, *, is_leaving: bool) -> None:
        """A process ends, and one of the same name begins; what it was sending has arrived at the latest now."""
        move = pacing.leave if is_leaving else pacing.enter
        self.keep(move(self.throttle, holder, now=self.now))
        self.latest_arrivals += [self.now] * len(self.sending[holder])
        self.sending[holder] = []
        self.jobs[holder] = 0


@settings(deadline=None, max_examples=200)
@given(MOVES, RATES, st.integers(1, 12))
def test_limits_and_pauses_hold(moves: list[tuple[str, str, float]], rate: Rate | None, most_jobs: int) -> None:
    """No window with more submissions than declared, no more jobs than allowed, nothing during a pause."""
    terms = dataclasses.replace(Terms("x", OnUnknown.HOLD, 30.0, most_jobs), rate=rate)
    account = Account(terms)
    for move, holder, seconds in moves:
        account.now += seconds
        if move == "admit":
            account.admit(holder)
        elif move == "finish":
            account.finish(holder)
        elif move in {"die", "leave"}:
            account.end(holder, is_leaving=move == "leave")
        else:
            account.answer(move, holder)
    throttle = account.throttle
    assert {name: other.jobs for name, other in throttle.holders.items()}.items() <= account.jobs.items()
    assert 1.0 <= throttle.limit <= max(pacing.FIRST_LIMIT, most_jobs)


@settings(deadline=None, max_examples=100)
@given(MOVES, RATES)
def test_nobody_waits_for_ever(moves: list[tuple[str, str, float]], rate: Rate | None) -> None:
    """Once everything is answered and over, a process that waits as long as told is admitted."""
    account = Account(dataclasses.replace(Terms("x", OnUnknown.HOLD, 30.0, 5), rate=rate))
    for move, holder, seconds in moves:
        account.now += seconds
        if move == "admit":
            account.admit(holder)
        elif move in {"accept", "refuse", "limit"}:
            account.answer(move, holder)
    for holder in HOLDERS:
        account.end(holder, is_leaving=True)
    for _ in range(20):
        throttle, admission = pacing.admit(account.throttle, "d", now=account.now, terms=account.terms)
        if admission.wait_seconds == 0:
            return
        account.keep(throttle)
        account.now += admission.wait_seconds
    raise AssertionError(f"still waiting for {admission}")


@given(st.binary(max_size=200))
def test_any_state_can_be_read(state: bytes) -> None:
    """Garbage is as good as new, and never an exception."""
    throttle = decode_throttle(state)
    assert decode_throttle(encode_throttle(throttle)) == throttle
