"""The moves of an account's shared pace, one by one."""

import dataclasses

import msgspec
import pytest

from qorch.engine.remote import pacing
from qorch.engine.remote.pacing import Throttle
from qorch.ports.policy import OnUnknown, Rate, Terms

TERMS = Terms("account", OnUnknown.HOLD, settle_seconds=30.0, most_jobs=100)
FIVE = dataclasses.replace(TERMS, rate=Rate(5, 60.0))


def send(pace: Throttle, now: float, *, terms: Terms = TERMS, holder: str = "a") -> Throttle:
    """A submission that is admitted at once, and accepted at once."""
    pace, admission = pacing.admit(pace, holder, now=now, terms=terms)
    assert admission.wait_seconds == 0
    return pacing.accept(pace, holder, now=now, terms=terms)


def refused(pace: Throttle, now: float, *, retry_after: float | None = None, terms: Terms = TERMS) -> Throttle:
    """A submission that is admitted at once, and refused at once."""
    pace, admission = pacing.admit(pace, "a", now=now, terms=terms)
    assert admission.wait_seconds == 0
    return pacing.refuse(pace, "a", now=now, terms=terms, admitted_at=now, jitter=1.0, retry_after_seconds=retry_after)


def wait_of(pace: Throttle, now: float, *, terms: Terms = TERMS, holder: str = "a") -> float:
    """How long a wish to submit must wait."""
    return pacing.admit(pace, holder, now=now, terms=terms)[1].wait_seconds


def test_an_unknown_account_is_met_one_submission_at_a_time() -> None:
    """Before eight acceptances nothing leaves while another is not answered; after them ever more do."""
    pace, _ = pacing.admit(Throttle(), "a", now=0.0, terms=TERMS)
    assert wait_of(pace, 0.0) > 0
    pace = pacing.accept(pace, "a", now=0.0, terms=TERMS)
    for number in range(7):
        pace = pacing.finish(send(pace, float(number)), "a", now=float(number))
    sending = 0
    while wait_of(pace, 9.0) == 0:
        pace, _ = pacing.admit(pace, "a", now=9.0, terms=TERMS)
        sending += 1
    assert sending == 2


def test_acceptances_raise_the_limit_and_trouble_halves_it_once_per_round() -> None:
    """One more job in progress per round of acceptances; of refusals that were under way together the first counts."""
    pace = Throttle(limit=10.0, opened=50)
    for _ in range(10):
        pace = pacing.finish(send(pace, 1.0), "a", now=1.0)
    assert 10.9 < pace.limit < 11.1
    for _ in range(3):
        pace, _ = pacing.admit(pace, "a", now=2.0, terms=TERMS)
    for _ in range(3):
        pace = pacing.refuse(pace, "a", now=3.0, terms=TERMS, admitted_at=2.0, jitter=0.5)
    assert 5.4 < pace.limit < 5.6
    assert pace.refusals == 1
    assert pace.holders["a"] == pacing.Holder(0, 0, 3.0)


def test_no_more_jobs_than_the_terms_allow() -> None:
    """The limit adapts below ``most_jobs``, across all processes."""
    terms = dataclasses.replace(TERMS, most_jobs=3)
    pace = Throttle(limit=50.0)
    for holder in ("a", "b", "a"):
        pace = send(pace, 1.0, terms=terms, holder=holder)
    pace, admission = pacing.admit(pace, "b", now=1.0, terms=terms)
    assert admission.wait_seconds == pacing.LOOK_AGAIN_SECONDS
    assert wait_of(pacing.finish(pace, "a", now=2.0), 2.0, terms=terms) == 0


def test_own_jobs_are_waited_for_without_looking() -> None:
    """Where only this process's jobs stand in the way, it is woken by them, and just shows that it is there."""
    terms = dataclasses.replace(TERMS, most_jobs=1)
    _, admission = pacing.admit(send(Throttle(), 0.0, terms=terms), "a", now=0.0, terms=terms)
    assert admission.until_freed
    assert pacing.LOOK_AGAIN_SECONDS < admission.wait_seconds < pacing.FORGET_SECONDS


def test_a_declared_rate_is_a_window_that_starts_with_the_answer() -> None:
    """The sixth submission waits until a minute after the answer to the first, sent ones included."""
    pace = Throttle()
    for number in range(5):
        pace, _ = pacing.admit(pace, "a", now=float(number), terms=FIVE)
        pace = pacing.accept(pace, "a", now=number + 0.5, terms=FIVE)
    assert wait_of(pace, 10.0, terms=FIVE) == pytest.approx(50.5)
    assert wait_of(pace, 60.6, terms=FIVE) == 0


def test_a_server_is_obeyed_to_the_second() -> None:
    """A named time counts, however many refusals came before, and is not shortened by a later one that names none."""
    pace = refused(Throttle(), 100.0, retry_after=40.0)
    pace = pacing.refuse(pace, "a", now=101.0, terms=TERMS, admitted_at=99.0, jitter=0.0)
    assert wait_of(pace, 101.0) == pytest.approx(39.0)
    assert wait_of(pace, 139.99) == pytest.approx(0.01)
    assert wait_of(pace, 140.0) == 0


def test_pauses_without_a_named_time_double() -> None:
    """With full jitter, up to two minutes; an acceptance forgets them."""
    pace, now, pauses = Throttle(), 0.0, []
    for _ in range(12):
        pace = refused(pace, now)
        pauses.append(pace.paused_until - now)
        now = pace.paused_until
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert pauses[-1] == pacing.LONGEST_PAUSE_SECONDS
    assert send(pace, now).refusals == 0


