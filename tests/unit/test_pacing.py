"""The moves of an account's shared throttle, one by one."""

import dataclasses

import msgspec
import pytest

from qorch.engine.remote import pacing
from qorch.engine.remote.pacing import Throttle
from qorch.ports.policy import OnUnknown, Rate, Terms

TERMS = Terms("account", OnUnknown.HOLD, settle_seconds=30.0, most_jobs=100)
FIVE = dataclasses.replace(TERMS, rate=Rate(5, 60.0))


def send(throttle: Throttle, now: float, *, terms: Terms = TERMS, holder: str = "a") -> Throttle:
    """A submission that is admitted at once, and accepted at once."""
    throttle, admission = pacing.admit(throttle, holder, now=now, terms=terms)
    assert admission.wait_seconds == 0
    return pacing.accept(throttle, holder, now=now, terms=terms)


def refused(throttle: Throttle, now: float, *, retry_after: float | None = None, terms: Terms = TERMS) -> Throttle:
    """A submission that is admitted at once, and refused at once."""
    throttle, admission = pacing.admit(throttle, "a", now=now, terms=terms)
    assert admission.wait_seconds == 0
    return pacing.refuse(
        throttle, "a", now=now, terms=terms, admitted_at=now, jitter=1.0, retry_after_seconds=retry_after
    )


def wait_of(throttle: Throttle, now: float, *, terms: Terms = TERMS, holder: str = "a") -> float:
    """How long a wish to submit must wait."""
    return pacing.admit(throttle, holder, now=now, terms=terms)[1].wait_seconds


def test_an_unknown_account_is_met_one_submission_at_a_time() -> None:
    """Before eight acceptances nothing leaves while another is not answered; after them ever more do."""
    throttle, _ = pacing.admit(Throttle(), "a", now=0.0, terms=TERMS)
    assert wait_of(throttle, 0.0) > 0
    throttle = pacing.accept(throttle, "a", now=0.0, terms=TERMS)
    for number in range(7):
        throttle = pacing.finish(send(throttle, float(number)), "a", now=float(number))
    sending = 0
    while wait_of(throttle, 9.0) == 0:
        throttle, _ = pacing.admit(throttle, "a", now=9.0, terms=TERMS)
        sending += 1
    assert sending == 2


def test_acceptances_raise_the_limit_and_trouble_halves_it_once_per_round() -> None:
    """One more job in progress per round of acceptances; of refusals that were under way together the first counts."""
    throttle = Throttle(limit=10.0, opened=50)
    for _ in range(10):
        throttle = pacing.finish(send(throttle, 1.0), "a", now=1.0)
    assert 10.9 < throttle.limit < 11.1
    for _ in range(3):
        throttle, _ = pacing.admit(throttle, "a", now=2.0, terms=TERMS)
    for _ in range(3):
        throttle = pacing.refuse(throttle, "a", now=3.0, terms=TERMS, admitted_at=2.0, jitter=0.5)
    assert 5.4 < throttle.limit < 5.6
    assert throttle.refusals == 1
    assert throttle.holders["a"] == pacing.Holder(0, 0, 3.0)


def test_no_more_jobs_than_the_terms_allow() -> None:
    """The limit adapts below ``most_jobs``, across all processes."""
    terms = dataclasses.replace(TERMS, most_jobs=3)
    throttle = Throttle(limit=50.0)
    for holder in ("a", "b", "a"):
        throttle = send(throttle, 1.0, terms=terms, holder=holder)
    throttle, admission = pacing.admit(throttle, "b", now=1.0, terms=terms)
    assert admission.wait_seconds == pacing.LOOK_AGAIN_SECONDS
    assert wait_of(pacing.finish(throttle, "a", now=2.0), 2.0, terms=terms) == 0


def test_own_jobs_are_waited_for_without_looking() -> None:
    """Where only this process's jobs stand in the way, it is woken by them, and just shows that it is there."""
    terms = dataclasses.replace(TERMS, most_jobs=1)
    _, admission = pacing.admit(send(Throttle(), 0.0, terms=terms), "a", now=0.0, terms=terms)
    assert admission.until_freed
    assert pacing.LOOK_AGAIN_SECONDS < admission.wait_seconds < pacing.FORGET_SECONDS


def test_a_declared_rate_is_a_window_that_starts_with_the_answer() -> None:
    """The sixth submission waits until a minute after the answer to the first, sent ones included."""
    throttle = Throttle()
    for number in range(5):
        throttle, _ = pacing.admit(throttle, "a", now=float(number), terms=FIVE)
        throttle = pacing.accept(throttle, "a", now=number + 0.5, terms=FIVE)
    assert wait_of(throttle, 10.0, terms=FIVE) == pytest.approx(50.5)
    assert wait_of(throttle, 60.6, terms=FIVE) == 0


def test_a_server_is_obeyed_to_the_second() -> None:
    """A named time counts, however many refusals came before, and is not shortened by a later one that names none."""
    throttle = refused(Throttle(), 100.0, retry_after=40.0)
    throttle = pacing.refuse(throttle, "a", now=101.0, terms=TERMS, admitted_at=99.0, jitter=0.0)
    assert wait_of(throttle, 101.0) == pytest.approx(39.0)
    assert wait_of(throttle, 139.99) == pytest.approx(0.01)
    assert wait_of(throttle, 140.0) == 0


def test_pauses_without_a_named_time_double() -> None:
    """With full jitter, up to two minutes; an acceptance forgets them."""
    throttle, now, pauses = Throttle(), 0.0, []
    for _ in range(12):
        throttle = refused(throttle, now)
        pauses.append(throttle.paused_until - now)
        now = throttle.paused_until
    assert pauses[:3] == [1.0, 2.0, 4.0]
    assert pauses[-1] == pacing.LONGEST_PAUSE_SECONDS
    assert send(throttle, now).refusals == 0