def test_while_an_account_refuses_one_probe_leaves() -> None:
    """After a refusal the next submission is a probe, and no other leaves until it is answered."""
    pace = refused(Throttle(opened=50), 0.0)
    pace, admission = pacing.admit(pace, "a", now=5.0, terms=TERMS)
    assert admission == pacing.Admission(0.0, is_probe=True)
    assert wait_of(pace, 5.0, holder="b") > 0
    assert not pacing.admit(send(pacing.withdraw(pace, "a", now=6.0), 6.0), "a", now=7.0, terms=TERMS)[1].is_probe


def limited(pace: Throttle, now: float, *, accepted: int, retry_after: float) -> tuple[Throttle, float]:
    """A round against an undeclared limit: so many are accepted, one a second, and then one is refused."""
    for _ in range(accepted):
        pace = pacing.finish(send(pace, now), "a", now=now)
        now += 1.0
    pace = refused(pace, now, retry_after=retry_after)
    return pace, now + retry_after


def test_an_undeclared_limit_is_learned_from_the_second_refusal() -> None:
    """What was accepted between two refusals is what the window holds; it is kept like a declared one."""
    pace, now = limited(Throttle(), 0.0, accepted=5, retry_after=55.0)
    assert pace.learned is None
    pace, now = limited(pace, now, accepted=5, retry_after=55.0)
    assert pace.learned is not None
    assert (pace.learned.calls, pace.learned.seconds) == (5, 60.0)
    now += 5.0
    for _ in range(5):
        pace = pacing.finish(send(pace, now), "a", now=now)
    assert wait_of(pace, now) == pytest.approx(60.0)


def test_one_refusal_alone_teaches_nothing() -> None:
    """A server that is busy for once, and then takes all that comes, is soon used as before."""
    pace, now = limited(Throttle(opened=50), 0.0, accepted=5, retry_after=30.0)
    assert pace.is_learning
    for _ in range(8):
        now += pacing.LEARNING_SECONDS / 8 + 1.0
        pace = pacing.finish(send(pace, now), "a", now=now)
    assert not pace.is_learning
    assert pace.learned is None


def test_a_learned_limit_is_learned_anew() -> None:
    """Where the window proves longer or the limit lower, the next refusal corrects it; after two hours it is gone."""
    pace, now = limited(Throttle(), 0.0, accepted=5, retry_after=50.0)
    pace, now = limited(pace, now, accepted=5, retry_after=50.0)
    assert pace.learned is not None
    assert pace.learned.seconds == 55.0
    pace, now = limited(pace, now, accepted=4, retry_after=56.0)
    assert pace.learned is not None
    assert (pace.learned.calls, pace.learned.seconds) == (4, 60.0)
    later, _ = pacing.admit(pace, "a", now=now + pacing.LEARNED_SECONDS, terms=TERMS)
    assert later.learned is None


def test_a_closed_backend_teaches_no_limit() -> None:
    """A pause until a backend opens says nothing of how many jobs it takes."""
    pace = send(Throttle(), 0.0)
    pace = pacing.refuse(
        pace, "a", now=1.0, terms=TERMS, admitted_at=1.0, jitter=0.0, retry_after_seconds=60.0, is_limit=False
    )
    assert not pace.is_learning
    assert wait_of(pace, 1.0) == pytest.approx(60.0)


def test_what_a_dead_process_was_sending_counts_in_the_window() -> None:
    """The next process of its name gives up its jobs, and takes what it may have sent for sent just now."""
    pace = Throttle()
    for _ in range(5):
        pace, _ = pacing.admit(pace, "a", now=0.0, terms=dataclasses.replace(FIVE, rate=None))
        pace = known(pace, opened=50)
    pace = pacing.enter(pace, "a", now=20.0)
    assert "a" not in pace.holders
    assert wait_of(pace, 21.0, terms=FIVE) == pytest.approx(59.0)
    assert wait_of(pacing.leave(send(Throttle(), 0.0), "a", now=1.0), 1.0) == 0


def known(pace: Throttle, *, opened: int) -> Throttle:
    """The same, of an account that is known."""
    return msgspec.structs.replace(pace, opened=opened)


def test_silent_processes_are_forgotten_and_oneself_is_not() -> None:
    """A process that is gone does not block others for long; own jobs count however long they take."""
    terms = dataclasses.replace(TERMS, most_jobs=1)
    pace = send(Throttle(), 0.0, terms=terms)
    assert wait_of(pace, 10_000.0, terms=terms, holder="a") > 0
    assert wait_of(pace, pacing.FORGET_SECONDS - 1.0, terms=terms, holder="b") > 0
    assert wait_of(pace, pacing.FORGET_SECONDS + 1.0, terms=terms, holder="b") == 0


def test_after_a_restart_of_the_machine_old_times_are_dropped() -> None:
    """The monotonic clock starts anew: a pause from before must not last for days."""
    pace = refused(send(Throttle(), 900_000.0), 900_001.0, retry_after=60.0)
    assert wait_of(pace, 12.0) == 0


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b'{"limit": "much"}', b"\xff\xfe"])
def test_a_state_that_cannot_be_read_is_as_good_as_new(state: bytes) -> None:
    """Whatever another version or a broken disk left there."""
    assert pacing.decode_pace(state) == Throttle() == pacing.decode_pace(None)