def test_while_an_account_refuses_one_probe_leaves() -> None:
    """After a refusal the next submission is a probe, and no other leaves until it is answered."""
    throttle = refused(Throttle(opened=50), 0.0)
    throttle, admission = pacing.admit(throttle, "a", now=5.0, terms=TERMS)
    assert admission == pacing.Admission(0.0, is_probe=True)
    assert wait_of(throttle, 5.0, holder="b") > 0
    assert not pacing.admit(send(pacing.withdraw(throttle, "a", now=6.0), 6.0), "a", now=7.0, terms=TERMS)[1].is_probe


def limited(throttle: Throttle, now: float, *, accepted: int, retry_after: float) -> tuple[Throttle, float]:
    """A round against an undeclared limit: so many are accepted, one a second, and then one is refused."""
    for _ in range(accepted):
        throttle = pacing.finish(send(throttle, now), "a", now=now)
        now += 1.0
    throttle = refused(throttle, now, retry_after=retry_after)
    return throttle, now + retry_after


def test_an_undeclared_limit_is_learned_from_the_second_refusal() -> None:
    """What was accepted between two refusals is what the window holds; it is kept like a declared one."""
    throttle, now = limited(Throttle(), 0.0, accepted=5, retry_after=55.0)
    assert throttle.learned is None
    throttle, now = limited(throttle, now, accepted=5, retry_after=55.0)
    assert throttle.learned is not None
    assert (throttle.learned.calls, throttle.learned.seconds) == (5, 60.0)
    now += 5.0
    for _ in range(5):
        throttle = pacing.finish(send(throttle, now), "a", now=now)
    assert wait_of(throttle, now) == pytest.approx(60.0)


def test_one_refusal_alone_teaches_nothing() -> None:
    """A server that is busy for once, and then takes all that comes, is soon used as before."""
    throttle, now = limited(Throttle(opened=50), 0.0, accepted=5, retry_after=30.0)
    assert throttle.is_learning
    for _ in range(8):
        now += pacing.LEARNING_SECONDS / 8 + 1.0
        throttle = pacing.finish(send(throttle, now), "a", now=now)
    assert not throttle.is_learning
    assert throttle.learned is None


def test_a_learned_limit_is_learned_anew() -> None:
    """Where the window proves longer or the limit lower, the next refusal corrects it; after two hours it is gone."""
    throttle, now = limited(Throttle(), 0.0, accepted=5, retry_after=50.0)
    throttle, now = limited(throttle, now, accepted=5, retry_after=50.0)
    assert throttle.learned is not None
    assert throttle.learned.seconds == 55.0
    throttle, now = limited(throttle, now, accepted=4, retry_after=56.0)
    assert throttle.learned is not None
    assert (throttle.learned.calls, throttle.learned.seconds) == (4, 60.0)
    later, _ = pacing.admit(throttle, "a", now=now + pacing.LEARNED_SECONDS, terms=TERMS)
    assert later.learned is None


def test_a_closed_backend_teaches_no_limit() -> None:
    """A pause until a backend opens says nothing of how many jobs it takes."""
    throttle = send(Throttle(), 0.0)
    throttle = pacing.refuse(
        throttle, "a", now=1.0, terms=TERMS, admitted_at=1.0, jitter=0.0, retry_after_seconds=60.0, is_limit=False
    )
    assert not throttle.is_learning
    assert wait_of(throttle, 1.0) == pytest.approx(60.0)


def test_what_a_dead_process_was_sending_counts_in_the_window() -> None:
    """The next process of its name gives up its jobs, and takes what it may have sent for sent just now."""
    throttle = Throttle()
    for _ in range(5):
        throttle, _ = pacing.admit(throttle, "a", now=0.0, terms=dataclasses.replace(FIVE, rate=None))
        throttle = known(throttle, opened=50)
    throttle = pacing.enter(throttle, "a", now=20.0)
    assert "a" not in throttle.holders
    assert wait_of(throttle, 21.0, terms=FIVE) == pytest.approx(59.0)
    assert wait_of(pacing.leave(send(Throttle(), 0.0), "a", now=1.0), 1.0) == 0


def known(throttle: Throttle, *, opened: int) -> Throttle:
    """The same, of an account that is known."""
    return msgspec.structs.replace(throttle, opened=opened)


def test_silent_processes_are_forgotten_and_oneself_is_not() -> None:
    """A process that is gone does not block others for long; own jobs count however long they take."""
    terms = dataclasses.replace(TERMS, most_jobs=1)
    throttle = send(Throttle(), 0.0, terms=terms)
    assert wait_of(throttle, 10_000.0, terms=terms, holder="a") > 0
    assert wait_of(throttle, pacing.FORGET_SECONDS - 1.0, terms=terms, holder="b") > 0
    assert wait_of(throttle, pacing.FORGET_SECONDS + 1.0, terms=terms, holder="b") == 0


def test_after_a_restart_of_the_machine_old_times_are_dropped() -> None:
    """The monotonic clock starts anew: a pause from before must not last for days."""
    throttle = refused(send(Throttle(), 900_000.0), 900_001.0, retry_after=60.0)
    assert wait_of(throttle, 12.0) == 0


@pytest.mark.parametrize("state", [b"", b"{", b"[]", b'{"limit": "much"}', b"\xff\xfe"])
def test_a_state_that_cannot_be_read_is_as_good_as_new(state: bytes) -> None:
    """Whatever another version or a broken disk left there."""
    assert pacing.decode_throttle(state) == Throttle() == pacing.decode_throttle(None)
